//! A deployment as one process sees it: configuration, log, keys, catalogue.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealpost_schemas::catalog::Catalog;
use sealpost_schemas::codec::CodecError;
use sealpost_schemas::key_ring::KeyRing;
use sealpost_schemas::record::{Action, Command};
use sealpost_schemas::{Timestamp, UserId};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Durability, KafkaLog, Log, LogError, Progress, Write};
use sealpost_topology::partitioner::shard_of;
use sealpost_topology::types::{Offset, Shard, TimeMs, Topic};
use zeroize::Zeroizing;

use crate::config::{Backend, Config};
use crate::generation;
use crate::host::{Host, Opened, Role};
use crate::kafka::{self, Seat};
use crate::operator;
use crate::pipeline::Pipeline;
use crate::registry::{Consequence, RegistryError, ValueCodec};
use crate::topics::Topics;
use crate::usage_error::{UsageError, usage};

/// See the module. Cheap to clone, for whoever gives commands in somebody else's name.
#[derive(Clone)]
pub struct Deployment {
    /// The configuration.
    pub config: Config,
    /// Where the data is.
    pub data_dir: PathBuf,
    /// The graph.
    pub pipeline: Pipeline,
    /// The log.
    pub log: Arc<dyn Log>,
    /// How values on its topics are encoded and decoded.
    pub values: ValueCodec,
    /// Who gives the commands.
    by: String,
    /// Keeps the log open.
    opened: Arc<Opening>,
}

/// What keeps a log open.
enum Opening {
    /// Served to other processes, or reached through the one that serves it.
    Embedded(Opened),
    /// Whoever handed it in does.
    Elsewhere,
    /// The brokers are; a `run` has its data directory for itself.
    Kafka { log: KafkaLog, _seat: Option<Seat> },
}

/// The time now.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_microsecond())
}

/// The time now, as the log tells it.
#[must_use]
pub fn now_ms() -> TimeMs {
    TimeMs(now().ms())
}

impl Deployment {
    /// Opens the log of a deployment, and makes its topics if they are not there.
    ///
    /// # Errors
    /// When the directory cannot be used, or is in use by another `run`.
    pub fn open(config: Config, data_dir: &Path, role: Role) -> Result<Self> {
        let topics = Topics::new(&config.log.topic_prefix);
        // first: with a schema that the registry refuses, nothing may be written
        let values =
            ValueCodec::open(config.schema_registry.as_ref(), &topics).map_err(registry_error)?;
        let pipeline = Pipeline::new(topics);
        let (log, opened) = match config.log.backend {
            Backend::Embedded => {
                let opened = Host::open(data_dir, role, config.log.partitions, Arc::new(now_ms))?;
                (opened.log(), Opening::Embedded(opened))
            }
            Backend::Kafka => {
                let seat = match role {
                    Role::Run => Some(Seat::take(data_dir)?),
                    Role::Command => None,
                };
                let log = kafka::open(&config, data_dir, seat.as_ref())?;
                generation::check(&config, &log)?;
                let of = config.clone();
                log.admit_by(Box::new(move |log| {
                    generation::check(&of, log).map_err(|error| {
                        error
                            .downcast()
                            .unwrap_or_else(|error| LogError::Refused(format!("{error:#}")))
                    })
                }));
                let opened = Opening::Kafka {
                    log: log.clone(),
                    _seat: seat,
                };
                (Arc::new(log) as Arc<dyn Log>, opened)
            }
        };
        // whoever comes first makes them: the host serves others before it has got this far itself
        log.create(&pipeline.topic_specs()).map_err(kafka::blame)?;
        if let Opening::Embedded(opened) = &opened
            && !opened.is_remote()
        {
            hold_inputs_back(&*log, &pipeline)?;
        }
        Ok(Self {
            by: operator::name(&config),
            config,
            data_dir: data_dir.to_owned(),
            pipeline,
            log,
            values,
            opened: Arc::new(opened),
        })
    }

    /// The same deployment, its commands given by somebody else.
    #[must_use]
    pub fn on_behalf_of(&self, by: &str) -> Self {
        Self {
            by: by.to_owned(),
            ..self.clone()
        }
    }

    /// A deployment over a log that somebody else keeps open, with its topics made: what the
    /// simulator's operator looks through.
    #[must_use]
    pub fn over(config: Config, log: Arc<dyn Log>) -> Self {
        let pipeline = Pipeline::new(Topics::new(&config.log.topic_prefix));
        Self {
            by: operator::name(&config),
            config,
            data_dir: PathBuf::new(),
            pipeline,
            log,
            values: ValueCodec::single_object(),
            opened: Arc::new(Opening::Elsewhere),
        }
    }

    /// The topics.
    #[must_use]
    pub const fn topics(&self) -> &Topics {
        &self.pipeline.topics
    }

    /// Compacts what has grown, if this process has the log open.
    ///
    /// # Errors
    /// When the log failed.
    pub fn compact(&self) -> Result<()> {
        match &*self.opened {
            Opening::Embedded(opened) => opened.compact(),
            // the topics are the business of the brokers
            Opening::Kafka { log, .. } => Ok(log.compact_copies()?),
            // that of whoever has it open
            Opening::Elsewhere => Ok(()),
        }
    }

    /// All shards.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        (0..self.log.partitions()).map(Shard)
    }

    /// The shard of a user.
    #[must_use]
    pub fn shard_of(&self, user: UserId) -> Shard {
        shard_of(user.to_string().as_bytes(), self.log.partitions())
    }

    /// Shows every record of a partition that has a value, in order.
    ///
    /// # Errors
    /// When the log failed, or `see` did.
    pub fn scan(
        &self,
        topic: &Topic,
        shard: Shard,
        mut see: impl FnMut(Offset, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        // what is there now: a log that is written to meanwhile may never be at its end
        let end = self.log.bounds(topic, shard)?.end;
        let mut at = Offset(0);
        while at < end
            && let Some(batch) = self.log.read(topic, shard, at)?
        {
            for record in batch.iter().filter(|record| record.offset >= at) {
                if let Some(value) = record.value {
                    see(record.offset, record.key, value)?;
                }
            }
            at = batch.next_offset();
        }
        Ok(())
    }

    /// Writes a command to every partition of `control`, in one transaction; `action` makes each
    /// partition's copy from the ends of `usage` and `subscribers` there. Returns its id.
    ///
    /// # Errors
    /// When the log failed.
    pub fn command(&self, action: &dyn Fn(Offset, Offset) -> Action) -> Result<String> {
        let topics = self.topics();
        let issued_at = now();
        let command_id = new_command_id()?;
        let mut failed = None;
        let mut encoder = self.values.command_encoder();
        self.log.append_cut(
            &[topics.usage.clone(), topics.subscribers.clone()],
            &mut |end| {
                let copies = self.shards().map(|shard| {
                    let action = action(end(&topics.usage, shard), end(&topics.subscribers, shard));
                    let command = Command {
                        command_id: command_id.clone(),
                        issued_at,
                        action,
                        by: Some(self.by.clone()),
                    };
                    let mut value = Vec::new();
                    encoder.encode(&command, &mut value)?;
                    let mut batch = Batch::default();
                    batch.push(command_id.as_bytes(), Some(&value));
                    Ok(Write {
                        topic: topics.control.clone(),
                        shard,
                        batch,
                    })
                });
                copies
                    .collect::<Result<_, CodecError>>()
                    .unwrap_or_else(|error| {
                        failed = Some(error);
                        Vec::new()
                    })
            },
        )?;
        match failed {
            None => Ok(command_id),
            Some(error) => Err(error.into()),
        }
    }

    /// Every command on the log, oldest first.
    ///
    /// # Errors
    /// When the log failed.
    pub fn commands(&self) -> Result<Vec<Command>> {
        let mut commands = Vec::new();
        let mut decoder = self.values.decoder::<Command>();
        self.scan(&self.topics().control, Shard(0), |_, _, value| {
            commands.extend(readable(decoder.decode(value))?);
            Ok(())
        })?;
        Ok(commands)
    }

    /// Appends batches that were gathered by topic and shard, as one unit.
    ///
    /// # Errors
    /// When the log failed.
    pub fn append(&self, writes: Vec<Write>) -> Result<()> {
        Ok(self.log.append(writes, Durability::Process)?)
    }
}

/// A record, or nothing where it cannot be read; but an error where that cannot be told, since
/// what is counted must not depend on whether a registry answers.
///
/// # Errors
/// [`CodecError`], for which [`CodecError::is_retryable`] holds.
pub fn readable<R>(read: Result<R, CodecError>) -> Result<Option<R>, CodecError> {
    match read {
        Err(error) if error.is_retryable() => Err(error),
        read => Ok(read.ok()),
    }
}

/// What the registry says, and whose it is to mend.
pub fn registry_error(error: RegistryError) -> anyhow::Error {
    match error.consequence() {
        Consequence::Mend => usage(error),
        Consequence::Retry => error.into(),
    }
}

/// Gives every stage a committed offset before it first runs: compaction then knows that nothing
/// of its inputs was read.
fn hold_inputs_back(log: &dyn Log, pipeline: &Pipeline) -> Result<()> {
    for stage in [&pipeline.settle, &pipeline.render, &pipeline.send] {
        let mut begin = Vec::new();
        for input in &stage.inputs {
            for shard in (0..log.partitions()).map(Shard) {
                if log.committed(&stage.group, &input.topic, shard)?.is_none() {
                    begin.push(Progress {
                        topic: input.topic.clone(),
                        shard,
                        offset: Offset(0),
                    });
                }
            }
        }
        if !begin.is_empty() {
            log.set_committed(&stage.group, &begin)?;
        }
    }
    Ok(())
}

/// 128 random bits in hexadecimal.
fn new_command_id() -> Result<String> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random bytes from the operating system.
///
/// # Errors
/// When it has none to give.
pub fn fill_random(bytes: &mut [u8]) -> Result<()> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(bytes))
        .context("the operating system gives no random bytes (/dev/urandom)")
}

/// Reads the key ring.
///
/// # Errors
/// When it is missing, unreadable or wrong; says what to do.
pub fn key_ring(config: &Config) -> Result<KeyRing> {
    let file = &config.keys.file;
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|error| {
        UsageError(format!(
            "the key ring {} cannot be read ({error}): make one with `sealpost keys generate`, or name it in keys.file",
            file.display()
        ))
    })?;
    KeyRing::from_json(&text).map_err(|error| {
        usage(anyhow::Error::new(error).context(format!("the key ring {}", file.display())))
    })
}

/// Reads the catalogue; the built-in one if none is configured.
///
/// # Errors
/// When it is missing or wrong; says where.
pub fn catalog(config: &Config) -> Result<Catalog> {
    let Some(file) = &config.catalog.file else {
        return Ok(Catalog::built_in());
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        UsageError(format!(
            "the catalogue {} cannot be read: {error}",
            file.display()
        ))
    })?;
    Catalog::from_toml(&text)
        .map_err(|error| usage(anyhow::Error::new(error).context(file.display().to_string())))
}
