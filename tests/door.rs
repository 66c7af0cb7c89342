//! The door, with real files in every format.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array,
    Int64Array, LargeStringArray, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StringViewArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::Int32Type;
use jiff::tz::TimeZone;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use sealpost::door::{Door, DoorError, Format, InputKind, ReadSummary, Refused, Row, inspect};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Day, Interval, Locale, Reason, Subscriber, SubscriberStatus, Usage, UsageKind, Windows,
};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Channel, Sealed, Timestamp, UserId};

fn ring() -> KeyRing {
    let mut next = 0_u8;
    KeyRing::generate(&mut |bytes| {
        for byte in bytes {
            next = next.wrapping_mul(31).wrapping_add(7);
            *byte = next;
        }
    })
}

fn seoul() -> TimeZone {
    TimeZone::get("Asia/Seoul").unwrap()
}

/// A folder to put files in.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn parquet(&self, name: &str, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
        let path = self.path().join(name);
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }
}

/// All rows of a file, with their numbers.
fn read(path: &Path) -> (Vec<(u64, Row)>, ReadSummary) {
    let inputs = inspect(&[path.to_path_buf()]).unwrap();
    let ring = ring();
    let mut rows = Vec::new();
    let summary = Door::new(&ring, seoul())
        .read(&inputs[0], &mut |number, row| {
            rows.push((number, row));
            Ok(())
        })
        .unwrap();
    (rows, summary)
}

fn usage(path: &Path) -> Vec<Usage> {
    read(path)
        .0
        .into_iter()
        .map(|(_, row)| match row {
            Row::Usage(usage) => usage,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn subscribers(path: &Path) -> Vec<Subscriber> {
    read(path)
        .0
        .into_iter()
        .map(|(_, row)| match row {
            Row::Subscriber(subscriber) => subscriber,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn refused(path: &Path) -> Vec<Refused> {
    read(path)
        .0
        .into_iter()
        .filter_map(|(_, row)| match row {
            Row::Refused(refused) => Some(refused),
            _ => None,
        })
        .collect()
}

fn refusal(path: &Path) -> DoorError {
    inspect(&[path.to_path_buf()]).unwrap_err()
}

fn text(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn event(user: u64, event_id: &str, kind: UsageKind, quantity: i64) -> Usage {
    Usage {
        user_id: UserId::new(user).unwrap(),
        event_id: event_id.to_owned(),
        // 2026-01-01T00:00:00 in Seoul
        occurred_at: Timestamp(1_767_193_200_000_000),
        kind,
        quantity,
    }
}

fn two_events() -> Vec<Usage> {
    vec![
        event(7, "e1", UsageKind::Data, 1_500),
        event(8, "e2", UsageKind::Content, 0),
    ]
}

const USAGE_CSV: &str = "event_id,user_id,occurred_at,kind,quantity\n\
    e1,7,2026-01-01T00:00:00+09:00,data,1500\n\
    e2,8,2025-12-31T15:00:00Z,content,0\n";

fn usage_parquet(occurred_at: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("event_id", text(&["e1", "e2"])),
        ("user_id", integers(&[7, 8])),
        ("occurred_at", occurred_at),
        ("kind", text(&["data", "content"])),
        ("quantity", integers(&[1_500, 0])),
    ]
}

fn seconds_utc() -> ArrayRef {
    Arc::new(TimestampSecondArray::from(vec![1_767_193_200; 2]).with_timezone("UTC"))
}

#[test]
fn usage_is_the_same_from_every_format() {
    let folder = Folder::new();
    let csv = folder.file("a.csv", USAGE_CSV);
    let ndjson = folder.file(
        "a.ndjson",
        concat!(
            r#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01 00:00:00","kind":"data","quantity":1500}"#,
            "\n",
            r#"{"quantity":"0","kind":"content","occurred_at":"2025-12-31T15:00:00Z","user_id":"8","event_id":"e\u0032"}"#,
        ),
    );
    let parquet = folder.parquet("a.parquet", usage_parquet(seconds_utc()));
    for (path, format) in [
        (csv, Format::Csv),
        (ndjson, Format::Ndjson),
        (parquet, Format::Parquet),
    ] {
        let input = inspect(std::slice::from_ref(&path)).unwrap().remove(0);
        assert_eq!((input.format(), input.kind()), (format, InputKind::Usage));
        assert!(input.warnings().is_empty());
        assert_eq!(usage(&path), two_events(), "{format:?}");
    }
}

#[test]
fn parquet_timestamps_of_every_unit_and_text_are_times() {
    let folder = Folder::new();
    let s = 1_767_193_200_i64;
    let wall = s + 9 * 3_600;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from(vec![s * 1_000; 2]).with_timezone("+00:00")),
        Arc::new(
            TimestampMicrosecondArray::from(vec![s * 1_000_000; 2]).with_timezone("Asia/Seoul"),
        ),
        Arc::new(
            TimestampNanosecondArray::from(vec![s * 1_000_000_000 + 999; 2]).with_timezone("UTC"),
        ),
        // without a zone: as on a wall in the configured one
        Arc::new(TimestampSecondArray::from(vec![wall; 2])),
        Arc::new(TimestampMillisecondArray::from(vec![wall * 1_000; 2])),
        Arc::new(TimestampMicrosecondArray::from(vec![wall * 1_000_000; 2])),
        Arc::new(TimestampNanosecondArray::from(vec![
            wall * 1_000_000_000;
            2
        ])),
        text(&["2026-01-01T00:00:00+09:00", "2026-01-01T00:00:00"]),
    ];
    for (number, column) in columns.into_iter().enumerate() {
        let path = folder.parquet(&format!("{number}.parquet"), usage_parquet(column));
        assert_eq!(usage(&path), two_events(), "column {number}");
    }
}

#[test]
fn the_old_96_bit_timestamps_are_in_utc() {
    let folder = Folder::new();
    let path = folder.path().join("old.parquet");
    let schema = "message m {
        required binary event_id (UTF8); required int64 user_id; required int96 occurred_at;
        required binary kind (UTF8); required int64 quantity; }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let file = fs::File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let text = |value: &str| vec![parquet::data_type::ByteArray::from(value)];
    let mut place = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        match place {
            0 => column
                .typed::<parquet::data_type::ByteArrayType>()
                .write_batch(&text("e1"), None, None),
            3 => column
                .typed::<parquet::data_type::ByteArrayType>()
                .write_batch(&text("data"), None, None),
            2 => {
                // nanoseconds of the day, then the Julian day of 2025-12-31
                let nanos = 15 * 3_600 * 1_000_000_000_u64;
                let mut time = Int96::new();
                time.set_data(
                    (nanos & 0xffff_ffff) as u32,
                    (nanos >> 32) as u32,
                    2_461_041,
                );
                column.typed::<Int96Type>().write_batch(&[time], None, None)
            }
            1 => column
                .typed::<parquet::data_type::Int64Type>()
                .write_batch(&[7], None, None),
            _ => column
                .typed::<parquet::data_type::Int64Type>()
                .write_batch(&[1_500], None, None),
        }
        .unwrap();
        column.close().unwrap();
        place += 1;
    }
    group.close().unwrap();
    writer.close().unwrap();
    assert_eq!(usage(&path), two_events()[..1]);
}

#[test]
fn parquet_of_other_writers_is_read() {
    let folder = Folder::new();
    let kinds: DictionaryArray<Int32Type> = ["data", "content"].into_iter().collect();
    let path = folder.parquet(
        "other.parquet",
        vec![
            ("kind", Arc::new(kinds)),
            (
                "event_id",
                Arc::new(LargeStringArray::from(vec!["e1", "e2"])),
            ),
            ("user_id", Arc::new(UInt64Array::from(vec![7, 8]))),
            (
                "occurred_at",
                Arc::new(StringViewArray::from(vec!["2025-12-31T15:00:00Z"; 2])),
            ),
            ("quantity", Arc::new(Float64Array::from(vec![1_500.0, 0.0]))),
        ],
    );
    assert_eq!(usage(&path), two_events());
    let decimal = Decimal128Array::from(vec![1_500, 0])
        .with_precision_and_scale(20, 0)
        .unwrap();
    let mut columns = usage_parquet(seconds_utc());
    columns[4].1 = Arc::new(decimal);
    columns[3].1 = Arc::new(BinaryArray::from(vec![&b"data"[..], b"content"]));
    assert_eq!(
        usage(&folder.parquet("decimal.parquet", columns)),
        two_events()
    );
}

#[test]
fn numeric_event_ids_are_their_digits() {
    let folder = Folder::new();
    let mut columns = usage_parquet(seconds_utc());
    columns[0].1 = integers(&[11, 12]);
    let ids: Vec<String> = usage(&folder.parquet("n.parquet", columns))
        .into_iter()
        .map(|one| one.event_id)
        .collect();
    assert_eq!(ids, ["11", "12"]);
}

#[test]
fn a_missing_required_column_refuses_every_file_before_any_is_read() {
    let folder = Folder::new();
    let good = folder.file("good.csv", USAGE_CSV);
    let mut columns = usage_parquet(seconds_utc());
    columns.remove(4);
    for bad in [
        folder.file("bad.csv", "event_id,user_id,occurred_at,kind\n"),
        folder.file(
            "bad.ndjson",
            r#"{"event_id":"a","user_id":1,"occurred_at":"x","kind":"sms"}"#,
        ),
        folder.parquet("bad.parquet", columns),
    ] {
        match inspect(&[good.clone(), bad.clone()]) {
            Err(DoorError::Missing {
                path,
                kind: InputKind::Usage,
                columns,
            }) => {
                assert_eq!((path, columns), (bad, vec!["quantity"]));
            }
            other => panic!("{other:?}"),
        }
    }
    let people = folder.file(
        "people.csv",
        "user_id,name,phone,plan\n1,홍길동,010-1234-5678,P\n",
    );
    let error = refusal(&people).to_string();
    assert!(
        error.contains("people.csv") && error.contains("email (or email_sealed"),
        "{error}"
    );
    assert!(!error.contains('홍'));
}

#[test]
fn a_file_without_a_header_is_refused_without_showing_its_first_row() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "1,홍길동,hong@example.com,010-1234-5678,PLN-001\n",
    );
    let error = refusal(&path);
    assert!(matches!(error, DoorError::NeitherKind { .. }));
    let shown = format!("{error} {error:?}");
    for value in ["홍", "hong", "1234"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

#[test]
fn unknown_columns_are_ignored_with_one_warning() {
    let folder = Folder::new();
    let csv = folder.file(
        "a.csv",
        "colour,event_id,user_id,occurred_at,kind,quantity,size\n\
        red,e1,7,2026-01-01T00:00:00,data,1500,1\nred,e2,8,2026-01-01T00:00:00,content,0,2\n",
    );
    let ndjson = folder.file(
        "a.ndjson",
        concat!(
            r#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01T00:00:00","kind":"data","quantity":1500,"colour":{"deep":[1]},"size":1}"#,
            "\n",
            r#"{"event_id":"e2","user_id":8,"occurred_at":"2026-01-01T00:00:00","kind":"content","quantity":0,"size":null}"#,
        ),
    );
    let mut columns = usage_parquet(seconds_utc());
    columns.push(("size", integers(&[1, 2])));
    let nested: StructArray = RecordBatch::try_from_iter([("deep", integers(&[1, 2]))])
        .unwrap()
        .into();
    columns.insert(0, ("colour", Arc::new(nested)));
    for path in [csv, ndjson, folder.parquet("a.parquet", columns)] {
        let input = inspect(std::slice::from_ref(&path)).unwrap().remove(0);
        let [warning] = input.warnings() else {
            panic!("{:?}", input.warnings())
        };
        assert!(warning.contains("`colour`, `size`"), "{warning}");
        assert_eq!(usage(&path), two_events());
    }
}

#[test]
fn a_name_that_shows_late_in_ndjson_is_warned_about_once() {
    let folder = Folder::new();
    let line = r#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01T00:00:00","kind":"data","quantity":1"#;
    let lines = format!("{line}}}\n").repeat(1_001);
    let path = folder.file("a.ndjson", format!("{lines}{line},\"colour\":1}}\n"));
    assert!(
        inspect(std::slice::from_ref(&path)).unwrap()[0]
            .warnings()
            .is_empty()
    );
    let (rows, summary) = read(&path);
    assert_eq!((rows.len(), summary.accepted), (1_002, 1_002));
    assert!(summary.warning.unwrap().contains("a.ndjson"));
}

#[test]
fn a_bad_usage_row_is_refused_and_the_good_ones_go_on() {
    // what is wrong, the row, the column that the detail names, and whose row it is
    let id65 = "x".repeat(65);
    let cases = [
        (
            "no user",
            "e,,2026-01-01T00:00:00,data,1".to_owned(),
            "user_id",
            0,
        ),
        (
            "user below",
            "e,-1,2026-01-01T00:00:00,data,1".to_owned(),
            "user_id",
            0,
        ),
        (
            "user beyond",
            "e,9223372036854775808,2026-01-01T00:00:00,data,1".to_owned(),
            "user_id",
            0,
        ),
        (
            "user a word",
            "e,x,2026-01-01T00:00:00,data,1".to_owned(),
            "user_id",
            0,
        ),
        (
            "no event id",
            ",7,2026-01-01T00:00:00,data,1".to_owned(),
            "event_id",
            7,
        ),
        (
            "long event id",
            format!("{id65},7,2026-01-01T00:00:00,data,1"),
            "event_id",
            7,
        ),
        ("no time", "e,7,,data,1".to_owned(), "occurred_at", 7),
        (
            "a date",
            "e,7,2026-01-01,data,1".to_owned(),
            "occurred_at",
            7,
        ),
        (
            "no kind",
            "e,7,2026-01-01T00:00:00,,1".to_owned(),
            "kind",
            7,
        ),
        (
            "other kind",
            "e,7,2026-01-01T00:00:00,fax,1".to_owned(),
            "kind",
            7,
        ),
        (
            "other case",
            "e,7,2026-01-01T00:00:00,DATA,1".to_owned(),
            "kind",
            7,
        ),
        (
            "no quantity",
            "e,7,2026-01-01T00:00:00,data,".to_owned(),
            "quantity",
            7,
        ),
        (
            "below",
            "e,7,2026-01-01T00:00:00,data,-1".to_owned(),
            "quantity",
            7,
        ),
        (
            "beyond",
            "e,7,2026-01-01T00:00:00,data,1000000000000001".to_owned(),
            "quantity",
            7,
        ),
        (
            "fraction",
            "e,7,2026-01-01T00:00:00,data,1.5".to_owned(),
            "quantity",
            7,
        ),
    ];
    let folder = Folder::new();
    for (what, row, column, user) in cases {
        let header = "event_id,user_id,occurred_at,kind,quantity";
        let csv = format!(
            "{header}\ngood,1,2026-01-01T00:00:00,sms,1\n{row}\ngood,2,2026-01-01T00:00:00,sms,1\n"
        );
        let names: Vec<&str> = header.split(',').collect();
        let ndjson: String = csv
            .lines()
            .skip(1)
            .map(|line| {
                let fields: Vec<String> = names
                    .iter()
                    .zip(line.split(','))
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| format!("\"{name}\":\"{value}\""))
                    .collect();
                format!("{{{}}}\n", fields.join(","))
            })
            .collect();
        for path in [folder.file("a.csv", csv), folder.file("a.ndjson", ndjson)] {
            let (rows, summary) = read(&path);
            assert_eq!(
                (summary.rows, summary.accepted, summary.refused),
                (3, 2, 1),
                "{what}"
            );
            let numbers: Vec<u64> = rows.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, [1, 2, 3]);
            let Row::Refused(refused) = &rows[1].1 else {
                panic!("{what}: {:?}", rows[1])
            };
            assert_eq!(refused.reason, Reason::Malformed);
            assert!(
                refused.detail.starts_with(&format!("{column}: ")),
                "{what}: {}",
                refused.detail
            );
            assert_eq!((refused.user_id.get(), refused.row), (user, 2), "{what}");
        }
    }
}

#[test]
fn the_ends_of_ranges_are_in() {
    let folder = Folder::new();
    let id64 = "가".repeat(21) + "x";
    let path = folder.file(
        "a.csv",
        format!(
            "event_id,user_id,occurred_at,kind,quantity\n\
            {id64},0,2026-01-01T00:00:00,data,0\n\
            e,9223372036854775807,2026-01-01T00:00:00,data,1000000000000000\n"
        ),
    );
    let events = usage(&path);
    assert_eq!(
        (
            events[0].event_id.len(),
            events[0].user_id.get(),
            events[0].quantity
        ),
        (64, 0, 0)
    );
    assert_eq!(events[1].user_id.get(), i64::MAX.unsigned_abs());
    assert_eq!(events[1].quantity, Usage::QUANTITY_MAX);
}

#[test]
fn bad_values_in_parquet_refuse_their_row_only() {
    let folder = Folder::new();
    let path = folder.parquet(
        "a.parquet",
        vec![
            (
                "event_id",
                Arc::new(StringArray::from(vec![
                    Some("e1"),
                    None,
                    Some("e3"),
                    Some("e4"),
                ])),
            ),
            (
                "user_id",
                Arc::new(UInt64Array::from(vec![1, 2, u64::MAX, 4])),
            ),
            (
                "occurred_at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![
                        1_767_193_200_000_000,
                        1_767_193_200_000_000,
                        1_767_193_200_000_000,
                        i64::MAX,
                    ])
                    .with_timezone("UTC"),
                ),
            ),
            ("kind", text(&["sms"; 4])),
            (
                "quantity",
                Arc::new(Float64Array::from(vec![1.0, 1.0, 1.0, 1.0])),
            ),
        ],
    );
    let (rows, summary) = read(&path);
    assert_eq!((summary.accepted, summary.refused), (1, 3));
    let details: Vec<&str> = rows
        .iter()
        .filter_map(|(_, row)| match row {
            Row::Refused(refused) => Some(refused.detail.split(':').next().unwrap()),
            _ => None,
        })
        .collect();
    assert_eq!(details, ["event_id", "user_id", "occurred_at"]);
}

#[test]
fn a_line_that_is_no_object_is_a_bad_row() {
    let folder = Folder::new();
    let good = r#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01T00:00:00","kind":"data","quantity":1500}"#;
    let bad = [
        "[1]",
        "7",
        "{\"event_id\":",
        "nonsense",
        "{} {}",
        "{\"user_id\":1,}",
    ];
    let path = folder.file(
        "a.jsonl",
        format!("{good}\n\n{}\n  \n{good}", bad.join("\n")),
    );
    let (rows, summary) = read(&path);
    assert_eq!((summary.accepted, summary.refused), (2, bad.len() as u64));
    for ((number, row), (place, line)) in rows[1..].iter().zip(bad.iter().enumerate()) {
        let Row::Refused(refused) = row else {
            panic!("{line}")
        };
        assert_eq!((*number, refused.row), (place as u64 + 2, place as u64 + 2));
        assert_eq!(refused.user_id, UserId::UNREADABLE);
        assert_eq!(refused.detail, "row: must be one JSON object");
        assert!(
            serde_json::from_str::<serde_json::Value>(&refused.raw_json).is_ok(),
            "{line}"
        );
    }
}

#[test]
fn odd_values_in_ndjson_refuse_their_row() {
    let folder = Folder::new();
    let row = |change: &str| {
        let base = r#""occurred_at":"2026-01-01T00:00:00","kind":"data""#;
        format!("{{\"event_id\":\"e\",{base},{change}}}\n")
    };
    let bad = [
        r#""user_id":7,"quantity":true"#,
        r#""user_id":7,"quantity":{"a":1}"#,
        r#""user_id":7,"quantity":[1]"#,
        r#""user_id":7,"quantity":1.5"#,
        r#""user_id":7,"quantity":18446744073709551615"#,
        r#""user_id":7,"quantity":1,"quantity":2"#,
    ];
    let good = r#""user_id":7,"quantity":2e3"#;
    let lines: String = bad
        .iter()
        .chain([&good])
        .map(|change| row(change))
        .collect();
    let (rows, summary) = read(&folder.file("a.ndjson", lines));
    assert_eq!((summary.accepted, summary.refused), (1, bad.len() as u64));
    for (_, row) in &rows[..bad.len()] {
        let Row::Refused(refused) = row else {
            panic!("{row:?}")
        };
        assert!(
            refused.detail.starts_with("quantity: "),
            "{}",
            refused.detail
        );
        assert_eq!(refused.user_id.get(), 7);
    }
}

#[test]
fn csv_may_have_a_byte_order_mark_quotes_and_crlf() {
    let folder = Folder::new();
    let path = folder.file(
        "a.csv",
        "\u{feff}\"event_id\",user_id,occurred_at,kind, quantity \r\n\
        \"e,\"\"1\"\"\",\"7\",2026-01-01T00:00:00,data,1500\r\n\r\n\
        e2,8,\"2026-01-01T00:00:00\",content,0",
    );
    let events = usage(&path);
    assert_eq!(events[0].event_id, "e,\"1\"");
    assert_eq!(events[1], two_events()[1]);
    assert_eq!(events.len(), 2);
}

#[test]
fn a_line_with_the_wrong_number_of_fields_is_a_bad_row() {
    let folder = Folder::new();
    let path = folder.file(
        "a.csv",
        format!("{USAGE_CSV}e3,9,2026-01-01T00:00:00,data\ne4,9,2026-01-01T00:00:00,data,1,2\n"),
    );
    let (_, summary) = read(&path);
    assert_eq!((summary.accepted, summary.refused), (2, 2));
    for refused in refused(&path) {
        assert_eq!(
            refused.detail,
            "row: must have as many fields as the header"
        );
        assert_eq!(refused.reason, Reason::Malformed);
    }
}

#[test]
fn a_field_that_is_not_utf_8_refuses_its_row() {
    let folder = Folder::new();
    let bad = [
        b"user_id,name,email,phone,plan\n".as_slice(),
        b"7,\xc8\xab\xb1\xe6\xb5\xbf,a@example.com,010-1234-5678,P\n",
        b"8,Kim,a@example.com,010-1234-5678,P\n",
    ]
    .concat();
    let path = folder.file("cp949.csv", &bad);
    let (rows, _) = read(&path);
    let Row::Refused(refused) = &rows[0].1 else {
        panic!("{:?}", rows[0])
    };
    assert_eq!(
        (refused.detail.as_str(), refused.user_id.get()),
        ("name: must be UTF-8", 7)
    );
    assert!(matches!(rows[1].1, Row::Subscriber(_)));
    let line = [br#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01T00:00:00","kind":"data","quantity":1500}"#.as_slice(), b"\n\xff\xfe\n"].concat();
    let (rows, _) = read(&folder.file("a.ndjson", line));
    let Row::Refused(refused) = &rows[1].1 else {
        panic!("{:?}", rows[1])
    };
    assert_eq!(refused.detail, "row: must be UTF-8");
}

#[test]
fn a_line_beyond_a_mebibyte_is_a_bad_row() {
    let folder = Folder::new();
    let long = "x".repeat(1 << 20);
    let csv = folder.file(
        "a.csv",
        format!(
            "{USAGE_CSV}{long},9,2026-01-01T00:00:00,data,1\ne1,7,2026-01-01T00:00:00,data,1500\n"
        ),
    );
    let good = r#"{"event_id":"e1","user_id":7,"occurred_at":"2026-01-01T00:00:00","kind":"data","quantity":1500}"#;
    let ndjson = folder.file(
        "a.ndjson",
        format!("{good}\n{good}\n{{\"event_id\":\"{long}\"}}\n{good}\n"),
    );
    for path in [csv, ndjson] {
        let (rows, summary) = read(&path);
        assert_eq!((summary.accepted, summary.refused), (3, 1));
        let Row::Refused(refused) = &rows[2].1 else {
            panic!("{:?}", path)
        };
        assert_eq!(refused.detail, "row: must have at most 1048576 bytes");
        assert!(
            refused.raw_json.len() < 10_000,
            "only its beginning is kept"
        );
    }
}

#[test]
fn a_truncated_or_damaged_parquet_file_is_an_error_that_names_it() {
    let folder = Folder::new();
    let whole = fs::read(folder.parquet("whole.parquet", usage_parquet(seconds_utc()))).unwrap();
    for length in [1, 4, 100, whole.len() / 2, whole.len() - 1] {
        let path = folder.file("cut.parquet", &whole[..length]);
        let error = refusal(&path);
        assert!(
            matches!(error, DoorError::Damaged { after_rows: 0, .. }),
            "{length}: {error}"
        );
        assert!(error.to_string().contains("cut.parquet"));
    }
    assert!(matches!(
        refusal(&folder.file("text.parquet", USAGE_CSV)),
        DoorError::Damaged { .. }
    ));
    assert!(matches!(
        refusal(&folder.file("none.parquet", "")),
        DoorError::Empty { .. }
    ));
}

#[test]
fn parquet_damaged_within_is_an_error_that_says_how_far_it_was_read() {
    let folder = Folder::new();
    let path = folder.path().join("a.parquet");
    let batch = RecordBatch::try_from_iter(usage_parquet(seconds_utc())).unwrap();
    let file = fs::File::create(&path).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    for _ in 0..2 {
        writer.write(&batch).unwrap();
    }
    let metadata = writer.close().unwrap();
    // the second group's first page: a header that is none
    let at = usize::try_from(metadata.row_group(1).column(0).byte_range().0).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[at..at + 16].fill(0xff);
    fs::write(&path, bytes).unwrap();

    let inputs = inspect(&[path]).unwrap();
    let ring = ring();
    let mut rows = 0;
    let error = Door::new(&ring, seoul())
        .read(&inputs[0], &mut |_, _| {
            rows += 1;
            Ok(())
        })
        .unwrap_err();
    match error.downcast::<DoorError>().unwrap() {
        DoorError::Damaged { path, after_rows } => {
            assert_eq!(after_rows, rows);
            assert!(path.ends_with("a.parquet"));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_parquet_column_of_another_type_is_refused_at_once() {
    let folder = Folder::new();
    let mut columns = usage_parquet(integers(&[1, 2]));
    let error = refusal(&folder.parquet("a.parquet", columns.clone()));
    assert!(
        matches!(
            error,
            DoorError::ColumnType {
                column: "occurred_at",
                expected: "timestamps",
                ..
            }
        ),
        "{error}"
    );
    columns[2].1 = seconds_utc();
    columns[4].1 = Arc::new(arrow::array::BooleanArray::from(vec![true, false]));
    let error = refusal(&folder.parquet("b.parquet", columns));
    assert!(
        matches!(
            error,
            DoorError::ColumnType {
                column: "quantity",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_folder_means_its_files_in_order_and_nothing_is_passed_over_silently() {
    let folder = Folder::new();
    folder.file("b.csv", USAGE_CSV);
    folder.file("a-part-0", USAGE_CSV);
    folder.file(
        "c",
        r#"{"event_id":"e1","user_id":7,"occurred_at":"x","kind":"data","quantity":1}"#,
    );
    fs::rename(
        folder.parquet("x.parquet", usage_parquet(seconds_utc())),
        folder.path().join("d"),
    )
    .unwrap();
    folder.file("_SUCCESS", "");
    folder.file(".b.csv.crc", "x");
    let inputs = inspect(&[folder.path().to_path_buf()]).unwrap();
    let found: Vec<(String, Format)> = inputs
        .iter()
        .map(|input| (input.name(), input.format()))
        .collect();
    let expected = [
        ("a-part-0", Format::Csv),
        ("b.csv", Format::Csv),
        ("c", Format::Ndjson),
        ("d", Format::Parquet),
    ];
    assert_eq!(
        found,
        expected.map(|(name, format)| (name.to_owned(), format))
    );

    fs::create_dir(folder.path().join("older")).unwrap();
    assert!(matches!(refusal(folder.path()), DoorError::Nested { .. }));
    assert!(matches!(
        refusal(&folder.path().join("older")),
        DoorError::NoFiles { .. }
    ));
    assert!(matches!(
        refusal(&folder.path().join("not there")),
        DoorError::Io { .. }
    ));
}

#[test]
fn files_that_cannot_be_rows_are_refused_with_the_way_out() {
    let folder = Folder::new();
    let cases: [(&str, &[u8], &str); 6] = [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\x1f\x8b\x08\x00", "unpack it"),
        ("a.csv", b"\xff\xfee\x00", "UTF-8"),
        ("a.json", b"[\n{\"user_id\":1}\n]", "one a line"),
        ("a.ndjson", b"\n\n", "one a line"),
        ("a.csv", b"user_id;name;email\n", "is the header there?"),
    ];
    for (name, content, expected) in cases {
        let error = refusal(&folder.file(name, content)).to_string();
        assert!(error.contains(name) && error.contains(expected), "{error}");
        assert!(!error.contains('\n'));
    }
}

const PEOPLE_CSV: &str = "user_id,name,email,phone,plan,options,contract_start,contract_end,welfare,soldier_start,soldier_end,quiet_from,quiet_to,send_day,status,locale,push_token\n\
    7,홍길동, Gil.Dong@Example.COM ,010-1234-5678,PLN-043,OPT-2;OPT-1;OPT-2;,2025-01-01,2026-12-31,WLF-03,2025-06-01,,22,7,31,active,en,push-abc\n\
    8,김별,byeol@example.net,+82 10 9876 5432,PLN-001,,,,,,,,,,,,\n";

fn open(purpose: Purpose, user: u64, sealed: &Sealed) -> String {
    let user = UserId::new(user).unwrap();
    ring()
        .open(purpose, user, sealed)
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn plaintext_is_brought_into_canonical_form_masked_and_sealed() {
    let folder = Folder::new();
    let people = subscribers(&folder.file("people.csv", PEOPLE_CSV));
    let person = &people[0];
    let contacts = &person.contacts;
    assert_eq!(
        open(Purpose::ProfileName, 7, contacts.name.as_ref().unwrap()),
        "홍길동"
    );
    assert_eq!(
        open(
            Purpose::ProfileEmail,
            7,
            contacts.masked_email.as_ref().unwrap()
        ),
        "Gi******@example.com"
    );
    assert_eq!(
        open(
            Purpose::ProfilePhone,
            7,
            contacts.masked_phone.as_ref().unwrap()
        ),
        "010-****-5678"
    );
    let channels: Vec<Channel> = contacts
        .destinations
        .iter()
        .map(|one| one.channel)
        .collect();
    assert_eq!(channels, Channel::ALL);
    for (channel, purpose, address) in [
        (
            Channel::Email,
            Purpose::DestinationEmail,
            "Gil.Dong@example.com",
        ),
        (Channel::Sms, Purpose::DestinationSms, "+821012345678"),
        (Channel::Kakao, Purpose::DestinationKakao, "+821012345678"),
        (Channel::Push, Purpose::DestinationPush, "push-abc"),
    ] {
        let destination = contacts.destination(channel).unwrap();
        assert_eq!(open(purpose, 7, &destination.address), address);
        assert_eq!(destination.token, ring().token(channel, address).unwrap());
    }
    assert_eq!(
        Subscriber {
            contacts: Default::default(),
            ..person.clone()
        },
        Subscriber {
            user_id: UserId::new(7).unwrap(),
            status: SubscriberStatus::Active,
            plan: "PLN-043".to_owned(),
            options: vec!["OPT-1".to_owned(), "OPT-2".to_owned()],
            contract: Interval {
                start: Some(Day(20_089)),
                end: Some(Day(20_818))
            },
            welfare: Some("WLF-03".to_owned()),
            soldier: Interval {
                start: Some(Day(20_240)),
                end: None
            },
            windows: Windows {
                quiet_from: Some(22),
                quiet_to: Some(7),
                send_day: Some(31)
            },
            locale: Locale::En,
            contacts: Default::default(),
        }
    );
    let other = &people[1];
    assert_eq!(other.options, Vec::<String>::new());
    assert_eq!(
        (other.welfare.as_ref(), other.windows),
        (None, Windows::default())
    );
    assert_eq!(
        (other.locale, other.contacts.destination(Channel::Push)),
        (Locale::Ko, None)
    );
}

#[test]
fn subscribers_are_the_same_from_every_format() {
    let folder = Folder::new();
    let csv = subscribers(&folder.file("people.csv", PEOPLE_CSV));
    let ndjson = folder.file(
        "people.ndjson",
        concat!(
            r#"{"user_id":7,"name":"홍\uae38동","email":"Gil.Dong@Example.COM","phone":"01012345678","plan":"PLN-043","options":["OPT-2","OPT-1"],"contract_start":"2025-01-01","contract_end":"2026-12-31","welfare":"WLF-03","soldier_start":"2025-06-01","soldier_end":null,"quiet_from":22,"quiet_to":"7","send_day":31,"locale":"en","push_token":"push-abc"}"#,
            "\n",
            r#"{"user_id":8,"name":"김별","email":"byeol@example.net","phone":"+821098765432","plan":"PLN-001","status":""}"#,
        ),
    );
    let mut options = ListBuilder::new(StringBuilder::new());
    options.append_value([Some("OPT-1"), Some("OPT-2")]);
    options.append_null();
    let parquet = folder.parquet(
        "people.parquet",
        vec![
            ("user_id", integers(&[7, 8])),
            ("name", text(&["홍길동", "김별"])),
            (
                "email",
                text(&["Gil.Dong@example.com", "byeol@example.net"]),
            ),
            ("phone", text(&["+82 10-1234-5678", "010 9876 5432"])),
            ("plan", text(&["PLN-043", "PLN-001"])),
            ("options", Arc::new(options.finish())),
            (
                "contract_start",
                Arc::new(Date32Array::from(vec![Some(20_089), None])),
            ),
            (
                "contract_end",
                Arc::new(StringArray::from(vec![Some("2026-12-31"), None])),
            ),
            (
                "soldier_start",
                Arc::new(TimestampNanosecondArray::from(vec![
                    Some(20_240 * 86_400_000_000_000),
                    None,
                ])),
            ),
            ("welfare", text(&["WLF-03", ""])),
            (
                "quiet_from",
                Arc::new(Int32Array::from(vec![Some(22), None])),
            ),
            (
                "quiet_to",
                Arc::new(Float64Array::from(vec![Some(7.0), None])),
            ),
            ("send_day", text(&["31", ""])),
            ("locale", text(&["en", "ko"])),
            ("push_token", text(&["push-abc", ""])),
        ],
    );
    assert_eq!(subscribers(&ndjson), csv);
    assert_eq!(subscribers(&parquet), csv);
}

#[test]
fn an_address_without_a_canonical_form_is_a_bad_row() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan\n\
        1,김별,not an address,010-1234-5678,P\n\
        2,김별,a@example.com,12-secret,P\n\
        3,김별,a@example.com,010-1234-5678,P\n",
    );
    let (rows, summary) = read(&path);
    assert_eq!((summary.accepted, summary.refused), (1, 2));
    for ((_, row), (reason, detail)) in rows.iter().zip([
        (Reason::BadEmail, "email: has no canonical form"),
        (Reason::BadPhone, "phone: has no canonical form"),
    ]) {
        let Row::Refused(refused) = row else {
            panic!("{row:?}")
        };
        assert_eq!((refused.reason, refused.detail.as_str()), (reason, detail));
        assert!(!format!("{refused:?}").contains("secret"));
    }
}

#[test]
fn somebody_without_an_email_address_is_reached_by_phone() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan\n1,김별,,010-1234-5678,P\n2,김별,a@example.com,,P\n3,김별,,,P\n",
    );
    let (rows, _) = read(&path);
    let channels = |row: &Row| match row {
        Row::Subscriber(one) => one
            .contacts
            .destinations
            .iter()
            .map(|one| one.channel)
            .collect(),
        _ => Vec::new(),
    };
    assert_eq!(channels(&rows[0].1), [Channel::Sms, Channel::Kakao]);
    assert_eq!(channels(&rows[1].1), [Channel::Email]);
    assert!(matches!(&rows[2].1, Row::Refused(refused) if refused.user_id.get() == 3));
}

#[test]
fn a_bad_subscriber_row_is_refused_by_its_column() {
    let folder = Folder::new();
    let long = "x".repeat(1_100);
    let cases = [
        ("user_id", "x"),
        ("name", ""),
        ("name", "홍\u{7}"),
        ("name", long.as_str()),
        ("plan", ""),
        ("plan", &long),
        ("options", &long),
        ("contract_start", "2026-02-30"),
        ("contract_end", "1.1.2026"),
        ("contract_end", "2024-12-31"),
        ("soldier_start", "soon"),
        ("soldier_end", "2025-05-31"),
        ("quiet_from", "24"),
        ("quiet_from", "-1"),
        ("quiet_from", ""),
        ("quiet_to", ""),
        ("quiet_to", "7.5"),
        ("send_day", "0"),
        ("send_day", "32"),
        ("status", "gone"),
        ("locale", "fr"),
    ];
    let mut lines = PEOPLE_CSV.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let values: Vec<&str> = lines.next().unwrap().split(',').collect();
    let mut csv = names.join(",") + "\n";
    for (column, value) in &cases {
        let row: Vec<&str> = names
            .iter()
            .zip(&values)
            .map(|(name, good)| if name == column { value } else { good })
            .copied()
            .collect();
        csv += &(row.join(",") + "\n");
    }
    let refused = refused(&folder.file("people.csv", csv));
    assert_eq!(refused.len(), cases.len());
    for (refused, (column, value)) in refused.iter().zip(cases) {
        assert!(
            refused.detail.starts_with(&format!("{column}: ")),
            "{value}: {}",
            refused.detail
        );
        assert!(value.len() < 4 || !refused.detail.contains(value));
    }
}

#[test]
fn dates_in_milliseconds_are_dates() {
    let folder = Folder::new();
    let mut columns = sealed_parquet(&sealed_name());
    let milliseconds = arrow::array::Date64Array::from(vec![20_089 * 86_400_000]);
    columns.push(("contract_start", Arc::new(milliseconds)));
    let path = folder.parquet("a.parquet", columns);
    assert_eq!(subscribers(&path)[0].contract.start, Some(Day(20_089)));
}

#[test]
fn withdrawn_is_a_status() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan,status\n1,김별,a@example.com,010-1234-5678,P,withdrawn\n",
    );
    assert_eq!(subscribers(&path)[0].status, SubscriberStatus::Withdrawn);
}

/// The columns of somebody whose contacts are sealed, as `seed` writes them.
fn sealed_parquet(name_sealed: &[u8]) -> Vec<(&'static str, ArrayRef)> {
    let (ring, user) = (ring(), UserId::new(7).unwrap());
    let bytes = |bytes: &[u8]| Arc::new(BinaryArray::from(vec![bytes])) as ArrayRef;
    let sealed = |purpose, text: &str| {
        bytes(
            ring.seal(purpose, user, text.as_bytes())
                .unwrap()
                .as_bytes(),
        )
    };
    let token = |channel, text: &str| bytes(&ring.token(channel, text).unwrap().0);
    vec![
        ("user_id", integers(&[7])),
        ("plan", text(&["P"])),
        ("name_sealed", bytes(name_sealed)),
        (
            "email_masked_sealed",
            sealed(Purpose::ProfileEmail, "Gi******@example.com"),
        ),
        (
            "phone_masked_sealed",
            sealed(Purpose::ProfilePhone, "010-****-5678"),
        ),
        (
            "email_sealed",
            sealed(Purpose::DestinationEmail, "Gil.Dong@example.com"),
        ),
        (
            "sms_sealed",
            sealed(Purpose::DestinationSms, "+821012345678"),
        ),
        (
            "kakao_sealed",
            sealed(Purpose::DestinationKakao, "+821012345678"),
        ),
        ("push_sealed", sealed(Purpose::DestinationPush, "push-abc")),
        ("email_token", token(Channel::Email, "Gil.Dong@example.com")),
        ("sms_token", token(Channel::Sms, "+821012345678")),
        ("kakao_token", token(Channel::Kakao, "+821012345678")),
        ("push_token", token(Channel::Push, "push-abc")),
    ]
}

fn sealed_name() -> Vec<u8> {
    let sealed = ring().seal(
        Purpose::ProfileName,
        UserId::new(7).unwrap(),
        "홍길동".as_bytes(),
    );
    sealed.unwrap().as_bytes().to_vec()
}

#[test]
fn sealed_columns_come_in_as_they_are_and_need_no_key() {
    let folder = Folder::new();
    let plain = subscribers(&folder.file("people.csv", PEOPLE_CSV))
        .remove(0)
        .contacts;
    let path = folder.parquet("sealed.parquet", sealed_parquet(&sealed_name()));
    let inputs = inspect(std::slice::from_ref(&path)).unwrap();
    assert!(!inputs[0].has_plaintext() && inputs[0].warnings().is_empty());
    let none = ring().restricted_to(&[]);
    let door = Door::new(&none, seoul());
    door.check_keys(&inputs).unwrap();
    let mut read = Vec::new();
    door.read(&inputs[0], &mut |_, row| {
        read.push(row);
        Ok(())
    })
    .unwrap();
    let Row::Subscriber(subscriber) = &read[0] else {
        panic!("{read:?}")
    };
    assert_eq!(subscriber.contacts, plain);
}

#[test]
fn plaintext_in_a_sealed_column_is_refused_and_not_shown() {
    let folder = Folder::new();
    let path = folder.parquet(
        "a.parquet",
        sealed_parquet("홍길동 홍길동 홍길동".as_bytes()),
    );
    let refused = refused(&path);
    assert_eq!(refused[0].detail, "name_sealed: must be a sealed value");
    assert!(!format!("{:?}", refused[0]).contains('홍'));
    let mut columns = sealed_parquet(&sealed_name());
    columns[12].1 = text(&["a push token in the clear"]);
    let path = folder.parquet("b.parquet", columns);
    assert!(matches!(&read(&path).0[0].1, Row::Refused(_)));
}

#[test]
fn a_sealed_address_without_its_token_is_refused() {
    let folder = Folder::new();
    let mut columns = sealed_parquet(&sealed_name());
    columns[9].1 = Arc::new(BinaryArray::from(vec![None::<&[u8]>]));
    let path = folder.parquet("a.parquet", columns.clone());
    assert_eq!(refused(&path)[0].detail, "email_token: is required");
    columns.remove(9);
    let error = refusal(&folder.parquet("b.parquet", columns)).to_string();
    assert!(error.contains("email (or email_sealed"), "{error}");
}

#[test]
fn plaintext_needs_keys_before_the_first_row() {
    let folder = Folder::new();
    let inputs = inspect(&[
        folder.file("a.csv", USAGE_CSV),
        folder.file("people.csv", PEOPLE_CSV),
    ])
    .unwrap();
    let ring = ring().restricted_to(&[KeyPurpose::Destination, KeyPurpose::Profile]);
    let door = Door::new(&ring, seoul());
    let error = door.check_keys(&inputs).unwrap_err();
    assert!(matches!(error, DoorError::Keys { .. }));
    assert!(error.to_string().contains("people.csv") && error.to_string().contains("match"));
    let error = door
        .read(&inputs[1], &mut |_, row| panic!("{row:?}"))
        .unwrap_err();
    assert!(error.is::<DoorError>());
    door.check_keys(&inputs[..1]).unwrap();
}

#[test]
fn a_refused_row_can_be_read_again_from_its_json() {
    let folder = Folder::new();
    let parquet = {
        let mut columns = sealed_parquet(&sealed_name());
        columns.push(("status", text(&["gone"])));
        columns.push(("contract_start", Arc::new(Date32Array::from(vec![20_089]))));
        folder.parquet("a.parquet", columns)
    };
    let csv = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan,status,contract_start\n\
        7,홍길동,Gil.Dong@example.com,010-1234-5678,P,gone,2025-01-01\n",
    );
    let json = r#"{"user_id":7,"name":"홍길동","email":"Gil.Dong@example.com","phone":"010-1234-5678","plan":"P","status":"gone","contract_start":"2025-01-01"}"#;
    let ndjson = folder.file("people.ndjson", json);
    let ring = ring();
    let door = Door::new(&ring, seoul());
    for path in [parquet, csv, ndjson] {
        let refused = refused(&path).remove(0);
        match door.read_again(&refused.raw_json, 5).unwrap() {
            Row::Refused(again) => {
                assert_eq!((&again.detail, again.row), (&refused.detail, 5));
                assert_eq!(*again.raw_json, *refused.raw_json);
            }
            other => panic!("{other:?}"),
        }
        let repaired = refused.raw_json.replace("\"gone\"", "\"withdrawn\"");
        match door.read_again(&repaired, 5).unwrap() {
            Row::Subscriber(one) => {
                assert_eq!(one.status, SubscriberStatus::Withdrawn);
                assert_eq!(one.contract.start, Some(Day(20_089)));
                let email = &one.contacts.destination(Channel::Email).unwrap().address;
                assert_eq!(
                    open(Purpose::DestinationEmail, 7, email),
                    "Gil.Dong@example.com"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(
        door.read_again("\"a line\"", 1).unwrap(),
        Row::Refused(_)
    ));
}

#[test]
fn nothing_that_is_shown_shows_anybody() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan,status\n\
        7,홍길동,gildong@example.com,010-1234-5678,P,active\n\
        7,홍길동,gildong@example.com,010-1234-5678,P,gildong\n\
        7,홍길동,gildong,010-1234-5678,P,active\n\
        7,홍길동,gildong@example.com,010-1234-5678\n\
        7,\"홍길동,gildong@example.com,010-1234-5678\n",
    );
    let inputs = inspect(std::slice::from_ref(&path)).unwrap();
    let (rows, summary) = read(&path);
    assert_eq!((summary.accepted, summary.refused), (1, 4));
    let shown = format!("{inputs:?} {rows:?} {summary:?}");
    for value in ["홍", "gildong", "1234", "5678"] {
        assert!(!shown.contains(value), "{value} in {shown}");
    }
}

#[test]
fn what_the_sink_returns_stops_the_reading() {
    let folder = Folder::new();
    let inputs = inspect(&[folder.file("a.csv", USAGE_CSV)]).unwrap();
    let ring = ring();
    let mut rows = 0;
    let error = Door::new(&ring, seoul())
        .read(&inputs[0], &mut |_, _| {
            rows += 1;
            anyhow::bail!("the log is full")
        })
        .unwrap_err();
    assert_eq!((rows, error.to_string().as_str()), (1, "the log is full"));
}

#[test]
fn a_file_that_changed_since_it_was_looked_at_is_not_read() {
    let folder = Folder::new();
    let path = folder.file("a.csv", USAGE_CSV);
    let inputs = inspect(&[path]).unwrap();
    folder.file("a.csv", USAGE_CSV.replace("quantity", "size"));
    let ring = ring();
    let error = Door::new(&ring, seoul())
        .read(&inputs[0], &mut |_, _| Ok(()))
        .unwrap_err();
    assert!(matches!(
        error.downcast::<DoorError>(),
        Ok(DoorError::Changed { .. })
    ));
}
