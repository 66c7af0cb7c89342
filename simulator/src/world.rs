//! A run: upstream, operator, processes and provider, each moved on by one hand, and broken by it.
//!
//! First a storm in which anything may happen at any moment, then calm weather until nothing is
//! left to do, then the checks.

mod moves;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealpost::deployment::Deployment;
use sealpost::pipeline::Pipeline;
use sealpost::stages::user_key;
use sealpost::topics::Topics;
use sealpost_operators::route::TemplateCache;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Action, State};
use sealpost_schemas::sealed::KeyPurpose;
use sealpost_schemas::{Channel, Period, Timestamp, UserId};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, Faults, Log as _, MemoryLog, Progress, Write};
use sealpost_topology::partitioner::shard_of;
use sealpost_topology::types::Offset;

use crate::canary::Canary;
use crate::corrections::Corrections;
use crate::draw::Draw;
use crate::expect::Written;
use crate::lists::Lists;
use crate::marks::Mark;
use crate::operator::Operator;
use crate::plan::{Fault, Plan};
use crate::process::{Process, Site, config};
use crate::provider::Desk;
use crate::scene::{Event, Scene, Weather};
use crate::trace::Show;
use crate::upstream::{Content, Record, Upstream};
use crate::vitals::Vitals;

/// The first period that is closed.
const FIRST: (i16, i8) = (2026, 1);
/// Rounds of calm weather after which everything must have ended.
const ROUNDS_MAX: u32 = 6_000;
/// Steps of one worker in one round of calm weather.
const STEPS_A_ROUND: u32 = 64;
/// Longest leap of the clock while nothing happens.
const LEAP_MS_MAX: i64 = 12 * 60 * 60 * 1_000;
/// Longest time without anything happening until everything must have ended: a send day lies at
/// most two months ahead.
const IDLE_MS_MAX: i64 = 130 * 24 * 60 * 60 * 1_000;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What was wrong.
    pub violation: Option<String>,
    /// What was reached, how often.
    pub marks: BTreeMap<Mark, u64>,
    /// The digest of everything that happened.
    pub digest: String,
}

/// Runs a plan.
///
/// # Errors
/// When the simulator itself fails.
pub fn run(plan: Plan, canary: Option<Canary>, show: Show) -> Result<Ended> {
    let mut world = World::new(plan, canary, show)?;
    for _ in 0..world.site.scene.plan.moments {
        if world.site.scene.violation().is_some() {
            break;
        }
        world.moment()?;
    }
    if world.site.scene.violation().is_none() {
        world.calm_down()?;
    }
    if world.site.scene.violation().is_none() {
        world.check()?;
    }
    let scene = &world.site.scene;
    Ok(Ended {
        violation: scene.violation(),
        marks: scene.marks.counts(),
        digest: scene.trace.digest(),
    })
}

/// A place in which a process runs.
#[derive(Default)]
struct Slot {
    process: Option<Process>,
    /// It will be started.
    starts: bool,
    /// It will go on.
    thaws: bool,
    /// The key ring that its process has read.
    ring: usize,
}

/// See the module.
pub struct World {
    pub(crate) site: Site,
    pub(crate) operator: Operator,
    pub(crate) written: Written,
    pub(crate) closed: BTreeSet<Period>,
    pub(crate) zone: jiff::tz::TimeZone,
    upstream: Upstream,
    lists: Lists,
    corrections: Corrections,
    /// Bills that had ended suppressed, were let go in the end, and so must be sent.
    pub(crate) owed: BTreeSet<(UserId, Period)>,
    rings: Vec<KeyRing>,
    slots: Vec<Slot>,
    /// What is not written yet.
    to_close: Vec<Period>,
    users: Vec<UserId>,
    /// Generations of topics that were left.
    pub(crate) left: Vec<moves::Left>,
    /// Nobody starts meanwhile.
    moving: bool,
    draw: Draw,
    faults: Draw,
    keys: Draw,
    moves: Draw,
}

impl World {
    fn new(plan: Plan, canary: Option<Canary>, show: Show) -> Result<Self> {
        let seed = plan.seed;
        let zone = jiff::tz::TimeZone::get("Asia/Seoul")?;
        let begins = jiff::civil::date(2026, 2, 1)
            .at(9, 0, 0, 0)
            .to_zoned(zone.clone())?
            .timestamp()
            .as_microsecond();
        let scene = Arc::new(Scene::new(plan, canary, show, Timestamp(begins)));
        let clock = Arc::clone(&scene);
        let log = MemoryLog::in_memory(
            scene.plan.partitions,
            Arc::new(move || clock.now_ms()),
            Faults::default(),
        )?;
        let config = config(&scene);
        scene.suppressed.configured(config.policy());
        let pipeline = Pipeline::new(Topics::new(&config.log.topic_prefix));
        log.create(&pipeline.topic_specs())?;
        let deployment = Deployment::over(config.clone(), Arc::new(log.clone()));
        let site = Site {
            desk: Arc::new(Desk::new(Arc::clone(&scene))),
            log: log.clone(),
            pipeline,
            seats: Arc::default(),
            config,
            templates: TemplateCache::default(),
            scene: Arc::clone(&scene),
        };
        let mut keys = Draw::of(seed, "keys");
        let ring = KeyRing::generate(&mut |bytes| keys.fill(bytes));
        let users = (1..=scene.plan.users)
            .map(|user| UserId::new(user * 7))
            .collect::<Result<_, _>>()?;
        let first = Period::new(FIRST.0, FIRST.1)?;
        let to_close = (0..scene.plan.periods)
            .map(|month| Period::from_months(first.months() + month))
            .collect::<Result<_, _>>()?;
        let mut world = Self {
            operator: Operator::new(Arc::clone(&scene), log, deployment),
            written: Written::new(scene.plan.partitions as usize),
            closed: BTreeSet::new(),
            upstream: Upstream::new(seed, zone.clone()),
            lists: Lists::new(seed),
            corrections: Corrections::new(seed),
            owed: BTreeSet::new(),
            zone,
            rings: vec![ring],
            slots: Vec::new(),
            to_close,
            users,
            left: Vec::new(),
            moving: false,
            draw: Draw::of(seed, "schedule"),
            faults: Draw::of(seed, "faults"),
            keys,
            moves: Draw::of(seed, "moves"),
            site,
        };
        world.set_back(&[0, 1, 2])?;
        world.slots.resize_with(scene.plan.processes, Slot::default);
        for user in world.users.clone() {
            if !world.draw.one_in(5) {
                let record = world.row(user)?;
                world.write(vec![record])?;
            }
        }
        for slot in 0..scene.plan.processes {
            world.start(slot)?;
        }
        Ok(world)
    }

    fn scene(&self) -> Arc<Scene> {
        Arc::clone(&self.site.scene)
    }

    /// One moment of the storm.
    fn moment(&mut self) -> Result<()> {
        match self.draw.below(100) {
            0..=62 => {
                let slot = self.draw.place(self.slots.len());
                let worker = self.draw.below(100) as usize;
                self.step(slot, worker);
            }
            63..=75 => {
                let ms = self.draw.within(0, 500);
                self.pass(ms)?;
            }
            76..=78 => {
                let ms = self.draw.within(0, 6_000);
                self.pass(ms)?;
            }
            79..=85 => self.upstream_acts()?,
            86..=90 => self.operator_acts()?,
            _ => self.break_something()?,
        }
        self.suppression()?;
        self.correction()?;
        self.repartition()?;
        self.look_after()
    }

    /// The operator sends a follow-up, or says once more that it be sent.
    fn correction(&mut self) -> Result<()> {
        let scene = self.scene();
        if !scene.has(Fault::Correct) || !self.corrections.speaks() {
            return Ok(());
        }
        let closed: Vec<_> = self.closed.iter().copied().collect();
        let deployment = &self.operator.deployment;
        let Some(action) = self.corrections.act(&closed, deployment)? else {
            return Ok(());
        };
        let wait_ms = self.corrections.wait_ms();
        match wait_ms.filter(|_| scene.has(Fault::SlowOperator)) {
            Some(ms) => scene.schedule(scene.now().plus_ms(ms), Event::Command(action)),
            None => self.write_command(&action)?,
        }
        Ok(())
    }

    /// The operator suppresses addresses, or lets them be used again.
    fn suppression(&mut self) -> Result<()> {
        let scene = self.scene();
        if !scene.has(Fault::Suppress) || !self.lists.speaks() {
            return Ok(());
        }
        let action = self.lists.act(&scene.suppressed.now());
        match self
            .lists
            .wait_ms()
            .filter(|_| scene.has(Fault::SlowOperator))
        {
            Some(ms) => scene.schedule(scene.now().plus_ms(ms), Event::Command(action)),
            None => self.write_command(&action)?,
        }
        Ok(())
    }

    fn step(&mut self, slot: usize, worker: usize) -> bool {
        let scene = self.scene();
        let aborts = scene.has(Fault::Abort) && self.faults.one_in(12);
        let Some(process) = self
            .slots
            .get_mut(slot)
            .and_then(|slot| slot.process.as_mut())
        else {
            return false;
        };
        self.site.log.faults().abort_commits(u32::from(aborts));
        let more = process.step(worker % process.workers(), &scene);
        self.site.log.faults().abort_commits(0);
        if let Some(reason) = process.fatal() {
            scene.violate(format_args!(
                "the key ring is taken for the wrong one: {reason}"
            ));
        }
        more
    }

    /// Lets time pass, and what is due in it happen.
    fn pass(&mut self, ms: i64) -> Result<()> {
        let scene = self.scene();
        let until = scene.now().plus_ms(ms);
        while let Some(event) = scene.take_due(until) {
            self.happens(event)?;
        }
        scene.advance_to(until);
        Ok(())
    }

    fn happens(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Take(line) => self.site.desk.take(line),
            Event::Answer(line) => self.site.desk.answer(line),
            Event::Word(question) => self.site.desk.word(question),
            Event::Timer(vitals, act) => vitals.act(act),
            Event::Receipt(number) => self.receipt(number)?,
            Event::Arrive(records) => self.write(records)?,
            Event::Command(action) => self.write_command(&action)?,
            Event::Thaw(slot) => self.thaw(slot),
            Event::Evict(slot) => self.evict(slot),
            Event::Start(slot) => self.start(slot)?,
        }
        Ok(())
    }

    /// Buries the dead, sees that what stands still goes on some time, and ends what has stopped.
    fn look_after(&mut self) -> Result<()> {
        let scene = self.scene();
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(number) else {
                continue;
            };
            let Some(process) = &mut slot.process else {
                if !slot.starts {
                    slot.starts = true;
                    let ms = self.faults.within(0, 4_000);
                    scene.schedule(scene.now().plus_ms(ms), Event::Start(number));
                }
                continue;
            };
            if process.vitals.is_dead() {
                scene.say(format_args!("p{number} is dead"));
                slot.process.take().into_iter().for_each(Process::end);
            } else if process.vitals.is_frozen() {
                if !slot.thaws {
                    slot.thaws = true;
                    let ms = self.faults.within(1, 12_000);
                    scene.say(format_args!("p{number} stands still for {ms} ms"));
                    scene.schedule(scene.now().plus_ms(ms), Event::Thaw(number));
                    if scene.has(Fault::Evict) {
                        let evict_ms = self.faults.within(0, ms);
                        scene.schedule(scene.now().plus_ms(evict_ms), Event::Evict(number));
                    }
                }
            } else if process.has_stopped(scene.now()) {
                // what is there already is written down before the seats are given up
                for worker in 0..process.workers() {
                    process.step(worker, &scene);
                }
                scene.say(format_args!("p{number} has stopped"));
                slot.process.take().into_iter().for_each(Process::end);
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize) -> Result<()> {
        let scene = self.scene();
        let ring = self.rings.len() - 1;
        let Some(slot) = self.slots.get_mut(number) else {
            return Ok(());
        };
        slot.starts = false;
        if slot.process.is_some() || self.moving {
            return Ok(());
        }
        let skew_us = if scene.has(Fault::ClockSkew) {
            self.faults.within(-100_000, 100_000)
        } else {
            0
        };
        scene.say(format_args!("p{number} starts"));
        let keys = self.rings.get(ring).context("there is always a key ring")?;
        let process = Process::start(&self.site, Vitals::new(number, skew_us), keys)?;
        slot.process = Some(process);
        slot.ring = ring;
        slot.thaws = false;
        Ok(())
    }

    fn thaw(&mut self, number: usize) {
        let Some(slot) = self.slots.get_mut(number) else {
            return;
        };
        slot.thaws = false;
        if let Some(process) = &slot.process
            && process.vitals.is_frozen()
        {
            self.site.scene.say(format_args!("p{number} goes on"));
            for act in process.vitals.thaw() {
                process.vitals.act(act);
            }
        }
    }

    fn evict(&mut self, number: usize) {
        if let Some(slot) = self.slots.get(number)
            && let Some(process) = &slot.process
            && process.vitals.is_frozen()
        {
            self.site.scene.reach(Mark::Evicted);
            self.site
                .scene
                .say(format_args!("p{number} loses its shards"));
            process.vitals.set_evicted(true);
            self.site.seats.evict(&self.site.log, number);
        }
    }

    /// A process that is up, if there is one.
    fn somebody(&mut self) -> Option<usize> {
        let up: Vec<_> = (0..self.slots.len())
            .filter(|slot| self.is_up(*slot))
            .collect();
        (!up.is_empty()).then(|| *self.faults.pick(&up))
    }

    fn is_up(&self, slot: usize) -> bool {
        self.slots
            .get(slot)
            .and_then(|slot| slot.process.as_ref())
            .is_some_and(|process| {
                !process.vitals.is_dead() && !process.vitals.is_frozen() && !process.is_stopping()
            })
    }

    /// A receipt comes to one of the processes that are up, if there is one.
    fn receipt(&self, number: u64) -> Result<()> {
        let webhook = &self.site.desk.webhook;
        let Some(receipt) = webhook.arrives(number) else {
            return Ok(());
        };
        let up: Vec<_> = (0..self.slots.len())
            .filter(|slot| self.is_up(*slot))
            .collect();
        let process = up
            .get(webhook.place(up.len()))
            .and_then(|slot| self.slots.get(*slot)?.process.as_ref());
        match process {
            Some(process) => process.clerk.take(number, receipt),
            None => Ok(()),
        }
    }

    fn process(&mut self, slot: usize) -> Option<&mut Process> {
        self.slots.get_mut(slot)?.process.as_mut()
    }

    fn break_something(&mut self) -> Result<()> {
        let scene = self.scene();
        let breaks = [
            Fault::Crash,
            Fault::Freeze,
            Fault::Move,
            Fault::Outage,
            Fault::Misconfigured,
            Fault::ClockJump,
            Fault::Replay,
            Fault::Rotate,
            Fault::Compact,
        ];
        let fault = *self.faults.pick(&breaks);
        let (number, coin) = (self.faults.within(1, 7), self.faults.one_in(2));
        let ms = self.faults.within(500, 10_000);
        if !scene.has(fault) {
            return Ok(());
        }
        match fault {
            Fault::Crash => {
                if let Some(slot) = self.somebody()
                    && let Some(process) = self.process(slot)
                {
                    process.vitals.die_in(number, coin);
                }
            }
            Fault::Freeze => {
                if let Some(slot) = self.somebody()
                    && let Some(process) = self.process(slot)
                {
                    if coin {
                        process.vitals.freeze();
                    } else {
                        process.vitals.freeze_in(number);
                    }
                }
            }
            Fault::Move => {
                if let Some(slot) = self.somebody()
                    && let Some(process) = self.process(slot)
                {
                    scene.say(format_args!("p{slot} stops"));
                    process.stop(scene.now());
                }
            }
            Fault::Outage | Fault::Misconfigured => {
                let channel = *self.faults.pick(&Channel::ALL);
                let until = scene.now().plus_ms(ms);
                self.site.desk.trouble(channel, fault, until);
            }
            Fault::ClockJump => self.jump(coin),
            Fault::Replay if number == 1 => self.replay()?,
            Fault::Rotate if number <= 2 => self.rotate()?,
            Fault::Compact => {
                scene.reach(Mark::Compacted);
                self.hunt()?;
                self.site.log.compact(0)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The clocks of all processes jump ahead: far only while nothing is on the line, as the
    /// promise rests on clocks that do not run away from a call.
    fn jump(&mut self, far: bool) {
        let scene = self.scene();
        scene.reach(Mark::ClockJump);
        let ms = if far && self.site.desk.is_quiet() {
            self.faults.within(0, 3 * 24 * 60 * 60 * 1_000)
        } else {
            self.faults.within(0, 300)
        };
        scene.say(format_args!("the clocks jump by {ms} ms"));
        scene.advance_to(scene.now().plus_ms(ms));
    }

    /// Everything stops, and some stages begin anew.
    fn replay(&mut self) -> Result<()> {
        let scene = self.scene();
        scene.reach(Mark::Replayed);
        scene.say(format_args!("everything stops for a replay"));
        for slot in &mut self.slots {
            slot.process.take().into_iter().for_each(Process::end);
        }
        let stages: Vec<_> = (0..3).filter(|_| self.faults.one_in(2)).collect();
        self.set_back(&stages)
    }

    /// Sets stages back to the begin.
    fn set_back(&self, stages: &[usize]) -> Result<()> {
        let pipeline = &self.site.pipeline;
        let specs = [&pipeline.settle, &pipeline.render, &pipeline.send];
        for spec in stages.iter().filter_map(|stage| specs.get(*stage)) {
            let mut progress = Vec::new();
            for input in &spec.inputs {
                progress.extend(self.operator.deployment.shards().map(|shard| Progress {
                    topic: input.topic.clone(),
                    shard,
                    offset: Offset(0),
                }));
            }
            self.site.log.set_committed(&spec.group, &progress)?;
        }
        Ok(())
    }

    /// A new key: processes read it when they start, and upstream seals with it once all have.
    fn rotate(&mut self) -> Result<()> {
        let scene = self.scene();
        scene.reach(Mark::Rotated);
        let purposes = [
            KeyPurpose::Destination,
            KeyPurpose::Profile,
            KeyPurpose::DeadLetter,
        ];
        let purpose = *self.faults.pick(&purposes);
        scene.say(format_args!("a key for {} is rotated", purpose.name()));
        let last = self.rings.last().context("there is always a key ring")?;
        let mut ring = KeyRing::from_json(&last.to_json())?;
        ring.rotate(purpose, &mut |bytes| self.keys.fill(bytes));
        self.rings.push(ring);
        for slot in &mut self.slots {
            if let Some(process) = &mut slot.process {
                process.stop(scene.now());
            }
        }
        Ok(())
    }

    /// The newest key ring that every process has read.
    fn sealing_ring(&self) -> Result<&KeyRing> {
        let known = self
            .slots
            .iter()
            .filter(|slot| slot.process.is_some())
            .map(|slot| slot.ring)
            .min()
            .unwrap_or(0);
        self.rings.get(known).context("there is always a key ring")
    }

    fn row(&mut self, user: UserId) -> Result<Record> {
        let first = Period::new(FIRST.0, FIRST.1)?;
        let (scene, ring) = (self.scene(), self.sealing_ring()?);
        let ring = KeyRing::from_json(&ring.to_json())?;
        Ok(self.upstream.row(&scene, &ring, user, first))
    }

    fn upstream_acts(&mut self) -> Result<()> {
        let scene = self.scene();
        let user = *self.draw.pick(&self.users);
        let last = FIRST.1 + i8::try_from(scene.plan.periods).unwrap_or(1);
        let month = self.draw.within(FIRST.1.into(), i64::from(last));
        let period = Period::new(FIRST.0, i8::try_from(month)?)?;
        let what = self.draw.below(8);
        let mut records = Vec::new();
        if what == 0 {
            records.push(self.row(user)?);
        } else {
            for _ in 0..=self.draw.below(3) {
                records.push(self.upstream.usage(&scene, user, period));
            }
        }
        if scene.has(Fault::Duplicate) && self.faults.one_in(3) {
            records.extend(self.upstream.repeat());
        }
        if scene.has(Fault::Delay) && self.faults.one_in(3) {
            let ms = self.faults.within(0, 30_000);
            scene.schedule(scene.now().plus_ms(ms), Event::Arrive(records));
            return Ok(());
        }
        self.write(records)
    }

    /// Writes records, each a batch of its own or all together.
    fn write(&mut self, records: Vec<Record>) -> Result<()> {
        let topics = self.site.pipeline.topics.clone();
        for record in records {
            let key = user_key(record.user);
            let shard = shard_of(key.as_bytes(), self.site.log.partitions());
            let topic = match record.content {
                Content::Row(_) => &topics.subscribers,
                Content::Usage(_) | Content::Junk => &topics.usage,
            };
            let offset = self.site.log.bounds(topic, shard)?.end.0;
            let mut batch = Batch::default();
            batch.push(key.as_bytes(), Some(&record.value));
            let write = Write {
                topic: topic.clone(),
                shard,
                batch,
            };
            self.site.log.append(vec![write], Durability::Process)?;
            let place = shard.0 as usize;
            self.site.scene.say(format_args!(
                "upstream writes {} at {offset} of shard {shard}",
                record.content
            ));
            match record.content {
                Content::Row(row) => {
                    if let Some(ring) = self.rings.first() {
                        self.lists.know(ring, &row);
                    }
                    let written = self.written.now();
                    if let Some(rows) = written.and_then(|now| now.rows.get_mut(place)) {
                        rows.push((offset, *row));
                    }
                }
                content => {
                    let written = self.written.now();
                    if let Some(usage) = written.and_then(|now| now.usage.get_mut(place)) {
                        usage.push((offset, record.user, content));
                    }
                }
            }
        }
        Ok(())
    }

    fn close(&mut self, period: Period) -> Result<()> {
        if !self.closed.insert(period) {
            self.site.scene.reach(Mark::ClosedAgain);
        }
        self.to_close.retain(|waiting| *waiting != period);
        let closed = self.operator.close(period)?;
        if let Some(now) = self.written.now() {
            now.closes.push(closed);
        }
        Ok(())
    }

    fn operator_acts(&mut self) -> Result<()> {
        let scene = self.scene();
        let what = self.draw.below(8);
        let closed: Vec<_> = self.closed.iter().copied().collect();
        let period = (!closed.is_empty()).then(|| *self.draw.pick(&closed));
        let action = match (what, period) {
            (0..=3, _) if !self.to_close.is_empty() => {
                let period = *self.draw.pick(&self.to_close);
                return self.close(period);
            }
            (0 | 1, Some(period)) if scene.has(Fault::Hold) => {
                // at once, for the last word is a release
                let action = self.operator.steer(period)?;
                return self.write_command(&action);
            }
            (2, Some(period)) if scene.has(Fault::CloseAgain) => return self.close(period),
            (3 | 4, Some(period)) if scene.has(Fault::Retry) => self.operator.retry(period)?,
            (5 | 6, Some(period)) if scene.has(Fault::Resolve) => {
                self.operator.resolve(period, &self.site.desk)?
            }
            (7, _) if scene.has(Fault::Policy) => Some(self.operator.policy()),
            _ => None,
        };
        let Some(action) = action else { return Ok(()) };
        if scene.has(Fault::SlowOperator) && self.faults.one_in(2) {
            let ms = self.faults.within(0, 5_000);
            scene.schedule(scene.now().plus_ms(ms), Event::Command(action));
            return Ok(());
        }
        self.write_command(&action)
    }

    fn write_command(&mut self, action: &Action) -> Result<()> {
        self.site
            .scene
            .say(format_args!("the operator says {action:?}"));
        self.operator.say(&|_, _| action.clone())?;
        self.site.scene.suppressed.said(action);
        Ok(())
    }

    /// Faults stop; what was broken is mended; everything ends.
    fn calm_down(&mut self) -> Result<()> {
        let scene = self.scene();
        scene.say(format_args!("the weather is calm"));
        scene.set(Weather::Calm);
        for period in self.to_close.clone() {
            self.close(period)?;
        }
        for release in self.operator.release_all()? {
            self.write_command(&release)?;
        }
        self.come_to_rest()?;
        if scene.violation().is_none() && scene.plan.has(Fault::Suppress) {
            self.release_suppressed()?;
        }
        Ok(())
    }

    /// In some runs everything that is suppressed is let go in the end, and sent by another round.
    fn release_suppressed(&mut self) -> Result<()> {
        let addresses: Vec<_> = self.site.scene.suppressed.now().into_iter().collect();
        if addresses.is_empty() || !self.lists.ends_released() {
            return Ok(());
        }
        self.write_command(&Lists::released(addresses))?;
        self.come_to_rest()?;
        for period in self.closed.clone() {
            for (user, state) in self.operator.states(period)? {
                let mut kinds = state.kinds.iter();
                if kinds.any(|kind| kind.state == State::Suppressed)
                    && self.site.scene.suppressed.is_open(user, period)
                {
                    self.owed.insert((user, period));
                }
            }
            if let Some(retry) = self.operator.retry(period)? {
                self.write_command(&retry)?;
                self.come_to_rest()?;
            }
        }
        Ok(())
    }

    /// Goes on until there is nothing left to do.
    fn come_to_rest(&mut self) -> Result<()> {
        let scene = self.scene();
        let mut leap_ms = 250;
        let mut idle_ms = 0;
        for _ in 0..ROUNDS_MAX {
            let busy = self.calm_round()?;
            if scene.violation().is_some() {
                return Ok(());
            }
            if busy {
                (leap_ms, idle_ms) = (250, 0);
                continue;
            }
            if self.is_done()? {
                return Ok(());
            }
            if idle_ms > IDLE_MS_MAX {
                break;
            }
            idle_ms += leap_ms;
            self.pass(leap_ms)?;
            leap_ms = (leap_ms * 2).min(LEAP_MS_MAX);
        }
        scene.violate(format_args!(
            "liveness: not everything ends: {}",
            self.left()?
        ));
        Ok(())
    }

    /// Everybody does what there is to do. Returns whether anybody did anything.
    fn calm_round(&mut self) -> Result<bool> {
        let scene = self.scene();
        let mut busy = false;
        for number in 0..self.slots.len() {
            self.thaw(number);
            if let Some(process) = self.process(number) {
                process.vitals.calm();
            }
            let empty = self
                .slots
                .get(number)
                .is_some_and(|slot| slot.process.is_none());
            if empty {
                self.start(number)?;
                busy = true;
            }
        }
        self.look_after()?;
        for number in 0..self.slots.len() {
            let workers = self.process(number).map_or(0, |process| process.workers());
            for worker in 0..workers {
                for _ in 0..STEPS_A_ROUND {
                    if !self.step(number, worker) {
                        break;
                    }
                    busy = true;
                }
            }
        }
        // what is on the line ends within seconds; timers of bills may lie months ahead
        if let Some(at) = scene.next_due()
            && at <= scene.now().plus_ms(10_000)
        {
            let ms = at.ms() - scene.now().ms() + 1;
            self.pass(ms.max(0))?;
            busy = true;
        }
        Ok(busy)
    }

    /// Whether every input is finished, nothing is on the line, and no bill is on its way.
    fn is_done(&self) -> Result<bool> {
        let desk = &self.site.desk;
        Ok(desk.is_quiet() && desk.webhook.is_quiet() && self.left()?.is_empty())
    }

    /// What is left to do.
    fn left(&self) -> Result<String> {
        let mut left = String::new();
        let pipeline = &self.site.pipeline;
        for spec in [&pipeline.settle, &pipeline.render, &pipeline.send] {
            for input in &spec.inputs {
                for shard in self.operator.deployment.shards() {
                    let end = self.site.log.bounds(&input.topic, shard)?.end;
                    let at = self.site.log.committed(&spec.group, &input.topic, shard)?;
                    if at.unwrap_or_default() != end {
                        left.push_str(&format!(
                            "{} stands at {} of {end} in shard {shard} of {}; ",
                            spec.name,
                            at.unwrap_or_default(),
                            input.topic
                        ));
                    }
                }
            }
        }
        for period in &self.closed {
            for (user, state) in self.operator.states(*period)? {
                for kind in &state.kinds {
                    if kind.state == State::Held && kind.held_until.is_some() {
                        self.site.scene.reach(Mark::Held);
                    }
                    if matches!(kind.state, State::Pending | State::Held | State::Sending) {
                        left.push_str(&format!(
                            "{user}/{period} is {} in version {}; ",
                            kind.state.name(),
                            kind.version
                        ));
                    }
                }
            }
        }
        Ok(left)
    }
}
