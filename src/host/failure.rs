//! The log's errors on their way through the socket: each arrives as what it was.

use sealpost_topology::log::LogError;

use super::parts::{Malformed, Parts};
use super::wire::Frame;

pub(super) fn put(frame: &mut Frame, error: &LogError) {
    match error {
        LogError::UnknownTopic(topic) => {
            frame.put(&[0]);
            frame.put_bytes(topic.name().as_bytes());
        }
        LogError::UnknownShard {
            topic,
            shard,
            partitions,
        } => {
            frame.put(&[1]);
            frame.put_bytes(topic.name().as_bytes());
            frame.put(&shard.0.to_le_bytes());
            frame.put(&partitions.to_le_bytes());
        }
        LogError::Mismatch(what) => {
            frame.put(&[2]);
            frame.put_bytes(what.as_bytes());
        }
        LogError::InUse { path } => {
            frame.put(&[3]);
            frame.put_bytes(path.as_bytes());
        }
        LogError::GroupInUse(group) => {
            frame.put(&[4]);
            frame.put_bytes(group.name().as_bytes());
        }
        LogError::Damaged {
            topic,
            shard,
            offset,
            damage,
        } => {
            frame.put(&[5]);
            frame.put_bytes(topic.name().as_bytes());
            frame.put(&shard.0.to_le_bytes());
            frame.put(&offset.0.to_le_bytes());
            frame.put_bytes(damage.as_bytes());
        }
        LogError::Storage(what) => {
            frame.put(&[6]);
            frame.put_bytes(what.as_bytes());
        }
        LogError::InDoubt => frame.put(&[7]),
        LogError::Unreachable(what) => {
            frame.put(&[8]);
            frame.put_bytes(what.as_bytes());
        }
        LogError::Refused(what) => {
            frame.put(&[9]);
            frame.put_bytes(what.as_bytes());
        }
    }
}

pub(super) fn take(parts: &mut Parts<'_>) -> Result<LogError, Malformed> {
    Ok(match parts.byte()? {
        0 => LogError::UnknownTopic(parts.topic()?),
        1 => LogError::UnknownShard {
            topic: parts.topic()?,
            shard: parts.shard()?,
            partitions: parts.u32()?,
        },
        2 => LogError::Mismatch(parts.text()?.to_owned()),
        3 => LogError::InUse {
            path: parts.text()?.to_owned(),
        },
        4 => LogError::GroupInUse(parts.group()?),
        5 => LogError::Damaged {
            topic: parts.topic()?,
            shard: parts.shard()?,
            offset: parts.offset()?,
            damage: parts.text()?.to_owned(),
        },
        6 => LogError::Storage(parts.text()?.to_owned()),
        7 => LogError::InDoubt,
        8 => LogError::Unreachable(parts.text()?.to_owned()),
        9 => LogError::Refused(parts.text()?.to_owned()),
        _ => return Err(Malformed),
    })
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use sealpost_topology::types::{Group, Offset, Shard, Topic};

    use super::*;

    #[test]
    fn every_error_arrives_as_what_it_was() {
        let topic = Topic::new("usage");
        let errors = [
            LogError::UnknownTopic(topic.clone()),
            LogError::UnknownShard {
                topic: topic.clone(),
                shard: Shard(9),
                partitions: 8,
            },
            LogError::Mismatch("two and three".to_owned()),
            LogError::InUse {
                path: "/data".to_owned(),
            },
            LogError::GroupInUse(Group::new("settle")),
            LogError::Damaged {
                topic,
                shard: Shard(1),
                offset: Offset(2),
                damage: "bad".to_owned(),
            },
            LogError::Storage("full".to_owned()),
            LogError::InDoubt,
            LogError::Unreachable("nobody there".to_owned()),
            LogError::Refused("wrong password".to_owned()),
        ];
        for error in errors {
            let mut frame = Frame::new();
            put(&mut frame, &error);
            let back = take(&mut Parts::of(frame.payload())).unwrap();
            assert_eq!(format!("{back:?}"), format!("{error:?}"));
        }
    }
}
