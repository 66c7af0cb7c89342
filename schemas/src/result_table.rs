//! The tables that leave and enter as Parquet: the result table, and the input files that `seed`
//! writes and `ingest` reads.
//!
//! Invariants:
//! - Names, types and order of columns are a promise to other programs.
//! - No column holds personal data but as ciphertext.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::record::State;
use crate::{Channel, Digest, MessageKey, Period, Sealed, Timestamp, UserId, Version, Won};

/// The zone that every time in a table is in.
const UTC: &str = "UTC";

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()))
}

static RESULT: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        required("user_id", DataType::Int64),
        required("period", DataType::Utf8),
        required("version", DataType::Int32),
        optional("channel", DataType::Utf8),
        optional("destination", DataType::Binary),
        required("invoice_key", DataType::Utf8),
        optional("body_digest", DataType::Utf8),
        required("total_won", DataType::Int64),
        required("status", DataType::Utf8),
        required("attempts", DataType::Int32),
        optional("message_key", DataType::Utf8),
        optional("provider_message_id", DataType::Utf8),
        optional("updated_at", timestamp()),
    ]))
});

static SUBSCRIBERS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let sealed = |name| optional(name, DataType::Binary);
    let token = |name| optional(name, DataType::FixedSizeBinary(32));
    Arc::new(Schema::new(vec![
        required("user_id", DataType::Int64),
        sealed("name_sealed"),
        sealed("email_masked_sealed"),
        sealed("phone_masked_sealed"),
        sealed("email_sealed"),
        sealed("sms_sealed"),
        sealed("kakao_sealed"),
        sealed("push_sealed"),
        token("email_token"),
        token("sms_token"),
        token("kakao_token"),
        token("push_token"),
        required("plan", DataType::Utf8),
        optional("options", DataType::Utf8),
        optional("contract_start", DataType::Date32),
        optional("contract_end", DataType::Date32),
        optional("soldier_start", DataType::Date32),
        optional("soldier_end", DataType::Date32),
        optional("welfare", DataType::Utf8),
        optional("quiet_from", DataType::Int32),
        optional("quiet_to", DataType::Int32),
        optional("send_day", DataType::Int32),
        required("status", DataType::Utf8),
        required("locale", DataType::Utf8),
    ]))
});

static USAGE: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        required("event_id", DataType::Utf8),
        required("user_id", DataType::Int64),
        required("occurred_at", timestamp()),
        required("kind", DataType::Utf8),
        required("quantity", DataType::Int64),
    ]))
});

/// The result table: one row per user and version.
#[must_use]
pub fn arrow_schema() -> SchemaRef {
    Arc::clone(&RESULT)
}

/// `subscribers.parquet`. Sealed columns are bytes under the purpose that the column names:
/// `name` is `profile/name`, `email_masked` and `phone_masked` are `profile/email` and
/// `profile/phone`, a channel is `destination/CHANNEL`; each channel's token goes with it.
/// `options` are codes with `;` between them.
#[must_use]
pub fn subscribers_schema() -> SchemaRef {
    Arc::clone(&SUBSCRIBERS)
}

/// `usage.parquet`.
#[must_use]
pub fn usage_schema() -> SchemaRef {
    Arc::clone(&USAGE)
}

/// One row of the result table: where one user's bill stands in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultRow<'row> {
    /// Whose.
    pub user_id: UserId,
    /// For which month.
    pub period: Period,
    /// The round.
    pub version: Version,
    /// The last channel that was tried, if any was.
    pub channel: Option<Channel>,
    /// Its address, sealed.
    pub destination: Option<&'row Sealed>,
    /// Identity of the invoice.
    pub invoice_key: Digest,
    /// Digest of the message that was rendered last, without its address.
    pub body_digest: Option<Digest>,
    /// What is to be paid.
    pub total_won: Won,
    /// Where it stands.
    pub status: State,
    /// Calls made in this version.
    pub attempts: u32,
    /// Identity of the last message.
    pub message_key: Option<MessageKey>,
    /// What the provider calls it.
    pub provider_message_id: Option<&'row str>,
    /// When this last changed.
    pub updated_at: Option<Timestamp>,
}

/// Rows of the result table on their way into one Arrow batch.
#[derive(Debug)]
pub struct ResultBatch {
    user_id: Int64Builder,
    period: StringBuilder,
    version: Int32Builder,
    channel: StringBuilder,
    destination: BinaryBuilder,
    invoice_key: StringBuilder,
    body_digest: StringBuilder,
    total_won: Int64Builder,
    status: StringBuilder,
    attempts: Int32Builder,
    message_key: StringBuilder,
    provider_message_id: StringBuilder,
    updated_at: TimestampMicrosecondBuilder,
    rows: usize,
}

impl ResultBatch {
    /// An empty batch with room for some rows; more may come.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        let text = |bytes_per_row: usize| {
            StringBuilder::with_capacity(rows, rows.saturating_mul(bytes_per_row))
        };
        Self {
            user_id: Int64Builder::with_capacity(rows),
            period: text(7),
            version: Int32Builder::with_capacity(rows),
            channel: text(5),
            destination: BinaryBuilder::with_capacity(rows, rows.saturating_mul(48)),
            invoice_key: text(64),
            body_digest: text(64),
            total_won: Int64Builder::with_capacity(rows),
            status: text(8),
            attempts: Int32Builder::with_capacity(rows),
            message_key: text(64),
            provider_message_id: text(32),
            updated_at: TimestampMicrosecondBuilder::with_capacity(rows).with_timezone(UTC),
            rows: 0,
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &ResultRow<'_>) {
        self.user_id.append_value(row.user_id.into());
        // text that is written into a string column goes into the row that is appended next
        let _ = write!(self.period, "{}", row.period);
        self.period.append_value("");
        self.version.append_value(i32::from(row.version.0));
        self.channel.append_option(row.channel.map(Channel::name));
        self.destination
            .append_option(row.destination.map(Sealed::as_bytes));
        self.invoice_key.append_value(hex(row.invoice_key));
        self.body_digest.append_option(row.body_digest.map(hex));
        self.total_won.append_value(row.total_won.0);
        self.status.append_value(row.status.name());
        self.attempts
            .append_value(i32::try_from(row.attempts).unwrap_or(i32::MAX));
        self.message_key
            .append_option(row.message_key.map(|key| hex(key.0)));
        self.provider_message_id
            .append_option(row.provider_message_id);
        self.updated_at
            .append_option(row.updated_at.map(|time| time.0));
        self.rows += 1;
    }

    /// How many rows there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows as a batch of [`arrow_schema`]; what is pushed next begins a new one.
    ///
    /// # Errors
    /// [`ArrowError`] if the columns did not fit the schema, which they do.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.user_id.finish()),
            Arc::new(self.period.finish()),
            Arc::new(self.version.finish()),
            Arc::new(self.channel.finish()),
            Arc::new(self.destination.finish()),
            Arc::new(self.invoice_key.finish()),
            Arc::new(self.body_digest.finish()),
            Arc::new(self.total_won.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.attempts.finish()),
            Arc::new(self.message_key.finish()),
            Arc::new(self.provider_message_id.finish()),
            Arc::new(self.updated_at.finish()),
        ];
        RecordBatch::try_new(arrow_schema(), columns)
    }
}

impl Default for ResultBatch {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

/// 64 hexadecimal digits, on the stack.
fn hex(digest: Digest) -> impl AsRef<str> {
    blake3::Hash::from_bytes(digest.0).to_hex()
}
