//! The files of an ingest, looked at before a single row is read: so that a wrong file is refused
//! before anything is written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sealpost_schemas::key_ring::KeyRingError;

use super::columnar::{Footer, Unreadable};
use super::csv::{self, Places, Records, Width};
use super::header::{Header, HeaderError, InputKind};
use super::ndjson;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

/// A file that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    path: PathBuf,
    format: Format,
    header: Header,
    rows: Option<u64>,
    warnings: Vec<String>,
}

/// Why a file cannot be read. Shows names of files and of known columns, never what stands in a
/// file.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The file or folder cannot be opened or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A folder without files.
    #[error("{}: no files in this folder; name one that has some", path.display())]
    NoFiles {
        /// Which.
        path: PathBuf,
    },
    /// A folder in a folder.
    #[error("{}: is a folder within a folder; name it itself if it is to be read", path.display())]
    Nested {
        /// Which.
        path: PathBuf,
    },
    /// Nothing in it, not even a header.
    #[error("{}: is empty; a file of no rows still has a header (NDJSON: leave it out)", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Packed as a whole.
    #[error("{}: is compressed; unpack it first", path.display())]
    Packed {
        /// Which.
        path: PathBuf,
    },
    /// Not UTF-8.
    #[error("{}: its first line is not UTF-8 text; convert the file to UTF-8", path.display())]
    Encoding {
        /// Which.
        path: PathBuf,
    },
    /// One JSON array instead of lines.
    #[error("{}: holds no JSON objects, one a line; write it as NDJSON", path.display())]
    NotLines {
        /// Which.
        path: PathBuf,
    },
    /// Neither usage nor subscribers, nor addresses to suppress.
    #[error(
        "{}: its columns are neither those of usage (event_id, user_id, occurred_at, kind, quantity) nor of subscribers (user_id, name, email, phone, plan, …); is the header there?",
        path.display()
    )]
    NeitherKind {
        /// Which.
        path: PathBuf,
    },
    /// Required columns are missing.
    #[error("{}: {kind} without {}; add {}", path.display(), columns.join(", "), if columns.len() == 1 { "this column" } else { "these columns" })]
    Missing {
        /// Which.
        path: PathBuf,
        /// What it is by the columns that are there.
        kind: InputKind,
        /// What is not there.
        columns: Vec<&'static str>,
    },
    /// A column is there twice.
    #[error("{}: has two columns `{column}`; leave one", path.display())]
    Twice {
        /// Which.
        path: PathBuf,
        /// Which column.
        column: &'static str,
    },
    /// A Parquet column of a type that cannot be read.
    #[error("{}: column `{column}` must hold {expected}; write it as that", path.display())]
    ColumnType {
        /// Which.
        path: PathBuf,
        /// Which column.
        column: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// Parquet with a compression that is not built in.
    #[error("{}: is compressed with {compression}; write it with zstd or snappy, or without", path.display())]
    Compression {
        /// Which.
        path: PathBuf,
        /// What with.
        compression: &'static str,
    },
    /// Parquet that cannot be decoded.
    #[error("{}: is not whole as a Parquet file: it is damaged or was cut short ({after_rows} rows were read before that); write or copy it again", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Rows that came before.
        after_rows: u64,
    },
    /// The file is not what it was when it was looked at.
    #[error("{}: was changed while it was being read; start again when it is complete", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// There is plaintext, and a key to seal it is missing.
    #[error("{}: has names or addresses in the clear, which are sealed here: {source}", path.display())]
    Keys {
        /// Which.
        path: PathBuf,
        /// What is missing.
        source: KeyRingError,
    },
}

impl Input {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without its folder, as dead letters show it.
    #[must_use]
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// How it is written.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// What its rows are.
    #[must_use]
    pub const fn kind(&self) -> InputKind {
        self.header.kind()
    }

    /// How many rows it has, where the file says so.
    #[must_use]
    pub const fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// What the operator should know: at most one line about columns that are ignored.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether it has personal values in the clear, so that reading it needs keys.
    #[must_use]
    pub fn has_plaintext(&self) -> bool {
        self.header.has_plaintext()
    }

    pub(super) const fn header(&self) -> &Header {
        &self.header
    }
}

/// Looks at files, and the files in folders, in the given order (in a folder by name; names that
/// begin with `.` or `_` are passed over). Reads nothing beyond headers; of NDJSON, whose objects
/// may leave columns out, the first thousand lines.
///
/// # Errors
/// [`DoorError`] for the first file that cannot be read; then nothing should be.
pub fn inspect(paths: &[PathBuf]) -> Result<Vec<Input>, DoorError> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.is_dir() {
            for file in files_in(path)? {
                inputs.push(inspect_file(file)?);
            }
        } else {
            inputs.push(inspect_file(path.clone())?);
        }
    }
    Ok(inputs)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, DoorError> {
    let failed = |source| DoorError::Io {
        path: folder.to_path_buf(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry
            .file_name()
            .as_encoded_bytes()
            .first()
            .is_none_or(|byte| b"._".contains(byte));
        if hidden {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            return Err(DoorError::Nested { path });
        }
        files.push(path);
    }
    files.sort_unstable();
    if files.is_empty() {
        return Err(DoorError::NoFiles {
            path: folder.to_path_buf(),
        });
    }
    Ok(files)
}

fn inspect_file(path: PathBuf) -> Result<Input, DoorError> {
    let failed = |source| DoorError::Io {
        path: path.clone(),
        source,
    };
    let format = format_of(&path)?;
    let open = || File::open(&path).map_err(failed);
    let (names, rows, footer) = match format {
        Format::Parquet => {
            let footer = Footer::read(open()?).map_err(|_| DoorError::Damaged {
                path: path.clone(),
                after_rows: 0,
            })?;
            let names = footer.names().into_iter().map(str::to_owned).collect();
            (names, Some(footer.rows()), Some(footer))
        }
        Format::Csv => {
            let mut records = Records::new(open()?).map_err(failed)?;
            (csv_names(&path, &mut records)?, None, None)
        }
        Format::Ndjson => {
            let names = ndjson::sample_names(open()?).map_err(failed)?;
            if names.is_empty() {
                return Err(DoorError::NotLines { path });
            }
            (names.into_iter().collect(), None, None)
        }
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let header = Header::new(&names).map_err(|error| match error {
        HeaderError::Neither => DoorError::NeitherKind { path: path.clone() },
        HeaderError::Missing(kind, columns) => DoorError::Missing {
            path: path.clone(),
            kind,
            columns,
        },
        HeaderError::Twice(column) => DoorError::Twice {
            path: path.clone(),
            column,
        },
    })?;
    if let Some(footer) = footer {
        footer.check(&header).map_err(|error| match error {
            Unreadable::Type(column, expected) => DoorError::ColumnType {
                path: path.clone(),
                column: column.name(),
                expected,
            },
            Unreadable::Damaged => DoorError::Damaged {
                path: path.clone(),
                after_rows: 0,
            },
            Unreadable::Compression(compression) => DoorError::Compression {
                path: path.clone(),
                compression,
            },
        })?;
    }
    let warnings = ignored(&path, &names, &header).into_iter().collect();
    Ok(Input {
        path,
        format,
        header,
        rows,
        warnings,
    })
}

/// The names in the header of a CSV file.
fn csv_names(path: &Path, records: &mut Records<File>) -> Result<Vec<String>, DoorError> {
    let path = || path.to_path_buf();
    match records.next(Width::Any) {
        Err(source) => Err(DoorError::Io {
            path: path(),
            source,
        }),
        Ok(csv::Next::End) => Err(DoorError::Empty { path: path() }),
        Ok(csv::Next::Bad(_) | csv::Next::Uneven) => Err(DoorError::NeitherKind { path: path() }),
        Ok(csv::Next::Record) => records
            .fields()
            .map(|field| std::str::from_utf8(field).map(|name| name.trim().to_owned()))
            .collect::<Result<_, _>>()
            .map_err(|_| DoorError::Encoding { path: path() }),
    }
}

/// Opens a CSV file behind its header.
pub(super) fn csv_records(input: &Input) -> Result<(Records<File>, Places), DoorError> {
    let failed = |source| DoorError::Io {
        path: input.path.clone(),
        source,
    };
    let mut records = File::open(&input.path)
        .and_then(Records::new)
        .map_err(failed)?;
    let names = csv_names(&input.path, &mut records)?;
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    if Header::new(&borrowed).as_ref() != Ok(&input.header) {
        return Err(DoorError::Changed {
            path: input.path.clone(),
        });
    }
    Ok((records, Places::new(names, &input.header)))
}

/// One line about the columns that are not read. Once the required ones are there these are names
/// of columns, and not somebody's data.
fn ignored(path: &Path, names: &[&str], header: &Header) -> Option<String> {
    const SHOWN: usize = 10;
    let mut ignored: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| header.column(name).is_none())
        .collect();
    ignored.sort_unstable();
    ignored.dedup();
    if ignored.is_empty() {
        return None;
    }
    let shown: Vec<String> = ignored
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    let more = match ignored.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{}: ignored columns {}{more}",
        path.display(),
        shown.join(", ")
    ))
}

fn format_of(path: &Path) -> Result<Format, DoorError> {
    let mut beginning = Vec::with_capacity(1024);
    File::open(path)
        .and_then(|file| file.take(1024).read_to_end(&mut beginning))
        .map_err(|source| DoorError::Io {
            path: path.to_path_buf(),
            source,
        })?;
    if beginning.is_empty() {
        return Err(DoorError::Empty {
            path: path.to_path_buf(),
        });
    }
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let format = match extension.to_ascii_lowercase().as_str() {
        "parquet" | "pq" => return Ok(Format::Parquet),
        "csv" => Some(Format::Csv),
        "ndjson" | "jsonl" | "json" => Some(Format::Ndjson),
        _ => None,
    };
    if beginning.starts_with(&[0x1f, 0x8b])
        || beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || beginning.starts_with(b"PK\x03\x04")
    {
        return Err(DoorError::Packed {
            path: path.to_path_buf(),
        });
    }
    if beginning.starts_with(&[0xff, 0xfe]) || beginning.starts_with(&[0xfe, 0xff]) {
        return Err(DoorError::Encoding {
            path: path.to_path_buf(),
        });
    }
    let text = beginning
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&beginning);
    Ok(
        format.unwrap_or_else(|| match text.trim_ascii_start().first() {
            _ if beginning.starts_with(b"PAR1") => Format::Parquet,
            Some(b'{' | b'[') => Format::Ndjson,
            _ => Format::Csv,
        }),
    )
}
