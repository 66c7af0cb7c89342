//! `run`: the stages, until stopped or until nothing is left to do now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sealpost_operators::gate::{Answer, CallId, ChannelRules, Gate, LATE_ANSWER};
use sealpost_operators::route::{Router, TemplateCache};
use sealpost_operators::settle::Settle;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Delivery, Outcome};
use sealpost_schemas::sealed::KeyPurpose;
use sealpost_schemas::{Channel, Timestamp};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, Log, LogError, Write};
use sealpost_topology::runtime::{RunningStage, is_drained, start};
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};
use sealpost_topology::worker::{Clock, Factory, NoEffects, Performer};

use super::{Scene, Stage};
use crate::config::{Backend, Config};
use crate::deployment::{Deployment, key_ring, now, now_ms};
use crate::host::Role;
use crate::http::{Readiness, Served, Server};
use crate::metrics::Metrics;
use crate::progress::bar;
use crate::provider::{self, Providers, WallClock};
use crate::registry::ValueCodec;
use crate::retention;
use crate::sender::Sender;
use crate::stages::render::RenderProcessor;
use crate::stages::send::SendProcessor;
use crate::stages::settle::SettleProcessor;
use crate::stages::user_period_key;
use crate::usage_error::usage;

/// How often a drain is looked for.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
/// How often figures are brought up to date and the log is compacted.
const UPKEEP: Duration = Duration::from_secs(2);
/// How often what is done with is looked for.
const CUT_EVERY: Duration = Duration::from_secs(3_600);

/// `run …`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Stop when nothing is left to do now (held and unknown may remain)
    #[arg(long)]
    drain: bool,
    /// Which stages to run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Stage::Settle, Stage::Render, Stage::Send])]
    stages: Vec<Stage>,
}

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// When it is told to.
    Stopped,
    /// When nothing is left to do now.
    Drained,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let keys = stage_keys(&key_ring(&scene.config)?, &arguments.stages)?;
    if arguments.stages.contains(&Stage::Render) {
        // bills are rendered by what came with their close; that the next one will be refused is
        // better known now
        crate::templates::load(&scene.config)?;
    }
    // before anything that takes long: a stop that comes early is a stop as well
    let stop = stop_by_signal()?;
    let settings = &scene.config.run;
    let _ending = Ending::within(
        Duration::from_millis(settings.grace_ms.saturating_add(settings.leave_ms)),
        Arc::clone(&stop),
    );
    let deployment = Deployment::open(scene.config.clone(), &scene.data_dir, Role::Run)?;
    let until = if arguments.drain {
        Until::Drained
    } else {
        Until::Stopped
    };
    let done = run(&deployment, keys, &arguments.stages, until, stop)?;
    scene.answer(&serde_json::to_value(&done)?, &done.text())
}

/// What a run did.
#[derive(Debug, Clone, serde::Serialize)]
pub(super) struct Done {
    /// Statements settled.
    statements: u64,
    /// Messages that a provider has taken.
    sent: u64,
    /// Calls that ended with their channel failed.
    failed: u64,
    /// Calls that ended unknown.
    unknown: u64,
    /// Records that were read again and dropped, by stage.
    dropped: BTreeMap<&'static str, u64>,
}

impl Done {
    fn of(metrics: &Metrics, stages: &[Stage]) -> Self {
        let name = |stage: &Stage| match stage {
            Stage::Settle => "settle",
            Stage::Render => "render",
            Stage::Send => "send",
        };
        Self {
            statements: metrics.statements_total(),
            sent: metrics.calls_total("sent"),
            failed: metrics.calls_total("failed"),
            unknown: metrics.calls_total("unknown"),
            dropped: stages
                .iter()
                .map(name)
                .map(|stage| (stage, metrics.dropped_total(stage)))
                .collect(),
        }
    }

    fn text(&self) -> String {
        let Self {
            statements,
            sent,
            failed,
            unknown,
            dropped,
        } = self;
        let dropped: Vec<_> = dropped
            .iter()
            .map(|(stage, count)| format!("{stage} {count}"))
            .collect();
        format!(
            "{statements} settled, {sent} sent, {failed} failed, {unknown} unknown; seen before and dropped: {}",
            dropped.join(", ")
        )
    }
}

/// What a process's stages need of the key ring, and no more.
pub(super) fn stage_keys(ring: &KeyRing, stages: &[Stage]) -> Result<Arc<KeyRing>> {
    let mut needed = Vec::new();
    if stages.contains(&Stage::Render) {
        needed.push(KeyPurpose::Profile);
    }
    if stages.contains(&Stage::Send) {
        needed.push(KeyPurpose::Destination);
    }
    ring.require(&needed).map_err(usage)?;
    // without it, what a stage refuses stays in its topic and the dead letter points there
    if ring.has(KeyPurpose::DeadLetter) {
        needed.push(KeyPurpose::DeadLetter);
    }
    Ok(Arc::new(ring.restricted_to(&needed)))
}

/// Is set when the process is told to stop.
pub(super) fn stop_by_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // the second one ends the process at once: what is in flight is then in doubt
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Ends the process some time after it was told to stop, should it still be there: brokers that do
/// not answer are waited for much longer than whoever stops a process waits.
struct Ending(Arc<AtomicBool>);

impl Ending {
    fn within(time: Duration, stop: Arc<AtomicBool>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        std::thread::spawn(move || {
            let mut told = None;
            while !over.load(Ordering::SeqCst) {
                if stop.load(Ordering::SeqCst) {
                    let told = *told.get_or_insert_with(std::time::Instant::now);
                    if told.elapsed() >= time {
                        tracing::error!(
                            "told to stop {} seconds ago and still waiting: ends at once, what is in flight is in doubt",
                            time.as_secs()
                        );
                        std::process::exit(1);
                    }
                }
                std::thread::sleep(DRAIN_LOOK);
            }
        });
        Self(ended)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs stages in this process.
pub(super) fn run(
    deployment: &Deployment,
    keys: Arc<KeyRing>,
    stages: &[Stage],
    until: Until,
    stop: Arc<AtomicBool>,
) -> Result<Done> {
    let config = &deployment.config;
    let metrics = Arc::new(Metrics::new()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_name("provider")
        .build()
        .context("cannot start the threads for providers")?;
    let shell = Shell {
        deployment,
        keys,
        metrics: Arc::clone(&metrics),
        stop: Arc::clone(&stop),
    };
    let mut running = Vec::new();
    let mut sender = None;
    for started in shell.start_all(stages, &runtime) {
        let (stage, sends) = started?;
        running.push(stage);
        sender = sender.or(sends);
    }
    let server = config
        .http
        .as_ref()
        .map(|http| {
            let served = Served {
                config: http,
                deployment,
                metrics: Arc::clone(&metrics),
                stopping: Arc::clone(&stop),
                commands: super::api::routes(),
            };
            crate::http::serve(served, &runtime)
        })
        .transpose()?;
    let ended = watch(
        deployment,
        &shell,
        &running,
        sender.as_deref(),
        &stop,
        until,
        server.as_ref(),
    );
    if let Some(server) = &server {
        server.end();
    }
    running.iter().for_each(RunningStage::stop);
    let joined = running
        .into_iter()
        .map(RunningStage::join)
        .fold(Ok(()), Result::and);
    runtime.shutdown_timeout(Duration::from_millis(100));
    // why it stopped says more than that it stopped
    ended?;
    joined?;
    Ok(Done::of(&metrics, stages))
}

/// Until the run is over.
fn watch(
    deployment: &Deployment,
    shell: &Shell<'_>,
    running: &[RunningStage],
    sender: Option<&Sender>,
    stop: &AtomicBool,
    until: Until,
    server: Option<&Server>,
) -> Result<()> {
    let bar = bar("run", 0);
    let mut upkeep = std::time::Instant::now();
    let mut cut = None;
    while !stop.load(Ordering::SeqCst) {
        if let Some(reason) = sender.and_then(Sender::fatal) {
            bail!("{reason}");
        }
        // its own error comes out when it is joined
        if running.iter().any(RunningStage::has_failed) {
            break;
        }
        if until == Until::Drained && is_drained(&*deployment.log, running, now_ms())? {
            break;
        }
        if upkeep.elapsed() >= UPKEEP {
            upkeep = std::time::Instant::now();
            if server.is_some()
                && let Err(error) = shell.look_at_lag(running)
            {
                tracing::warn!("how far stages are behind cannot be told now: {error}");
            }
            deployment.compact()?;
            if cut.is_none_or(|cut: std::time::Instant| cut.elapsed() >= CUT_EVERY) {
                cut = Some(std::time::Instant::now());
                cut_what_is_done_with(deployment, running);
            }
        }
        if let Some(server) = server {
            server.set(readiness(running, sender));
        }
        bar.set_position(shell.metrics.sent_total());
        bar.set_message(format!(
            "sent, {} settled",
            shell.metrics.statements_total()
        ));
        std::thread::sleep(DRAIN_LOOK);
    }
    bar.finish_and_clear();
    // a drain may be all that ever runs here
    if deployment.config.log.backend == Backend::Embedded && !stop.load(Ordering::SeqCst) {
        cut_what_is_done_with(deployment, running);
    }
    Ok(())
}

/// What stays longer than it has to is no reason to stop, nor to wait: brokers that do not answer
/// are waited for beside everything else.
fn cut_what_is_done_with(deployment: &Deployment, running: &[RunningStage]) {
    let now = now_ms().0;
    let until = TimeMs(now.saturating_sub(deployment.config.log.keep_handled));
    let specs: Vec<_> = running.iter().map(|stage| stage.spec().clone()).collect();
    let of = deployment.clone();
    let cut = move || {
        for spec in &specs {
            if let Err(error) = retention::cut(&of, spec, until) {
                tracing::warn!(
                    stage = spec.name,
                    "what is done with is not cut now, and tried again later: {error}"
                );
            }
        }
    };
    match deployment.config.log.backend {
        Backend::Embedded => cut(),
        Backend::Kafka => drop(std::thread::spawn(cut)),
    }
}

fn readiness(running: &[RunningStage], sender: Option<&Sender>) -> Readiness {
    if running.iter().any(RunningStage::has_failed) {
        Readiness::Broken
    } else if let Some(channel) = sender.and_then(Sender::parked) {
        Readiness::Parked(channel)
    } else if let Some(channel) = sender.and_then(Sender::down) {
        Readiness::Down(channel)
    } else if running.iter().all(RunningStage::is_ready) {
        Readiness::Ready
    } else {
        Readiness::Restoring
    }
}

/// What the stages of a process share.
struct Shell<'a> {
    deployment: &'a Deployment,
    keys: Arc<KeyRing>,
    metrics: Arc<Metrics>,
    /// Set when the process is told to stop.
    stop: Arc<AtomicBool>,
}

impl Shell<'_> {
    fn clock(&self) -> Clock {
        Arc::new(now_ms)
    }

    fn grace(&self) -> Duration {
        Duration::from_millis(self.deployment.config.run.grace_ms)
    }

    /// What one stage is given of the process's keys: no more than if it ran alone. Each counts
    /// what it opens.
    fn keys_of(&self, stage: Stage) -> Arc<KeyRing> {
        let own = match stage {
            Stage::Settle => None,
            Stage::Render => Some(KeyPurpose::Profile),
            Stage::Send => Some(KeyPurpose::Destination),
        };
        let purposes: Vec<_> = own.into_iter().chain([KeyPurpose::DeadLetter]).collect();
        Arc::new(self.keys.restricted_to(&purposes))
    }

    /// Starts stages, all at once: each waits for answers of the log.
    fn start_all(
        &self,
        stages: &[Stage],
        runtime: &tokio::runtime::Runtime,
    ) -> Vec<Result<(RunningStage, Option<Arc<Sender>>)>> {
        let start = |stage: &Stage| match stage {
            Stage::Settle => Ok((self.settle()?, None)),
            Stage::Render => Ok((self.render()?, None)),
            Stage::Send => {
                let (stage, sender) = self.send(runtime)?;
                Ok((stage, Some(sender)))
            }
        };
        std::thread::scope(|scope| {
            let starting: Vec<_> = stages
                .iter()
                .map(|stage| scope.spawn(move || start(stage)))
                .collect();
            starting
                .into_iter()
                .map(|starting| {
                    let panicked = |panic| std::panic::resume_unwind(panic);
                    starting.join().unwrap_or_else(panicked)
                })
                .collect()
        })
    }

    fn settle(&self) -> Result<RunningStage> {
        let time_zone = self.deployment.config.time_zone.clone();
        // looked up once here, so that the factory cannot fail
        Settle::new(&time_zone)?;
        let (keys, metrics) = (self.keys_of(Stage::Settle), Arc::clone(&self.metrics));
        let stage_keys = Arc::clone(&keys);
        let values = self.deployment.values.clone();
        let topics = Arc::new(self.deployment.topics().clone());
        let factory: Factory<SettleProcessor> = Arc::new(move |_| {
            let operator = Settle::new(&time_zone)
                .unwrap_or_else(|error| unreachable!("checked before: {error}"));
            SettleProcessor::new(
                operator,
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
            )
        });
        let performer: Arc<dyn Performer<SettleProcessor>> = Arc::new(NoEffects);
        self.start(
            &self.deployment.pipeline.settle,
            stage_keys,
            &factory,
            &performer,
        )
    }

    fn render(&self) -> Result<RunningStage> {
        let config = &self.deployment.config;
        let windows = config.window_rule()?;
        let templates = TemplateCache::default();
        let policy = config.policy();
        let (keys, metrics) = (self.keys_of(Stage::Render), Arc::clone(&self.metrics));
        let stage_keys = Arc::clone(&keys);
        let values = self.deployment.values.clone();
        let topics = Arc::new(self.deployment.topics().clone());
        let factory: Factory<RenderProcessor> = Arc::new(move |_| {
            let operator = Router::new(
                Arc::clone(&keys),
                windows.clone(),
                templates.clone(),
                policy.clone(),
            );
            RenderProcessor::new(
                operator,
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
            )
        });
        let performer: Arc<dyn Performer<RenderProcessor>> = Arc::new(NoEffects);
        self.start(
            &self.deployment.pipeline.render,
            stage_keys,
            &factory,
            &performer,
        )
    }

    /// Offsets without the send state that belongs to them: whoever went on from there would
    /// send again what was sent before them, should it ever be read again.
    fn refuse_lost_send_state(&self) -> Result<()> {
        let (deployment, topics) = (self.deployment, self.deployment.topics());
        let group = &deployment.pipeline.send.group;
        for shard in deployment.shards() {
            let committed = deployment
                .log
                .committed(group, &topics.dispatches, shard)?
                .unwrap_or_default();
            if committed.0 == 0 || deployment.log.bounds(&topics.send_state, shard)?.end.0 > 0 {
                continue;
            }
            // what was cut was done with, and cut beside a send state that was there; else offsets
            // alone tell nothing: what was written by steps that were aborted has some, too
            let cut = deployment.log.bounds(&topics.dispatches, shard)?.start.0 > 0;
            let first = deployment
                .log
                .read(&topics.dispatches, shard, Offset(0))?
                .and_then(|batch| batch.iter().next().map(|record| record.offset));
            if cut || first.is_some_and(|first| first < committed) {
                bail!(
                    "partition {shard} of {} was read up to offset {committed}, but {} is empty: the send state is lost, and nobody would know what was sent; restore the topic from a copy before sending",
                    topics.dispatches,
                    topics.send_state
                );
            }
        }
        Ok(())
    }

    fn send(&self, runtime: &tokio::runtime::Runtime) -> Result<(RunningStage, Arc<Sender>)> {
        self.refuse_lost_send_state()?;
        let config = &self.deployment.config;
        let wall_clock: WallClock = Arc::new(now);
        let providers = provider::build(
            config,
            &self.deployment.data_dir,
            runtime.handle(),
            &wall_clock,
        )
        .map_err(usage)?;
        let rules = channel_rules(config, &providers);
        let window = window(config);
        let receipts = Receipts {
            log: Arc::clone(&self.deployment.log),
            topic: self.deployment.topics().receipts.clone(),
            values: self.deployment.values.clone(),
        };
        let keys = self.keys_of(Stage::Send);
        let stage_keys = Arc::clone(&keys);
        let sender = Arc::new(Sender::new(
            config,
            providers,
            Arc::clone(&keys),
            wall_clock,
            runtime.handle().clone(),
            Box::new(move |shard, id, deadline, answer| {
                receipts.write(shard, id, deadline, answer)
            }),
        ));
        self.metrics.watch_sender(Arc::clone(&sender));
        let metrics = Arc::clone(&self.metrics);
        let values = self.deployment.values.clone();
        let stop = Arc::clone(&self.stop);
        let topics = Arc::new(self.deployment.topics().clone());
        let factory: Factory<SendProcessor> = Arc::new(move |_| {
            let operator = Gate::new(rules, window);
            SendProcessor::new(
                operator,
                Arc::clone(&topics),
                &values,
                Arc::clone(&keys),
                Arc::clone(&metrics),
                Arc::clone(&stop),
            )
        });
        let performer: Arc<dyn Performer<SendProcessor>> = Arc::clone(&sender) as _;
        Ok((
            self.start(
                &self.deployment.pipeline.send,
                stage_keys,
                &factory,
                &performer,
            )?,
            sender,
        ))
    }

    fn start<P: sealpost_topology::processor::Processor + 'static>(
        &self,
        spec: &Arc<sealpost_topology::graph::StageSpec>,
        keys: Arc<KeyRing>,
        factory: &Factory<P>,
        performer: &Arc<dyn Performer<P>>,
    ) -> Result<RunningStage> {
        let workers = self.deployment.config.workers();
        let stage = start(
            &self.deployment.log,
            spec,
            workers,
            self.grace(),
            &self.clock(),
            factory,
            performer,
        )?;
        self.metrics
            .watch_stage(spec.name, stage.shared_statuses(), keys);
        Ok(stage)
    }

    /// How far each stage is behind.
    fn look_at_lag(&self, running: &[RunningStage]) -> Result<(), LogError> {
        let log = &*self.deployment.log;
        for stage in running {
            let spec = stage.spec();
            for input in &spec.inputs {
                let partitions = self.deployment.shards().map(|shard| (&input.topic, shard));
                let lag = log.lag(&spec.group, &partitions.collect::<Vec<_>>())?;
                self.metrics
                    .lag(spec.name, input.topic.name(), lag.iter().sum());
            }
        }
        Ok(())
    }
}

fn channel_rules(config: &Config, providers: &Providers) -> [ChannelRules; Channel::ALL.len()] {
    Channel::ALL.map(|channel| {
        #[allow(
            clippy::indexing_slicing,
            reason = "a channel's index is below their number"
        )]
        let providers = &providers[channel.index()];
        providers.rules(&config.channel(channel))
    })
}

/// Dispatches that one shard may have unfinished: its share of what may be on the line twice
/// over, so that the next ones stand in line while the last ones end.
fn window(config: &Config) -> usize {
    let in_flight: usize = config
        .policy
        .channels
        .iter()
        .map(|channel| {
            let settings = config.channel(*channel);
            let fallback = settings.fallback.as_ref();
            fallback
                .map_or(0, |it| it.max_in_flight)
                .max(settings.max_in_flight)
        })
        .max()
        .unwrap_or(1);
    (2 * in_flight.div_ceil(config.log.partitions as usize)).max(1_024)
}

/// Answers that came for a shard that is no longer owned.
struct Receipts {
    log: Arc<dyn Log>,
    topic: Topic,
    values: ValueCodec,
}

impl Receipts {
    fn write(&self, shard: Shard, id: CallId, deadline: Timestamp, answer: Answer) {
        let (outcome, provider_message_id) = match answer {
            Answer::Accepted {
                provider_message_id,
            } => (Outcome::Sent, provider_message_id),
            Answer::Refused(_) => (Outcome::Failed, None),
            // the new owner settles a call in doubt by itself
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
            // an answer that is later than its call could last must not count as one to a repeat,
            // whose intent is later than the deadline of the call before it
            updated_at: now().min(deadline),
        };
        let mut value = Vec::new();
        let written = self
            .values
            .receipt_encoder()
            .encode(&receipt, &mut value)
            .map_err(anyhow::Error::from)
            .and_then(|()| {
                let mut batch = Batch::default();
                batch.push(
                    user_period_key(id.user_id, id.period).as_bytes(),
                    Some(&value),
                );
                let write = Write {
                    topic: self.topic.clone(),
                    shard,
                    batch,
                };
                Ok(self.log.append(vec![write], Durability::Process)?)
            });
        if let Err(error) = written {
            // the call stays in doubt, and is settled as such
            tracing::error!("an outcome that came late could not be written: {error:#}");
        }
    }
}
