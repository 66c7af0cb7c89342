//! Files as a whole: which are refused, before anything is read.

use super::*;

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

/// Numbers that look random and are the same in every run.
fn scattered(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn damage_anywhere_ends_in_rows_or_in_an_error_that_names_the_file() {
    let folder = Folder::new();
    let ndjson: String = (0..50)
        .map(|user| format!("{{\"event_id\":\"e\",\"user_id\":{user},\"occurred_at\":\"2026-01-01T00:00:00\",\"kind\":\"sms\",\"quantity\":1}}\n"))
        .collect();
    let files = [
        (
            "a.parquet",
            fs::read(folder.parquet("whole", usage_parquet(seconds_utc()))).unwrap(),
        ),
        ("a.csv", USAGE_CSV.repeat(20).into_bytes()),
        ("a.ndjson", ndjson.into_bytes()),
    ];
    let ring = ring();
    let door = Door::new(&ring, seoul());
    let (mut state, mut errors, mut refused) = (0x5ea1_9057_0000_0001, 0, 0);
    for (name, whole) in files.iter().cycle().take(1_500) {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            let at = scattered(&mut state) % bytes.len();
            bytes[at] = b"\",\n{}[]\r;:\xff\0"[scattered(&mut state) % 12];
        }
        let path = folder.file(name, bytes);
        let read = inspect(&[path])
            .map_err(anyhow::Error::from)
            .and_then(|inputs| {
                let mut rows = 0;
                let summary = door.read(&inputs[0], &mut |number, row| {
                    rows += 1;
                    assert_eq!(number, rows, "every row once, in order");
                    if let Row::Refused(refused) = row {
                        serde_json::from_str::<serde_json::Value>(&refused.raw_json).unwrap();
                    }
                    Ok(())
                })?;
                assert_eq!(
                    (summary.rows, summary.accepted + summary.refused),
                    (rows, rows)
                );
                Ok(summary)
            });
        match read {
            Ok(summary) => refused += summary.refused,
            Err(error) => {
                assert!(
                    error.is::<DoorError>() && error.to_string().contains(name),
                    "{error}"
                );
                errors += 1;
            }
        }
    }
    assert!(
        errors > 100 && refused > 100,
        "{errors} errors, {refused} refused: too tame"
    );
}
