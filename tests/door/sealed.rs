//! Subscribers that come sealed, keys, and what is shown of anybody.

use super::*;

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
