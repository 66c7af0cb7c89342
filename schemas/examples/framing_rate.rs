//! What framing costs: records in single-object encoding beside the same with a registry's ids.
//! `cargo run --release --workspace --example framing_rate`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, run by hand"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use sealpost_schemas::codec::{
    Decoder, Encoder, Framing, NoSchema, Record, SchemaId, WriterSchemas, decode, encode,
    schema_json,
};
use sealpost_schemas::record::{Dispatch, Statement, Usage};

const ROUNDS: usize = 7;

/// Knows one schema.
struct One(Arc<str>);

impl WriterSchemas for One {
    fn writer_schema(&self, _: SchemaId) -> Result<Arc<str>, NoSchema> {
        Ok(Arc::clone(&self.0))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let byte = |pair: &[u32]| pair.iter().fold(0, |byte, digit| byte * 16 + digit);
    digits
        .chunks(2)
        .map(|pair| u8::try_from(byte(pair)).unwrap())
        .collect()
}

/// The best of some rounds, in nanoseconds for one call.
fn measure(times: usize, mut call: impl FnMut()) -> f64 {
    let round = |_| {
        let began = Instant::now();
        (0..times).for_each(|_| call());
        began.elapsed().as_secs_f64() * 1e9 / times as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn tell(what: &str, before: f64, single: f64, registered: f64) {
    println!(
        "{what:<18} plain {before:>7.1} ns, single-object {single:>7.1} ({:.2}), registered {registered:>7.1} ({:.2})",
        single / before,
        registered / before
    );
}

fn compare<R: Record>(fixture: &str, times: usize) {
    let record: R = decode(&unhex(fixture)).unwrap();
    let id = SchemaId::new(7).unwrap();
    let framing = Framing::Registered { id, place: None };
    let mut out = Vec::with_capacity(1 << 16);
    let mut encoded = |encoder: &mut Encoder<R>| {
        measure(times, || {
            out.clear();
            encoder.encode(black_box(&record), &mut out).unwrap();
            black_box(&out);
        })
    };
    let single = encoded(&mut Encoder::new());
    let registered = encoded(&mut Encoder::framed(framing));
    // without a choice of framing: a header of constant length, then the datum
    let header = *encode(&record).unwrap().first_chunk::<10>().unwrap();
    let mut datum = Encoder::new();
    let plain = measure(times, || {
        out.clear();
        out.extend_from_slice(black_box(&header));
        datum.encode_datum(black_box(&record), &mut out).unwrap();
        black_box(&out);
    });
    tell(&format!("{} encode", R::NAME), plain, single, registered);

    let single = encode(&record).unwrap();
    let mut registered = Vec::new();
    Encoder::framed(framing)
        .encode(&record, &mut registered)
        .unwrap();
    let mut decoder = Decoder::<R>::asking(Arc::new(One(schema_json::<R>().into())));
    let plain = measure(times, || {
        black_box(decode::<R>(black_box(&single)).unwrap());
    });
    let mut decoded = |bytes: &[u8]| {
        measure(times, || {
            black_box(decoder.decode(black_box(bytes)).unwrap());
        })
    };
    let (single, registered) = (decoded(&single), decoded(&registered));
    tell(&format!("{} decode", R::NAME), plain, single, registered);
}

fn main() {
    compare::<Usage>(include_str!("../tests/fixtures/usage.hex"), 300_000);
    compare::<Statement>(include_str!("../tests/fixtures/statement.hex"), 30_000);
    compare::<Dispatch>(include_str!("../tests/fixtures/dispatch.hex"), 100_000);
}
