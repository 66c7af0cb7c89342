//! Subscribers in the clear: what they become, and which are refused.

use super::*;

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
fn withdrawn_is_a_status() {
    let folder = Folder::new();
    let path = folder.file(
        "people.csv",
        "user_id,name,email,phone,plan,status\n1,김별,a@example.com,010-1234-5678,P,withdrawn\n",
    );
    assert_eq!(subscribers(&path)[0].status, SubscriberStatus::Withdrawn);
}
