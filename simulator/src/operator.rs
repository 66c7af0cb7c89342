//! What an operator says, and what they look at before they say it: the commands of the pipeline,
//! written as its command line writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use sealpost::books::{Books, CorrectionBooks, send_states};
use sealpost::deployment::Deployment;
use sealpost::suppressions;
use sealpost_operators::render::TemplateSet;
use sealpost_schemas::record::{
    Action, Apply, Close, Command, Hold, Policy, PolicySet, Release, Resolution, Resolve, Retry,
    SendState, State,
};
use sealpost_schemas::{Channel, Digest, Period, UserId, Version, codec};
use sealpost_topology::batch::Batch;
use sealpost_topology::log::{Log as _, MemoryLog, Write};
use sealpost_topology::types::{Offset, Shard, Topic};

use crate::draw::Draw;
use crate::expect::Closed;
use crate::marks::Mark;
use crate::provider::Desk;
use crate::scene::Scene;
use crate::tariff::Edition;

/// See the module.
pub struct Operator {
    scene: Arc<Scene>,
    log: MemoryLog,
    /// The books, as `status` reads them.
    pub deployment: Deployment,
    draw: Draw,
    /// Periods of which something may be held.
    held: BTreeSet<Period>,
    commands: u64,
    editions: i128,
    templates: BTreeMap<String, String>,
    template_digest: Digest,
}

impl Operator {
    /// An operator of a deployment over the same log.
    #[must_use]
    pub fn new(scene: Arc<Scene>, log: MemoryLog, deployment: Deployment) -> Self {
        let templates = TemplateSet::built_in_sources();
        let template_digest = TemplateSet::digest_of(&templates);
        let draw = Draw::of(scene.plan.seed, "operator");
        Self {
            scene,
            log,
            deployment,
            draw,
            held: BTreeSet::new(),
            commands: 0,
            editions: 0,
            templates,
            template_digest,
        }
    }

    /// The deployment has moved to another log.
    pub fn moves_to(&mut self, log: MemoryLog, deployment: Deployment) {
        (self.log, self.deployment) = (log, deployment);
    }

    /// Writes a command to every partition of `control`.
    ///
    /// # Errors
    /// When the log failed.
    pub fn say(&mut self, action: &dyn Fn(Offset, Offset) -> Action) -> Result<()> {
        self.commands += 1;
        let command_id = format!("command-{}", self.commands);
        let issued_at = self.scene.now();
        let topics = self.deployment.topics();
        let (usage, subscribers) = (topics.usage.clone(), topics.subscribers.clone());
        let control = topics.control.clone();
        let shards: Vec<_> = self.deployment.shards().collect();
        self.log.append_cut(
            &[usage.clone(), subscribers.clone()],
            &mut |end: &dyn Fn(&Topic, Shard) -> Offset| {
                let copy = |shard: &Shard| {
                    let command = Command {
                        by: Some("simulator".to_owned()),
                        command_id: command_id.clone(),
                        issued_at,
                        action: action(end(&usage, *shard), end(&subscribers, *shard)),
                    };
                    let mut batch = Batch::default();
                    let value = codec::encode(&command).unwrap_or_default();
                    batch.push(command_id.as_bytes(), Some(&value));
                    Write {
                        topic: control.clone(),
                        shard: *shard,
                        batch,
                    }
                };
                shards.iter().map(copy).collect()
            },
        )?;
        Ok(())
    }

    /// Closes a period, and returns what that means.
    ///
    /// # Errors
    /// When the log failed.
    pub fn close(&mut self, period: Period) -> Result<Closed> {
        if self.draw.one_in(3) {
            self.editions += 1;
        }
        let edition = Edition(self.editions);
        let catalog = edition.text();
        let (templates, template_digest) = (self.templates.clone(), self.template_digest);
        let ends = |topic: &Topic| -> Result<Vec<u64>> {
            self.deployment
                .shards()
                .map(|shard| Ok(self.log.bounds(topic, shard)?.end.0))
                .collect()
        };
        let topics = self.deployment.topics();
        let closed = Closed {
            period,
            edition,
            usage_end: ends(&topics.usage)?,
            rows_end: ends(&topics.subscribers)?,
        };
        let policy = self.deployment.config.policy();
        let time_zone = self.deployment.config.time_zone.clone();
        self.scene.say(format_args!("the operator closes {period}"));
        self.say(&|usage_end, subscribers_end| {
            Action::Close(Close {
                period,
                usage_end: usage_end.0.cast_signed(),
                subscribers_end: subscribers_end.0.cast_signed(),
                catalog_digest: Digest::of(catalog.as_bytes()),
                catalog: catalog.clone(),
                template_digest,
                templates: templates.clone(),
                policy: policy.clone(),
                time_zone: time_zone.clone(),
                not_before: None,
            })
        })?;
        Ok(closed)
    }

    /// A new policy.
    pub fn policy(&mut self) -> Action {
        self.scene.reach(Mark::PolicySet);
        let mut channels = vec![Channel::Email, Channel::Sms, Channel::Kakao];
        let from = self.draw.place(3);
        channels.rotate_left(from);
        channels.truncate(1 + self.draw.place(3));
        let policy = Policy {
            channels,
            attempts_per_channel: 1 + self.draw.below(3) as u16,
        };
        let apply = *self.draw.pick(&[Apply::New, Apply::Failed, Apply::Unsent]);
        Action::PolicySet(PolicySet { policy, apply })
    }

    /// Holds a period or one of its channels, or releases it.
    ///
    /// # Errors
    /// When the log failed, or a state cannot be read.
    pub fn steer(&mut self, period: Period) -> Result<Action> {
        let channel = *self.draw.pick(&[
            None,
            Some(Channel::Email),
            Some(Channel::Sms),
            Some(Channel::Kakao),
        ]);
        if self.held.contains(&period) && self.draw.one_in(2) {
            return Ok(Action::Release(Release { period, channel }));
        }
        self.held.insert(period);
        Ok(Action::Hold(Hold { period, channel }))
    }

    /// Releases of everything that may be held.
    ///
    /// # Errors
    /// When the log failed, or a state cannot be read.
    pub fn release_all(&mut self) -> Result<Vec<Action>> {
        let mut releases = Vec::new();
        for period in std::mem::take(&mut self.held) {
            let states = self.states(period)?;
            let mut kinds = states.values().flat_map(|state| &state.kinds);
            if kinds.any(|kind| kind.state == State::Held && kind.held_until.is_none()) {
                self.scene.reach(Mark::OnHold);
            }
            let channel = None;
            releases.push(Action::Release(Release { period, channel }));
        }
        Ok(releases)
    }

    /// The next round of a period, if there is one to begin.
    ///
    /// # Errors
    /// When the log failed, or the books cannot be read.
    pub fn retry(&self, period: Period) -> Result<Option<Action>> {
        let books = Books::read(&self.deployment, period)?;
        let follow_ups = &books.corrections;
        let count = |of: fn(&CorrectionBooks) -> u64| follow_ups.iter().map(of).sum::<u64>();
        let running = books.pending + books.sending + count(|it| it.pending + it.sending);
        if running > 0 || self.is_on_its_way(period, books.version)? {
            return Ok(None);
        }
        let released = match books.suppressed + count(|it| it.suppressed) {
            0 => 0,
            _ => suppressions::released(&self.deployment, period)?,
        };
        if books.failed + count(|it| it.failed) + released == 0 {
            return Ok(None);
        }
        self.scene.reach(Mark::Retried);
        Ok(Some(Action::Retry(Retry {
            period,
            version: books.version.next(),
            policy: self.deployment.config.policy(),
        })))
    }

    /// Whether a round was begun that the books do not show yet.
    fn is_on_its_way(&self, period: Period, version: Version) -> Result<bool> {
        if version == Version::default() {
            return Ok(false);
        }
        let pipeline = &self.deployment.pipeline;
        let topics = self.deployment.topics();
        for shard in self.deployment.shards() {
            let committed = |group, topic: &Topic| -> Result<Offset> {
                Ok(self.log.committed(group, topic, shard)?.unwrap_or_default())
            };
            let behind = |group, topic: &Topic| -> Result<bool> {
                Ok(committed(group, topic)? < self.log.bounds(topic, shard)?.end)
            };
            if behind(&pipeline.render.group, &topics.control)?
                || behind(&pipeline.send.group, &topics.dispatches)?
            {
                self.scene
                    .say(format_args!("{period} is on its way in shard {shard}"));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A word on something that is unknown and no longer on the line, as the provider's ledger
    /// has it.
    ///
    /// # Errors
    /// When the log failed, or a state cannot be read.
    pub fn resolve(&mut self, period: Period, desk: &Desk) -> Result<Option<Action>> {
        let unknown: Vec<_> = self
            .states(period)?
            .into_iter()
            .flat_map(|(user, state)| state.kinds.into_iter().map(move |kind| (user, kind)))
            .filter(|(user, kind)| {
                kind.state == State::Unknown && !desk.is_on_the_line((*user, period, kind.kind))
            })
            .map(|(user, kind)| (user, kind.kind))
            .collect();
        if unknown.is_empty() {
            return Ok(None);
        }
        let (user_id, kind) = *self.draw.pick(&unknown);
        let resolution = if desk.has((user_id, period, kind)) {
            Resolution::Sent
        } else {
            Resolution::Failed
        };
        self.scene.reach(Mark::Resolved);
        Ok(Some(Action::Resolve(Resolve {
            period,
            user_id,
            kind,
            resolution,
        })))
    }

    /// The send states of a period.
    ///
    /// # Errors
    /// When the log failed, or a state cannot be read.
    pub fn states(&self, period: Period) -> Result<BTreeMap<UserId, SendState>> {
        let mut states = BTreeMap::new();
        for shard in self.deployment.shards() {
            for state in send_states(&self.deployment, shard, period)?.into_values() {
                states.insert(state.user_id, state);
            }
        }
        Ok(states)
    }
}
