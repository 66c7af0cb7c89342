//! Old bytes and other writers' bytes are read by new code.

use sealpost_schemas::codec::{
    CodecError, Encoder, RecordType, WriterSchema, WriterSchemaProblem, decode, decode_datum, is,
    schema_json,
};
use sealpost_schemas::record::{
    Action, Close, Command, Locale, Rank, SendState, Subscriber, Usage, UsageKind,
};
use sealpost_schemas::{Timestamp, UserId};

use crate::{samples, unhex};

/// Written with another implementation, by `avro/older/subscriber-1.avsc`: no locale.
const SUBSCRIBER_1: &str = include_str!("../fixtures/older/subscriber-1.hex");

#[test]
fn a_subscriber_from_before_there_was_a_locale_is_korean() {
    let subscriber: Subscriber = decode(&unhex(SUBSCRIBER_1)).unwrap();
    assert_eq!(
        subscriber,
        Subscriber {
            locale: Locale::Ko,
            ..samples::subscriber()
        }
    );
}

#[test]
fn an_older_record_is_still_of_its_type() {
    let bytes = unhex(SUBSCRIBER_1);
    assert!(is::<Subscriber>(&bytes) && !is::<Usage>(&bytes));
}

/// Written by `avro/older/command-1.avsc`: nobody gave it, and there were no suppressions.
const COMMAND_1: &str = include_str!("../fixtures/older/command-1.hex");

fn without_time(action: Action) -> Action {
    match action {
        Action::Close(close) => Action::Close(Close {
            not_before: None,
            ..close
        }),
        other => other,
    }
}

#[test]
fn a_command_from_before_it_said_who_gave_it_is_read() {
    let command: Command = decode(&unhex(COMMAND_1)).unwrap();
    assert_eq!(
        command,
        Command {
            by: None,
            action: without_time(samples::command().action),
            ..samples::command()
        }
    );
}

/// Written by `avro/older/command-2.avsc`: a close said nothing of a time before which nothing goes.
const COMMAND_2: &str = include_str!("../fixtures/older/command-2.hex");

#[test]
fn a_close_from_before_it_could_say_when_is_read() {
    let command: Command = decode(&unhex(COMMAND_2)).unwrap();
    assert_eq!(
        command,
        Command {
            action: without_time(samples::command().action),
            ..samples::command()
        }
    );
}

/// Written by `avro/older/command-3.avsc`: there were no corrections.
const COMMAND_3: &str = include_str!("../fixtures/older/command-3.hex");

#[test]
fn a_command_from_before_there_were_corrections_is_read() {
    let command: Command = decode(&unhex(COMMAND_3)).unwrap();
    assert_eq!(command, samples::command());
}

/// Written by `avro/older/send_state-1.avsc`: a channel had one provider.
const SEND_STATE_1: &str = include_str!("../fixtures/older/send_state-1.hex");

#[test]
fn a_send_state_from_before_there_were_two_providers_names_the_first() {
    let state: SendState = decode(&unhex(SEND_STATE_1)).unwrap();
    let mut expected = samples::send_state();
    for call in expected.kinds.iter_mut().flat_map(|kind| &mut kind.calls) {
        call.provider = Rank::Primary;
    }
    assert_eq!(state, expected);
}

fn problem(json: &str) -> WriterSchemaProblem {
    match WriterSchema::parse::<Usage>(json).unwrap_err() {
        CodecError::WriterSchema {
            record: RecordType::Usage,
            problem,
        } => problem,
        error => panic!("{error}"),
    }
}

#[test]
fn a_writer_with_other_order_narrower_types_and_more_fields_is_read() {
    let writer = WriterSchema::parse::<Usage>(
        r#"{"type": "record", "name": "com.example.Usage", "fields": [
            {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["sms", "data"]}},
            {"name": "cell", "type": ["null", "string"]},
            {"name": "quantity", "type": "int"},
            {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "user_id", "type": "int"},
            {"name": "event_id", "type": "string"}
        ]}"#,
    )
    .unwrap();
    let datum = [&[2, 2, 4][..], b"c7", &[10, 14, 6, 4], b"e1"].concat();
    let expected = Usage {
        user_id: UserId::new(3).unwrap(),
        event_id: "e1".to_owned(),
        occurred_at: Timestamp(7),
        kind: UsageKind::Data,
        quantity: 5,
    };
    assert_eq!(decode_datum::<Usage>(&writer, &datum), Ok(expected));
}

#[test]
fn the_published_schema_is_a_writers_schema() {
    let writer = WriterSchema::parse::<Subscriber>(schema_json::<Subscriber>()).unwrap();
    let mut datum = Vec::new();
    Encoder::new()
        .encode_datum(&samples::subscriber(), &mut datum)
        .unwrap();
    assert_eq!(
        decode_datum::<Subscriber>(&writer, &datum),
        Ok(samples::subscriber())
    );
}

#[test]
fn a_writer_that_means_milliseconds_is_refused() {
    let json = schema_json::<Usage>().replace("timestamp-micros", "timestamp-millis");
    assert_eq!(
        problem(&json),
        WriterSchemaProblem::OtherMeaning {
            field: "occurred_at".to_owned()
        }
    );
}

#[test]
fn a_writer_of_another_record_is_refused() {
    assert_eq!(
        problem(schema_json::<Subscriber>()),
        WriterSchemaProblem::OtherName
    );
    assert_eq!(problem("\"string\""), WriterSchemaProblem::OtherName);
}

#[test]
fn a_text_that_is_no_schema_is_refused() {
    assert_eq!(problem("{"), WriterSchemaProblem::Unreadable);
    assert_eq!(
        problem(r#"{"type": "record"}"#),
        WriterSchemaProblem::Unreadable
    );
}

#[test]
fn a_writers_schema_reads_no_other_record() {
    let writer = WriterSchema::parse::<Subscriber>(schema_json::<Subscriber>()).unwrap();
    assert!(matches!(
        decode_datum::<Usage>(&writer, &[]),
        Err(CodecError::WriterSchema {
            problem: WriterSchemaProblem::OtherName,
            ..
        })
    ));
}

#[test]
fn a_field_that_a_writer_leaves_out_and_that_has_no_default_is_missed() {
    let writer = WriterSchema::parse::<Usage>(
        r#"{"type": "record", "name": "Usage", "fields": [{"name": "user_id", "type": "long"}]}"#,
    )
    .unwrap();
    let error = decode_datum::<Usage>(&writer, &[2]).unwrap_err();
    let (record, position_bytes, length_bytes) = (RecordType::Usage, 1, 1);
    assert_eq!(
        error,
        CodecError::Malformed {
            record,
            position_bytes,
            length_bytes
        }
    );
}
