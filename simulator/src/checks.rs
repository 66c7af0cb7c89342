//! The checks, from outside: what was written in, what the provider took, what the log holds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use sealpost::books::{Books, dead_letters};
use sealpost::receipts::Status;
use sealpost::suppressions;
use sealpost_schemas::record::{Outcome, Rank, SendState, State, Statement};
use sealpost_schemas::{Kind, Period, Timestamp, UserId, codec};
use sealpost_topology::batch::RecordBatch;
use sealpost_topology::log::{Log as _, MemoryLog};
use sealpost_topology::types::{Offset, Shard, Topic};

use crate::expect::{Expected, Place};
use crate::marks::Mark;
use crate::provider::show;
use crate::upstream::personal_in;
use crate::webhook::{Receipt, Told};
use crate::world::World;

impl World {
    /// Everything that must hold at the end.
    pub(crate) fn check(&self) -> Result<()> {
        let zone = self.zone.clone();
        let month_of = move |at: Timestamp| {
            let local = jiff::Timestamp::from_microsecond(at.0)
                .ok()?
                .to_zoned(zone.clone());
            Period::new(local.year(), local.month()).ok()
        };
        let expected = self.written.expected(&month_of, &self.site.scene);
        self.check_statements(&expected)?;
        self.check_refused(&expected)?;
        self.check_ledger(&expected);
        self.check_lists()?;
        self.check_receipts()?;
        for period in &self.closed {
            self.check_states(*period, &expected)?;
            self.check_corrections(*period)?;
        }
        self.hunt()?;
        self.seal_trace()
    }

    /// Money and conservation: every statement that is due is there once, with what the rules say.
    fn check_statements(&self, expected: &Expected) -> Result<()> {
        let scene = &self.site.scene;
        let topic = &self.site.pipeline.topics.statements;
        let mut found: BTreeMap<(UserId, Period), Vec<u8>> = BTreeMap::new();
        for shard in self.operator.deployment.shards() {
            self.operator.deployment.scan(topic, shard, |_, _, value| {
                let statement: Statement = codec::decode(value)?;
                let key = (statement.user_id, statement.period);
                if found.insert(key, value.to_vec()).is_some() {
                    scene.violate(format_args!(
                        "conservation: {}/{} was settled twice",
                        key.0, key.1
                    ));
                }
                let sum: i128 = statement
                    .lines
                    .iter()
                    .map(|line| i128::from(line.amount_won.0))
                    .sum();
                let total = i128::from(statement.total_won.0);
                if sum != total {
                    scene.violate(format_args!(
                        "money: the lines of {}/{} sum to {sum}, not {total}",
                        key.0, key.1
                    ));
                }
                match expected.statements.get(&key) {
                    None => scene.violate(format_args!(
                        "conservation: {}/{} was settled and should not be",
                        key.0, key.1
                    )),
                    Some(due) if due.total.is_some_and(|due| due != total) => {
                        scene.violate(format_args!(
                            "money: {}/{} comes to {total}, not {}",
                            key.0,
                            key.1,
                            due.total.unwrap_or_default()
                        ));
                    }
                    Some(_) => {}
                }
                Ok(())
            })?;
        }
        for (user, period) in expected.statements.keys() {
            if !found.contains_key(&(*user, *period)) {
                scene.violate(format_args!(
                    "conservation: {user}/{period} was never settled"
                ));
            }
        }
        Ok(())
    }

    /// Nothing is dropped silently, and nothing is refused that should count.
    fn check_refused(&self, expected: &Expected) -> Result<()> {
        let scene = &self.site.scene;
        let generations: Vec<(&Topic, &MemoryLog)> = self
            .left
            .iter()
            .map(|left| (&left.usage, &left.log))
            .chain([(&self.site.pipeline.topics.usage, &self.site.log)])
            .collect();
        let mut refused = BTreeSet::new();
        for letter in dead_letters(&self.operator.deployment)? {
            let generation = generations
                .iter()
                .position(|(usage, _)| usage.name() == letter.source);
            if let Some(generation) = generation
                && !expected.open_to_chance.contains(&letter.user_id)
            {
                refused.insert((
                    generation,
                    usize::try_from(letter.partition)?,
                    letter.position.cast_unsigned(),
                ));
            }
        }
        if generations.len() > 1 {
            return self.check_refused_values(&expected.refused, &refused, &generations);
        }
        for place in expected.refused.symmetric_difference(&refused) {
            let which = if refused.contains(place) {
                "was refused and should count"
            } else {
                "should be refused and was not"
            };
            let (_, shard, offset) = place;
            scene.violate(format_args!(
                "refusals: usage at offset {offset} of shard {shard} {which}"
            ));
        }
        Ok(())
    }

    /// The same where records were carried over to other places: by what they hold.
    fn check_refused_values(
        &self,
        due: &BTreeSet<Place>,
        refused: &BTreeSet<Place>,
        generations: &[(&Topic, &MemoryLog)],
    ) -> Result<()> {
        let mut values: BTreeMap<Vec<u8>, (i64, Place)> = BTreeMap::new();
        let places = due.iter().map(|place| (1, place));
        for (count, place) in places.chain(refused.iter().map(|place| (-1, place))) {
            let (generation, shard, offset) = *place;
            let Some((topic, log)) = generations.get(generation) else {
                continue;
            };
            let at = Offset(offset);
            let batch = log.read(topic, Shard(u32::try_from(shard)?), at)?;
            let mut records = batch.iter().flat_map(RecordBatch::iter);
            let value = records
                .find(|record| record.offset == at)
                .and_then(|record| record.value);
            let value = value.context("a record of usage is gone")?.to_vec();
            values.entry(value).or_insert((0, *place)).0 += count;
        }
        for (count, (generation, shard, offset)) in values.into_values() {
            let which = match count {
                0 => continue,
                1.. => "should be refused and was not",
                _ => "was refused and should count",
            };
            self.site.scene.violate(format_args!(
                "refusals: usage at offset {offset} of shard {shard} of generation {generation} {which}"
            ));
        }
        Ok(())
    }

    /// At most one acceptance for a bill, at the address of the cut.
    fn check_ledger(&self, expected: &Expected) {
        let scene = &self.site.scene;
        let mut bills = BTreeSet::new();
        for taken in self.site.desk.ledger() {
            let id = taken.id;
            if !bills.insert((id.user_id, id.period, id.kind)) {
                scene.violate(format_args!("{} was taken twice", show(&id)));
            }
            let due = expected.statements.get(&(id.user_id, id.period));
            let address = due.and_then(|due| due.plain.address(id.channel));
            if address.map(str::as_bytes) != Some(taken.to.as_slice()) {
                scene.violate(format_args!(
                    "{} went to another address than that of the cut",
                    show(&id)
                ));
            }
        }
    }

    /// Every statement is in one end state, and the provider's ledger agrees with it.
    fn check_states(&self, period: Period, expected: &Expected) -> Result<()> {
        let scene = &self.site.scene;
        let states = self.operator.states(period)?;
        for (user, _) in expected.statements.keys().filter(|(_, of)| *of == period) {
            let Some(kind) = states
                .get(user)
                .and_then(|state| state.kinds.iter().find(|kind| kind.kind == Kind::Bill))
            else {
                scene.violate(format_args!(
                    "conservation: {user}/{period} has a statement and no send state"
                ));
                continue;
            };
            let bill = (*user, period, Kind::Bill);
            let taken = self.site.desk.has(bill);
            let agrees = match kind.state {
                State::Sent => taken,
                State::Failed | State::Suppressed => !taken,
                // an intent whose process died before it called is in doubt, too
                State::Unknown => true,
                State::Pending | State::Held | State::Sending => false,
            };
            if !agrees {
                scene.violate(format_args!(
                    "{user}/{period} ends {}, and the provider has taken {}",
                    kind.state.name(),
                    u8::from(taken)
                ));
            }
            if kind.state == State::Suppressed {
                self.check_suppressed(*user, period);
            }
            // nothing goes wrong any more in the round that takes it up
            if self.owed.contains(&(*user, period)) && kind.state != State::Sent {
                scene.violate(format_args!(
                    "{user}/{period} had ended suppressed, was let go and begun again, and ends {}",
                    kind.state.name()
                ));
            }
            self.mark_state(kind.state, states.get(user));
        }
        let books = Books::read(&self.operator.deployment, period)?;
        if !books.balanced {
            scene.violate(format_args!("the books of {period} do not balance"));
        }
        Ok(())
    }

    /// What a receipt says of a message, once it is answered, is what the message ends in.
    fn check_receipts(&self) -> Result<()> {
        let scene = &self.site.scene;
        let mut states = BTreeMap::new();
        for Told { receipt, settles } in self.site.desk.webhook.answered() {
            let Receipt { id, status } = receipt;
            if let Entry::Vacant(entry) = states.entry(id.period) {
                entry.insert(self.operator.states(id.period)?);
            }
            let state = states
                .get(&id.period)
                .and_then(|states| states.get(&id.user_id));
            let call = state.into_iter().flat_map(|state| &state.kinds);
            let call = call
                .filter(|kind| kind.kind == id.kind)
                .flat_map(|kind| &kind.calls)
                .find(|call| (call.version, call.channel) == (id.version, id.channel));
            // what one provider did not take, the other may have
            if status == Status::Failed && call.is_some_and(|call| call.provider == Rank::Fallback)
            {
                continue;
            }
            let outcome = call.and_then(|call| call.outcome);
            let agrees = match settles {
                Some(settled) => outcome == Some(settled),
                None => matches!(outcome, Some(Outcome::Sent | Outcome::Failed)),
            };
            if !agrees {
                scene.violate(format_args!(
                    "a receipt that says {status:?} of {} was answered with {settles:?}, and it ends {outcome:?}",
                    show(&id)
                ));
            }
        }
        Ok(())
    }

    /// A bill that ended suppressed: one of its addresses was at some time.
    fn check_suppressed(&self, user: UserId, period: Period) {
        let suppressed = &self.site.scene.suppressed;
        if !suppressed.may_end(user, period) {
            self.site.scene.violate(format_args!(
                "{user}/{period} ends suppressed, and none of its addresses ever was"
            ));
        }
    }

    /// What the log says of suppressed addresses is what was said.
    fn check_lists(&self) -> Result<()> {
        let listed = suppressions::read(&self.operator.deployment)?;
        let said = self.site.scene.suppressed.now();
        if !listed.keys().eq(said.iter()) {
            self.site.scene.violate(format_args!(
                "{} addresses are listed as suppressed, and {} are",
                listed.len(),
                said.len()
            ));
        }
        Ok(())
    }

    fn mark_state(&self, state: State, of: Option<&SendState>) {
        let scene = &self.site.scene;
        let calls = of.into_iter().flat_map(|state| &state.kinds);
        let calls: Vec<_> = calls.flat_map(|kind| &kind.calls).collect();
        match state {
            State::Unknown => scene.reach(Mark::Unknown),
            State::Failed => scene.reach(Mark::Exhausted),
            State::Sent if calls.len() > 1 => scene.reach(Mark::NextChannel),
            _ => {}
        }
        if calls
            .iter()
            .any(|call| call.outcome == Some(Outcome::Unknown))
        {
            scene.reach(Mark::Unknown);
        }
    }

    /// No plaintext in any byte of any record.
    pub(crate) fn hunt(&self) -> Result<()> {
        for spec in self.site.pipeline.topic_specs() {
            for shard in self.operator.deployment.shards() {
                let mut at = Offset(0);
                while let Some(batch) = self.site.log.read(&spec.topic, shard, at)? {
                    for record in batch.iter() {
                        for bytes in [Some(record.key), record.value].into_iter().flatten() {
                            if let Some(what) = personal_in(bytes) {
                                self.site.scene.violate(format_args!(
                                    "privacy: {what} is at offset {} of {} in shard {shard}",
                                    record.offset, spec.topic
                                ));
                            }
                        }
                    }
                    at = batch.next_offset();
                }
            }
        }
        Ok(())
    }

    /// What is on the log and in the ledger is part of what must be the same again.
    pub(crate) fn seal_trace(&self) -> Result<()> {
        let trace = &self.site.scene.trace;
        for spec in self.site.pipeline.topic_specs() {
            for shard in self.operator.deployment.shards() {
                let mut at = Offset(0);
                while let Some(batch) = self.site.log.read(&spec.topic, shard, at)? {
                    for record in batch.iter() {
                        trace.bytes(record.key);
                        trace.bytes(record.value.unwrap_or_default());
                    }
                    at = batch.next_offset();
                }
            }
        }
        Ok(())
    }
}
