//! `repartition`: carries a deployment on Kafka over to a new generation of topics with another
//! number of partitions.
//!
//! # Invariants
//! - The old generation is read only, its register aside, until `--finish`.
//! - The order: the old register says that a move has begun (every other command refuses then), the
//!   topics are made and filled, both sides are compared, the groups' offsets are set, the new
//!   register says that it is complete, the old one that it has moved. Whatever is killed in
//!   between is begun again from the old generation, which has not changed.
//! - Of two at once one fails: see [`crate::repartition`], which does the copying.

use anyhow::Result;

use super::Scene;
use crate::config::Backend;
use crate::generation::{Mark, Marks, Move, Register, register_topic};
use crate::progress::bar;
use crate::repartition::{self, Carried, Side, unread_inputs};
use crate::usage_error::UsageError;

/// `repartition …`
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["partitions", "resume", "finish", "abandon"])))]
pub(super) struct Arguments {
    /// Partitions of every topic of the new generation
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: Option<u32>,
    /// What the new topics' names begin with [default: the old prefix and `gK.`, the next K]
    #[arg(long, value_name = "PREFIX", requires = "partitions")]
    to_prefix: Option<String>,
    /// Go on with what was interrupted; once it is through, carry over what came to the old input topics since
    #[arg(long)]
    resume: bool,
    /// Delete the topics of the old generation, unless something came to its input topics since
    #[arg(long)]
    finish: bool,
    /// Take back what was interrupted: delete the new topics, use the old ones again
    #[arg(long)]
    abandon: bool,
}

pub(super) fn execute(scene: &Scene, arguments: &Arguments) -> Result<()> {
    let log = &scene.config.log;
    if log.backend == Backend::Embedded {
        return refuse(
            "the embedded log keeps its number of partitions: repartition is for log.backend = \"kafka\"; for another number, ingest into a new --data-dir before its first close".to_owned(),
        );
    }
    let register = Register::open(&scene.config, &log.topic_prefix)?;
    let marks = register.read()?;
    if let Some(partitions) = arguments.partitions {
        marks.check(&log.topic_prefix)?;
        let to = arguments
            .to_prefix
            .clone()
            .unwrap_or_else(|| next_prefix(&log.topic_prefix));
        return begin(
            scene,
            &register,
            &Mark {
                prefix: to,
                partitions,
                state: Move::Begun,
            },
        );
    }
    let moving = marks
        .moved_to
        .as_ref()
        .filter(|mark| mark.state == Move::Begun);
    match moving {
        Some(mark) if arguments.resume => return make(scene, &register, mark),
        Some(mark) if arguments.abandon => return abandon(scene, &register, mark),
        Some(_) => return marks.check(&log.topic_prefix),
        None => {}
    }
    if arguments.abandon {
        return refuse(format!(
            "no move of the topics {}* was interrupted: there is nothing to take back",
            log.topic_prefix
        ));
    }
    let (old, new) = pair(scene, &marks)?;
    if arguments.finish {
        finish(scene, &old, &new)
    } else {
        stragglers(scene, &old, &new)
    }
}

fn refuse<T>(line: String) -> Result<T> {
    Err(UsageError(line).into())
}

/// The next generation of a prefix.
fn next_prefix(prefix: &str) -> String {
    let generation = prefix.strip_suffix('.').and_then(|name| {
        let (base, last) = name.rsplit_once('.').unwrap_or(("", name));
        let number: u32 = last.strip_prefix('g')?.parse().ok()?;
        let dot = if base.is_empty() { "" } else { "." };
        Some((format!("{base}{dot}"), number))
    });
    let (base, number) = generation.unwrap_or_else(|| (prefix.to_owned(), 0));
    format!("{base}g{}.", number + 1)
}

/// The old and the new generation of a move that is through, whichever is configured.
fn pair(scene: &Scene, marks: &Marks) -> Result<(Side, Side)> {
    let log = &scene.config.log;
    let open = |prefix: &str, partitions| Side::open(&scene.config, prefix, partitions);
    if let Some(Mark {
        prefix, partitions, ..
    }) = &marks.moved_to
    {
        // what is configured may be what the new one has
        let made_from = Register::open(&scene.config, prefix)?.read()?.made_from;
        let before = made_from.map_or(log.partitions, |mark| mark.partitions);
        return Ok((open(&log.topic_prefix, before)?, open(prefix, *partitions)?));
    }
    match &marks.made_from {
        Some(Mark {
            prefix,
            partitions,
            state: Move::Done,
        }) => Ok((
            open(prefix, *partitions)?,
            open(&log.topic_prefix, log.partitions)?,
        )),
        _ => refuse(format!(
            "the topics {}* were not repartitioned: begin with `sealpost repartition --partitions N`",
            log.topic_prefix
        )),
    }
}

/// The checks before anything is written, the mark that a move has begun, and the move.
fn begin(scene: &Scene, register: &Register, mark: &Mark) -> Result<()> {
    let config = &scene.config;
    let prefix = &config.log.topic_prefix;
    if !config.log.kafka.create_topics {
        return refuse(
            "log.kafka.create_topics is off, and repartition makes a generation of topics: set it for this command (SEALPOST__LOG__KAFKA__CREATE_TOPICS=true)".to_owned(),
        );
    }
    if &mark.prefix == prefix {
        return refuse(format!(
            "--to-prefix is {prefix}, where the deployment is already: name another prefix"
        ));
    }
    let old = Side::open(config, prefix, config.log.partitions)?;
    let topics = old.all_topics();
    let there = register.there(&topics)?;
    if let Some(missing) = topics.iter().find(|topic| !there.contains(topic)) {
        return refuse(format!(
            "topic {missing} is not there, so there is no deployment to carry over: check log.topic_prefix"
        ));
    }
    let new = Side::open(config, &mark.prefix, mark.partitions)?;
    let mut taken = register.there(&new.all_topics())?;
    taken.extend(register.there(&[register_topic(&mark.prefix)])?);
    if let Some(taken) = taken.first() {
        return refuse(format!(
            "topic {taken} is there already: name another --to-prefix"
        ));
    }
    drop(new);
    repartition::nobody_works(&old)?;
    repartition::everything_read(&old)?;
    repartition::common(&old)?;
    register.moved_to(Some(mark))?;
    // whoever came in between has done so before the mark: looked for once more
    if let Err(error) =
        repartition::nobody_works(&old).and_then(|()| repartition::everything_read(&old))
    {
        register.moved_to(None)?;
        return Err(error);
    }
    make(scene, register, mark)
}

/// Makes the new generation, from the begin.
fn make(scene: &Scene, register: &Register, mark: &Mark) -> Result<()> {
    let config = &scene.config;
    let old = Side::open(config, &config.log.topic_prefix, config.log.partitions)?;
    let new_register = Register::open(config, &mark.prefix)?;
    let complete = matches!(
        new_register.read()?.made_from,
        Some(Mark {
            state: Move::Done,
            ..
        })
    );
    if complete {
        // killed between the two last marks
        register.moved_to(Some(&Mark {
            state: Move::Done,
            ..mark.clone()
        }))?;
        return told(scene, &old, mark, None);
    }
    let made_from = |state| Mark {
        prefix: old.prefix.clone(),
        partitions: old.partitions(),
        state,
    };
    repartition::nobody_works(&old)?;
    let common = repartition::common(&old)?;
    new_register.made_from(&made_from(Move::Begun))?;
    let new = Side::open(config, &mark.prefix, mark.partitions)?;
    new_register.delete(&new.all_topics())?;
    let progress = bar("carry", repartition::steps(&old, &new));
    let carried = repartition::fill(&old, &new, &common, &|| progress.inc(1))?;
    progress.finish_and_clear();
    new_register.made_from(&made_from(Move::Done))?;
    register.moved_to(Some(&Mark {
        state: Move::Done,
        ..mark.clone()
    }))?;
    told(scene, &old, mark, Some(&carried))
}

/// Says what to do now.
fn told(scene: &Scene, old: &Side, mark: &Mark, carried: Option<&Carried>) -> Result<()> {
    let left = unread_inputs(old)?;
    let Mark {
        prefix, partitions, ..
    } = mark;
    let mut text = format!(
        "carried over to {partitions} partitions. Now\n\
         1. set in the configuration of every process: log.topic_prefix = \"{prefix}\", log.partitions = {partitions}\n\
         2. let producers outside write to {prefix}usage and {prefix}subscribers instead of {old}usage and {old}subscribers\n\
         3. `sealpost repartition --resume` carries over what came to the old ones since; `--finish` then deletes the old topics",
        old = old.prefix
    );
    if let Some(Carried {
        originals_left: originals @ 1..,
        ..
    }) = carried
    {
        text.push_str(&format!(
            "\n{originals} dead letters have their original in the old topics alone, and cannot be requeued from the new ones: to requeue them, read the originals there before `--finish`"
        ));
    }
    if left > 0 {
        text.push_str(&format!(
            "\n{left} records came to the old input topics meanwhile: step 3 carries them over"
        ));
    }
    let json = serde_json::json!({
        "topic_prefix": prefix, "partitions": partitions, "from_prefix": old.prefix,
        "from_partitions": old.partitions(), "carried": carried, "stragglers": left,
    });
    scene.answer(&json, &text)
}

/// Carries over what came to the old input topics since.
fn stragglers(scene: &Scene, old: &Side, new: &Side) -> Result<()> {
    let register = Register::open(&scene.config, &old.prefix)?;
    let is_there = !register.there(&[old.topics().usage.clone()])?.is_empty();
    let count = if is_there {
        repartition::stragglers(old, new)?
    } else {
        0
    };
    let text = if count == 0 {
        format!(
            "nothing came to {}usage and {}subscribers since",
            old.prefix, old.prefix
        )
    } else {
        format!(
            "{count} records that came to the old input topics were carried over to {}*",
            new.prefix
        )
    };
    scene.answer(&serde_json::json!({ "carried_over": count }), &text)
}

/// Deletes the old generation's topics; its register stays.
fn finish(scene: &Scene, old: &Side, new: &Side) -> Result<()> {
    let register = Register::open(&scene.config, &old.prefix)?;
    let there = register.there(&old.all_topics())?;
    if there.contains(&old.topics().usage) && there.contains(&old.topics().subscribers) {
        let left = unread_inputs(old)?;
        if left > 0 {
            return refuse(format!(
                "{left} records came to {}usage and {}subscribers since: stop their producers, carry them over with `sealpost repartition --resume`, then finish",
                old.prefix, old.prefix
            ));
        }
    }
    register.delete(&there)?;
    let text = format!(
        "{} topics of {}* deleted; {} stays, so that whoever is still configured for them is told of {}*",
        there.len(),
        old.prefix,
        register_topic(&old.prefix),
        new.prefix
    );
    scene.answer(&serde_json::json!({ "deleted": there.len() }), &text)
}

/// Takes back a move that is not through.
fn abandon(scene: &Scene, register: &Register, mark: &Mark) -> Result<()> {
    let new_register = Register::open(&scene.config, &mark.prefix)?;
    if matches!(
        new_register.read()?.made_from,
        Some(Mark {
            state: Move::Done,
            ..
        })
    ) {
        return refuse(format!(
            "the topics {}* are complete: `sealpost repartition --resume` makes the move known",
            mark.prefix
        ));
    }
    let new = Side::open(&scene.config, &mark.prefix, mark.partitions)?;
    let mut topics = new.all_topics();
    topics.push(register_topic(&mark.prefix));
    register.delete(&topics)?;
    register.moved_to(None)?;
    let text = format!(
        "taken back: the topics {}* are in use again",
        scene.config.log.topic_prefix
    );
    scene.answer(
        &serde_json::json!({ "topic_prefix": scene.config.log.topic_prefix }),
        &text,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_count_up_whatever_their_prefix() {
        assert_eq!(next_prefix("sealpost."), "sealpost.g1.");
        assert_eq!(next_prefix("sealpost.g1."), "sealpost.g2.");
        assert_eq!(next_prefix("g9."), "g10.");
        assert_eq!(next_prefix("bills-"), "bills-g1.");
        assert_eq!(next_prefix(""), "g1.");
    }
}
