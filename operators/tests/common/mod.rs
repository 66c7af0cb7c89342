//! State and history for tests: what the runtime gives an operator, and takes back in a crash.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]
#![allow(dead_code, reason = "each test file uses some of it")]

use std::collections::BTreeMap;

use sealpost_operators::table::{History, HistoryError, Source, Table};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{
    Action, Close, Command, Contacts, Interval, Locale, Policy, Subscriber, SubscriberStatus,
    Usage, UsageKind, Windows,
};
use sealpost_schemas::{Channel, Digest, Period, Timestamp, UserId};

/// State: a crash puts back a clone of it.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapTable(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl Table for MapTable {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }
    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
    fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(key, value)| see(key, value));
    }
}

/// Earlier records by source and offset.
#[derive(Default, Clone, Debug)]
pub(crate) struct MapHistory(pub(crate) BTreeMap<(Source, u64), Vec<u8>>);

impl History for MapHistory {
    fn value(
        &mut self,
        source: Source,
        _: &[u8],
        offset: u64,
    ) -> Result<Option<Vec<u8>>, HistoryError> {
        Ok(self.0.get(&(source, offset)).cloned())
    }
}

pub(crate) fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

pub(crate) fn period(text: &str) -> Period {
    text.parse().unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

/// Noon of the fifth day of a period, UTC.
pub(crate) fn within(period: Period) -> Timestamp {
    at(&format!("{period}-05T12:00:00Z"))
}

pub(crate) fn usage(
    id: u64,
    event: &str,
    occurred_at: Timestamp,
    kind: UsageKind,
    quantity: i64,
) -> Usage {
    Usage {
        user_id: user(id),
        event_id: event.to_owned(),
        occurred_at,
        kind,
        quantity,
    }
}

/// A purchase: it adds to a bill as it is.
pub(crate) fn purchase(id: u64, event: &str, month: &str, won: i64) -> Usage {
    usage(id, event, within(period(month)), UsageKind::Content, won)
}

pub(crate) fn subscriber(id: u64, plan: &str) -> Subscriber {
    Subscriber {
        user_id: user(id),
        status: SubscriberStatus::Active,
        plan: plan.to_owned(),
        options: Vec::new(),
        contract: Interval::default(),
        welfare: None,
        soldier: Interval::default(),
        windows: Windows::default(),
        locale: Locale::Ko,
        contacts: Contacts::default(),
    }
}

pub(crate) fn withdrawn(id: u64) -> Subscriber {
    Subscriber {
        status: SubscriberStatus::Withdrawn,
        ..subscriber(id, "PLN-043")
    }
}

pub(crate) fn policy(channels: &[Channel]) -> Policy {
    Policy {
        channels: channels.to_vec(),
        attempts_per_channel: 3,
    }
}

pub(crate) fn close_of(
    period: Period,
    usage_end: u64,
    subscribers_end: u64,
    catalog: &str,
) -> Close {
    Close {
        period,
        usage_end: usage_end.cast_signed(),
        subscribers_end: subscribers_end.cast_signed(),
        catalog_digest: Digest::of(catalog.as_bytes()),
        catalog: catalog.to_owned(),
        template_digest: Digest::of(b"templates"),
        templates: BTreeMap::new(),
        policy: policy(&[Channel::Email]),
        time_zone: "Asia/Seoul".to_owned(),
        not_before: None,
    }
}

pub(crate) fn command(id: &str, action: Action) -> Command {
    Command {
        command_id: id.to_owned(),
        issued_at: Timestamp(0),
        action,
        by: None,
    }
}

/// The built-in catalogue with some of its text replaced.
pub(crate) fn catalog_with(from: &str, to: &str) -> String {
    let text = Catalog::built_in().text().to_owned();
    assert!(text.contains(from), "the built-in catalogue has {from}");
    text.replace(from, to)
}
