#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use sealpost_schemas::Version;
use tempfile::TempDir;

use super::*;

fn period() -> Period {
    Period::new(2026, 1).unwrap()
}

fn id(user: u64, channel: Channel) -> CallId {
    CallId {
        user_id: UserId::new(user).unwrap(),
        period: period(),
        kind: Kind::Bill,
        version: Version(0),
        channel,
    }
}

fn write(ledger: &Ledger, event: Event, id: CallId) {
    let mut lines = Lines::new(1, Timestamp::from_ms(1_769_878_800_000));
    lines.push(event, &id, id.message_key());
    ledger.append(&lines).unwrap();
}

fn text(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(FOLDER).join(name)).unwrap()
}

fn tear(folder: &TempDir, name: &str, bytes: usize) {
    let path = folder.path().join(FOLDER).join(name);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes as u64)
        .unwrap();
}

#[test]
fn a_line_is_written_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let call = id(7, Channel::Email);
    write(
        &Ledger::new(folder.path(), Channel::Email),
        Event::Accepted,
        call,
    );
    let expected = format!(
        "{{\"event\":\"accepted\",\"message_key\":\"{}\",\"channel\":\"email\",\"user_id\":7,\"period\":\"2026-01\",\
         \"kind\":\"bill\",\"at_ms\":1769878800000}}\n",
        call.message_key()
    );
    assert_eq!(text(&folder, "email-000001.ndjson"), expected);
}

#[test]
fn periods_and_kinds_may_change_within_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let bill = id(1, Channel::Email);
    let later = CallId {
        period: period().next(),
        ..bill
    };
    let follow_up = CallId {
        kind: Kind::Correction(2),
        ..bill
    };
    let mut lines = Lines::new(4, Timestamp(0));
    for call in [bill, later, follow_up, bill] {
        lines.push(Event::Call, &call, call.message_key());
    }
    Ledger::new(folder.path(), Channel::Email)
        .append(&lines)
        .unwrap();
    let text = text(&folder, "email-000001.ndjson");
    let expected = [
        ("2026-01", "bill"),
        ("2026-02", "bill"),
        ("2026-01", "correction-2"),
        ("2026-01", "bill"),
    ];
    assert_eq!(text.lines().count(), expected.len());
    for (line, (period, kind)) in text.lines().zip(expected) {
        let said = format!("\"period\":\"{period}\",\"kind\":\"{kind}\"");
        assert!(line.contains(&said), "{line}");
    }
}

#[test]
fn nothing_is_created_before_the_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path(), Channel::Email);
    assert!(!folder.path().join(FOLDER).exists());
    assert_eq!(
        Ledger::summary(folder.path(), period()).unwrap(),
        Summary::default()
    );
    drop(ledger);
}

#[test]
fn two_writers_never_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (
        Ledger::new(folder.path(), Channel::Sms),
        Ledger::new(folder.path(), Channel::Sms),
    );
    for user in 0..3 {
        write(&one, Event::Call, id(user, Channel::Sms));
        write(&other, Event::Call, id(user, Channel::Sms));
    }
    assert_eq!(text(&folder, "sms-000001.ndjson").lines().count(), 3);
    assert_eq!(text(&folder, "sms-000002.ndjson").lines().count(), 3);
}

#[test]
fn a_torn_last_line_is_no_event_and_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let killed = Ledger::new(folder.path(), Channel::Email);
    write(&killed, Event::Accepted, id(1, Channel::Email));
    write(&killed, Event::Accepted, id(2, Channel::Email));
    tear(&folder, "email-000001.ndjson", 20);
    let next = Ledger::new(folder.path(), Channel::Email);
    write(&next, Event::Accepted, id(3, Channel::Email));

    let mut index = next.index();
    index.refresh().unwrap();
    let accepted = [1, 2, 3].map(|user| index.accepted(id(user, Channel::Email).message_key()));
    assert_eq!(accepted, [true, false, true]);
    assert_eq!(
        Ledger::summary(folder.path(), period())
            .unwrap()
            .total
            .accepted,
        2
    );
}

#[test]
fn a_line_that_a_full_disk_tore_is_closed_off_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path(), Channel::Email);
    write(&ledger, Event::Accepted, id(1, Channel::Email));
    write(&ledger, Event::Accepted, id(2, Channel::Email));
    tear(&folder, "email-000001.ndjson", 20);
    ledger.writer.lock().unwrap().as_mut().unwrap().torn = true;
    write(&ledger, Event::Accepted, id(3, Channel::Email));
    write(&ledger, Event::Accepted, id(4, Channel::Email));

    let summary = Ledger::summary(folder.path(), period()).unwrap();
    assert_eq!((summary.total.accepted, summary.unreadable_lines), (3, 1));
}

#[test]
fn an_index_keeps_up_with_lines_that_are_still_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path(), Channel::Email);
    let path = folder.path().join(FOLDER).join("email-000001.ndjson");
    let mut index = ledger.index();
    index.refresh().unwrap();
    let mut lines = Lines::new(2, Timestamp(0));
    lines.push(
        Event::Accepted,
        &id(1, Channel::Email),
        id(1, Channel::Email).message_key(),
    );
    lines.push(
        Event::Accepted,
        &id(2, Channel::Email),
        id(2, Channel::Email).message_key(),
    );
    let accepted = |index: &mut Index| {
        index.refresh().unwrap();
        [1, 2].map(|user| index.accepted(id(user, Channel::Email).message_key()))
    };
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let whole = lines.text;
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(accepted(&mut index), [true, false]);
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(accepted(&mut index), [true, true]);
}

#[test]
fn an_index_knows_its_own_channel_only_and_acceptances_only() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &Ledger::new(folder.path(), Channel::Sms),
        Event::Accepted,
        id(1, Channel::Sms),
    );
    let email = Ledger::new(folder.path(), Channel::Email);
    write(&email, Event::Call, id(2, Channel::Email));
    write(&email, Event::Refused, id(3, Channel::Email));
    let mut index = email.index();
    index.refresh().unwrap();
    assert!(!index.accepted(id(1, Channel::Sms).message_key()));
    assert!(!index.accepted(id(2, Channel::Email).message_key()));
    assert!(!index.accepted(id(3, Channel::Email).message_key()));
}

#[test]
fn a_summary_shows_who_got_something_twice_on_whatever_channels() {
    let folder = tempfile::tempdir().unwrap();
    let (email, sms) = (
        Ledger::new(folder.path(), Channel::Email),
        Ledger::new(folder.path(), Channel::Sms),
    );
    for user in [1, 2, 3] {
        write(&email, Event::Call, id(user, Channel::Email));
        write(&email, Event::Accepted, id(user, Channel::Email));
    }
    write(&email, Event::Accepted, id(2, Channel::Email));
    write(&email, Event::Refused, id(4, Channel::Email));
    write(&sms, Event::Accepted, id(3, Channel::Sms));
    write(&sms, Event::Accepted, id(4, Channel::Sms));
    write(
        &sms,
        Event::Accepted,
        CallId {
            period: period().next(),
            ..id(1, Channel::Sms)
        },
    );

    let summary = Ledger::summary(folder.path(), period()).unwrap();
    let total = ChannelSummary {
        calls: 3,
        accepted: 6,
        refused: 1,
        users_accepted: 4,
        users_accepted_more_than_once: 2,
    };
    assert_eq!(summary.total, total);
    let email = ChannelSummary {
        calls: 3,
        accepted: 4,
        refused: 1,
        users_accepted: 3,
        users_accepted_more_than_once: 1,
    };
    assert_eq!(summary.by_channel[&Channel::Email], email);
    assert_eq!(
        summary.by_channel[&Channel::Sms].users_accepted_more_than_once,
        0
    );
}

#[test]
fn a_follow_up_is_not_a_second_bill() {
    let folder = tempfile::tempdir().unwrap();
    let email = Ledger::new(folder.path(), Channel::Email);
    write(&email, Event::Accepted, id(1, Channel::Email));
    write(
        &email,
        Event::Accepted,
        CallId {
            kind: Kind::Correction(1),
            ..id(1, Channel::Email)
        },
    );
    let summary = Ledger::summary(folder.path(), period()).unwrap();
    assert_eq!(
        (
            summary.total.users_accepted,
            summary.total.users_accepted_more_than_once
        ),
        (1, 0)
    );
}
