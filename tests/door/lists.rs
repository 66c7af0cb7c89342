//! Addresses that are to be used no more: by channel and address, or by token.

use super::*;
use sealpost_schemas::record::AddressToken;

fn tokens(path: &Path) -> Vec<AddressToken> {
    let taken = |(_, row)| match row {
        Row::Suppression(address) => address,
        other => panic!("{other:?}"),
    };
    read(path).0.into_iter().map(taken).collect()
}

#[test]
fn a_list_matches_the_addresses_of_subscribers_in_every_format() {
    let folder = Folder::new();
    let people = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan,push_token\n7,홍길동,gildong@example.com,010-1234-5678,P,device-1\n",
    );
    let Row::Subscriber(subscriber) = read(&people).0.remove(0).1 else {
        panic!("not a subscriber");
    };
    let expected: Vec<_> = subscriber
        .contacts
        .destinations
        .iter()
        .map(|destination| AddressToken {
            channel: destination.channel,
            token: destination.token,
        })
        .collect();
    assert_eq!(expected.len(), 4);
    let channels = ["email", "sms", "kakao", "push"];
    let addresses = [
        " gildong@EXAMPLE.com",
        "+82 10 1234 5678",
        "(010) 1234.5678",
        "device-1 ",
    ];
    let rows = || channels.iter().zip(addresses);
    let csv = rows().map(|(channel, address)| format!("{channel},{address}\n"));
    let csv = folder.file(
        "a.csv",
        csv.fold("channel,address\n".to_owned(), |a, b| a + &b),
    );
    let ndjson: String = rows()
        .map(|(channel, address)| {
            format!("{{\"address\":\"{address}\",\"channel\":\"{channel}\"}}\n")
        })
        .collect();
    let ndjson = folder.file("a.ndjson", ndjson);
    let parquet = folder.parquet(
        "a.parquet",
        vec![
            ("channel", Arc::new(StringArray::from(channels.to_vec()))),
            ("address", Arc::new(StringArray::from(addresses.to_vec()))),
        ],
    );
    let bytes: Vec<&[u8]> = expected.iter().map(|it| &it.token.0[..]).collect();
    let sealed = folder.parquet(
        "b.parquet",
        vec![
            ("channel", Arc::new(StringArray::from(channels.to_vec()))),
            ("token", Arc::new(BinaryArray::from(bytes))),
        ],
    );
    for path in [csv, ndjson, parquet, sealed] {
        assert_eq!(tokens(&path), expected, "{}", path.display());
    }
}

#[test]
fn a_row_that_is_no_address_is_refused_and_shows_nobody() {
    let folder = Folder::new();
    for (row, reason, detail) in [
        (
            "email,gildong",
            Reason::BadEmail,
            "address: has no canonical form",
        ),
        (
            "kakao,gildong@example.com",
            Reason::BadPhone,
            "address: has no canonical form",
        ),
        ("sms,", Reason::Malformed, "address: is required"),
        (",a@example.com", Reason::Malformed, "channel: is required"),
        (
            "fax,010-1234-5678",
            Reason::Malformed,
            "channel: must be one of email, sms, kakao, push",
        ),
    ] {
        let path = folder.file("list.csv", format!("channel,address\n{row}\n"));
        let Row::Refused(refused) = read(&path).0.remove(0).1 else {
            panic!("{row} is taken");
        };
        assert_eq!(
            (refused.reason, refused.detail.as_str()),
            (reason, detail),
            "{row}"
        );
        assert!(!format!("{refused:?}").contains("gildong"));
    }
    let path = folder.file("list.csv", "channel,token\nsms,0123\n");
    let Row::Refused(refused) = read(&path).0.remove(0).1 else {
        panic!("half a token is taken");
    };
    assert_eq!(refused.detail, "token: must have 32 bytes");
}

#[test]
fn a_list_in_the_clear_needs_the_key_to_match_by_and_no_other() {
    let folder = Folder::new();
    let path = folder.file("list.csv", "channel,address\nsms,010-1234-5678\n");
    let inputs = inspect(&[path]).unwrap();
    assert_eq!(inputs[0].kind(), InputKind::Suppressions);
    let whole = ring();
    let only = whole.restricted_to(&[KeyPurpose::Match]);
    Door::new(&only, seoul()).check_keys(&inputs).unwrap();
    let without = whole.restricted_to(&[KeyPurpose::Destination, KeyPurpose::Profile]);
    let refused = Door::new(&without, seoul()).check_keys(&inputs);
    assert!(refused.unwrap_err().to_string().contains("match"));
}
