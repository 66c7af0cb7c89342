//! People and events as Arrow columns. The columns are looked up by name in the schema that the
//! schemas crate promises, so that its order is written down once.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, FixedSizeBinaryBuilder, Int32Builder, Int64Builder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use sealpost_schemas::record::{Contacts, Day, Destination, Locale, SubscriberStatus, Usage};
use sealpost_schemas::result_table::{subscribers_schema, usage_schema};
use sealpost_schemas::{Channel, Sealed};
use sealpost_seeds::PlainSubscriber;

/// The columns of a batch by name.
type Columns = HashMap<&'static str, ArrayRef>;

fn batch(schema: SchemaRef, columns: &Columns) -> anyhow::Result<RecordBatch> {
    let ordered = schema
        .fields()
        .iter()
        .map(|field| {
            columns
                .get(field.name().as_str())
                .cloned()
                .with_context(|| format!("nothing to write into column `{}`", field.name()))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    RecordBatch::try_new(schema, ordered).context("the columns do not fit the schema")
}

/// Adds a column per value of an iterator.
macro_rules! column {
    ($builder:expr, $values:expr) => {{
        let mut builder = $builder;
        for value in $values {
            builder.append_option(value);
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// People and their sealed contacts as a batch of `subscribers.parquet`.
pub(super) fn subscribers(people: &[(PlainSubscriber, Contacts)]) -> anyhow::Result<RecordBatch> {
    let rows = people.len();
    let plain = || people.iter().map(|(plain, _)| plain);
    let sealed = |value: fn(&Contacts) -> Option<&Sealed>| {
        column!(
            BinaryBuilder::with_capacity(rows, rows * 48),
            people
                .iter()
                .map(|(_, contacts)| value(contacts).map(Sealed::as_bytes))
        )
    };
    let address = |channel: Channel| {
        column!(
            BinaryBuilder::with_capacity(rows, rows * 48),
            people.iter().map(|(_, contacts)| {
                contacts
                    .destination(channel)
                    .map(|destination| destination.address.as_bytes())
            })
        )
    };
    let token = |channel: Channel| -> anyhow::Result<ArrayRef> {
        let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 32);
        for (_, contacts) in people {
            match contacts.destination(channel) {
                Some(Destination { token, .. }) => builder.append_value(token.0)?,
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    };
    let text = |value: fn(&PlainSubscriber) -> Option<&str>| {
        column!(
            StringBuilder::with_capacity(rows, rows * 8),
            plain().map(value)
        )
    };
    let day = |value: fn(&PlainSubscriber) -> Option<Day>| {
        column!(
            Date32Builder::with_capacity(rows),
            plain().map(|one| value(one).map(|day| day.0))
        )
    };
    let small = |value: fn(&PlainSubscriber) -> Option<u8>| {
        column!(
            Int32Builder::with_capacity(rows),
            plain().map(|one| value(one).map(i32::from))
        )
    };
    let user_id = column!(
        Int64Builder::with_capacity(rows),
        plain().map(|one| Some(one.user_id.into()))
    );
    let options = column!(
        StringBuilder::with_capacity(rows, rows * 10),
        plain().map(|one| Some(one.options.join(";")).filter(|codes| !codes.is_empty()))
    );
    let columns: Columns = HashMap::from([
        ("user_id", user_id),
        ("name_sealed", sealed(|contacts| contacts.name.as_ref())),
        (
            "email_masked_sealed",
            sealed(|contacts| contacts.masked_email.as_ref()),
        ),
        (
            "phone_masked_sealed",
            sealed(|contacts| contacts.masked_phone.as_ref()),
        ),
        ("email_sealed", address(Channel::Email)),
        ("sms_sealed", address(Channel::Sms)),
        ("kakao_sealed", address(Channel::Kakao)),
        ("push_sealed", address(Channel::Push)),
        ("email_token", token(Channel::Email)?),
        ("sms_token", token(Channel::Sms)?),
        ("kakao_token", token(Channel::Kakao)?),
        ("push_token", token(Channel::Push)?),
        ("plan", text(|one| Some(&one.plan))),
        ("options", options),
        ("contract_start", day(|one| one.contract.start)),
        ("contract_end", day(|one| one.contract.end)),
        ("soldier_start", day(|one| one.soldier.start)),
        ("soldier_end", day(|one| one.soldier.end)),
        ("welfare", text(|one| one.welfare.as_deref())),
        ("quiet_from", small(|one| one.windows.quiet_from)),
        ("quiet_to", small(|one| one.windows.quiet_to)),
        ("send_day", small(|one| one.windows.send_day)),
        ("status", text(|one| Some(status(one.status)))),
        ("locale", text(|one| Some(locale(one.locale)))),
    ]);
    batch(subscribers_schema(), &columns)
}

const fn status(status: SubscriberStatus) -> &'static str {
    match status {
        SubscriberStatus::Active => "active",
        SubscriberStatus::Withdrawn => "withdrawn",
    }
}

const fn locale(locale: Locale) -> &'static str {
    match locale {
        Locale::Ko => "ko",
        Locale::En => "en",
    }
}

/// Events on their way into a batch of `usage.parquet`.
pub(super) struct UsageColumns {
    event_id: StringBuilder,
    user_id: Int64Builder,
    occurred_at: TimestampMicrosecondBuilder,
    kind: StringBuilder,
    quantity: Int64Builder,
}

impl UsageColumns {
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self {
            event_id: StringBuilder::with_capacity(rows, rows * 24),
            user_id: Int64Builder::with_capacity(rows),
            occurred_at: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC"),
            kind: StringBuilder::with_capacity(rows, rows * 5),
            quantity: Int64Builder::with_capacity(rows),
        }
    }

    pub(super) fn push(&mut self, usage: &Usage) {
        self.event_id.append_value(&usage.event_id);
        self.user_id.append_value(usage.user_id.into());
        self.occurred_at.append_value(usage.occurred_at.0);
        self.kind.append_value(usage.kind.name());
        self.quantity.append_value(usage.quantity);
    }

    pub(super) fn finish(mut self) -> anyhow::Result<RecordBatch> {
        let columns: Columns = HashMap::from([
            ("event_id", Arc::new(self.event_id.finish()) as ArrayRef),
            ("user_id", Arc::new(self.user_id.finish())),
            ("occurred_at", Arc::new(self.occurred_at.finish())),
            ("kind", Arc::new(self.kind.finish())),
            ("quantity", Arc::new(self.quantity.finish())),
        ]);
        batch(usage_schema(), &columns)
    }
}
