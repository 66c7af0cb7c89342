//! Records to bytes and back, and what each refusal says.

use std::fmt::Debug;

use proptest::prelude::*;
use sealpost_schemas::codec::{
    CodecError, Encoder, Record, RecordType, all_schemas, decode, encode, is, schema_json,
};
use sealpost_schemas::record::*;
use sealpost_schemas::{Channel, Timestamp, UserId};

use crate::{hex, samples, unhex};

fn round_trips<R: Record + PartialEq + Debug>(record: &R) {
    let bytes = encode(record).unwrap();
    assert_eq!(&decode::<R>(&bytes).unwrap(), record);
}

/// The sample's bytes are those of the fixture, and the fixture reads back as the sample.
fn matches_fixture<R: Record + PartialEq + Debug>(sample: &R, fixture: &str) {
    let bytes = encode(sample).unwrap();
    assert!(
        bytes == unhex(fixture),
        "{name}: its bytes or its schema changed. Once released, a schema that changes moves to \
         avro/older and is listed in `older_schemas`, with its fixture among the old ones. Then \
         fixtures/{name}.hex is:\n{}",
        hex(&bytes),
        name = R::NAME,
    );
    assert_eq!(&decode::<R>(&unhex(fixture)).unwrap(), sample);
}

macro_rules! golden {
    ($($test:ident: $record:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            let fixture = include_str!(concat!("../fixtures/", stringify!($record), ".hex"));
            matches_fixture(&samples::$record(), fixture);
        })*
    };
}
golden! {
    usage_keeps_its_bytes: usage,
    subscriber_keeps_its_bytes: subscriber,
    statement_keeps_its_bytes: statement,
    dispatch_keeps_its_bytes: dispatch,
    route_notice_keeps_its_bytes: route_notice,
    delivery_keeps_its_bytes: delivery,
    returned_keeps_its_bytes: returned,
    send_state_keeps_its_bytes: send_state,
    command_keeps_its_bytes: command,
    dead_letter_keeps_its_bytes: dead_letter,
    requeued_keeps_its_bytes: requeued,
}

#[test]
fn every_action_of_a_command_comes_back() {
    for action in samples::actions() {
        round_trips(&samples::command_of(action));
    }
}

#[test]
fn every_word_of_every_enum_comes_back() {
    for kind in UsageKind::ALL {
        round_trips(&Usage {
            kind,
            ..samples::usage()
        });
    }
    for channel in Channel::ALL {
        round_trips(&Delivery {
            channel,
            ..samples::delivery()
        });
    }
    for outcome in [Outcome::Sent, Outcome::Failed, Outcome::Unknown] {
        round_trips(&Delivery {
            outcome,
            ..samples::delivery()
        });
    }
    for standing in [Standing::Held, Standing::Failed, Standing::Suppressed] {
        round_trips(&RouteNotice {
            standing,
            ..samples::route_notice()
        });
    }
    for status in [SubscriberStatus::Active, SubscriberStatus::Withdrawn] {
        round_trips(&Subscriber {
            status,
            ..samples::subscriber()
        });
    }
    for locale in [Locale::Ko, Locale::En] {
        round_trips(&Subscriber {
            locale,
            ..samples::subscriber()
        });
    }
    for apply in [Apply::New, Apply::Failed, Apply::Unsent] {
        let policy = Policy {
            channels: vec![],
            attempts_per_channel: 0,
        };
        round_trips(&samples::command_of(Action::PolicySet(PolicySet {
            policy,
            apply,
        })));
    }
    for resolution in [Resolution::Sent, Resolution::Failed] {
        let (period, user_id, kind) = (samples::period(), samples::user(), Default::default());
        let resolve = Resolve {
            period,
            user_id,
            kind,
            resolution,
        };
        round_trips(&samples::command_of(Action::Resolve(resolve)));
    }
    for reason in SuppressionReason::ALL {
        let suppress = Suppress {
            reason,
            addresses: Vec::new(),
        };
        round_trips(&samples::command_of(Action::Suppress(suppress)));
    }
    for state in State::ALL {
        let mut record = samples::send_state();
        record.kinds[0].state = state;
        round_trips(&record);
    }
}

#[test]
fn every_reason_comes_back_and_its_schema_has_its_word() {
    for reason in [
        Reason::Malformed,
        Reason::BadEmail,
        Reason::BadPhone,
        Reason::ConflictingEvent,
        Reason::UnknownSubscriber,
        Reason::Withdrawn,
        Reason::TooLate,
        Reason::UnknownPlan,
        Reason::UnknownOption,
        Reason::UnknownWelfare,
        Reason::Overflow,
    ] {
        round_trips(&DeadLetter {
            reason,
            ..samples::dead_letter()
        });
        let symbol = format!("\"{}\"", reason.name().replace('-', "_"));
        assert!(schema_json::<DeadLetter>().contains(&symbol), "{symbol}");
    }
}

#[test]
fn a_record_without_its_optional_fields_comes_back() {
    let subscriber = Subscriber {
        options: vec![],
        contract: Interval::default(),
        welfare: None,
        soldier: Interval::default(),
        windows: Windows::default(),
        contacts: Contacts::default(),
        ..samples::subscriber()
    };
    round_trips(&subscriber);
    round_trips(&DeadLetter {
        raw: None,
        ..samples::dead_letter()
    });
    round_trips(&Dispatch {
        subject: None,
        html: None,
        ..samples::dispatch()
    });
    round_trips(&RouteNotice {
        held_until: None,
        reason: None,
        ..samples::route_notice()
    });
    let mut state = samples::send_state();
    state.kinds[0].held_until = None;
    state.kinds[0].calls[0].outcome = None;
    state.kinds[1].calls.clear();
    round_trips(&state);
}

#[test]
fn numbers_keep_their_whole_range() {
    for (id, at) in [(0, i64::MIN), (i64::MAX.unsigned_abs(), i64::MAX)] {
        let user_id = UserId::new(id).unwrap();
        round_trips(&Usage {
            user_id,
            occurred_at: Timestamp(at),
            ..samples::usage()
        });
    }
}

#[test]
fn bytes_begin_with_the_marker_and_the_fingerprint_of_the_schema() {
    // computed with another implementation of Avro's CRC-64
    let expected = unhex("c301 9a83b566b425d28e");
    assert_eq!(encode(&samples::usage()).unwrap()[..10], expected);
}

#[test]
fn an_encoder_appends() {
    let (record, mut out) = (samples::usage(), b"before".to_vec());
    let mut encoder = Encoder::new();
    encoder.encode(&record, &mut out).unwrap();
    encoder.encode(&record, &mut out).unwrap();
    let once = encode(&record).unwrap();
    assert_eq!(out, [b"before", &once[..], &once[..]].concat());
}

#[test]
fn a_datum_is_the_encoding_without_its_header() {
    let mut datum = Vec::new();
    Encoder::new()
        .encode_datum(&samples::statement(), &mut datum)
        .unwrap();
    assert_eq!(datum, encode(&samples::statement()).unwrap()[10..]);
}

#[test]
fn a_topic_with_two_records_tells_them_apart() {
    let dispatch = encode(&samples::dispatch()).unwrap();
    let notice = encode(&samples::route_notice()).unwrap();
    assert!(is::<Dispatch>(&dispatch) && !is::<RouteNotice>(&dispatch));
    assert!(is::<RouteNotice>(&notice) && !is::<Dispatch>(&notice));
    assert_eq!(RecordType::of(&notice), Some(RecordType::RouteNotice));
    assert!(!is::<Dispatch>(&dispatch[..9]));
    assert_eq!(RecordType::of(b"\xc3\x01nonsense"), None);
}

#[test]
fn bytes_after_the_record_are_refused() {
    let mut bytes = encode(&samples::delivery()).unwrap();
    bytes.extend_from_slice(&[0, 0, 0]);
    let trailing = CodecError::Trailing {
        record: RecordType::Delivery,
        excess_bytes: 3,
    };
    assert_eq!(decode::<Delivery>(&bytes), Err(trailing));
}

#[test]
fn a_record_cut_short_is_refused_with_the_place() {
    let bytes = encode(&samples::usage()).unwrap();
    let error = decode::<Usage>(&bytes[..bytes.len() - 1]).unwrap_err();
    let CodecError::Malformed {
        record: RecordType::Usage,
        position_bytes,
        length_bytes,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(length_bytes, bytes.len() - 11);
    assert!(position_bytes <= length_bytes);
}

#[test]
fn another_record_is_named() {
    let bytes = encode(&samples::dispatch()).unwrap();
    let (record, found) = (RecordType::Usage, RecordType::Dispatch);
    assert_eq!(
        decode::<Usage>(&bytes),
        Err(CodecError::OtherRecord { record, found })
    );
}

#[test]
fn an_unknown_schema_is_shown_by_its_fingerprint() {
    let bytes = [
        &[0xC3, 0x01][..],
        &0x0123_4567_89ab_cdef_u64.to_le_bytes(),
        b"datum",
    ]
    .concat();
    let error = decode::<Usage>(&bytes).unwrap_err();
    let fingerprint = 0x0123_4567_89ab_cdef;
    assert_eq!(
        error,
        CodecError::UnknownSchema {
            record: RecordType::Usage,
            fingerprint
        }
    );
    assert!(error.to_string().contains("0123456789abcdef"));
}

#[test]
fn another_encoding_is_refused() {
    for bytes in [
        &b""[..],
        b"\xc3\x01",
        b"{\"user_id\": 1, \"event_id\": \"x\"}",
        b"\0\0\0\0\x07datum...",
    ] {
        let length_bytes = bytes.len();
        let error = CodecError::NotSingleObject {
            record: RecordType::Usage,
            length_bytes,
        };
        assert_eq!(decode::<Usage>(bytes), Err(error));
    }
}

#[test]
fn no_error_repeats_what_was_in_the_record() {
    // a valid text where the event's kind ought to be
    let mut bytes = encode(&samples::usage()).unwrap();
    let secret = b"kim@example.com";
    let at = bytes.len() - 15;
    bytes[at..].copy_from_slice(secret);
    let error = decode::<Usage>(&bytes).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("kim"));
}

#[test]
fn every_schema_is_listed_once_under_its_name() {
    let mut names: Vec<_> = all_schemas()
        .map(|(record, _)| record.full_name())
        .collect();
    assert_eq!(names.len(), 11);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 11);
    for (record, json) in all_schemas() {
        let schema: serde_json::Value = serde_json::from_str(json).unwrap();
        let name = format!(
            "{}.{}",
            schema["namespace"].as_str().unwrap(),
            schema["name"].as_str().unwrap()
        );
        assert_eq!(name, record.full_name());
    }
}

#[test]
fn every_field_of_every_schema_is_documented_and_every_optional_one_has_a_default() {
    fn check(node: &serde_json::Value) {
        if node["type"] == "record" {
            assert!(node["doc"].is_string(), "{}", node["name"]);
            for field in node["fields"].as_array().unwrap() {
                assert!(field["doc"].is_string(), "{}", field["name"]);
                if field["type"][0] == "null" {
                    assert!(
                        field.as_object().unwrap().contains_key("default"),
                        "{}",
                        field["name"]
                    );
                }
            }
        }
        match node {
            serde_json::Value::Array(items) => items.iter().for_each(check),
            serde_json::Value::Object(members) => members.values().for_each(check),
            _ => {}
        }
    }
    for (_, json) in all_schemas() {
        check(&serde_json::from_str(json).unwrap());
    }
}

/// Decoding damaged bytes may fail in any way but a panic, and an unchanged reading must be equal.
fn survives_damage<R: Record + PartialEq + Debug>(sample: &R, at: usize, byte: u8) {
    let bytes = encode(sample).unwrap();
    let mut damaged = bytes.clone();
    let at = 10 + at % (bytes.len() - 10);
    damaged[at] = byte;
    let _ = decode::<R>(&damaged);
    let _ = decode::<R>(&bytes[..at]);
}

proptest! {
    #[test]
    fn any_usage_comes_back(
        id in 0..=i64::MAX.unsigned_abs(),
        event_id in "\\PC{0,20}",
        at in any::<i64>(),
        kind in proptest::sample::select(&UsageKind::ALL[..]),
        quantity in any::<i64>(),
    ) {
        let user_id = UserId::new(id).unwrap();
        round_trips(&Usage { user_id, event_id, occurred_at: Timestamp(at), kind, quantity });
    }

    #[test]
    fn no_damage_makes_decoding_panic(at in any::<usize>(), byte in any::<u8>()) {
        survives_damage(&samples::usage(), at, byte);
        survives_damage(&samples::subscriber(), at, byte);
        survives_damage(&samples::statement(), at, byte);
        survives_damage(&samples::dispatch(), at, byte);
        survives_damage(&samples::send_state(), at, byte);
        survives_damage(&samples::command(), at, byte);
        survives_damage(&samples::dead_letter(), at, byte);
    }

    #[test]
    fn noise_under_a_valid_header_is_refused_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..80)) {
        let header = &encode(&samples::statement()).unwrap()[..10];
        prop_assert!(decode::<Statement>(&[header, &noise[..]].concat()).is_err());
    }
}
