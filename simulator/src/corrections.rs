//! Follow-ups: what the operator says of them, and who has them in the end.

use std::collections::BTreeMap;

use anyhow::Result;
use sealpost::books::{Books, corrections};
use sealpost::deployment::Deployment;
use sealpost_operators::render::TemplateSet;
use sealpost_schemas::record::{Action, Correct, State};
use sealpost_schemas::{Kind, Period, Version};

use crate::draw::Draw;
use crate::marks::Mark;
use crate::world::World;

/// Follow-ups that a period may have.
const OF_A_PERIOD: usize = 3;

/// What the operator has said of follow-ups.
pub struct Corrections {
    draw: Draw,
    said: BTreeMap<Period, Vec<Action>>,
}

impl Corrections {
    /// An operator who has said nothing of them.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::of(seed, "corrections"),
            said: BTreeMap::new(),
        }
    }

    /// Whether something is said now.
    pub fn speaks(&mut self) -> bool {
        self.draw.one_in(50)
    }

    /// How long it takes from a decision to its command.
    pub fn wait_ms(&mut self) -> Option<i64> {
        self.draw.one_in(2).then(|| self.draw.within(0, 5_000))
    }

    /// A command for one of the periods that are closed: a new follow-up, or one said again.
    ///
    /// # Errors
    /// When the log failed, or the books cannot be read.
    pub fn act(&mut self, closed: &[Period], deployment: &Deployment) -> Result<Option<Action>> {
        if closed.is_empty() {
            return Ok(None);
        }
        let period = *self.draw.pick(closed);
        let said = self.said.entry(period).or_default();
        if !said.is_empty() && (said.len() >= OF_A_PERIOD || self.draw.one_in(3)) {
            return Ok(Some(self.draw.pick(said).clone()));
        }
        let newest = Books::read(deployment, period)?.version.0;
        let templates = TemplateSet::built_in_sources();
        let action = Action::Correct(Correct {
            period,
            kind: Kind::Correction(u16::try_from(said.len())? + 1),
            version: Version(self.draw.below(u64::from(newest) + 1) as u16),
            template_digest: TemplateSet::digest_of(&templates),
            templates,
            policy: deployment.config.policy(),
        });
        said.push(action.clone());
        Ok(Some(action))
    }
}

impl World {
    /// Whoever received what a follow-up is about has it in an end state that the ledger agrees
    /// with, and nobody else has.
    pub(crate) fn check_corrections(&self, period: Period) -> Result<()> {
        let scene = &self.site.scene;
        let commands = self.operator.deployment.commands()?;
        let states = self.operator.states(period)?;
        for (_, correct) in corrections(&commands, period) {
            for (user, state) in &states {
                let received = state.kinds.iter().any(|kind| {
                    (kind.kind, kind.state, kind.version)
                        == (Kind::Bill, State::Sent, correct.version)
                });
                let own = state.kinds.iter().find(|kind| kind.kind == correct.kind);
                let taken = self.site.desk.has((*user, period, correct.kind));
                let agrees = match (received, own.map(|own| own.state)) {
                    (false, None) => !taken,
                    (true, Some(State::Sent)) => taken,
                    (true, Some(State::Failed | State::Suppressed)) => !taken,
                    (true, Some(State::Unknown)) => true,
                    _ => false,
                };
                if agrees {
                    scene.reach(match (received, correct.version) {
                        (false, _) => continue,
                        (true, Version(0)) => Mark::Corrected,
                        (true, _) => Mark::LaterCorrected,
                    });
                } else {
                    scene.violate(format_args!(
                        "{} of {user}/{period} is {:?}, the provider has taken {}, and version {} of the bill was {}received",
                        correct.kind,
                        own.map(|own| own.state),
                        u8::from(taken),
                        correct.version,
                        if received { "" } else { "not " }
                    ));
                }
            }
        }
        Ok(())
    }
}
