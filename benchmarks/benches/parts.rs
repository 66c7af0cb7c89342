//! Each part by itself, on what `seed` makes: time by criterion, and how often it allocates.
//!
//! `cargo bench -p sealpost-benchmarks`; the allocations are printed first.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "benches, which end when something is wrong"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sealpost::door::{Door, Row, inspect};
use sealpost::seed;
use sealpost_benchmarks::{MapTable, Rows};
use sealpost_operators::gate::{
    self, Answer, CallId, ChannelRule, Completion, Doubt, Effect, Gate, Permit,
};
use sealpost_operators::mask::{mask_email, mask_name, mask_phone};
use sealpost_operators::rating::{RatingInput, rate};
use sealpost_operators::render::TemplateSet;
use sealpost_operators::route::{self, Router, TemplateCache};
use sealpost_operators::settle::{self, Settle};
use sealpost_operators::table::Source;
use sealpost_operators::windows::WindowRule;
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::codec::{self, Encoder};
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{
    Action, Close, Command, Dispatch, Policy, Rank, Statement, Subscriber, Usage, UsageTotals,
};
use sealpost_schemas::sealed::Purpose;
use sealpost_schemas::{Channel, Period, Timestamp, UserId};
use sealpost_seeds::{Population, Seed, Settings};
use sealpost_topology::batch::{Batch, RecordBatch};
use sealpost_topology::log::{Cleanup, Durability, EmbeddedLog, Log as _, TopicSpec, Write};
use sealpost_topology::store::Store;
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};

const USERS: u64 = 200;
const NOW: Timestamp = Timestamp(1);

/// A small population, and what each stage makes of it.
struct Sample {
    ring: Arc<KeyRing>,
    subscribers: Vec<Subscriber>,
    usage: Vec<Usage>,
    statements: Vec<Statement>,
    dispatches: Vec<Dispatch>,
}

impl Sample {
    fn make() -> Self {
        let mut next = 0_u8;
        let ring = Arc::new(KeyRing::generate(&mut |bytes: &mut [u8]| {
            for byte in bytes {
                next = next.wrapping_add(41);
                *byte = next;
            }
        }));
        let settings = Settings::new(seed::offer(&Catalog::built_in()));
        let population = Population::new(Seed(42), USERS, period(), settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        seed::write(&population, &ring, folder.path(), &|_| ()).unwrap();
        let (mut subscribers, mut usage) = (Vec::new(), Vec::new());
        let door = Door::new(&ring, jiff::tz::TimeZone::UTC);
        for input in inspect(&[folder.path().to_owned()]).unwrap() {
            door.read(&input, &mut |_, row| {
                match row {
                    Row::Subscriber(subscriber) => subscribers.push(subscriber),
                    Row::Usage(event) => usage.push(event),
                    Row::Refused(_) | Row::Suppression(_) => unreachable!("it was just written"),
                }
                Ok(())
            })
            .unwrap();
        }
        let mut sample = Self {
            ring,
            subscribers,
            usage,
            statements: Vec::new(),
            dispatches: Vec::new(),
        };
        let mut world = Settling::new(&sample);
        world.take_in(&sample.usage);
        sample.statements = world.close();
        sample.dispatches = Rendering::new(&sample).render(&sample.statements);
        assert_eq!(sample.dispatches.len() as u64, USERS);
        sample
    }
}

fn period() -> Period {
    Period::new(2026, 1).unwrap()
}

fn policy() -> Policy {
    Policy {
        channels: vec![Channel::Email, Channel::Sms, Channel::Kakao],
        attempts_per_channel: 3,
    }
}

fn close_command() -> Command {
    let catalog = Catalog::built_in();
    let templates = TemplateSet::built_in_sources();
    Command {
        command_id: "close".to_owned(),
        issued_at: NOW,
        action: Action::Close(Close {
            period: period(),
            usage_end: 0,
            subscribers_end: i64::MAX,
            catalog_digest: catalog.digest(),
            catalog: catalog.text().to_owned(),
            template_digest: TemplateSet::digest_of(&templates),
            templates,
            policy: policy(),
            time_zone: "Asia/Seoul".to_owned(),
            not_before: None,
        }),
        by: None,
    }
}

/// Settle with everybody known.
struct Settling {
    settle: Settle,
    accounts: MapTable,
    rows: Rows,
}

impl Settling {
    fn new(sample: &Sample) -> Self {
        let mut settling = Self {
            settle: Settle::new("Asia/Seoul").unwrap(),
            accounts: MapTable::default(),
            rows: Rows::default(),
        };
        for (offset, subscriber) in (0..).zip(&sample.subscribers) {
            settling.rows.0.push(codec::encode(subscriber).unwrap());
            let mut scope = settle::Scope {
                table: &mut settling.accounts,
                history: &mut Rows::default(),
                out: &mut Vec::new(),
            };
            settling
                .settle
                .on_subscriber(offset, subscriber, &mut scope)
                .unwrap();
        }
        settling
    }

    fn take_in(&mut self, usage: &[Usage]) {
        let mut scope = settle::Scope {
            table: &mut self.accounts,
            history: &mut Rows::default(),
            out: &mut Vec::new(),
        };
        for (offset, event) in (0..).zip(usage) {
            self.settle
                .on_usage(offset, event, &[], &mut scope)
                .unwrap();
        }
    }

    fn close(&mut self) -> Vec<Statement> {
        self.settle.positioned(Source::Subscribers, u64::MAX);
        let mut out = Vec::new();
        let mut scope = settle::Scope {
            table: &mut self.accounts,
            history: &mut self.rows,
            out: &mut out,
        };
        self.settle.on_command(close_command(), &mut scope).unwrap();
        while self.settle.advance(&mut scope).unwrap() {}
        let statements = out.into_iter().filter_map(|output| match output {
            settle::Output::Statement(statement) => Some(*statement),
            settle::Output::Refused { .. } => None,
        });
        statements.collect()
    }
}

/// Render with a period that is closed.
struct Rendering {
    router: Router,
    routes: MapTable,
}

impl Rendering {
    fn new(sample: &Sample) -> Self {
        let mut rendering = Self {
            router: Router::new(
                Arc::clone(&sample.ring),
                WindowRule::Ignore,
                TemplateCache::default(),
                policy(),
            ),
            routes: MapTable::default(),
        };
        let mut scope = route::Scope {
            table: &mut rendering.routes,
            history: &mut Rows::default(),
            out: &mut Vec::new(),
            now: NOW,
        };
        rendering
            .router
            .on_command(&close_command(), &mut scope)
            .unwrap();
        rendering
    }

    fn render(&mut self, statements: &[Statement]) -> Vec<Dispatch> {
        let mut out = Vec::new();
        let mut scope = route::Scope {
            table: &mut self.routes,
            history: &mut Rows::default(),
            out: &mut out,
            now: NOW,
        };
        for (offset, statement) in (0..).zip(statements) {
            self.router
                .on_statement(offset, statement, &mut scope)
                .unwrap();
        }
        let dispatches = out.into_iter().filter_map(|output| match output {
            route::Output::Dispatch(dispatch) => Some(*dispatch),
            route::Output::Notice(_) => None,
        });
        dispatches.collect()
    }
}

/// From dispatches to outcomes, by a provider that takes everything. Returns how many it took.
fn send(dispatches: Vec<Dispatch>) -> usize {
    let rule = ChannelRule {
        start_within_ms: 1_000,
        grace_ms: 1_000,
        doubt: Doubt::Ask,
        backoff_ms: 100,
    };
    let mut gate = Gate::new([rule; Channel::ALL.len()], usize::MAX);
    let mut holds = MapTable::default();
    let (mut states, mut out, mut effects) = (MapTable::default(), Vec::new(), Vec::new());
    let mut pending = Vec::new();
    let mut scope = gate::Scope {
        table: &mut states,
        holds: &mut holds,
        out: &mut out,
        effects: &mut effects,
        now: NOW,
    };
    for (offset, dispatch) in (0..).zip(dispatches) {
        gate.on_dispatch(offset, dispatch, &mut scope).unwrap();
    }
    gate.advance(&mut scope).unwrap();
    pending.append(scope.effects);
    while let Some(effect) = pending.pop() {
        let completion = match effect {
            Effect::AskPermits(channel, _, count) => {
                Completion::Permits(channel, Permit::Any(Rank::Primary), count)
            }
            Effect::Call(dispatch, deadline_at, _) => {
                let taken = Answer::Accepted {
                    provider_message_id: None,
                };
                Completion::Answered(CallId::of(&dispatch), deadline_at, taken)
            }
            Effect::ReturnPermits(..) | Effect::Ask(..) => continue,
        };
        gate.on_completion(completion, &mut scope).unwrap();
        pending.append(scope.effects);
    }
    out.len()
}

fn usage_batch(usage: &[Usage]) -> Batch {
    let mut encoder = Encoder::<Usage>::new();
    let (mut batch, mut value) = (Batch::default(), Vec::new());
    for event in usage {
        value.clear();
        encoder.encode(event, &mut value).unwrap();
        batch.push(event.user_id.to_string().as_bytes(), Some(&value));
    }
    batch
}

/// Prints how often something allocates, and how much, for each of `count`.
fn allocations(name: &str, count: usize, work: impl FnOnce()) {
    let info = allocation_counter::measure(work);
    let of = |total: u64| total as f64 / count as f64;
    println!(
        "{name:32} {:8.2} allocations, {:8.0} bytes each",
        of(info.count_total),
        of(info.bytes_total)
    );
}

fn count_allocations(sample: &Sample) {
    let events = sample.usage.len();
    let users = sample.statements.len();
    let (usage, user) = (sample.usage.first().unwrap(), UserId::new(1).unwrap());
    let bytes = codec::encode(usage).unwrap();
    let mut encoder = Encoder::<Usage>::new();
    let mut value = Vec::with_capacity(4_096);
    allocations("codec: encode usage", 1, || {
        encoder.encode(usage, &mut value).unwrap();
    });
    allocations("codec: decode usage", 1, || {
        black_box(codec::decode::<Usage>(&bytes).unwrap());
    });
    allocations("sealed: seal", 1, || {
        let sealed = sample.ring.seal(Purpose::ProfileName, user, b"person");
        black_box(sealed.unwrap());
    });
    let mut settling = Settling::new(sample);
    allocations("settle: an event", events, || {
        settling.take_in(&sample.usage)
    });
    allocations("settle: a statement", users, || {
        black_box(settling.close());
    });
    let mut rendering = Rendering::new(sample);
    let (first, rest) = sample.statements.split_first().unwrap();
    // templates are compiled once
    rendering.render(std::slice::from_ref(first));
    let mut rendering_rest = || {
        black_box(rendering.render(rest));
    };
    allocations("render: a message", users - 1, &mut rendering_rest);
    let dispatches = sample.dispatches.clone();
    allocations("gate: intent, call, outcome", users, || {
        black_box(send(dispatches));
    });
    let batch = usage_batch(&sample.usage);
    allocations("batch: encode, a record", events, || {
        black_box(batch.encode(TimeMs(0)));
    });
}

fn coding(c: &mut Criterion, sample: &Sample) {
    let mut group = c.benchmark_group("codec");
    let (usage, statement) = (
        sample.usage.first().unwrap(),
        sample.statements.first().unwrap(),
    );
    let (usage_bytes, statement_bytes) = (
        codec::encode(usage).unwrap(),
        codec::encode(statement).unwrap(),
    );
    let (mut usages, mut statements) = (Encoder::<Usage>::new(), Encoder::<Statement>::new());
    let mut value = Vec::new();
    group.bench_function("encode usage", |b| {
        b.iter(|| {
            value.clear();
            usages.encode(usage, &mut value).unwrap();
        });
    });
    group.bench_function("decode usage", |b| {
        b.iter(|| codec::decode::<Usage>(black_box(&usage_bytes)).unwrap());
    });
    group.bench_function("encode statement", |b| {
        b.iter(|| {
            value.clear();
            statements.encode(statement, &mut value).unwrap();
        });
    });
    group.bench_function("decode statement", |b| {
        b.iter(|| codec::decode::<Statement>(black_box(&statement_bytes)).unwrap());
    });
    group.finish();

    let mut group = c.benchmark_group("batch");
    let batch = usage_batch(&sample.usage);
    let stored = batch.encode(TimeMs(0));
    group.throughput(Throughput::Elements(sample.usage.len() as u64));
    group.bench_function("encode", |b| b.iter(|| batch.encode(TimeMs(0))));
    group.bench_function("decode", |b| {
        b.iter(|| RecordBatch::decode(Offset(0), black_box(&stored)).unwrap());
    });
    group.finish();

    let mut group = c.benchmark_group("sealed");
    let (purpose, user) = (
        Purpose::destination(Channel::Email),
        UserId::new(7).unwrap(),
    );
    let address = b"someone@example.com";
    let sealed = sample.ring.seal(purpose, user, address).unwrap();
    group.bench_function("seal an address", |b| {
        b.iter(|| sample.ring.seal(purpose, user, black_box(address)).unwrap());
    });
    group.bench_function("open an address", |b| {
        b.iter(|| sample.ring.open(purpose, user, black_box(&sealed)).unwrap());
    });
    group.bench_function("token of an address", |b| {
        b.iter(|| {
            let address = black_box("someone@example.com");
            sample.ring.token(Channel::Email, address).unwrap()
        });
    });
    group.finish();
}

fn operators(c: &mut Criterion, sample: &Sample) {
    let mut group = c.benchmark_group("pure");
    let catalog = Catalog::built_in();
    let usage = UsageTotals {
        data_bytes: 2_300_000_000,
        ..UsageTotals::default()
    };
    let input = RatingInput {
        plan: "PLN-043",
        options: &[],
        contract: true,
        soldier: true,
        welfare: Some("WLF-03"),
        usage,
    };
    let mut lines = Vec::new();
    group.bench_function("rate", |b| {
        b.iter(|| {
            lines.clear();
            rate(&catalog, black_box(&input), &mut lines).unwrap()
        });
    });
    group.bench_function("mask name, mail, phone", |b| {
        b.iter(|| {
            (
                mask_name(black_box("홍길동")),
                mask_email(black_box("someone@example.com")),
                mask_phone(black_box("+821012345678")),
            )
        });
    });
    group.finish();

    let mut group = c.benchmark_group("settle");
    group.sample_size(20);
    group.throughput(Throughput::Elements(sample.usage.len() as u64));
    group.bench_function("usage", |b| {
        b.iter_batched_ref(
            || Settling::new(sample),
            |settling| settling.take_in(&sample.usage),
            BatchSize::LargeInput,
        );
    });
    group.throughput(Throughput::Elements(USERS));
    group.bench_function("close", |b| {
        b.iter_batched_ref(
            || {
                let mut settling = Settling::new(sample);
                settling.take_in(&sample.usage);
                settling
            },
            Settling::close,
            BatchSize::LargeInput,
        );
    });
    group.finish();

    let mut group = c.benchmark_group("render and send");
    group.sample_size(20);
    group.throughput(Throughput::Elements(USERS));
    let (first, rest) = sample.statements.split_first().unwrap();
    group.bench_function("render", |b| {
        b.iter_batched_ref(
            || {
                let mut rendering = Rendering::new(sample);
                rendering.render(std::slice::from_ref(first));
                rendering
            },
            |rendering| rendering.render(rest),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("gate", |b| {
        b.iter_batched(|| sample.dispatches.clone(), send, BatchSize::LargeInput);
    });
    group.finish();
}

fn storage(c: &mut Criterion, sample: &Sample) {
    let mut group = c.benchmark_group("store");
    let value = codec::encode(sample.statements.first().unwrap()).unwrap();
    let keys: Vec<_> = (0..10_000_u64).map(u64::to_be_bytes).collect();
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function("put", |b| {
        b.iter_batched_ref(
            Store::default,
            |store| keys.iter().for_each(|key| store.put(key, &value)),
            BatchSize::LargeInput,
        );
    });
    let mut store = Store::default();
    keys.iter().for_each(|key| store.put(key, &value));
    group.bench_function("get", |b| {
        b.iter(|| {
            let found = keys.iter().filter_map(|key| store.get(key));
            found.map(<[u8]>::len).sum::<usize>()
        });
    });
    group.finish();

    let mut group = c.benchmark_group("embedded log");
    group.sample_size(20);
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(|| TimeMs(0));
    let log = EmbeddedLog::open_directory(folder.path(), 1, clock).unwrap();
    let topic = Topic::new("bench");
    log.create(&[TopicSpec {
        topic: topic.clone(),
        cleanup: Cleanup::Keep,
    }])
    .unwrap();
    group.throughput(Throughput::Elements(sample.usage.len() as u64));
    for (name, durability) in [
        ("append, to survive the process", Durability::Process),
        ("append, to survive the machine", Durability::Machine),
    ] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || Write {
                    topic: topic.clone(),
                    shard: Shard(0),
                    batch: usage_batch(&sample.usage),
                },
                |write| log.append(vec![write], durability).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn parts(c: &mut Criterion) {
    let sample = Sample::make();
    count_allocations(&sample);
    coding(c, &sample);
    operators(c, &sample);
    storage(c, &sample);
}

criterion_group!(benches, parts);
criterion_main!(benches);
