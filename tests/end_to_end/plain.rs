//! Small inputs by hand, as an operator's own system would write them.

/// The columns of a subscriber that is told about below.
pub(crate) const SUBSCRIBERS: &str = "user_id,name,email,phone,plan\n";
/// The columns of usage.
pub(crate) const USAGE: &str = "event_id,user_id,occurred_at,kind,quantity\n";

/// A plan that costs 33,000 won, with 1,500 MB, and 0.275 won for each MB beyond, up to 3,000 MB.
pub(crate) const PLAN: &str = "PLN-043";
pub(crate) const PLAN_WON: i64 = 33_000;

/// Subscribers 1 to `count`, each with their own name and addresses, as CSV.
pub(crate) fn subscribers(count: u64) -> String {
    let mut text = SUBSCRIBERS.to_owned();
    for user in 1..=count {
        text.push_str(&subscriber(user, PLAN));
    }
    text
}

/// One row.
pub(crate) fn subscriber(user: u64, plan: &str) -> String {
    format!("{user},홍길{user},person{user}@example.com,010-0000-{user:04},{plan}\n")
}

/// One row of so much, on a day of January 2026.
pub(crate) fn event(id: &str, user: u64, kind: &str, quantity: impl std::fmt::Display) -> String {
    format!("{id},{user},2026-01-15T12:00:00+09:00,{kind},{quantity}\n")
}
