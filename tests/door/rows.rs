//! Bad rows of usage: each is refused with its column, and the good ones go on.

use super::*;

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
