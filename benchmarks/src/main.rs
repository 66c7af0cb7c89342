//! The floor: the same operators, the same coding, sealing and compressing as the pipeline, in a
//! bare loop in memory: no log, no threads passing records, no disk, no provider.
//!
//! `floor DIR` reads the Parquet files that `sealpost seed` wrote to DIR (not timed), shares the
//! users out to as many threads as there are cores, lets each take its users through the whole
//! job, and prints one JSON object.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use sealpost::door::{Door, Row, inspect};
use sealpost_benchmarks::{MapTable, Rows};
use sealpost_operators::gate::{
    self, Answer, CallId, ChannelRule, Completion, Doubt, Effect, Gate, Permit,
};
use sealpost_operators::render::TemplateSet;
use sealpost_operators::route::{self, Router, TemplateCache};
use sealpost_operators::settle::{self, Settle};
use sealpost_operators::table::Source;
use sealpost_operators::windows::WindowRule;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::codec::{self, Encoder, Record};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Action, Close, Command, Delivery, Dispatch, Policy, Rank, Statement, Subscriber, Usage,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Channel, Period, Timestamp};
use sealpost_topology::batch::{Batch, RecordBatch};
use sealpost_topology::types::{Offset, TimeMs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records of one batch: as many bytes as the pipeline's largest.
const BATCH_BYTES: usize = 512 * 1024;
const FAILURE_RATE: f64 = 0.01;

/// Encodes, compresses, decompresses and decodes records, as a topic between two stages does.
fn through_a_topic<R: Record>(
    records: impl IntoIterator<Item = R>,
    mut see: impl FnMut(u64, R, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut encoder = Encoder::<R>::new();
    let mut scratch = Vec::new();
    let mut batch = Batch::default();
    let mut base = 0;
    let mut pass = |batch: Batch, base: &mut u64| -> Result<()> {
        let stored = batch.encode(TimeMs(0));
        let read = RecordBatch::decode(Offset(*base), &stored)?;
        *base = read.next_offset().0;
        for record in read.iter() {
            let value = record.value.unwrap_or_default();
            see(record.offset.0, codec::decode(value)?, value)?;
        }
        Ok(())
    };
    for record in records {
        scratch.clear();
        encoder.encode(&record, &mut scratch)?;
        batch.push(b"1000000000/2026-01", Some(&scratch));
        if batch.bytes() >= BATCH_BYTES {
            pass(std::mem::take(&mut batch), &mut base)?;
        }
    }
    if batch.is_empty() {
        Ok(())
    } else {
        pass(batch, &mut base)
    }
}

struct Input {
    subscribers: Vec<Subscriber>,
    usage: Vec<Usage>,
}

fn whole_job(input: Input, ring: &Arc<KeyRing>, period: Period) -> Result<[f64; 4]> {
    let mut seconds = [0.0; 4];
    let mut began = Instant::now();
    let mut lap = |place: usize| {
        if let Some(seconds) = seconds.get_mut(place) {
            *seconds = began.elapsed().as_secs_f64();
        }
        began = Instant::now();
    };
    let now = Timestamp(1);
    let mut settle = Settle::new("Asia/Seoul")?;
    let (mut accounts, mut rows, mut settled) = (MapTable::default(), Rows::default(), Vec::new());
    through_a_topic(
        input.subscribers,
        |offset, subscriber: Subscriber, value| {
            rows.0.push(value.to_vec());
            let mut scope = settle::Scope {
                table: &mut accounts,
                history: &mut Rows::default(),
                out: &mut settled,
            };
            Ok(settle.on_subscriber(offset, &subscriber, &mut scope)?)
        },
    )?;
    through_a_topic(input.usage, |offset, usage: Usage, value| {
        let mut scope = settle::Scope {
            table: &mut accounts,
            history: &mut Rows::default(),
            out: &mut settled,
        };
        Ok(settle.on_usage(offset, &usage, value, &mut scope)?)
    })?;
    lap(0);

    let catalog = Catalog::built_in();
    let templates = TemplateSet::built_in_sources();
    let policy = Policy {
        channels: vec![Channel::Email, Channel::Sms, Channel::Kakao],
        attempts_per_channel: 3,
    };
    let close = Command {
        command_id: "close".to_owned(),
        issued_at: now,
        action: Action::Close(Close {
            period,
            usage_end: 0,
            subscribers_end: i64::MAX,
            catalog_digest: catalog.digest(),
            catalog: catalog.text().to_owned(),
            template_digest: TemplateSet::digest_of(&templates),
            templates,
            policy: policy.clone(),
            time_zone: "Asia/Seoul".to_owned(),
            not_before: None,
        }),
        by: None,
    };
    settle.positioned(Source::Subscribers, u64::MAX);
    let mut scope = settle::Scope {
        table: &mut accounts,
        history: &mut rows,
        out: &mut settled,
    };
    settle.on_command(close.clone(), &mut scope)?;
    while settle.advance(&mut scope)? {}
    let statements: Vec<Statement> = settled
        .into_iter()
        .filter_map(|output| match output {
            settle::Output::Statement(statement) => Some(*statement),
            settle::Output::Refused { .. } => None,
        })
        .collect();
    lap(1);

    let mut router = Router::new(
        Arc::clone(ring),
        WindowRule::Ignore,
        TemplateCache::default(),
        policy,
    );
    let (mut routes, mut kept, mut routed) = (MapTable::default(), Rows::default(), Vec::new());
    let mut scope = route::Scope {
        table: &mut routes,
        history: &mut Rows::default(),
        out: &mut routed,
        now,
    };
    router.on_command(&close, &mut scope)?;
    let rule = ChannelRule {
        start_within_ms: 1_000,
        grace_ms: 1_000,
        doubt: Doubt::Ask,
        backoff_ms: 100,
    };
    let mut gate = Gate::new([rule; Channel::ALL.len()], usize::MAX);
    let mut states = MapTable::default();
    let mut position = 0;
    // in portions, so that no more is in memory than the pipeline has
    let mut render = |statements: Vec<Statement>,
                      routes: &mut MapTable,
                      kept: &mut Rows|
     -> Result<Vec<Dispatch>> {
        let mut dispatches = Vec::new();
        through_a_topic(statements, |_, statement: Statement, value| {
            let offset = kept.0.len() as u64;
            kept.0.push(value.to_vec());
            let mut scope = route::Scope {
                table: routes,
                history: &mut Rows::default(),
                out: &mut routed,
                now,
            };
            router.on_statement(offset, &statement, &mut scope)?;
            Ok(())
        })?;
        dispatches.extend(routed.drain(..).filter_map(dispatch));
        Ok(dispatches)
    };
    let mut failed = Vec::new();
    let mut statements = statements.into_iter().peekable();
    let mut send_seconds = 0.0;
    while statements.peek().is_some() {
        let dispatches = render(
            statements.by_ref().take(1_000).collect(),
            &mut routes,
            &mut kept,
        )?;
        let sending = Instant::now();
        failed.extend(send(
            dispatches,
            &mut gate,
            &mut states,
            &mut position,
            ring,
        )?);
        send_seconds += sending.elapsed().as_secs_f64();
    }
    lap(2);
    // what came back: the routes move on, and what failed is rendered and sent again
    while !failed.is_empty() {
        let mut dispatches = Vec::new();
        through_a_topic(std::mem::take(&mut failed), |_, delivery: Delivery, _| {
            let mut out = Vec::new();
            let mut scope = route::Scope {
                table: &mut routes,
                history: &mut kept,
                out: &mut out,
                now,
            };
            router.on_delivery(&delivery, &mut scope)?;
            dispatches.extend(out.into_iter().filter_map(dispatch));
            Ok(())
        })?;
        failed = send(dispatches, &mut gate, &mut states, &mut position, ring)?;
    }
    lap(3);
    // render and send are interleaved above: told apart here
    let [_, _, render, send] = &mut seconds;
    *render -= send_seconds;
    *send += send_seconds;
    Ok(seconds)
}

fn dispatch(output: route::Output) -> Option<Dispatch> {
    match output {
        route::Output::Dispatch(dispatch) => Some(*dispatch),
        route::Output::Notice(_) => None,
    }
}

fn send(
    dispatches: Vec<Dispatch>,
    gate: &mut Gate,
    states: &mut MapTable,
    position: &mut u64,
    ring: &Arc<KeyRing>,
) -> Result<Vec<Delivery>> {
    let (mut out, mut effects) = (Vec::new(), Vec::new());
    let mut holds = MapTable::default();
    let now = Timestamp(1);
    through_a_topic(dispatches, |_, dispatch: Dispatch, _| {
        let mut scope = gate::Scope {
            table: states,
            holds: &mut holds,
            out: &mut out,
            effects: &mut effects,
            now,
        };
        gate.on_dispatch(*position, dispatch, &mut scope)?;
        *position += 1;
        Ok(())
    })?;
    let mut scope = gate::Scope {
        table: states,
        holds: &mut holds,
        out: &mut out,
        effects: &mut effects,
        now,
    };
    gate.advance(&mut scope)?;
    while !effects.is_empty() {
        for effect in std::mem::take(&mut effects) {
            let completion = match effect {
                Effect::AskPermits(channel, _, count) => {
                    Completion::Permits(channel, Permit::Any(Rank::Primary), count)
                }
                Effect::Call(dispatch, deadline_at, _) => {
                    let id = CallId::of(&dispatch);
                    let purpose = Purpose::destination(dispatch.channel);
                    ring.open(purpose, dispatch.user_id, &dispatch.destination)?;
                    let refused =
                        (dispatch.message_key.draw() as f64) < FAILURE_RATE * u64::MAX as f64;
                    Completion::Answered(
                        id,
                        deadline_at,
                        if refused {
                            Answer::Refused("simulated")
                        } else {
                            Answer::Accepted {
                                provider_message_id: Some(id.message_key().to_string()),
                            }
                        },
                    )
                }
                Effect::ReturnPermits(..) | Effect::Ask(..) => continue,
            };
            let mut scope = gate::Scope {
                table: states,
                holds: &mut holds,
                out: &mut out,
                effects: &mut effects,
                now,
            };
            gate.on_completion(completion, &mut scope)?;
        }
    }
    Ok(out
        .into_iter()
        .filter_map(|output| match output {
            gate::Output::Delivery(delivery) => Some(*delivery),
            gate::Output::Returned(_) => None,
        })
        .collect())
}

#[allow(clippy::print_stdout, reason = "the result goes to stdout")]
fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [folder, keys] = arguments.as_slice() else {
        bail!(
            "usage: floor DIR KEYS.json, with what `sealpost seed --period 2026-01 --out DIR` wrote"
        );
    };
    let ring = Arc::new(KeyRing::from_json(&std::fs::read_to_string(keys)?)?);
    let threads = std::thread::available_parallelism()?.get();
    let mut inputs: Vec<Input> = (0..threads)
        .map(|_| Input {
            subscribers: Vec::new(),
            usage: Vec::new(),
        })
        .collect();
    let door = Door::new(&ring, jiff::tz::TimeZone::UTC);
    let (mut users, mut events) = (0_u64, 0_u64);
    for input in inspect(std::slice::from_ref(folder))? {
        door.read(&input, &mut |_, row| {
            let user = match &row {
                Row::Subscriber(subscriber) => subscriber.user_id,
                Row::Usage(usage) => usage.user_id,
                Row::Refused(_) | Row::Suppression(_) => return Ok(()),
            };
            let place = usize::try_from(user.get())? % threads;
            let input = inputs.get_mut(place).context("a place for every thread")?;
            match row {
                Row::Subscriber(subscriber) => {
                    users += 1;
                    input.subscribers.push(subscriber);
                }
                Row::Usage(usage) => {
                    events += 1;
                    input.usage.push(usage);
                }
                Row::Refused(_) | Row::Suppression(_) => {}
            }
            Ok(())
        })?;
    }
    let period = Period::new(2026, 1)?;
    let began = Instant::now();
    let parts = std::thread::scope(|scope| {
        let running: Vec<_> = inputs
            .into_iter()
            .map(|input| scope.spawn(|| whole_job(input, &ring, period)))
            .collect();
        running
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    let wall = began.elapsed().as_secs_f64();
    let mut cpu = [0.0; 4];
    for part in &parts {
        for (total, seconds) in cpu.iter_mut().zip(part) {
            *total += seconds;
        }
    }
    let [ingest, settle, render, send] = cpu.map(|seconds| 1e6 * seconds / users.max(1) as f64);
    let result = serde_json::json!({
        "users": users, "events": events, "threads": threads, "wall_s": wall,
        "us_per_user": { "ingest": ingest, "settle": settle, "render": render, "send": send, "all": ingest + settle + render + send },
    });
    println!("{result}");
    Ok(())
}
