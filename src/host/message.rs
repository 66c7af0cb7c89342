//! What the two sides of the socket say to each other.
//!
//! # Protocol, version 1
//! Numbers are little-endian; text and bytes stand behind their length (8), lists behind their
//! count (4). Each frame ([`super::wire`]) is one message.
//! 1. The client greets: `sealpost`, version (1). The host answers with a [`Welcome`]: version
//!    (1), its pid (4), role (1), program version, partitions (4), admission (1). The fields up to
//!    the program version stay as they are in every version.
//! 2. The client sends a [`Request`], the host a [`Response`]; and so on, until one side ends.
//! 3. An append at a cut has two requests: [`Request::AppendCut`] is answered with
//!    [`Response::CutEnds`] while the host keeps its log from changing; the client must send
//!    [`Request::CutWrites`] within [`super::server::CUT_TIME_MAX`], or nothing is written.
//!
//! Batches travel in their stored form, which is checked as a whole when it is read. What cannot
//! be read is answered with [`Response::Refused`], and the connection ends.

use sealpost_topology::batch::{Batch, RecordBatch};
use sealpost_topology::log::{Bounds, Cleanup, Durability, LogError, Progress, TopicSpec, Write};
use sealpost_topology::types::{Group, Offset, Shard, TimeMs, Topic};

use super::holder::{Holder, Role};
use super::parts::{Malformed, Parts};
use super::wire::Frame;

/// The version of the protocol.
pub(super) const VERSION: u8 = 1;

const GREETING: &[u8] = b"sealpost";

/// The client's first frame.
pub(super) fn greeting() -> Frame {
    let mut frame = Frame::new();
    frame.put(GREETING);
    frame.put(&[VERSION]);
    frame
}

/// Whether a frame is a client's greeting. Any version is: the answer tells it ours.
pub(super) fn is_greeting(payload: &[u8]) -> bool {
    payload
        .strip_prefix(GREETING)
        .is_some_and(|version| version.len() == 1)
}

/// Whether a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is.
    Admitted,
    /// Too many are already: it ends here.
    Full,
}

/// The host's first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The protocol that the host speaks.
    pub(super) protocol: u8,
    /// Who it is.
    pub(super) holder: Holder,
    /// What a client of the same protocol learns.
    pub(super) terms: Option<Terms>,
}

/// See [`Welcome::terms`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Partitions of every topic.
    pub(super) partitions: u32,
    /// Whether the connection is served.
    pub(super) admission: Admission,
}

impl Welcome {
    pub(super) fn encode(holder: &Holder, terms: Terms) -> Frame {
        let mut frame = Frame::new();
        frame.put(&[VERSION]);
        put_holder(&mut frame, holder);
        frame.put(&terms.partitions.to_le_bytes());
        frame.put(&[u8::from(terms.admission == Admission::Full)]);
        frame
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Parts::of(payload);
        let protocol = parts.byte()?;
        let holder = take_holder(&mut parts)?;
        if protocol != VERSION {
            return Ok(Self {
                protocol,
                holder,
                terms: None,
            });
        }
        let partitions = parts.u32()?;
        let admission = match parts.byte()? {
            0 => Admission::Admitted,
            1 => Admission::Full,
            _ => return Err(Malformed),
        };
        parts.end()?;
        Ok(Self {
            protocol,
            holder,
            terms: Some(Terms {
                partitions,
                admission,
            }),
        })
    }
}

fn put_holder(frame: &mut Frame, holder: &Holder) {
    frame.put(&holder.pid.to_le_bytes());
    frame.put(&[match holder.role {
        Role::Run => 0,
        Role::Command => 1,
    }]);
    frame.put_bytes(holder.version.as_bytes());
}

fn take_holder(parts: &mut Parts<'_>) -> Result<Holder, Malformed> {
    let pid = parts.u32()?;
    let role = match parts.byte()? {
        0 => Role::Run,
        1 => Role::Command,
        _ => return Err(Malformed),
    };
    Ok(Holder {
        pid,
        role,
        version: parts.text()?.to_owned(),
    })
}

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// Who are you?
    Ping,
    /// [`sealpost_topology::log::Log::create`]
    Create(Vec<TopicSpec>),
    /// [`sealpost_topology::log::Log::append`]
    Append(Durability, Vec<Write>),
    /// [`sealpost_topology::log::Log::append_cut`], first half: the topics to cut.
    AppendCut(Vec<Topic>),
    /// Second half: what was built of the ends.
    CutWrites(Vec<Write>),
    /// [`sealpost_topology::log::Log::bounds`]
    Bounds(Topic, Shard),
    /// [`sealpost_topology::log::Log::read`]
    Read(Topic, Shard, Offset),
    /// [`sealpost_topology::log::Log::committed`]
    Committed(Group, Topic, Shard),
    /// [`sealpost_topology::log::Log::set_committed`]
    SetCommitted(Group, Vec<Progress>),
}

impl Request {
    /// Takes back what was to be written.
    pub(super) fn take_writes(&mut self) -> Vec<Write> {
        match self {
            Self::Append(_, writes) | Self::CutWrites(writes) => std::mem::take(writes),
            _ => Vec::new(),
        }
    }

    pub(super) fn encode(&self) -> Frame {
        let mut frame = Frame::new();
        match self {
            Self::Ping => frame.put(&[0]),
            Self::Create(topics) => {
                frame.put(&[1]);
                put_count(&mut frame, topics.len());
                for TopicSpec { topic, cleanup } in topics {
                    frame.put_bytes(topic.name().as_bytes());
                    frame.put(&[u8::from(*cleanup == Cleanup::Compact)]);
                }
            }
            Self::Append(durability, writes) => {
                frame.put(&[2, u8::from(*durability == Durability::Machine)]);
                put_writes(&mut frame, writes);
            }
            Self::AppendCut(cut) => {
                frame.put(&[3]);
                put_count(&mut frame, cut.len());
                for topic in cut {
                    frame.put_bytes(topic.name().as_bytes());
                }
            }
            Self::CutWrites(writes) => {
                frame.put(&[4]);
                put_writes(&mut frame, writes);
            }
            Self::Bounds(topic, shard) => {
                frame.put(&[5]);
                put_partition(&mut frame, topic, *shard);
            }
            Self::Read(topic, shard, from) => {
                frame.put(&[6]);
                put_partition(&mut frame, topic, *shard);
                frame.put(&from.0.to_le_bytes());
            }
            Self::Committed(group, topic, shard) => {
                frame.put(&[7]);
                frame.put_bytes(group.name().as_bytes());
                put_partition(&mut frame, topic, *shard);
            }
            Self::SetCommitted(group, progress) => {
                frame.put(&[8]);
                frame.put_bytes(group.name().as_bytes());
                put_count(&mut frame, progress.len());
                for Progress {
                    topic,
                    shard,
                    offset,
                } in progress
                {
                    put_partition(&mut frame, topic, *shard);
                    frame.put(&offset.0.to_le_bytes());
                }
            }
        }
        frame
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Parts::of(payload);
        let request = match parts.byte()? {
            0 => Self::Ping,
            1 => Self::Create(parts.list(|parts| {
                let topic = parts.topic()?;
                let cleanup = match parts.byte()? {
                    0 => Cleanup::Keep,
                    1 => Cleanup::Compact,
                    _ => return Err(Malformed),
                };
                Ok(TopicSpec { topic, cleanup })
            })?),
            2 => {
                let durability = match parts.byte()? {
                    0 => Durability::Process,
                    1 => Durability::Machine,
                    _ => return Err(Malformed),
                };
                Self::Append(durability, parts.list(take_write)?)
            }
            3 => Self::AppendCut(parts.list(Parts::topic)?),
            4 => Self::CutWrites(parts.list(take_write)?),
            5 => Self::Bounds(parts.topic()?, parts.shard()?),
            6 => Self::Read(parts.topic()?, parts.shard()?, parts.offset()?),
            7 => Self::Committed(parts.group()?, parts.topic()?, parts.shard()?),
            8 => Self::SetCommitted(
                parts.group()?,
                parts.list(|parts| {
                    let (topic, shard) = (parts.topic()?, parts.shard()?);
                    Ok(Progress {
                        topic,
                        shard,
                        offset: parts.offset()?,
                    })
                })?,
            ),
            _ => return Err(Malformed),
        };
        parts.end()?;
        Ok(request)
    }
}

/// What the host answers.
#[derive(Debug)]
pub(super) enum Response {
    /// It is done.
    Done,
    /// The log could not do it.
    Failed(LogError),
    /// The host would not do it: nothing was done.
    Refused(String),
    /// This is who I am.
    Pong(Holder),
    /// How far a partition reaches.
    Bounds(Bounds),
    /// The batch, or the end.
    Batch(Option<RecordBatch>),
    /// What was committed, if anything.
    Committed(Option<Offset>),
    /// The ends of all partitions of each topic of a cut, in the order of the request.
    CutEnds(Vec<Offset>),
}

impl Response {
    pub(super) fn encode(&self) -> Frame {
        let mut frame = Frame::new();
        match self {
            Self::Done => frame.put(&[0]),
            Self::Failed(error) => {
                frame.put(&[1]);
                super::failure::put(&mut frame, error);
            }
            Self::Refused(why) => {
                frame.put(&[2]);
                frame.put_bytes(why.as_bytes());
            }
            Self::Pong(holder) => {
                frame.put(&[3]);
                put_holder(&mut frame, holder);
            }
            Self::Bounds(Bounds { start, end }) => {
                frame.put(&[4]);
                frame.put(&start.0.to_le_bytes());
                frame.put(&end.0.to_le_bytes());
            }
            Self::Batch(None) => frame.put(&[5]),
            Self::Batch(Some(batch)) => {
                frame.put(&[6]);
                frame.put(&batch.base().0.to_le_bytes());
                frame.put_bytes(&batch.encode());
            }
            Self::Committed(None) => frame.put(&[7]),
            Self::Committed(Some(offset)) => {
                frame.put(&[8]);
                frame.put(&offset.0.to_le_bytes());
            }
            Self::CutEnds(ends) => {
                frame.put(&[9]);
                put_count(&mut frame, ends.len());
                for end in ends {
                    frame.put(&end.0.to_le_bytes());
                }
            }
        }
        frame
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Parts::of(payload);
        let response = match parts.byte()? {
            0 => Self::Done,
            1 => Self::Failed(super::failure::take(&mut parts)?),
            2 => Self::Refused(parts.text()?.to_owned()),
            3 => Self::Pong(take_holder(&mut parts)?),
            4 => Self::Bounds(Bounds {
                start: parts.offset()?,
                end: parts.offset()?,
            }),
            5 => Self::Batch(None),
            6 => {
                let base = parts.offset()?;
                let batch = RecordBatch::decode(base, parts.bytes()?).map_err(|_| Malformed)?;
                Self::Batch(Some(batch))
            }
            7 => Self::Committed(None),
            8 => Self::Committed(Some(parts.offset()?)),
            9 => Self::CutEnds(parts.list(Parts::offset)?),
            _ => return Err(Malformed),
        };
        parts.end()?;
        Ok(response)
    }
}

fn put_count(frame: &mut Frame, count: usize) {
    // lists are as long as a log has partitions and topics
    frame.put(&(count as u32).to_le_bytes());
}

fn put_partition(frame: &mut Frame, topic: &Topic, shard: Shard) {
    frame.put_bytes(topic.name().as_bytes());
    frame.put(&shard.0.to_le_bytes());
}

fn put_writes(frame: &mut Frame, writes: &[Write]) {
    put_count(frame, writes.len());
    for Write {
        topic,
        shard,
        batch,
    } in writes
    {
        put_partition(frame, topic, *shard);
        // the host places it and gives it its time
        frame.put_bytes(&batch.encode(TimeMs(0)));
    }
}

fn take_write(parts: &mut Parts<'_>) -> Result<Write, Malformed> {
    let (topic, shard) = (parts.topic()?, parts.shard()?);
    let stored = RecordBatch::decode(Offset(0), parts.bytes()?).map_err(|_| Malformed)?;
    let mut batch = Batch::default();
    // written anew, so that what is appended is a fresh batch, whatever was sent
    for record in stored.iter() {
        batch.push(record.key, record.value);
    }
    Ok(Write {
        topic,
        shard,
        batch,
    })
}
