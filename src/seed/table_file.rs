//! A Parquet file that appears whole or not at all.
//!
//! Invariants:
//! - It is written beside its place under a name that begins with `.`, flushed to the disk, and
//!   put in its place by one rename.
//! - Whatever goes wrong before that leaves what was there before, and no rest.
//! - The same batches give the same bytes.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows of a row group: what the writer holds in memory.
const ROW_GROUP_ROWS: usize = 1 << 16;

/// See the module.
pub(super) struct TableFile {
    writer: ArrowWriter<BufWriter<File>>,
    /// Dropped after the writer.
    unfinished: Unfinished,
    place: PathBuf,
}

/// The unfinished file; removed when dropped.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // gone already once it is in its place; what cannot be removed is a hidden file that the
        // next run replaces
        let _ = fs::remove_file(&self.0);
    }
}

/// A file that is complete, but not in its place yet.
pub(super) struct Complete {
    unfinished: Unfinished,
    place: PathBuf,
}

impl TableFile {
    pub(super) fn create(folder: &Path, name: &str, schema: SchemaRef) -> anyhow::Result<Self> {
        let unfinished = Unfinished(folder.join(format!(".{name}.unfinished")));
        let file = File::create(&unfinished.0)
            .with_context(|| format!("cannot write {}", unfinished.0.display()))?;
        let properties = properties(&schema)?;
        let writer = ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties))?;
        Ok(Self {
            writer,
            unfinished,
            place: folder.join(name),
        })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        self.writer
            .write(batch)
            .with_context(|| format!("cannot write {}", self.unfinished.0.display()))
    }

    /// Ends the file, and waits until it is on the disk.
    pub(super) fn complete(self) -> anyhow::Result<Complete> {
        let Self {
            writer,
            unfinished,
            place,
        } = self;
        let failed = || format!("cannot write {}", unfinished.0.display());
        let file = writer.into_inner().with_context(failed)?;
        let file = file
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all()).with_context(failed)?;
        Ok(Complete { unfinished, place })
    }
}

impl Complete {
    /// Puts the file in its place, where it replaces what was there. The result is its path.
    pub(super) fn publish(self) -> anyhow::Result<PathBuf> {
        fs::rename(&self.unfinished.0, &self.place)
            .with_context(|| format!("cannot put {} in its place", self.place.display()))?;
        Ok(self.place)
    }
}

/// What is known not to yield is not tried: ciphertext is left as it is, and columns with a value
/// of its own in each row get no dictionary.
fn properties(schema: &SchemaRef) -> anyhow::Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_created_by("sealpost".to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk);
    for field in schema.fields() {
        let path = || ColumnPath::from(field.name().as_str());
        match (field.name().as_str(), field.data_type()) {
            (_, DataType::Binary | DataType::FixedSizeBinary(_)) => {
                builder = builder
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_compression(path(), Compression::UNCOMPRESSED)
                    .set_column_statistics_enabled(path(), EnabledStatistics::None);
            }
            ("event_id", _) => builder = builder.set_column_dictionary_enabled(path(), false),
            ("user_id" | "occurred_at" | "quantity", _) => {
                builder = builder
                    .set_column_dictionary_enabled(path(), false)
                    .set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED);
            }
            _ => {}
        }
    }
    Ok(builder.build())
}
