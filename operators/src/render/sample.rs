//! Statements that templates are tried on when they are loaded.
//!
//! Invariant: together they reach both sides of every `{% if %}` on a variable: one bill has
//! everything, the other has nothing that can be missing. When templates are tried, texts that come
//! from outside carry [`PROBE`], so that a page on which it stands unescaped is found out.

use sealpost_schemas::record::{Contacts, Line, LineKind, Locale, Statement, UsageTotals, Windows};
use sealpost_schemas::{Digest, Period, UserId, Won};

use super::Profile;

/// Markup that must not be found in a page as it is.
pub(super) const PROBE: &str = " <sealpost>&";

/// January 2026, in months since 1970-01. The other branch is decided by the compiler.
const PERIOD: Period = match Period::from_months(56 * 12) {
    Ok(period) => period,
    Err(_) => unreachable!(),
};

/// Whose bill [`rich`] is.
pub(super) const PROFILE: Profile<'static> = Profile {
    name: "홍길동",
    masked_email: "ho****@example.com",
    masked_phone: "010-****-5678",
};

/// Whose bill [`bare`] is.
pub(super) const NOBODY: Profile<'static> = Profile {
    name: "",
    masked_email: "",
    masked_phone: "",
};

/// A bill with a line of every kind; `mark` is put behind every text from outside.
pub(super) fn rich(locale: Locale, mark: &str) -> Statement {
    let line = |kind, name: Option<&str>, amount_won| Line {
        kind,
        code: name.map(|_| "PLN-043".to_owned()),
        name: name.map(|name| format!("{name}{mark}")),
        source_period: (kind == LineKind::Adjustment).then_some(PERIOD),
        amount_won: Won(amount_won),
    };
    let lines = vec![
        line(LineKind::Plan, Some("LTE 표준"), 33_000),
        line(LineKind::DataOverage, None, 220),
        line(LineKind::Option, Some("V컬러링"), 3_135),
        line(LineKind::Content, None, 9_900),
        line(LineKind::ContractDiscount, None, -8_250),
        line(LineKind::SoldierDiscount, None, -4_950),
        line(LineKind::WelfareDiscount, Some("국가 유공자 할인"), -7_007),
        line(LineKind::Adjustment, None, 1_100),
        line(LineKind::BroughtForward, None, -2_000),
        line(LineKind::CarriedForward, None, 1_000),
    ];
    let usage = UsageTotals {
        data_bytes: 2_300_000_000,
        voice_seconds: 3_725,
        sms_messages: 12,
        content_won: 9_900,
    };
    statement(locale, mark, lines, usage)
}

/// A bill with no more than it must have.
pub(super) fn bare(locale: Locale, mark: &str) -> Statement {
    let plan = Line {
        kind: LineKind::Plan,
        code: None,
        name: None,
        source_period: None,
        amount_won: Won(0),
    };
    statement(locale, mark, vec![plan], UsageTotals::default())
}

fn statement(locale: Locale, mark: &str, lines: Vec<Line>, usage: UsageTotals) -> Statement {
    Statement {
        user_id: UserId::UNREADABLE,
        period: PERIOD,
        plan: "PLN-043".to_owned(),
        plan_name: format!("LTE 표준{mark}"),
        total_won: Won(lines.iter().map(|line| line.amount_won.0).sum()),
        lines,
        usage,
        catalog_digest: Digest([0; 32]),
        template_digest: Digest([0; 32]),
        locale,
        windows: Windows::default(),
        contacts: Contacts::default(),
    }
}
