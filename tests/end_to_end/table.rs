//! The result table as another program reads it: by its columns' names.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) user_id: i64,
    pub(crate) period: String,
    pub(crate) version: i32,
    pub(crate) channel: Option<String>,
    pub(crate) destination: Option<Vec<u8>>,
    pub(crate) invoice_key: String,
    pub(crate) body_digest: Option<String>,
    pub(crate) total_won: i64,
    pub(crate) status: String,
    pub(crate) attempts: i32,
    pub(crate) message_key: Option<String>,
    pub(crate) provider_message_id: Option<String>,
    pub(crate) updated_at: Option<i64>,
}

impl Row {
    /// The row without what may differ between two runs: times and attempt counts.
    pub(crate) fn timeless(mut self) -> Self {
        self.attempts = 0;
        self.updated_at = None;
        self
    }
}

/// The batches of a file.
pub(crate) fn batches(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Every row of a result table, in its order.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches(path) {
        let column = |name: &str| -> ArrayRef {
            batch
                .column_by_name(name)
                .unwrap_or_else(|| panic!("no column {name}"))
                .clone()
        };
        let text = |name: &str, row: usize| {
            let column = column(name);
            let column = column.as_string::<i32>();
            (!column.is_null(row)).then(|| column.value(row).to_owned())
        };
        let [user_id, total_won] = ["user_id", "total_won"].map(&column);
        let [version, attempts] = ["version", "attempts"].map(&column);
        let (destination, updated_at) = (column("destination"), column("updated_at"));
        for row in 0..batch.num_rows() {
            let destination = destination.as_binary::<i32>();
            let updated_at = updated_at.as_primitive::<TimestampMicrosecondType>();
            rows.push(Row {
                user_id: user_id.as_primitive::<Int64Type>().value(row),
                period: text("period", row).unwrap(),
                version: version.as_primitive::<Int32Type>().value(row),
                channel: text("channel", row),
                destination: (!destination.is_null(row)).then(|| destination.value(row).to_vec()),
                invoice_key: text("invoice_key", row).unwrap(),
                body_digest: text("body_digest", row),
                total_won: total_won.as_primitive::<Int64Type>().value(row),
                status: text("status", row).unwrap(),
                attempts: attempts.as_primitive::<Int32Type>().value(row),
                message_key: text("message_key", row),
                provider_message_id: text("provider_message_id", row),
                updated_at: (!updated_at.is_null(row)).then(|| updated_at.value(row)),
            });
        }
    }
    rows
}

/// The rows of two tables but for times and attempt counts.
pub(crate) fn timeless(path: &Path) -> Vec<Row> {
    rows(path).into_iter().map(Row::timeless).collect()
}
