//! Sealing and opening, key ring files, rotation, and what each refusal says.

use proptest::prelude::*;
use sealpost_schemas::key_ring::{KeyId, KeyRing, KeyRingError, SealError};
use sealpost_schemas::sealed::{KeyPurpose, Purpose};
use sealpost_schemas::{Channel, Sealed, UserId};

use crate::{hex, noise};

/// A key as a file holds it: 64 bytes, 63 of them zero.
const KEY_TEXT: &str =
    "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
const SECRET: &str = "kim.minji@example.com";

/// A source of bytes that differ from call to call and are the same in every run.
fn fill(seed: &str) -> impl FnMut(&mut [u8]) {
    let mut calls = 0;
    move |bytes: &mut [u8]| {
        calls += 1;
        bytes.copy_from_slice(&noise(&format!("{seed}{calls}"), bytes.len()));
    }
}

fn ring() -> KeyRing {
    KeyRing::generate(&mut fill("ring"))
}

fn user(id: u64) -> UserId {
    UserId::new(id).unwrap()
}

fn sealed_email(ring: &KeyRing) -> Sealed {
    ring.seal(Purpose::DestinationEmail, user(7), SECRET.as_bytes())
        .unwrap()
}

fn with_byte(sealed: &Sealed, at: usize, byte: u8) -> Sealed {
    let mut bytes = sealed.as_bytes().to_vec();
    bytes[at] = byte;
    Sealed::from_bytes(bytes)
}

fn open_email(ring: &KeyRing, sealed: &Sealed) -> Result<String, SealError> {
    ring.open(Purpose::DestinationEmail, user(7), sealed)
        .map(|plaintext| plaintext.as_str().unwrap().to_owned())
}

fn entry(id: u32, purpose: &str, key: &str, primary: &str) -> String {
    format!("{{\"id\": {id}, \"purpose\": \"{purpose}\", \"key\": \"{key}\"{primary}}}")
}

fn file(entries: &[String]) -> String {
    format!("{{\"keys\": [{}]}}", entries.join(","))
}

const PRIMARY: &str = ", \"primary\": true";

fn refusal(text: &str) -> KeyRingError {
    let error = KeyRing::from_json(text).unwrap_err();
    assert!(!error.to_string().contains(&KEY_TEXT[..8]), "{error}");
    error
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same_bytes(
        plaintext in proptest::collection::vec(any::<u8>(), 0..400),
        id in 0..=i64::MAX.unsigned_abs(),
        nth in 0..Purpose::ALL.len(),
    ) {
        let (ring, purpose) = (ring(), Purpose::ALL[nth]);
        let sealed = ring.seal(purpose, user(id), &plaintext).unwrap();
        let opened = ring.open(purpose, user(id), &sealed).unwrap();
        prop_assert_eq!(opened.as_bytes(), &plaintext[..]);
    }

    #[test]
    fn no_altered_byte_goes_unnoticed(at in 0_usize..42, flip in 1_u8..) {
        let ring = ring();
        let sealed = sealed_email(&ring);
        prop_assert_eq!(sealed.as_bytes().len(), 42);
        let altered = with_byte(&sealed, at, sealed.as_bytes()[at] ^ flip);
        prop_assert!(ring.open(Purpose::DestinationEmail, user(7), &altered).is_err());
    }

    #[test]
    fn opening_noise_is_an_error_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let result = ring().open(Purpose::ProfileName, user(1), &Sealed::from_bytes(bytes));
        prop_assert!(result.is_err());
    }
}

#[test]
fn a_sealed_value_is_format_key_id_tag_and_ciphertext() {
    let ring = ring();
    let sealed = sealed_email(&ring);
    assert_eq!(sealed.as_bytes()[..5], [1, 0, 0, 0, 1]);
    assert_eq!(sealed.as_bytes().len(), 5 + 16 + SECRET.len());
}

#[test]
fn a_known_value_seals_to_the_bytes_that_another_implementation_makes() {
    // key: the bytes 0 to 63 under the id 258; computed with Python's `cryptography`
    let key =
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
    let ring = KeyRing::from_json(&file(&[entry(258, "destination", key, PRIMARY)])).unwrap();
    let sealed = ring
        .seal(Purpose::DestinationEmail, user(7), b"kim@example.com")
        .unwrap();
    let expected = "0100000102f75f4c472cc1da989f97ffe0b8f91d84e416dd1db6e79d7e0797bfe2eea28b";
    assert_eq!(hex(sealed.as_bytes()), expected);
}

#[test]
fn the_same_value_seals_to_the_same_bytes() {
    let ring = ring();
    let reread = KeyRing::from_json(&ring.to_json()).unwrap();
    assert_eq!(sealed_email(&ring), sealed_email(&reread));
}

#[test]
fn purpose_and_user_change_the_bytes() {
    let ring = ring();
    let sealed = sealed_email(&ring);
    for (purpose, id) in [(Purpose::DestinationSms, 7), (Purpose::DestinationEmail, 8)] {
        assert_ne!(
            ring.seal(purpose, user(id), SECRET.as_bytes()).unwrap(),
            sealed
        );
    }
}

#[test]
fn after_a_rotation_the_old_opens_and_the_new_differs() {
    let mut ring = ring();
    let old = sealed_email(&ring);
    ring.rotate(KeyPurpose::Destination, &mut fill("rotated"));
    let new = sealed_email(&ring);
    assert_ne!(old, new);
    assert_eq!(new.as_bytes()[..5], [1, 0, 0, 0, 5]);
    assert_eq!(open_email(&ring, &old).unwrap(), SECRET);
    assert_eq!(open_email(&ring, &new).unwrap(), SECRET);
}

#[test]
fn a_rotated_ring_reads_back_from_its_file() {
    let mut ring = ring();
    let old = sealed_email(&ring);
    ring.rotate(KeyPurpose::Destination, &mut fill("rotated"));
    let reread = KeyRing::from_json(&ring.to_json()).unwrap();
    assert_eq!(sealed_email(&reread), sealed_email(&ring));
    assert_eq!(open_email(&reread, &old).unwrap(), SECRET);
    assert_eq!(*reread.to_json(), *ring.to_json());
}

#[test]
fn a_rotation_adds_a_purpose_that_was_missing() {
    let mut ring = ring().restricted_to(&[]);
    ring.rotate(KeyPurpose::Profile, &mut fill("first"));
    assert!(ring.has(KeyPurpose::Profile));
    assert!(KeyRing::from_json(&ring.to_json()).is_ok());
}

#[test]
fn the_largest_id_does_not_stop_a_rotation() {
    let text = file(&[entry(u32::MAX, "profile", KEY_TEXT, PRIMARY)]);
    let mut ring = KeyRing::from_json(&text).unwrap();
    ring.rotate(KeyPurpose::Profile, &mut fill("next"));
    let sealed = ring.seal(Purpose::ProfileName, user(1), b"").unwrap();
    assert_eq!(sealed.as_bytes()[1..5], [0, 0, 0, 1]);
}

#[test]
fn only_successful_opens_are_counted_each_under_its_purpose() {
    let ring = ring();
    let sealed = sealed_email(&ring);
    for _ in 0..3 {
        ring.open(Purpose::DestinationEmail, user(7), &sealed)
            .unwrap();
    }
    assert!(
        ring.open(Purpose::DestinationEmail, user(8), &sealed)
            .is_err()
    );
    assert!(
        ring.open(Purpose::DestinationSms, user(7), &sealed)
            .is_err()
    );
    let counts = Purpose::ALL.map(|purpose| ring.opened(purpose));
    assert_eq!(counts, [3, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_restricted_ring_has_only_its_purposes_and_counts_for_itself() {
    let ring = ring();
    let sealed = sealed_email(&ring);
    open_email(&ring, &sealed).unwrap();
    let sender = ring.restricted_to(&[KeyPurpose::Destination]);
    let renderer = ring.restricted_to(&[KeyPurpose::Profile]);
    assert_eq!(sender.opened(Purpose::DestinationEmail), 0);
    assert_eq!(open_email(&sender, &sealed).unwrap(), SECRET);
    assert_eq!(
        open_email(&renderer, &sealed),
        Err(SealError::NoKey {
            purpose: KeyPurpose::Destination
        })
    );
    assert!(!renderer.to_json().contains("destination"));
    assert!(matches!(
        renderer.token(Channel::Email, SECRET),
        Err(SealError::NoKey {
            purpose: KeyPurpose::Match
        })
    ));
}

#[test]
fn a_missing_purpose_is_named_at_the_start() {
    let ring = ring().restricted_to(&[KeyPurpose::Profile]);
    assert_eq!(ring.require(&[KeyPurpose::Profile]), Ok(()));
    assert_eq!(
        ring.require(&[KeyPurpose::Profile, KeyPurpose::Destination]),
        Err(KeyRingError::Missing {
            purpose: KeyPurpose::Destination
        })
    );
}

#[test]
fn nothing_is_sealed_without_a_key() {
    let error = ring()
        .restricted_to(&[])
        .seal(Purpose::ProfileName, user(7), b"x")
        .unwrap_err();
    assert_eq!(
        error,
        SealError::NoKey {
            purpose: KeyPurpose::Profile
        }
    );
}

#[test]
fn a_value_of_another_user_does_not_open() {
    let ring = ring();
    let error = ring
        .open(Purpose::DestinationEmail, user(8), &sealed_email(&ring))
        .unwrap_err();
    assert_eq!(
        error,
        SealError::NotAuthentic {
            id: KeyId(1),
            purpose: Purpose::DestinationEmail
        }
    );
}

#[test]
fn a_value_under_another_key_of_the_same_id_does_not_open() {
    let other = KeyRing::generate(&mut fill("another ring"));
    let error = open_email(&other, &sealed_email(&ring())).unwrap_err();
    assert_eq!(
        error,
        SealError::NotAuthentic {
            id: KeyId(1),
            purpose: Purpose::DestinationEmail
        }
    );
}

#[test]
fn a_value_for_another_purpose_under_the_same_key_says_what_it_was_sealed_for() {
    let ring = ring();
    let error = ring
        .open(Purpose::DestinationSms, user(7), &sealed_email(&ring))
        .unwrap_err();
    let (sealed_for, purpose) = (Purpose::DestinationEmail, Purpose::DestinationSms);
    assert_eq!(
        error,
        SealError::OtherPurpose {
            sealed_for,
            purpose
        }
    );
}

#[test]
fn a_value_for_a_purpose_with_another_key_says_whose_key_it_is() {
    let ring = ring();
    let error = ring
        .open(Purpose::ProfileName, user(7), &sealed_email(&ring))
        .unwrap_err();
    let (key, purpose) = (KeyPurpose::Destination, Purpose::ProfileName);
    assert_eq!(
        error,
        SealError::OtherKeyPurpose {
            id: KeyId(1),
            key,
            purpose
        }
    );
}

#[test]
fn a_key_that_is_not_in_the_ring_is_named() {
    let ring = ring();
    let error = open_email(&ring, &with_byte(&sealed_email(&ring), 4, 9)).unwrap_err();
    assert_eq!(
        error,
        SealError::UnknownKey {
            id: KeyId(9),
            purpose: Purpose::DestinationEmail
        }
    );
}

#[test]
fn the_reserved_format_is_said_to_be_reserved() {
    let ring = ring();
    let error = open_email(&ring, &with_byte(&sealed_email(&ring), 0, 2)).unwrap_err();
    assert_eq!(error, SealError::Reserved);
    assert!(error.to_string().contains("reserved"));
}

#[test]
fn another_format_is_named() {
    let ring = ring();
    let error = open_email(&ring, &with_byte(&sealed_email(&ring), 0, 0x7b)).unwrap_err();
    assert_eq!(error, SealError::UnknownFormat { format: 0x7b });
}

#[test]
fn a_value_shorter_than_its_header_and_tag_is_truncated() {
    let ring = ring();
    let empty = ring.seal(Purpose::DestinationEmail, user(7), b"").unwrap();
    assert_eq!(open_email(&ring, &empty).unwrap(), "");
    for length_bytes in [0, 1, 4, 5, 20] {
        let cut = Sealed::from_bytes(&empty.as_bytes()[..length_bytes]);
        assert_eq!(
            open_email(&ring, &cut),
            Err(SealError::Truncated { length_bytes })
        );
    }
}

#[test]
fn a_token_depends_on_channel_address_and_match_key_and_on_nothing_else() {
    let mut ring = ring();
    let token = ring.token(Channel::Sms, "+821012345678").unwrap();
    let others = ring.restricted_to(&[KeyPurpose::Match]);
    assert_eq!(others.token(Channel::Sms, "+821012345678").unwrap(), token);
    assert_ne!(ring.token(Channel::Kakao, "+821012345678").unwrap(), token);
    assert_ne!(ring.token(Channel::Sms, "+821012345679").unwrap(), token);
    ring.rotate(KeyPurpose::Destination, &mut fill("destination"));
    assert_eq!(ring.token(Channel::Sms, "+821012345678").unwrap(), token);
    ring.rotate(KeyPurpose::Match, &mut fill("match"));
    assert_ne!(ring.token(Channel::Sms, "+821012345678").unwrap(), token);
}

#[test]
fn a_token_is_made_as_documented() {
    let text = file(&[entry(1, "match", KEY_TEXT, PRIMARY)]);
    let mut key = [0; 64];
    key[0] = 42;
    let key = blake3::derive_key("sealpost/v1 match", &key);
    let expected = blake3::keyed_hash(&key, b"email\0kim@example.com");
    let token = KeyRing::from_json(&text)
        .unwrap()
        .token(Channel::Email, "kim@example.com");
    assert_eq!(token.unwrap().0, *expected.as_bytes());
}

#[test]
fn a_generated_ring_has_a_key_of_its_own_for_each_purpose() {
    let ring = ring();
    assert_eq!(ring.require(&KeyPurpose::ALL), Ok(()));
    assert_eq!(
        format!("{ring:?}"),
        r#"KeyRing {1: "destination", 2: "profile", 3: "match", 4: "dead-letter"}"#
    );
    let text = ring.to_json();
    let keys: std::collections::BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split("\"key\": \"").nth(1))
        .collect();
    assert_eq!(keys.len(), 4);
}

#[test]
fn a_file_as_the_contract_shows_it_is_read() {
    let text = file(&[
        entry(1, "destination", KEY_TEXT, PRIMARY),
        entry(2, "profile", KEY_TEXT.trim_end_matches('='), PRIMARY),
        entry(9, "profile", KEY_TEXT, ""),
        entry(3, "profile", KEY_TEXT, ", \"primary\": false"),
    ]);
    let ring = KeyRing::from_json(&text).unwrap();
    assert!(ring.has(KeyPurpose::Destination) && ring.has(KeyPurpose::Profile));
    assert!(!ring.has(KeyPurpose::Match));
}

#[test]
fn an_id_that_occurs_twice_is_refused() {
    let text = file(&[
        entry(4, "profile", KEY_TEXT, PRIMARY),
        entry(4, "match", KEY_TEXT, PRIMARY),
    ]);
    assert_eq!(refusal(&text), KeyRingError::DuplicateId { id: KeyId(4) });
}

#[test]
fn two_primaries_of_one_purpose_are_refused() {
    let text = file(&[
        entry(4, "match", KEY_TEXT, PRIMARY),
        entry(6, "match", KEY_TEXT, PRIMARY),
    ]);
    let (first, second) = (KeyId(4), KeyId(6));
    assert_eq!(
        refusal(&text),
        KeyRingError::TwoPrimaries {
            purpose: KeyPurpose::Match,
            first,
            second
        }
    );
}

#[test]
fn a_purpose_without_a_primary_is_refused() {
    let text = file(&[
        entry(4, "match", KEY_TEXT, PRIMARY),
        entry(6, "profile", KEY_TEXT, ""),
    ]);
    assert_eq!(
        refusal(&text),
        KeyRingError::NoPrimary {
            purpose: KeyPurpose::Profile
        }
    );
}

#[test]
fn an_unknown_purpose_is_refused() {
    let text = file(&[entry(4, "destination/email", KEY_TEXT, PRIMARY)]);
    assert_eq!(
        refusal(&text),
        KeyRingError::UnknownPurpose { id: KeyId(4) }
    );
}

#[test]
fn a_key_of_another_length_is_refused() {
    let text = file(&[entry(4, "profile", &KEY_TEXT[..44], PRIMARY)]);
    assert_eq!(
        refusal(&text),
        KeyRingError::KeyLength {
            id: KeyId(4),
            length_bytes: 33
        }
    );
}

#[test]
fn a_key_that_is_not_base64_is_refused() {
    let text = file(&[entry(4, "profile", &KEY_TEXT.replace('A', "!"), PRIMARY)]);
    assert_eq!(refusal(&text), KeyRingError::NotBase64 { id: KeyId(4) });
}

#[test]
fn a_refused_file_is_pointed_at_without_being_quoted() {
    let misplaced = format!("{{\"keys\": [\n {{\"id\": \"{KEY_TEXT}\"}}]}}");
    assert!(matches!(
        refusal(&misplaced),
        KeyRingError::Malformed { line: 2, .. }
    ));
    let misspelt = file(&[entry(4, "profile", KEY_TEXT, ", \"primray\": true")]);
    assert!(matches!(refusal(&misspelt), KeyRingError::Malformed { .. }));
    assert!(matches!(
        refusal("KgAAAAAA"),
        KeyRingError::Malformed { .. }
    ));
    assert!(matches!(refusal(""), KeyRingError::Malformed { .. }));
}

#[test]
fn no_text_of_a_ring_but_its_file_shows_a_key() {
    let ring = KeyRing::from_json(&file(&[entry(1, "match", KEY_TEXT, PRIMARY)])).unwrap();
    assert_eq!(format!("{ring:?}"), r#"KeyRing {1: "match"}"#);
    assert!(ring.to_json().contains(KEY_TEXT));
}

#[test]
fn a_ring_is_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<KeyRing>();
    let ring = ring();
    let sealed = sealed_email(&ring);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..50).for_each(|_| assert_eq!(open_email(&ring, &sealed).unwrap(), SECRET))
            });
        }
    });
    assert_eq!(ring.opened(Purpose::DestinationEmail), 200);
}
