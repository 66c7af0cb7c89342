//! One process of the pipeline: its workers, its sender, its clock. What `run` puts on threads is
//! stepped here by whoever holds it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use sealpost::config::{ChannelConfig, Config};
use sealpost::deployment::Deployment;
use sealpost::metrics::Metrics;
use sealpost::pipeline::Pipeline;
use sealpost::provider::{ChannelProviders, Provider, Providers, WallClock};
use sealpost::registry::ValueCodec;
use sealpost::sender::{Sender, Timekeeping};
use sealpost::stages::render::RenderProcessor;
use sealpost::stages::send::SendProcessor;
use sealpost::stages::settle::SettleProcessor;
use sealpost::stages::user_period_key;
use sealpost::topics::Topics;
use sealpost_operators::gate::{Answer, CallId, Completion, Effect, Gate, LATE_ANSWER};
use sealpost_operators::route::{Router, TemplateCache};
use sealpost_operators::settle::Settle;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Delivery, Outcome, Rank};
use sealpost_schemas::sealed::KeyPurpose;
use sealpost_schemas::{Channel, Timestamp};
use sealpost_topology::batch::Batch;
use sealpost_topology::graph::StageSpec;
use sealpost_topology::log::{Durability, Log, MemoryLog, Write};
use sealpost_topology::processor::Processor;
use sealpost_topology::types::{Shard, TimeMs, Topic};
use sealpost_topology::worker::{Clock, Factory, Inbox, NoEffects, Performer, Worker, WorkerError};

use crate::canary::{Canary, Early, Sabotaged};
use crate::clerk::Clerk;
use crate::marks::Mark;
use crate::plan::Fault;
use crate::provider::{CALL_MS_MAX, Desk, Phone};
use crate::scene::{Event, Scene};
use crate::vitals::Vitals;
use crate::wires::{Seats, Wire};

/// How long a stop, or a shard that is wanted elsewhere, waits for calls on the line.
const GRACE: Duration = Duration::from_secs(4);

/// What processes are made in.
pub struct Site {
    /// The run.
    pub scene: Arc<Scene>,
    /// The log.
    pub log: MemoryLog,
    /// The graph.
    pub pipeline: Pipeline,
    /// Who sits where.
    pub seats: Arc<Seats>,
    /// The provider.
    pub desk: Arc<Desk>,
    /// The settings.
    pub config: Config,
    /// Compiled templates: compiled once, as they are the same for all.
    pub templates: TemplateCache,
}

/// The settings of a plan.
#[must_use]
pub fn config(scene: &Scene) -> Config {
    let mut config = Config::default();
    config.log.partitions = scene.plan.partitions;
    for channel in Channel::ALL {
        let settings = ChannelConfig {
            max_in_flight: scene.plan.max_in_flight,
            rate_per_second: scene.plan.rate_per_second,
            latency_ms: CALL_MS_MAX.unsigned_abs(),
            ..ChannelConfig::default()
        };
        let second = scene.plan.fallbacks.get(channel.index()).copied().flatten();
        let settings = ChannelConfig {
            fallback: second.map(|_| Box::new(settings.clone())),
            ..settings
        };
        config.channels.insert(channel, settings);
    }
    config.windows.ignore = !scene.plan.has(Fault::Windows);
    config
}

/// A worker of any stage.
enum Seated {
    Settle(Worker<Sabotaged<SettleProcessor>>),
    Render(Worker<Sabotaged<RenderProcessor>>),
    Send(Worker<Sabotaged<SendProcessor>>),
}

impl Seated {
    const fn name(&self) -> &'static str {
        match self {
            Self::Settle(_) => "settle",
            Self::Render(_) => "render",
            Self::Send(_) => "send",
        }
    }

    fn step(&mut self) -> Result<bool, WorkerError> {
        match self {
            Self::Settle(worker) => worker.step(Duration::ZERO),
            Self::Render(worker) => worker.step(Duration::ZERO),
            Self::Send(worker) => worker.step(Duration::ZERO),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Settle(worker) => worker.stop(),
            Self::Render(worker) => worker.stop(),
            Self::Send(worker) => worker.stop(),
        }
    }

    fn in_flight(&self) -> usize {
        match self {
            Self::Settle(worker) => worker.in_flight(),
            Self::Render(worker) => worker.in_flight(),
            Self::Send(worker) => worker.in_flight(),
        }
    }
}

/// See the module.
pub struct Process {
    /// Its life.
    pub vitals: Arc<Vitals>,
    workers: Vec<Seated>,
    sender: Sender,
    /// Takes receipts.
    pub clerk: Clerk,
    stopping: Arc<AtomicBool>,
    stops_at: Option<Timestamp>,
}

impl Process {
    /// Starts one with a key ring as it is now.
    ///
    /// # Errors
    /// When a seat cannot be had, which would be a bug.
    pub fn start(site: &Site, vitals: Vitals, ring: &KeyRing) -> Result<Self> {
        let vitals = Arc::new(vitals);
        let topics = Arc::new(site.pipeline.topics.clone());
        let log: Arc<dyn Log> = Arc::new(Wire::new(
            site.log.clone(),
            Arc::clone(&topics),
            Arc::clone(&site.scene),
            Arc::clone(&vitals),
            Arc::clone(&site.seats),
        ));
        let deployment = Deployment::over(site.config.clone(), Arc::clone(&log));
        let clerk = Clerk::new(site, deployment, &vitals);
        let keys = Arc::new(ring.restricted_to(&[
            KeyPurpose::Profile,
            KeyPurpose::Destination,
            KeyPurpose::DeadLetter,
        ]));
        let stopping = Arc::new(AtomicBool::new(false));
        let providers = providers(site, &vitals);
        let making = Making {
            site,
            vitals: Arc::clone(&vitals),
            log,
            topics,
            keys,
            metrics: Arc::new(Metrics::new()?),
            values: ValueCodec::single_object(),
            stopping: Arc::clone(&stopping),
        };
        let sender = making.sender(Arc::clone(&providers));
        let mut workers = Vec::new();
        for _ in 0..site.scene.plan.workers {
            workers.push(Seated::Settle(making.settle()?));
            workers.push(Seated::Render(making.render()?));
            workers.push(Seated::Send(making.send(&sender, &providers)?));
        }
        Ok(Self {
            vitals,
            workers,
            sender,
            clerk,
            stopping,
            stops_at: None,
        })
    }

    /// Workers of all stages.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Whether a worker is one of send.
    #[must_use]
    pub fn sends(&self, place: usize) -> bool {
        matches!(self.workers.get(place), Some(Seated::Send(_)))
    }

    /// One step of one worker. Returns whether it has more to do.
    pub fn step(&mut self, place: usize, scene: &Scene) -> bool {
        let process = self.vitals.number;
        let Some(worker) = self.workers.get_mut(place) else {
            return false;
        };
        if self.vitals.is_dead() || self.vitals.is_frozen() {
            return false;
        }
        match worker.step() {
            Ok(more) => {
                if more {
                    scene.say(format_args!("p{process} {} steps", worker.name()));
                }
                more
            }
            Err(error) => {
                if !self.vitals.is_dead() {
                    scene.violate(format_args!(
                        "p{process} {} stopped: {error}",
                        worker.name()
                    ));
                }
                self.vitals.kill();
                true
            }
        }
    }

    /// Begins to stop in good order.
    pub fn stop(&mut self, now: Timestamp) {
        if self.stops_at.is_none() {
            self.stopping.store(true, Ordering::SeqCst);
            self.workers.iter_mut().for_each(Seated::stop);
            let grace_ms = i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
            self.stops_at = Some(now.plus_ms(grace_ms));
        }
    }

    /// Whether it has stopped: nothing is in flight, or the grace is over.
    #[must_use]
    pub fn has_stopped(&self, now: Timestamp) -> bool {
        self.stops_at.is_some_and(|at| {
            now >= at || self.workers.iter().map(Seated::in_flight).sum::<usize>() == 0
        })
    }

    /// Whether it is on its way out.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stops_at.is_some()
    }

    /// Why it must stop, if its key ring opens nothing.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.sender.fatal()
    }

    /// Ends: whatever it held is gone.
    pub fn end(self) {
        self.vitals.kill();
    }
}

fn providers(site: &Site, vitals: &Arc<Vitals>) -> Arc<Providers> {
    Arc::new(Channel::ALL.map(|channel| {
        let phone = |rank| -> Arc<dyn Provider> {
            let (desk, vitals) = (Arc::clone(&site.desk), Arc::clone(vitals));
            Arc::new(Phone::new(desk, vitals, channel, rank))
        };
        let has_second = site.desk.has_second(channel);
        ChannelProviders::from(phone(Rank::Primary))
            .with_fallback(has_second.then(|| phone(Rank::Fallback)))
    }))
}

/// What a process's parts are made of.
struct Making<'a> {
    site: &'a Site,
    vitals: Arc<Vitals>,
    log: Arc<dyn Log>,
    topics: Arc<Topics>,
    keys: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    values: ValueCodec,
    stopping: Arc<AtomicBool>,
}

impl Making<'_> {
    fn clock(&self) -> Clock {
        let (scene, vitals) = (Arc::clone(&self.site.scene), Arc::clone(&self.vitals));
        Arc::new(move || TimeMs(vitals.now(&scene).ms()))
    }

    fn join<P: Processor>(
        &self,
        spec: &Arc<StageSpec>,
        make: impl Fn() -> P + Send + Sync + 'static,
        early: Option<Early<P::Effect>>,
        performer: Arc<dyn Performer<Sabotaged<P>>>,
    ) -> Result<Worker<Sabotaged<P>>> {
        let canary = self.site.scene.canary;
        let factory: Factory<Sabotaged<P>> =
            Arc::new(move |_| Sabotaged::new(make(), canary, early.clone()));
        let log = Arc::clone(&self.log);
        let worker = Worker::join(
            log,
            Arc::clone(spec),
            factory,
            performer,
            self.clock(),
            GRACE,
        )?;
        Ok(worker)
    }

    fn settle(&self) -> Result<Worker<Sabotaged<SettleProcessor>>> {
        let time_zone = self.site.config.time_zone.clone();
        Settle::new(&time_zone)?;
        let portion = self.site.scene.plan.portion;
        let (topics, keys) = (Arc::clone(&self.topics), Arc::clone(&self.keys));
        let (values, metrics) = (self.values.clone(), Arc::clone(&self.metrics));
        let make = move || {
            let operator = Settle::new(&time_zone)
                .unwrap_or_else(|error| unreachable!("checked before: {error}"));
            SettleProcessor::new(
                operator.with_portion(portion),
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
            )
        };
        self.join(&self.site.pipeline.settle, make, None, Arc::new(NoEffects))
    }

    fn render(&self) -> Result<Worker<Sabotaged<RenderProcessor>>> {
        let config = &self.site.config;
        let windows = config.window_rule()?;
        let (policy, templates) = (config.policy(), self.site.templates.clone());
        let portion = self.site.scene.plan.portion;
        let (topics, keys) = (Arc::clone(&self.topics), Arc::clone(&self.keys));
        let (values, metrics) = (self.values.clone(), Arc::clone(&self.metrics));
        let make = move || {
            let operator = Router::new(
                Arc::clone(&keys),
                windows.clone(),
                templates.clone(),
                policy.clone(),
            );
            RenderProcessor::new(
                operator.with_portion(portion),
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
            )
        };
        self.join(&self.site.pipeline.render, make, None, Arc::new(NoEffects))
    }

    fn send(
        &self,
        sender: &Sender,
        providers: &Arc<Providers>,
    ) -> Result<Worker<Sabotaged<SendProcessor>>> {
        let config = &self.site.config;
        let rules = Channel::ALL.map(|channel| {
            #[allow(
                clippy::indexing_slicing,
                reason = "a channel's index is below their number"
            )]
            let providers = &providers[channel.index()];
            providers.rules(&config.channel(channel))
        });
        let window = self.site.scene.plan.window;
        let (topics, keys) = (Arc::clone(&self.topics), Arc::clone(&self.keys));
        let (values, metrics) = (self.values.clone(), Arc::clone(&self.metrics));
        let stopping = Arc::clone(&self.stopping);
        let make = move || {
            SendProcessor::new(
                Gate::new(rules, window),
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
                Arc::clone(&stopping),
            )
        };
        let performer = Arc::new(Hands {
            sender: sender.clone(),
            scene: Arc::clone(&self.site.scene),
            vitals: Arc::clone(&self.vitals),
            inboxes: Mutex::default(),
        });
        let hands = Arc::clone(&performer);
        let early: Early<Effect> = Arc::new(move |shard, effects| hands.early(shard, effects));
        self.join(&self.site.pipeline.send, make, Some(early), performer)
    }

    fn sender(&self, providers: Arc<Providers>) -> Sender {
        let (scene, vitals) = (Arc::clone(&self.site.scene), Arc::clone(&self.vitals));
        let clock: WallClock = if scene.is_sabotaged(Canary::StartsLate) {
            Arc::new(|| Timestamp(0))
        } else {
            let (scene, vitals) = (Arc::clone(&scene), Arc::clone(&vitals));
            Arc::new(move || vitals.now(&scene))
        };
        let elapsed = {
            let scene = Arc::clone(&scene);
            move || Duration::from_micros(scene.now().0.unsigned_abs())
        };
        let later = {
            let (scene, vitals) = (Arc::clone(&scene), Arc::clone(&vitals));
            move |wait: Duration, act: crate::scene::Act| {
                let wait_us = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
                let at = Timestamp(scene.now().0.saturating_add(wait_us).saturating_add(1));
                scene.schedule(at, Event::Timer(Arc::clone(&vitals), act));
            }
        };
        let receipts = Receipts {
            log: Arc::clone(&self.log),
            topic: self.topics.receipts.clone(),
            values: self.values.clone(),
            scene,
            vitals,
        };
        Sender::timed(
            &self.site.config,
            Providers::clone(&providers),
            Arc::clone(&self.keys),
            clock,
            Timekeeping::new(elapsed, Box::new(later)),
            Box::new(move |shard, id, deadline, answer| {
                receipts.write(shard, id, deadline, answer);
            }),
        )
    }
}

/// A worker's way to the sender: it can stand still between a commit and what the commit asks.
struct Hands {
    sender: Sender,
    scene: Arc<Scene>,
    vitals: Arc<Vitals>,
    /// Where each shard's answers went last: for the canary that asks before it commits.
    inboxes: Mutex<BTreeMap<Shard, Arc<Inbox<Completion>>>>,
}

impl Hands {
    /// Performs the calls among the effects at once.
    fn early(&self, shard: Shard, effects: &mut Vec<Effect>) {
        let inbox = self
            .inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&shard)
            .cloned();
        let Some(inbox) = inbox else { return };
        let (calls, others) = std::mem::take(effects)
            .into_iter()
            .partition(|effect| matches!(effect, Effect::Call(..)));
        *effects = others;
        Performer::<SendProcessor>::perform(&self.sender, shard, calls, &inbox);
    }
}

impl<P: Processor<Effect = Effect, Completion = Completion>> Performer<P> for Hands {
    fn perform(&self, shard: Shard, effects: Vec<Effect>, inbox: &Arc<Inbox<Completion>>) {
        self.inboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(shard, Arc::clone(inbox));
        if self.vitals.is_frozen() {
            self.scene.reach(Mark::StoodStillBeforeCalls);
        }
        let (sender, inbox) = (self.sender.clone(), Arc::clone(inbox));
        self.vitals.act(Box::new(move || {
            Performer::<P>::perform(&sender, shard, effects, &inbox);
        }));
    }

    fn orphaned(&self, shard: Shard, completion: Completion) {
        let sender = self.sender.clone();
        self.vitals.act(Box::new(move || {
            Performer::<P>::orphaned(&sender, shard, completion);
        }));
    }
}

/// Answers that came for a shard that is no longer owned, as `run` writes them.
struct Receipts {
    log: Arc<dyn Log>,
    topic: Topic,
    values: ValueCodec,
    scene: Arc<Scene>,
    vitals: Arc<Vitals>,
}

impl Receipts {
    fn write(&self, shard: Shard, id: CallId, deadline: Timestamp, answer: Answer) {
        let (outcome, provider_message_id) = match answer {
            Answer::Accepted {
                provider_message_id,
            } => (Outcome::Sent, provider_message_id),
            Answer::Refused(_) => (Outcome::Failed, None),
            _ => return,
        };
        let receipt = Delivery {
            user_id: id.user_id,
            period: id.period,
            kind: id.kind,
            version: id.version,
            channel: id.channel,
            message_key: id.message_key(),
            outcome,
            reason: Some(LATE_ANSWER.to_owned()),
            attempts: 1,
            provider_message_id,
            updated_at: self.vitals.now(&self.scene).min(deadline),
        };
        let mut value = Vec::new();
        if self
            .values
            .receipt_encoder()
            .encode(&receipt, &mut value)
            .is_err()
        {
            return;
        }
        let mut batch = Batch::default();
        let key = user_period_key(id.user_id, id.period);
        batch.push(key.as_bytes(), Some(&value));
        let write = Write {
            topic: self.topic.clone(),
            shard,
            batch,
        };
        // the call stays in doubt where this fails, and is settled as such
        if self.log.append(vec![write], Durability::Process).is_ok() {
            self.scene.reach(Mark::Receipt);
        }
    }
}
