//! Parquet: typed columns, read a batch at a time.
//!
//! Only the columns that are used are decoded. The types are those of the Parquet schema itself.
//! What a writer says besides about its own types in memory is needed for two that Parquet does
//! not have, timestamps in seconds and dates in milliseconds; else it is left aside, and so are
//! dictionaries, views and large offsets.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array,
    FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch,
    StringArray, UInt64Array,
};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Field, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, Type as Physical};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use zeroize::Zeroizing;

use super::cell::Cell;
use super::column::{COLUMNS, Column, Form};
use super::header::Header;
use super::row::{Cells, JsonText};

/// Rows decoded at once.
const BATCH_ROWS: usize = 8_192;

/// A file whose end was read: its schema, and where everything lies.
pub(super) struct Footer {
    builder: ParquetRecordBatchReaderBuilder<File>,
    file_bytes: u64,
}

/// Why a column or a file cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The column has a type that its values cannot be read from; what it should have.
    Type(Column, &'static str),
    /// A compression that is not built in.
    Compression(&'static str),
    /// The footer tells of places that are not in the file.
    Damaged,
}

/// The file cannot be decoded. What exactly the decoder says is left out: it may quote the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damage;

/// Runs the decoder. On some damage it does not return an error but panics (found by flipping
/// bits); that must not stop the process. What it worked on is not used afterwards.
fn unharmed<T>(decode: impl FnOnce() -> Result<T, Damage>) -> Result<T, Damage> {
    panic::catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(Damage))
}

impl Footer {
    pub(super) fn read(file: File) -> Result<Self, Damage> {
        unharmed(|| Self::open(file).map_err(|_| Damage))
    }

    fn open(file: File) -> Result<Self, ParquetError> {
        let file_bytes = file.metadata()?.len();
        let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let plain = ArrowReaderMetadata::load(&file, plain)?;
        let metadata = Arc::clone(plain.metadata());
        let told = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new());
        let chosen = match told.ok().and_then(|told| with_seconds(&plain, &told)) {
            Some(schema) => {
                let options = ArrowReaderOptions::new().with_schema(schema);
                ArrowReaderMetadata::try_new(metadata, options)?
            }
            None => plain,
        };
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, chosen);
        Ok(Self {
            builder,
            file_bytes,
        })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.builder
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect()
    }

    pub(super) fn rows(&self) -> u64 {
        u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Whether the columns that are read can be.
    pub(super) fn check(&self, header: &Header) -> Result<(), Unreadable> {
        for field in self.builder.schema().fields() {
            if let Some(column) = header.column(field.name())
                && let Err(expected) = check_type(column.form(), field.data_type())
            {
                return Err(Unreadable::Type(column, expected));
            }
        }
        for group in self.builder.metadata().row_groups() {
            for chunk in group.columns() {
                if !self.is_within(chunk) {
                    return Err(Unreadable::Damaged);
                }
                match chunk.compression() {
                    Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
                    Compression::GZIP(_) => return Err(Unreadable::Compression("gzip")),
                    Compression::BROTLI(_) => return Err(Unreadable::Compression("brotli")),
                    Compression::LZ4 | Compression::LZ4_RAW => {
                        return Err(Unreadable::Compression("lz4"));
                    }
                    Compression::LZO => return Err(Unreadable::Compression("lzo")),
                }
            }
        }
        Ok(())
    }

    /// Whether a column's bytes are in the file; the decoder takes that for granted.
    fn is_within(&self, chunk: &ColumnChunkMetaData) -> bool {
        let start = chunk
            .dictionary_page_offset()
            .unwrap_or(chunk.data_page_offset());
        let (start, bytes) = (u64::try_from(start), u64::try_from(chunk.compressed_size()));
        let (Ok(start), Ok(bytes)) = (start, bytes) else {
            return false;
        };
        chunk.num_values() >= 0
            && start
                .checked_add(bytes)
                .is_some_and(|end| end <= self.file_bytes)
    }

    /// The rows, in batches of the columns that are read.
    pub(super) fn batches(self, header: &Header) -> Result<Batches, Damage> {
        unharmed(|| self.build(header).map_err(|_| Damage))
    }

    fn build(self, header: &Header) -> Result<Batches, ParquetError> {
        let schema = self.builder.parquet_schema();
        // the old 96-bit timestamps are written in UTC, though they do not say so
        let utc = schema
            .columns()
            .iter()
            .filter(|leaf| leaf.physical_type() == Physical::INT96)
            .filter_map(|leaf| leaf.path().parts().first().cloned())
            .collect();
        let fields = self.builder.schema().fields().iter().enumerate();
        let roots: Vec<usize> = fields
            .filter(|(_, field)| header.column(field.name()).is_some())
            .map(|(root, _)| root)
            .collect();
        let mask = ProjectionMask::roots(schema, roots);
        let reader = self
            .builder
            .with_batch_size(BATCH_ROWS)
            .with_projection(mask)
            .build()?;
        Ok(Batches { reader, utc })
    }
}

/// The plain schema with timestamps in seconds and dates in milliseconds where the writer's own
/// schema has them; `None` if there are none.
fn with_seconds(plain: &ArrowReaderMetadata, told: &ArrowReaderMetadata) -> Option<SchemaRef> {
    let mut found = false;
    let fields: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .zip(told.schema().fields())
        .map(
            |(plain, told)| match (plain.data_type(), told.data_type()) {
                (
                    DataType::Int64,
                    special @ (DataType::Timestamp(TimeUnit::Second, _) | DataType::Date64),
                ) => {
                    found = true;
                    plain.as_ref().clone().with_data_type(special.clone())
                }
                _ => plain.as_ref().clone(),
            },
        )
        .collect();
    let metadata = plain.schema().metadata().clone();
    found.then(|| Arc::new(Schema::new_with_metadata(fields, metadata)))
}

/// Whether a column of this form can be read from a type; if not, from which it could.
fn check_type(form: Form, data_type: &DataType) -> Result<(), &'static str> {
    use DataType as T;
    let text = matches!(data_type, T::Utf8 | T::Binary | T::Null);
    let integer = matches!(
        data_type,
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64
    );
    let number = integer || matches!(data_type, T::Float32 | T::Float64 | T::Decimal128(_, 0));
    let (fits, expected) = match form {
        Form::Text => (text, "text"),
        Form::Identifier => (text || integer, "text"),
        Form::Integer => (text || number, "whole numbers"),
        Form::Time => (text || matches!(data_type, T::Timestamp(..)), "timestamps"),
        Form::Day => (
            text || matches!(data_type, T::Date32 | T::Date64 | T::Timestamp(_, None)),
            "dates",
        ),
        Form::Codes => (
            text || matches!(data_type, T::List(item) if *item.data_type() == T::Utf8),
            "text, or lists of text",
        ),
        Form::Bytes => (text || matches!(data_type, T::FixedSizeBinary(_)), "bytes"),
    };
    if fits { Ok(()) } else { Err(expected) }
}

/// See [`Footer::batches`].
pub(super) struct Batches {
    reader: ParquetRecordBatchReader,
    /// Names of columns whose local times are times in UTC.
    utc: Vec<String>,
}

impl Batches {
    /// The next rows. An error is damage.
    pub(super) fn next(&mut self, header: &Header) -> Option<Result<Batch, Damage>> {
        let reader = &mut self.reader;
        match unharmed(|| reader.next().transpose().map_err(|_| Damage)) {
            Ok(batch) => Some(Ok(Batch::new(&batch?, header, &self.utc))),
            Err(damage) => Some(Err(damage)),
        }
    }
}

/// Some rows.
pub(super) struct Batch {
    columns: [Values; COLUMNS],
    rows: usize,
}

impl Batch {
    fn new(batch: &RecordBatch, header: &Header, utc: &[String]) -> Self {
        let mut columns = [const { Values::Nothing }; COLUMNS];
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if let Some(values) = header
                .column(field.name())
                .and_then(|column| columns.get_mut(column as usize))
            {
                *values = Values::new(array, utc.contains(field.name()));
            }
        }
        Self {
            columns,
            rows: batch.num_rows(),
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = BatchRow<'_>> {
        (0..self.rows).map(|row| BatchRow { batch: self, row })
    }
}

/// One row.
pub(super) struct BatchRow<'a> {
    batch: &'a Batch,
    row: usize,
}

impl Cells for BatchRow<'_> {
    fn cell(&self, column: Column) -> Cell<'_> {
        self.batch
            .columns
            .get(column as usize)
            .map_or(Cell::Missing, |values| values.cell(self.row))
    }

    fn to_json(&self) -> Zeroizing<String> {
        let mut json = JsonText::object(1_024);
        for column in Column::ALL {
            json.field(column.name(), &self.cell(column));
        }
        json.finish()
    }
}

/// How many of a unit are a microsecond, or microseconds a unit.
#[derive(Clone, Copy)]
enum Scale {
    Times(i64),
    Over(i64),
}

/// The values of a column in a batch.
enum Values {
    Nothing,
    Text(StringArray),
    Bytes(BinaryArray),
    FixedBytes(FixedSizeBinaryArray),
    Int32(Int32Array),
    Int64(Int64Array),
    UInt64(UInt64Array),
    Real(PrimitiveArray<Float64Type>),
    Decimal(Decimal128Array),
    Day(Date32Array),
    /// Units since the epoch.
    Instant(Int64Array, Scale),
    /// Units since 1970-01-01T00:00 on the wall.
    Local(Int64Array, Scale),
    Boolean(BooleanArray),
    Texts(ListArray),
    /// Of a type that the check of the footer does not let through.
    Unusable,
}

impl Values {
    fn new(array: &ArrayRef, utc: bool) -> Self {
        match array.data_type() {
            DataType::Null => Self::Nothing,
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>().clone()),
            DataType::FixedSizeBinary(_) => Self::FixedBytes(array.as_fixed_size_binary().clone()),
            DataType::Int8 => Self::Int32(widened::<Int8Type>(array)),
            DataType::Int16 => Self::Int32(widened::<Int16Type>(array)),
            DataType::Int32 => Self::Int32(array.as_primitive::<Int32Type>().clone()),
            DataType::UInt8 => Self::Int32(widened::<UInt8Type>(array)),
            DataType::UInt16 => Self::Int32(widened::<UInt16Type>(array)),
            DataType::UInt32 => Self::Int64(array.as_primitive::<UInt32Type>().unary(i64::from)),
            DataType::Int64 => Self::Int64(array.as_primitive::<Int64Type>().clone()),
            DataType::UInt64 => Self::UInt64(array.as_primitive::<UInt64Type>().clone()),
            DataType::Float32 => Self::Real(array.as_primitive::<Float32Type>().unary(f64::from)),
            DataType::Float64 => Self::Real(array.as_primitive::<Float64Type>().clone()),
            DataType::Decimal128(_, 0) => {
                Self::Decimal(array.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Date32 => Self::Day(array.as_primitive::<Date32Type>().clone()),
            DataType::Date64 => Self::Local(raw::<Date64Type>(array), Scale::Times(1_000)),
            DataType::Boolean => Self::Boolean(array.as_boolean().clone()),
            DataType::List(item) if *item.data_type() == DataType::Utf8 => {
                Self::Texts(array.as_list::<i32>().clone())
            }
            DataType::Timestamp(unit, zone) => {
                let (units, scale) = match unit {
                    TimeUnit::Second => {
                        (raw::<TimestampSecondType>(array), Scale::Times(1_000_000))
                    }
                    TimeUnit::Millisecond => {
                        (raw::<TimestampMillisecondType>(array), Scale::Times(1_000))
                    }
                    TimeUnit::Microsecond => {
                        (raw::<TimestampMicrosecondType>(array), Scale::Times(1))
                    }
                    TimeUnit::Nanosecond => {
                        (raw::<TimestampNanosecondType>(array), Scale::Over(1_000))
                    }
                };
                if zone.is_some() || utc {
                    Self::Instant(units, scale)
                } else {
                    Self::Local(units, scale)
                }
            }
            _ => Self::Unusable,
        }
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Nothing => Cell::Missing,
            Self::Text(array) => value(array, row, |row| Cell::Text(array.value(row))),
            Self::Bytes(array) => value(array, row, |row| Cell::Bytes(array.value(row))),
            Self::FixedBytes(array) => value(array, row, |row| Cell::Bytes(array.value(row))),
            Self::Int32(array) => {
                value(array, row, |row| Cell::Integer(i64::from(array.value(row))))
            }
            Self::Int64(array) => value(array, row, |row| Cell::Integer(array.value(row))),
            Self::UInt64(array) => value(array, row, |row| {
                i64::try_from(array.value(row)).map_or(TOO_LARGE, Cell::Integer)
            }),
            Self::Real(array) => value(array, row, |row| Cell::Real(array.value(row))),
            Self::Decimal(array) => value(array, row, |row| {
                i64::try_from(array.value(row)).map_or(TOO_LARGE, Cell::Integer)
            }),
            Self::Day(array) => value(array, row, |row| Cell::Day(array.value(row))),
            Self::Instant(array, scale) => value(array, row, |row| {
                micros(array.value(row), *scale, Cell::Instant)
            }),
            Self::Local(array, scale) => value(array, row, |row| {
                micros(array.value(row), *scale, Cell::Local)
            }),
            Self::Boolean(array) => {
                value(array, row, |_| Cell::Unusable("must not be true or false"))
            }
            Self::Texts(array) => value(array, row, |row| {
                let mut joined = Zeroizing::new(String::new());
                for text in array.value(row).as_string::<i32>().iter().flatten() {
                    joined.push_str(text);
                    joined.push(';');
                }
                Cell::Owned(joined)
            }),
            Self::Unusable => Cell::Unusable("has a type that cannot be read"),
        }
    }
}

const TOO_LARGE: Cell<'static> = Cell::Unusable("is too large");

fn value<'a>(array: &'a dyn Array, row: usize, cell: impl FnOnce(usize) -> Cell<'a>) -> Cell<'a> {
    // past the end is missing too: then `value` below cannot panic
    if row >= array.len() || array.is_null(row) {
        Cell::Missing
    } else {
        cell(row)
    }
}

fn micros<'a>(units: i64, scale: Scale, cell: impl FnOnce(i64) -> Cell<'a>) -> Cell<'a> {
    match scale {
        Scale::Times(factor) => units.checked_mul(factor).map_or(TOO_LARGE, cell),
        Scale::Over(divisor) => cell(units.div_euclid(divisor)),
    }
}

fn widened<T: ArrowPrimitiveType>(array: &ArrayRef) -> Int32Array
where
    i32: From<T::Native>,
{
    array.as_primitive::<T>().unary(i32::from)
}

fn raw<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef) -> Int64Array {
    array.as_primitive::<T>().reinterpret_cast()
}
