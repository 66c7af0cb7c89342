//! What `seed` writes, read back through the door.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::cell::RefCell;

use jiff::tz::TimeZone;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::record::{Subscriber, Usage};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Channel, Period};
use sealpost_seeds::{Population, Seed, Settings};

use super::*;
use crate::door::{Door, Input, Row, inspect};

fn ring(first: u8) -> KeyRing {
    let mut next = first;
    KeyRing::generate(&mut |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_mul(31).wrapping_add(7);
        }
    })
}

fn population(users: u64) -> Population {
    let settings = Settings {
        tripwires: vec![0, 5, 2_048],
        ..Settings::new(offer(&Catalog::built_in()))
    };
    Population::new(Seed(42), users, Period::new(2026, 1).unwrap(), settings).unwrap()
}

fn write_all(users: u64, ring: &KeyRing, folder: &Path) -> SeedSummary {
    write(&population(users), ring, folder, &|_| {}).unwrap()
}

/// Everything in a folder, every row of it good.
fn read_all(ring: &KeyRing, folder: &Path) -> (Vec<Subscriber>, Vec<Usage>, Vec<Input>) {
    let inputs = inspect(&[folder.to_path_buf()]).unwrap();
    let door = Door::new(ring, TimeZone::UTC);
    let (mut people, mut events) = (Vec::new(), Vec::new());
    for input in &inputs {
        door.read(input, &mut |_, row| {
            match row {
                Row::Subscriber(subscriber) => people.push(subscriber),
                Row::Usage(usage) => events.push(usage),
                Row::Refused(refused) => panic!("{refused:?}"),
                Row::Suppression(address) => panic!("{address:?}"),
            }
            Ok(())
        })
        .unwrap();
    }
    (people, events, inputs)
}

#[test]
fn the_door_takes_back_everybody_and_everything() {
    let folder = tempfile::tempdir().unwrap();
    // one more than a chunk, and an odd number of chunks
    let users = 2 * CHUNK_USERS + 1;
    let ring = ring(1);
    let summary = write_all(users, &ring, folder.path());
    let (people, events, inputs) = read_all(&ring, folder.path());

    assert_eq!(
        (summary.users, summary.events),
        (users, events.len() as u64)
    );
    assert!(
        inputs
            .iter()
            .all(|input| input.warnings().is_empty() && !input.has_plaintext())
    );
    assert_eq!(inputs[0].rows(), Some(users));
    let population = population(users);
    assert!(
        (0..users)
            .flat_map(|index| population.usage(index))
            .eq(events)
    );
    assert_eq!(people.len() as u64, users);
    for (subscriber, plain) in people.iter().zip(population.subscribers()) {
        assert_eq!(subscriber.user_id, plain.user_id);
        assert_eq!(
            (subscriber.status, subscriber.locale),
            (plain.status, plain.locale)
        );
        assert_eq!(
            (&subscriber.plan, &subscriber.options),
            (&plain.plan, &plain.options)
        );
        assert_eq!(
            (subscriber.contract, subscriber.soldier),
            (plain.contract, plain.soldier)
        );
        assert_eq!(
            (&subscriber.welfare, subscriber.windows),
            (&plain.welfare, plain.windows)
        );
    }
}

#[test]
fn contacts_open_to_what_was_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(1);
    write_all(300, &ring, folder.path());
    let (people, ..) = read_all(&ring, folder.path());
    for (subscriber, plain) in people.iter().zip(population(300).subscribers()) {
        let open = |purpose, sealed: &sealpost_schemas::Sealed| {
            ring.open(purpose, plain.user_id, sealed)
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        };
        let contacts = &subscriber.contacts;
        let name = contacts.name.as_ref().unwrap();
        assert_eq!(open(Purpose::ProfileName, name), plain.name);
        let email = contacts.destination(Channel::Email).unwrap();
        assert_eq!(open(Purpose::DestinationEmail, &email.address), plain.email);
        assert_eq!(
            email.token,
            ring.token(Channel::Email, &plain.email).unwrap()
        );
        let phone = format!(
            "+82{}",
            plain.phone.replace('-', "").strip_prefix('0').unwrap()
        );
        let kakao = contacts.destination(Channel::Kakao).unwrap();
        assert_eq!(open(Purpose::DestinationKakao, &kakao.address), phone);
        let masked = open(
            Purpose::ProfilePhone,
            contacts.masked_phone.as_ref().unwrap(),
        );
        assert_eq!(masked, format!("010-****-{}", &plain.phone[9..]));
        let push = contacts.destination(Channel::Push);
        let push = push.map(|push| open(Purpose::DestinationPush, &push.address));
        assert_eq!(push, plain.push_token);
    }
}

#[test]
fn the_same_seed_and_keys_give_the_same_bytes() {
    let [one, two, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let files = |folder: &Path| {
        ["subscribers.parquet", "usage.parquet"].map(|name| fs::read(folder.join(name)).unwrap())
    };
    write_all(5_000, &ring(1), one.path());
    write_all(5_000, &ring(1), two.path());
    write_all(5_000, &ring(2), other.path());
    assert!(files(one.path()) == files(two.path()));
    assert!(
        files(one.path())[0] != files(other.path())[0],
        "other keys, other ciphertext"
    );
}

#[test]
fn nobody_can_be_found_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(1);
    write_all(2_100, &ring, folder.path());
    let (people, events, _) = read_all(&ring, folder.path());
    let decoded = format!("{people:?}{events:?}");
    let ciphertext: Vec<u8> = people
        .iter()
        .flat_map(|one| {
            let contacts = &one.contacts;
            let sealed = [
                &contacts.name,
                &contacts.masked_email,
                &contacts.masked_phone,
            ];
            let addresses = contacts.destinations.iter().map(|one| &one.address);
            sealed
                .into_iter()
                .flatten()
                .chain(addresses)
                .flat_map(|sealed| sealed.as_bytes())
        })
        .copied()
        .collect();
    let mut haystacks = vec![decoded.into_bytes(), ciphertext];
    for file in fs::read_dir(folder.path()).unwrap() {
        haystacks.push(fs::read(file.unwrap().path()).unwrap());
    }
    let population = population(2_100);
    let tokens = population.tripwire_tokens();
    assert_eq!(haystacks.len(), 4);
    assert!(tokens.len() >= 12);
    for token in tokens.iter().map(String::as_bytes) {
        for haystack in &haystacks {
            assert!(!haystack.windows(token.len()).any(|window| window == token));
        }
    }
}

#[test]
fn a_missing_key_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("subscribers.parquet");
    fs::write(&before, "before").unwrap();
    for missing in [
        KeyPurpose::Destination,
        KeyPurpose::Profile,
        KeyPurpose::Match,
    ] {
        let others: Vec<KeyPurpose> = KeyPurpose::ALL
            .into_iter()
            .filter(|purpose| *purpose != missing)
            .collect();
        let ring = ring(1).restricted_to(&others);
        let error = write(&population(10), &ring, folder.path(), &|_| {}).unwrap_err();
        assert!(format!("{error:#}").contains(missing.name()), "{error:#}");
    }
    assert_eq!(fs::read(&before).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_was_begun_is_removed_when_writing_fails() {
    let folder = tempfile::tempdir().unwrap();
    // a folder stands where the second file is to go
    fs::create_dir_all(folder.path().join("usage.parquet/in the way")).unwrap();
    let error = write(&population(10), &ring(1), folder.path(), &|_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("usage.parquet"), "{error:#}");
    let hidden = fs::read_dir(folder.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('.')
    });
    assert_eq!(hidden.count(), 0);
}

#[test]
fn progress_ends_at_the_number_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let seen = RefCell::new(Vec::new());
    write(&population(5_000), &ring(1), folder.path(), &|users| {
        seen.borrow_mut().push(users)
    })
    .unwrap();
    assert_eq!(*seen.borrow(), [2_048, 4_096, 5_000]);
}

#[test]
fn a_population_of_nobody_is_two_files_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring(1);
    let summary = write_all(0, &ring, folder.path());
    assert_eq!((summary.users, summary.events), (0, 0));
    let (people, events, inputs) = read_all(&ring, folder.path());
    assert!(people.is_empty() && events.is_empty());
    assert_eq!(inputs.len(), 2);
}
