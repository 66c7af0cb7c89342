//! The framing of a schema registry: ids, unions, schemas of other writers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use sealpost_schemas::codec::{
    CodecError, Decoder, Encoder, Framing, NoSchema, Place, Record, RecordType, SchemaId,
    WriterSchemaProblem, WriterSchemas, encode, schema_json, schema_json_of,
};
use sealpost_schemas::record::{
    Delivery, Dispatch, Returned, RouteNotice, Subscriber, Usage, UsageKind,
};
use sealpost_schemas::{Timestamp, UserId};

use crate::samples;

/// A registry of fixed answers that counts questions.
#[derive(Default)]
struct Shelf {
    schemas: Mutex<BTreeMap<SchemaId, Result<Arc<str>, NoSchema>>>,
    asked: AtomicUsize,
}

impl Shelf {
    fn with(id: u32, json: &str) -> Arc<Self> {
        let shelf = Arc::new(Self::default());
        shelf.put(id, Ok(json.into()));
        shelf
    }

    fn put(&self, id: u32, answer: Result<Arc<str>, NoSchema>) {
        self.schemas.lock().unwrap().insert(schema_id(id), answer);
    }
}

impl WriterSchemas for Shelf {
    fn writer_schema(&self, id: SchemaId) -> Result<Arc<str>, NoSchema> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let schemas = self.schemas.lock().unwrap();
        schemas.get(&id).cloned().unwrap_or(Err(NoSchema::Unknown))
    }
}

fn schema_id(id: u32) -> SchemaId {
    SchemaId::new(id).unwrap()
}

fn alone(id: u32) -> Framing {
    Framing::Registered {
        id: schema_id(id),
        place: None,
    }
}

fn at(id: u32, place: usize) -> Framing {
    Framing::Registered {
        id: schema_id(id),
        place: Place::new(place),
    }
}

fn framed<R: Record>(framing: Framing, record: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::framed(framing).encode(record, &mut bytes).unwrap();
    bytes
}

/// A varint as Avro writes numbers.
fn number(value: i64) -> Vec<u8> {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while zigzag >= 0x80 {
        bytes.push(u8::try_from(zigzag & 0x7f).unwrap() | 0x80);
        zigzag >>= 7;
    }
    bytes.push(u8::try_from(zigzag).unwrap());
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [number(value.len().try_into().unwrap()), value.into()].concat()
}

/// What a writer with a schema of its own wrote.
fn foreign(id: u32, datum: &[Vec<u8>]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &datum.concat()].concat()
}

fn usage() -> Usage {
    Usage {
        user_id: UserId::new(42).unwrap(),
        event_id: "e-1".to_owned(),
        occurred_at: Timestamp(1_767_225_600_000_000),
        kind: UsageKind::Voice,
        quantity: 90,
    }
}

#[test]
fn a_registered_record_is_zero_the_id_big_endian_and_the_datum() {
    let datum = &encode(&samples::usage()).unwrap()[10..];
    let bytes = framed(alone(0x0102_0304), &samples::usage());
    assert_eq!(bytes, [&[0, 1, 2, 3, 4], datum].concat());
}

#[test]
fn a_record_of_a_union_names_its_place_before_the_datum() {
    let datum = &encode(&samples::route_notice()).unwrap()[10..];
    let bytes = framed(at(7, 1), &samples::route_notice());
    assert_eq!(bytes, [&[0, 0, 0, 0, 7, 2], datum].concat());
}

#[test]
fn an_encoder_that_fails_leaves_what_was_there() {
    let mut bytes = vec![9];
    let mut encoder = Encoder::framed(alone(1));
    encoder.encode(&samples::usage(), &mut bytes).unwrap();
    assert_eq!(bytes[0], 9);
    assert_eq!(bytes[1..], framed(alone(1), &samples::usage())[..]);
}

#[test]
fn no_id_beyond_31_bits_and_no_place_beyond_63() {
    assert_eq!(SchemaId::new(1 << 31), None);
    assert_eq!(
        SchemaId::new(i32::MAX.cast_unsigned()).map(SchemaId::get),
        Some(i32::MAX.cast_unsigned())
    );
    assert!(Place::new(63).is_some() && Place::new(64).is_none());
}

#[test]
fn a_decoder_reads_both_framings() {
    let shelf = Shelf::with(5, schema_json::<Subscriber>());
    let mut decoder = Decoder::asking(shelf);
    for bytes in [
        encode(&samples::subscriber()).unwrap(),
        framed(alone(5), &samples::subscriber()),
    ] {
        assert!(decoder.reads(&bytes));
        assert_eq!(decoder.decode(&bytes), Ok(samples::subscriber()));
    }
}

#[test]
fn a_schema_is_asked_for_once() {
    let shelf = Shelf::with(5, schema_json::<Usage>());
    shelf.put(6, Ok(schema_json::<Usage>().into()));
    let mut decoder = Decoder::<Usage>::asking(Arc::clone(&shelf) as _);
    for _ in 0..3 {
        for id in [5, 6] {
            let bytes = framed(alone(id), &samples::usage());
            assert_eq!(decoder.decode(&bytes), Ok(samples::usage()));
        }
    }
    assert_eq!(shelf.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn records_of_a_union_are_told_apart_by_their_place() {
    let json = schema_json_of(&[RecordType::Dispatch, RecordType::RouteNotice]);
    let shelf = Shelf::with(8, &json);
    let mut dispatches = Decoder::<Dispatch>::asking(Arc::clone(&shelf) as _);
    let mut notices = Decoder::<RouteNotice>::asking(shelf);
    let dispatch = framed(at(8, 0), &samples::dispatch());
    let notice = framed(at(8, 1), &samples::route_notice());

    assert_eq!(dispatches.decode(&dispatch), Ok(samples::dispatch()));
    assert_eq!(notices.decode(&notice), Ok(samples::route_notice()));
    assert!(!notices.reads(&dispatch) && !dispatches.reads(&notice));
    assert_eq!(
        dispatches.decode(&notice),
        Err(CodecError::OtherBranch {
            record: RecordType::Dispatch
        })
    );
}

#[test]
fn a_delivery_and_what_was_given_back_are_a_union_that_can_be_read() {
    let json = schema_json_of(&[RecordType::Delivery, RecordType::Returned]);
    let shelf = Shelf::with(9, &json);
    let mut deliveries = Decoder::<Delivery>::asking(Arc::clone(&shelf) as _);
    let mut returned = Decoder::<Returned>::asking(shelf);
    let delivery = framed(at(9, 0), &samples::delivery());
    let back = framed(at(9, 1), &samples::returned());
    assert_eq!(deliveries.decode(&delivery), Ok(samples::delivery()));
    assert_eq!(returned.decode(&back), Ok(samples::returned()));
    assert!(!returned.reads(&delivery) && !deliveries.reads(&back));
}

#[test]
fn a_writer_may_order_fields_otherwise_have_more_of_them_and_narrower_numbers() {
    let shelf = Shelf::with(
        77,
        r#"{"type": "record", "name": "Usage", "namespace": "com.example.mediation", "fields": [
            {"name": "cell", "type": {"type": "record", "name": "Cell", "fields": [
                {"name": "lac", "type": "int"}, {"name": "tags", "type": {"type": "array", "items": "string"}}]}},
            {"name": "quantity", "type": "int"},
            {"name": "kind", "type": {"type": "enum", "name": "K", "symbols": ["content", "sms", "voice", "data"]}},
            {"name": "event_id", "type": ["null", "string"]},
            {"name": "occurred_at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "user_id", "type": "long"},
            {"name": "roaming", "type": ["null", "string"], "default": null}]}"#,
    );
    let datum = [
        number(7),
        number(1),
        text("urban"),
        number(0),
        number(90),
        number(2),
        number(1),
        text("e-1"),
        number(1_767_225_600_000_000),
        number(42),
        number(0),
    ];
    let mut decoder = Decoder::asking(shelf);
    assert_eq!(decoder.decode(&foreign(77, &datum)), Ok(usage()));
}

#[test]
fn a_writer_may_leave_out_what_has_a_default() {
    let mut json: serde_json::Value = serde_json::from_str(schema_json::<Subscriber>()).unwrap();
    let fields = json["fields"].as_array_mut().unwrap();
    fields.retain(|field| field.get("default").is_none());
    assert!(fields.len() < 10 && fields.len() > 4);
    let json = json.to_string();
    let writer = serde_json::from_str::<serde_json::Value>(&json).unwrap();
    assert!(writer["fields"].is_array());

    // user, plan, contract open, soldier open, no windows, no contacts, no destinations
    let none = || number(0);
    let datum = [
        vec![number(42), text("PLN-001")],
        (0..2 + 2 + 3 + 3 + 1).map(|_| none()).collect(),
    ]
    .concat();
    let subscriber = Decoder::<Subscriber>::asking(Shelf::with(3, &json))
        .decode(&foreign(3, &datum))
        .unwrap();
    let (user, plan) = (subscriber.user_id.get(), subscriber.plan.as_str());
    assert_eq!((user, plan), (42, "PLN-001"));
    assert!(subscriber.options.is_empty() && subscriber.welfare.is_none());
}

#[test]
fn a_symbol_that_we_do_not_have_is_refused_where_it_is_used() {
    let json = schema_json::<Usage>().replace("\"content\"]", "\"content\", \"roaming\"]");
    let mut decoder = Decoder::<Usage>::asking(Shelf::with(4, &json));
    let datum = |kind| {
        let fields = [
            number(42),
            text("e-1"),
            number(1_767_225_600_000_000),
            number(kind),
            number(90),
        ];
        foreign(4, &fields)
    };
    assert_eq!(decoder.decode(&datum(1)), Ok(usage()));
    let refused = decoder.decode(&datum(4)).unwrap_err();
    assert!(matches!(refused, CodecError::Malformed { .. }));
    assert!(!refused.is_retryable());
}

#[test]
fn a_field_deep_down_that_means_something_else_is_refused() {
    let json = schema_json::<Subscriber>().replacen("\"date\"", "\"time-millis\"", 1);
    let mut decoder = Decoder::<Subscriber>::asking(Shelf::with(4, &json));
    let problem = WriterSchemaProblem::OtherMeaning {
        field: "contract.start".to_owned(),
    };
    assert_eq!(
        decoder.decode(&framed(alone(4), &samples::subscriber())),
        Err(CodecError::WriterSchema {
            record: RecordType::Subscriber,
            problem
        })
    );
}

#[test]
fn an_id_of_another_record_or_of_no_avro_schema_is_refused_for_good() {
    let shelf = Shelf::with(1, schema_json::<Subscriber>());
    shelf.put(2, Err(NoSchema::NotAvro));
    shelf.put(3, Ok("{".into()));
    let mut decoder = Decoder::<Usage>::asking(shelf);
    for (id, problem) in [
        (1, WriterSchemaProblem::OtherName),
        (2, WriterSchemaProblem::Unreadable),
        (3, WriterSchemaProblem::Unreadable),
    ] {
        let refused = decoder.decode(&framed(alone(id), &samples::usage()));
        let record = RecordType::Usage;
        assert_eq!(refused, Err(CodecError::WriterSchema { record, problem }));
    }
}

#[test]
fn an_id_that_nobody_knows_is_refused() {
    let mut decoder = Decoder::<Usage>::asking(Arc::new(Shelf::default()));
    let bytes = framed(alone(9), &samples::usage());
    let error = decoder.decode(&bytes).unwrap_err();
    let (record, id) = (RecordType::Usage, schema_id(9));
    assert_eq!(error, CodecError::UnknownId { record, id });
    assert!(!error.is_retryable());
    assert!(decoder.is_surely_a_record(&bytes));
    assert!(!decoder.is_surely_a_record(&bytes[..bytes.len() - 1]));
}

#[test]
fn a_registry_that_says_nothing_is_no_reason_to_refuse_a_record() {
    let shelf = Arc::new(Shelf::default());
    shelf.put(9, Err(NoSchema::Silent("connection refused".to_owned())));
    let mut decoder = Decoder::<Usage>::asking(Arc::clone(&shelf) as _);
    let bytes = framed(alone(9), &samples::usage());
    assert!(decoder.decode(&bytes).unwrap_err().is_retryable());

    shelf.put(9, Ok(schema_json::<Usage>().into()));
    assert_eq!(decoder.decode(&bytes), Ok(samples::usage()));
}

#[test]
fn without_a_registry_a_framed_record_says_so_and_noise_is_noise() {
    let mut decoder = Decoder::<Usage>::new();
    let (record, id) = (RecordType::Usage, schema_id(9));
    assert_eq!(
        decoder.decode(&framed(alone(9), &samples::usage())),
        Err(CodecError::NoRegistry { record, id })
    );
    for noise in [&[0; 64][..], &[0; 3], &[], b"{\"user_id\": 1}"] {
        let length_bytes = noise.len();
        let expected = CodecError::NotSingleObject {
            record,
            length_bytes,
        };
        assert_eq!(decoder.decode(noise), Err(expected));
    }
}

#[test]
fn many_ids_are_read_without_keeping_them_all() {
    let shelf = Arc::new(Shelf::default());
    for id in 0..500 {
        shelf.put(id, Ok(schema_json::<Usage>().into()));
    }
    let mut decoder = Decoder::<Usage>::asking(Arc::clone(&shelf) as _);
    for id in (0..500).chain([499, 498, 0]) {
        let bytes = framed(alone(id), &samples::usage());
        assert_eq!(decoder.decode(&bytes), Ok(samples::usage()));
    }
    assert_eq!(shelf.asked.load(Ordering::SeqCst), 501);
}
