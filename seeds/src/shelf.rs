//! The offer, arranged so that a draw finds its place in it quickly.

use crate::PopulationError;
use crate::draw::Draw;
use crate::offer::{Audience, Offer, PlanShare, WelfareShare};

/// The offer, arranged to be drawn from.
#[derive(Debug)]
pub(crate) struct Shelf {
    /// For each audience, by ordinal: the running sum of weights, and the plan.
    plans: Vec<Vec<(u32, PlanShare)>>,
    anything: PlanShare,
    /// The running sum of shares, and the class.
    welfare: Vec<(u32, WelfareShare)>,
}

impl Shelf {
    pub(crate) fn new(offer: &Offer) -> Result<Self, PopulationError> {
        let anything = offer.plans.first().ok_or(PopulationError::NoPlans)?.clone();
        let mut plans = Vec::with_capacity(Audience::ALL.len());
        for audience in Audience::ALL {
            let mut sum = 0_u32;
            let mut shelf = Vec::new();
            for plan in offer.plans.iter().filter(|plan| plan.audience == audience) {
                sum = sum
                    .checked_add(plan.weight)
                    .ok_or(PopulationError::Setting("offer.plans.weight"))?;
                shelf.push((sum, plan.clone()));
            }
            plans.push(shelf);
        }
        let mut sum = 0_u32;
        let welfare: Vec<(u32, WelfareShare)> = offer
            .welfare
            .iter()
            .map(|class| {
                sum = sum.saturating_add(u32::from(class.per_mille));
                (sum, class.clone())
            })
            .collect();
        if sum > 1000 {
            return Err(PopulationError::Setting("offer.welfare.per_mille"));
        }
        Ok(Self {
            plans,
            anything,
            welfare,
        })
    }

    /// The class at a place from 0 to 999; the last places have none.
    pub(crate) fn welfare(&self, place: u32) -> Option<&WelfareShare> {
        let at = self.welfare.partition_point(|(end, _)| *end <= place);
        self.welfare.get(at).map(|(_, class)| class)
    }

    /// A plan for an audience; one for everybody if there is none.
    pub(crate) fn plan(&self, audience: Audience, draw: &mut Draw) -> &PlanShare {
        let of = |audience: Audience| {
            self.plans
                .get(audience as usize)
                .map(Vec::as_slice)
                .filter(|shelf| shelf.last().is_some_and(|(sum, _)| *sum > 0))
        };
        let shelf = of(audience)
            .or_else(|| of(Audience::Everybody))
            .unwrap_or_default();
        let place = draw.below(shelf.last().map_or(0, |(sum, _)| *sum));
        let at = shelf.partition_point(|(end, _)| *end <= place);
        shelf.get(at).map_or(&self.anything, |(_, plan)| plan)
    }
}
