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

/// Short and many, in turn: the best of each is then from a moment when nothing else ran.
const ROUNDS: usize = 200;

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

/// The best round of each, in nanoseconds for one call.
fn measure<const N: usize>(times: usize, mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (call, best) in calls.iter_mut().zip(&mut best) {
            let began = Instant::now();
            (0..times).for_each(|_| call());
            *best = best.min(began.elapsed().as_secs_f64() * 1e9 / times as f64);
        }
    }
    best
}

fn tell(what: &str, [plain, single, registered]: [f64; 3]) {
    println!(
        "{what:<18} plain {plain:>7.1} ns, single-object {single:>7.1} ({:.2}), registered {registered:>7.1} ({:.2})",
        single / plain,
        registered / plain
    );
}

fn compare<R: Record>(fixture: &str, times: usize) {
    let record: R = decode(&unhex(fixture)).unwrap();
    let id = SchemaId::new(7).unwrap();
    let framing = Framing::Registered { id, place: None };
    // without a choice of framing: a header of constant length, then the datum
    let header = *encode(&record).unwrap().first_chunk::<10>().unwrap();
    let [mut plain, mut single, mut registered] =
        [Encoder::new(), Encoder::new(), Encoder::framed(framing)];
    let mut outs = [(); 3].map(|()| Vec::with_capacity(1 << 16));
    let [out_plain, out_single, out_registered] = &mut outs;
    let best = measure(
        times,
        [
            &mut || {
                out_plain.clear();
                out_plain.extend_from_slice(black_box(&header));
                plain.encode_datum(black_box(&record), out_plain).unwrap();
            },
            &mut || {
                out_single.clear();
                single.encode(black_box(&record), out_single).unwrap();
            },
            &mut || {
                out_registered.clear();
                registered
                    .encode(black_box(&record), out_registered)
                    .unwrap();
            },
        ],
    );
    tell(&format!("{} encode", R::NAME), best);

    let [_, single, registered] = &outs;
    let source: Arc<dyn WriterSchemas> = Arc::new(One(schema_json::<R>().into()));
    let mut decoders = [(); 2].map(|()| Decoder::<R>::asking(Arc::clone(&source)));
    let [of_single, of_registered] = &mut decoders;
    let best = measure(
        times,
        [
            &mut || {
                black_box(decode::<R>(black_box(single)).unwrap());
            },
            &mut || {
                black_box(of_single.decode(black_box(single)).unwrap());
            },
            &mut || {
                black_box(of_registered.decode(black_box(registered)).unwrap());
            },
        ],
    );
    tell(&format!("{} decode", R::NAME), best);
}

fn main() {
    compare::<Usage>(include_str!("../tests/fixtures/usage.hex"), 10_000);
    compare::<Statement>(include_str!("../tests/fixtures/statement.hex"), 1_000);
    compare::<Dispatch>(include_str!("../tests/fixtures/dispatch.hex"), 4_000);
}
