//! The deployment is carried over to another number of partitions in the middle of everything:
//! all stop, settle and render do what they have to do, everything is copied into a new generation
//! of topics, and all start on that. The copying may die half-way; then it is begun again, or taken
//! back for now.
//!
//! The copying and its checks are the product's. What is left out are the registers (which of two
//! generations is in use is known here) and producers that still write to the old topics.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use sealpost::deployment::Deployment;
use sealpost::pipeline::Pipeline;
use sealpost::repartition::{Common, Side, common, everything_read, fill, nobody_works};
use sealpost::topics::Topics;
use sealpost::usage_error::UsageError;
use sealpost_topology::log::{Faults, Log, MemoryLog};
use sealpost_topology::types::Topic;

use super::{STEPS_A_ROUND, World};
use crate::canary::Canary;
use crate::marks::Mark;
use crate::plan::Fault;
use crate::process::Process;
use crate::scene::Scene;
use crate::vitals::Vitals;
use crate::wires::{NOBODY, Wire};

/// Most partitions of a generation.
const PARTITIONS_MAX: u64 = 4;
/// Longest wait for those that stop, in tenths of a second.
const STOP_ROUNDS: u32 = 50;
/// How often it is tried to find everything read, before the move is put off.
const DRAINS_MAX: u32 = 2;
/// Rounds without anything to do after which settle and render are through: reading may find
/// nothing now.
const IDLE_ROUNDS: u32 = 6;

/// A generation of topics that was left.
pub(crate) struct Left {
    /// Its usage.
    pub(crate) usage: Topic,
    /// Where it lies.
    pub(crate) log: MemoryLog,
}

impl World {
    /// Now and then the deployment moves.
    pub(super) fn repartition(&mut self) -> Result<()> {
        if !self.site.scene.has(Fault::Repartition) || !self.moves.one_in(250) {
            return Ok(());
        }
        self.moving = true;
        let moved = self.carry_over();
        self.moving = false;
        moved
    }

    fn carry_over(&mut self) -> Result<()> {
        let scene = self.scene();
        scene.say(format_args!("everything stops for a move"));
        self.stop_all()?;
        for _ in 0..DRAINS_MAX {
            // an operator may think that everything is read
            if !self.moves.one_in(3) {
                self.drain()?;
            }
            if scene.violation().is_some() {
                return Ok(());
            }
            let old = self.side();
            let ready = nobody_works(&old)
                .and_then(|()| everything_read(&old))
                .and_then(|()| common(&old));
            match ready {
                Ok(common) => return self.copy(&old, &common),
                Err(error) if error.is::<UsageError>() => {
                    scene.say(format_args!("not yet: {error}"));
                }
                Err(error) => {
                    scene.violate(format_args!("a move cannot begin: {error:#}"));
                    return Ok(());
                }
            }
            let ms = self.moves.within(0, 2_000);
            self.pass(ms)?;
        }
        scene.reach(Mark::MovePutOff);
        Ok(())
    }

    /// The generation in use, as the copying sees it.
    fn side(&self) -> Side {
        let site = &self.site;
        let prefix = &site.config.log.topic_prefix;
        let log: Arc<dyn Log> = if site.scene.is_sabotaged(Canary::MoveForgetsUnfinished) {
            // what nobody has finished counts as done
            Arc::new(self.wire(site.log.clone(), prefix, &Arc::new(Vitals::new(NOBODY, 0))))
        } else {
            Arc::new(site.log.clone())
        };
        Side::over(log, prefix)
    }

    fn wire(&self, log: MemoryLog, prefix: &str, vitals: &Arc<Vitals>) -> Wire {
        Wire::new(
            log,
            Arc::new(Topics::new(prefix)),
            self.scene(),
            Arc::clone(vitals),
            Arc::clone(&self.site.seats),
        )
    }

    /// Whoever stands still is killed; the others finish what is on the line, within their grace.
    fn stop_all(&mut self) -> Result<()> {
        let scene = self.scene();
        for slot in &mut self.slots {
            if let Some(process) = &mut slot.process
                && !process.vitals.is_frozen()
            {
                process.stop(scene.now());
            }
        }
        for _ in 0..STOP_ROUNDS {
            for slot in &mut self.slots {
                let Some(process) = &mut slot.process else {
                    continue;
                };
                for worker in 0..process.workers() {
                    process.step(worker, &scene);
                }
                if process.vitals.is_dead()
                    || process.vitals.is_frozen()
                    || process.has_stopped(scene.now())
                {
                    slot.process.take().into_iter().for_each(Process::end);
                }
            }
            if self.slots.iter().all(|slot| slot.process.is_none()) {
                break;
            }
            self.pass(100)?;
        }
        for slot in &mut self.slots {
            slot.process.take().into_iter().for_each(Process::end);
        }
        Ok(())
    }

    /// Settle and render do what there is for them to do; nothing is sent.
    fn drain(&mut self) -> Result<()> {
        let scene = self.scene();
        let keys = self.rings.last().context("there is always a key ring")?;
        let mut process = Process::start(&self.site, Vitals::new(0, 0), keys)?;
        let mut idle = 0;
        while idle < IDLE_ROUNDS && scene.violation().is_none() {
            idle += 1;
            for worker in 0..process.workers() {
                for _ in 0..STEPS_A_ROUND {
                    if process.sends(worker) || !process.step(worker, &scene) {
                        break;
                    }
                    idle = 0;
                }
            }
        }
        process.end();
        Ok(())
    }

    fn copy(&mut self, old: &Side, common: &Common) -> Result<()> {
        let scene = self.scene();
        let partitions = self.other_number();
        let prefix = format!("g{}.", self.left.len() + 1);
        loop {
            let log = empty_log(&scene, partitions)?;
            let vitals = Arc::new(Vitals::new(NOBODY, 0));
            if self.moves.one_in(2) {
                let effects = self.moves.within(1, 80);
                vitals.die_in(effects, self.moves.one_in(2));
            }
            let wire = self.wire(log.clone(), &prefix, &vitals);
            let new = Side::over(Arc::new(wire), &prefix);
            match fill(old, &new, common, &|| {}) {
                Ok(carried) => {
                    scene.say(format_args!("carried over to {partitions}: {carried:?}"));
                    scene.reach(Mark::Repartitioned);
                    if carried.dispatches > 0 {
                        scene.reach(Mark::CarriedUnfinished);
                    }
                    return self.uses(log, &prefix);
                }
                Err(_) if vitals.is_dead() => {
                    scene.reach(Mark::MoveInterrupted);
                    scene.say(format_args!("the move dies half-way"));
                    if self.moves.one_in(3) {
                        scene.say(format_args!("the move is taken back"));
                        return Ok(());
                    }
                }
                Err(error) => {
                    scene.violate(format_args!("a move to {partitions} fails: {error:#}"));
                    return Ok(());
                }
            }
        }
    }

    /// Another number of partitions than there are.
    fn other_number(&mut self) -> u32 {
        let now = self.site.config.log.partitions;
        let number = 1 + self.moves.below(PARTITIONS_MAX - 1) as u32;
        if number < now { number } else { number + 1 }
    }

    /// Everybody is configured for the new generation.
    fn uses(&mut self, log: MemoryLog, prefix: &str) -> Result<()> {
        self.hunt()?;
        self.seal_trace()?;
        let site = &mut self.site;
        self.left.push(Left {
            usage: site.pipeline.topics.usage.clone(),
            log: std::mem::replace(&mut site.log, log.clone()),
        });
        site.config.log.partitions = log.partitions();
        prefix.clone_into(&mut site.config.log.topic_prefix);
        site.pipeline = Pipeline::new(Topics::new(prefix));
        site.seats = Arc::default();
        self.written.moves_to(log.partitions() as usize);
        let deployment = Deployment::over(site.config.clone(), Arc::new(log.clone()));
        self.operator.moves_to(log, deployment);
        Ok(())
    }
}

fn empty_log(scene: &Arc<Scene>, partitions: u32) -> Result<MemoryLog> {
    let clock = Arc::clone(scene);
    Ok(MemoryLog::in_memory(
        partitions,
        Arc::new(move || clock.now_ms()),
        Faults::default(),
    )?)
}
