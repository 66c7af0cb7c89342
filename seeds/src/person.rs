//! Who somebody is: the few draws that plan, discounts and usage hang on. They come first in the
//! stream of a person, so that usage can make them again without making the whole subscriber.

use crate::draw::Draw;
use crate::offer::{Audience, Entitles, PlanShare, WelfareShare};
use crate::shelf::Shelf;

/// The age of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    Child,
    Teen,
    Young,
    Adult,
    Senior,
}

/// Where somebody stands to military service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Never, or not known to the operator.
    None,
    /// In service for the whole period.
    Serving,
    /// Called up or discharged within the period.
    Changing,
    /// Discharged before the period.
    Served,
}

/// See the module.
pub(crate) struct Person<'a> {
    pub(crate) age: Age,
    pub(crate) foreign: bool,
    pub(crate) service: Service,
    pub(crate) welfare: Option<&'a WelfareShare>,
    pub(crate) plan: &'a PlanShare,
}

impl<'a> Person<'a> {
    pub(crate) fn draw(draw: &mut Draw, shelf: &'a Shelf) -> Self {
        let age = match draw.below(100) {
            0..=3 => Age::Child,
            4..=9 => Age::Teen,
            10..=27 => Age::Young,
            28..=79 => Age::Adult,
            _ => Age::Senior,
        };
        let foreign = draw.per_mille(20);
        let chance = draw.below(1000);
        let service = match (age, foreign, chance) {
            // about 3 % of everybody
            (Age::Young, false, 0..140) => Service::Serving,
            (Age::Young, false, 140..170) => Service::Changing,
            (Age::Young, false, 170..260) | (Age::Adult, false, 0..5) => Service::Served,
            _ => Service::None,
        };
        let welfare = shelf.welfare(draw.below(1000));
        let plan = shelf.plan(Self::audience(draw, age, foreign, service, welfare), draw);
        Self {
            age,
            foreign,
            service,
            welfare,
            plan,
        }
    }

    /// Whose plans are looked at. Most take what is made for them.
    fn audience(
        draw: &mut Draw,
        age: Age,
        foreign: bool,
        service: Service,
        welfare: Option<&WelfareShare>,
    ) -> Audience {
        let chance = draw.below(100);
        let entitled = welfare.is_some_and(|class| class.entitles == Entitles::WelfarePlans);
        match (age, service) {
            _ if foreign && chance < 60 => Audience::Foreigner,
            _ if entitled && chance < 30 => Audience::Welfare,
            (_, Service::Serving) if chance < 45 => Audience::Soldier,
            (Age::Child, _) if chance < 90 => Audience::Child,
            (Age::Teen, _) if chance < 80 => Audience::Teen,
            (Age::Young, _) if chance < 70 => Audience::Young,
            (Age::Senior, _) if chance < 60 => Audience::Senior,
            _ => Audience::Everybody,
        }
    }
}
