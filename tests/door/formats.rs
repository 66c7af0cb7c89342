//! The same rows from every format, and from what other writers make of it.

use super::*;

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
fn dates_in_milliseconds_are_dates() {
    let folder = Folder::new();
    let mut columns = sealed_parquet(&sealed_name());
    let milliseconds = arrow::array::Date64Array::from(vec![20_089 * 86_400_000]);
    columns.push(("contract_start", Arc::new(milliseconds)));
    let path = folder.parquet("a.parquet", columns);
    assert_eq!(subscribers(&path)[0].contract.start, Some(Day(20_089)));
}
