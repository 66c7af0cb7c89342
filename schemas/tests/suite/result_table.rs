//! The columns that other programs rely on, and that rows arrive in them as they are.

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use sealpost_schemas::record::{State, Statement};
use sealpost_schemas::result_table::{
    ResultBatch, ResultRow, arrow_schema, subscribers_schema, usage_schema,
};
use sealpost_schemas::{
    Channel, Digest, Kind, MessageKey, Period, Sealed, Timestamp, UserId, Version, Won,
};

fn columns(schema: &SchemaRef) -> Vec<String> {
    schema
        .fields()
        .iter()
        .map(|field| {
            let mark = if field.is_nullable() { "?" } else { "" };
            format!("{}: {}{mark}", field.name(), field.data_type())
        })
        .collect()
}

#[test]
fn the_result_table_has_the_promised_columns() {
    assert_eq!(
        columns(&arrow_schema()),
        [
            "user_id: Int64",
            "period: Utf8",
            "version: Int32",
            "channel: Utf8?",
            "destination: Binary?",
            "invoice_key: Utf8",
            "body_digest: Utf8?",
            "total_won: Int64",
            "status: Utf8",
            "attempts: Int32",
            "message_key: Utf8?",
            "provider_message_id: Utf8?",
            "updated_at: Timestamp(µs, \"UTC\")?",
        ]
    );
}

#[test]
fn the_usage_file_has_the_promised_columns() {
    assert_eq!(
        columns(&usage_schema()),
        [
            "event_id: Utf8",
            "user_id: Int64",
            "occurred_at: Timestamp(µs, \"UTC\")",
            "kind: Utf8",
            "quantity: Int64"
        ]
    );
}

#[test]
fn the_subscribers_file_has_the_promised_columns() {
    assert_eq!(
        columns(&subscribers_schema()),
        [
            "user_id: Int64",
            "name_sealed: Binary?",
            "email_masked_sealed: Binary?",
            "phone_masked_sealed: Binary?",
            "email_sealed: Binary?",
            "sms_sealed: Binary?",
            "kakao_sealed: Binary?",
            "push_sealed: Binary?",
            "email_token: FixedSizeBinary(32)?",
            "sms_token: FixedSizeBinary(32)?",
            "kakao_token: FixedSizeBinary(32)?",
            "push_token: FixedSizeBinary(32)?",
            "plan: Utf8",
            "options: Utf8?",
            "contract_start: Date32?",
            "contract_end: Date32?",
            "soldier_start: Date32?",
            "soldier_end: Date32?",
            "welfare: Utf8?",
            "quiet_from: Int32?",
            "quiet_to: Int32?",
            "send_day: Int32?",
            "status: Utf8",
            "locale: Utf8",
        ]
    );
}

/// A sent row and one that never got as far as a channel.
fn two_rows() -> (RecordBatch, MessageKey) {
    let mut batch = ResultBatch::default();
    let key = push_two_rows(&mut batch);
    assert_eq!(batch.len(), 2);
    (batch.finish().unwrap(), key)
}

fn push_two_rows(batch: &mut ResultBatch) -> MessageKey {
    let (user_id, period) = (UserId::new(7).unwrap(), Period::new(2026, 1).unwrap());
    let destination = Sealed::from_bytes([1, 2, 3]);
    let key = MessageKey::new(period, user_id, Kind::Bill, Version(2), Channel::Sms);
    let sent = ResultRow {
        user_id,
        period,
        version: Version(2),
        channel: Some(Channel::Sms),
        destination: Some(&destination),
        invoice_key: Statement::invoice_key(period, user_id),
        body_digest: Some(Digest::of(b"body")),
        total_won: Won(13_013),
        status: State::Sent,
        attempts: 3,
        message_key: Some(key),
        provider_message_id: Some("p-1"),
        updated_at: Some(Timestamp(1_234_567)),
    };
    let pending = ResultRow {
        user_id: UserId::new(8).unwrap(),
        invoice_key: Statement::invoice_key(period, UserId::new(8).unwrap()),
        channel: None,
        destination: None,
        body_digest: None,
        status: State::Pending,
        attempts: u32::MAX,
        message_key: None,
        provider_message_id: None,
        updated_at: None,
        ..sent.clone()
    };
    batch.push(&sent);
    batch.push(&pending);
    key
}

fn text(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

#[test]
fn texts_arrive_in_their_columns() {
    let (batch, key) = two_rows();
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(text(&batch, "period"), [some("2026-01"), some("2026-01")]);
    assert_eq!(text(&batch, "channel"), [some("sms"), None]);
    assert_eq!(text(&batch, "status"), [some("sent"), some("pending")]);
    assert_eq!(text(&batch, "message_key"), [some(&key.to_string()), None]);
    assert_eq!(text(&batch, "provider_message_id"), [some("p-1"), None]);
    assert_eq!(
        text(&batch, "body_digest"),
        [some(&Digest::of(b"body").to_string()), None]
    );
    let invoices = [7, 8].map(|id| Digest::of(format!("sealpost/invoice/2026-01/{id}").as_bytes()));
    assert_eq!(
        text(&batch, "invoice_key"),
        invoices.map(|key| Some(key.to_string()))
    );
}

#[test]
fn numbers_bytes_and_times_arrive_in_their_columns() {
    let (batch, _) = two_rows();
    let long = |name| {
        batch
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int64Type>()
            .values()
            .to_vec()
    };
    let int = |name| {
        batch
            .column_by_name(name)
            .unwrap()
            .as_primitive::<Int32Type>()
            .values()
            .to_vec()
    };
    assert_eq!(long("user_id"), [7, 8]);
    assert_eq!(long("total_won"), [13_013, 13_013]);
    assert_eq!(int("version"), [2, 2]);
    assert_eq!(int("attempts"), [3, i32::MAX]);
    let destinations = batch
        .column_by_name("destination")
        .unwrap()
        .as_binary::<i32>();
    assert_eq!(
        (destinations.value(0), destinations.is_null(1)),
        (&[1, 2, 3][..], true)
    );
    let times = batch
        .column_by_name("updated_at")
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    assert_eq!((times.value(0), times.is_null(1)), (1_234_567, true));
}

#[test]
fn a_finished_batch_begins_anew() {
    let mut batch = ResultBatch::with_capacity(10);
    assert!(batch.is_empty());
    assert_eq!(batch.finish().unwrap().num_rows(), 0);
    push_two_rows(&mut batch);
    let first = batch.finish().unwrap();
    assert!(batch.is_empty());
    push_two_rows(&mut batch);
    assert_eq!(batch.finish().unwrap(), first);
    assert_eq!(first.schema(), arrow_schema());
}
