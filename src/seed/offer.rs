//! What a synthetic population subscribes to: the catalogue, with believable shares.

use sealpost_schemas::catalog::{Catalog, DataAllowance, Plan};
use sealpost_seeds::{Audience, Entitles, Offer, PlanShare, WelfareShare};

/// The offer of a catalogue. Whom a plan is for is told from its name, as people tell it.
#[must_use]
pub fn offer(catalog: &Catalog) -> Offer {
    Offer {
        plans: catalog
            .plans()
            .map(|plan| PlanShare {
                code: plan.code.clone(),
                weight: weight(plan),
                audience: audience(plan),
                median_bytes: median_bytes(plan),
            })
            .collect(),
        options: catalog
            .options()
            .map(|option| option.code.clone())
            .collect(),
        welfare: welfare(catalog),
    }
}

/// The middle of the price list sells best, and what is metered is kept by those who use little.
fn weight(plan: &Plan) -> u32 {
    let by_price = match plan.monthly_price_won.0 {
        ..30_000 => 8,
        30_000..50_000 => 12,
        50_000..70_000 => 16,
        70_000..90_000 => 9,
        _ => 3,
    };
    match plan.data {
        DataAllowance::Metered { .. } => 2 * by_price,
        DataAllowance::Unlimited | DataAllowance::Blocked { .. } => by_price,
    }
}

fn audience(plan: &Plan) -> Audience {
    const WORDS: [(&str, Audience); 7] = [
        ("병사", Audience::Soldier),
        ("시니어", Audience::Senior),
        ("청소년", Audience::Teen),
        ("키즈", Audience::Child),
        ("복지", Audience::Welfare),
        ("유쓰", Audience::Young),
        ("Global", Audience::Foreigner),
    ];
    WORDS
        .into_iter()
        .find(|(word, _)| plan.name.contains(word))
        .map_or(Audience::Everybody, |(_, audience)| audience)
}

/// Around what is included: so that some of a metered plan's users pay for more, and some even
/// reach its ceiling.
fn median_bytes(plan: &Plan) -> u64 {
    const MEGABYTE: u64 = 1_000_000;
    match plan.data {
        DataAllowance::Unlimited => 12_000 * MEGABYTE,
        DataAllowance::Blocked { included } => included.0.max(100).saturating_mul(MEGABYTE * 3 / 4),
        DataAllowance::Metered { included, .. } => included.0.max(100).saturating_mul(MEGABYTE),
    }
}

/// A quarter are in the classes without a discount, which name the ordinary case; one in ten is
/// in one with a discount; the rest have none.
fn welfare(catalog: &Catalog) -> Vec<WelfareShare> {
    let discounts = |entitled: bool| {
        let classes = catalog.welfare_classes();
        classes
            .filter(|class| (class.rate.parts_per_million() > 0) == entitled)
            .count()
    };
    let share = |all: usize, classes: usize| u16::try_from(all / classes.max(1)).unwrap_or(0);
    let (ordinary, entitled) = (share(250, discounts(false)), share(100, discounts(true)));
    catalog
        .welfare_classes()
        .map(|class| {
            let (per_mille, entitles) = if class.rate.parts_per_million() > 0 {
                (entitled, Entitles::WelfarePlans)
            } else {
                (ordinary, Entitles::Nothing)
            };
            WelfareShare {
                code: class.code.clone(),
                per_mille,
                entitles,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "tests"
    )]
    use super::*;

    #[test]
    fn the_catalogue_has_plans_for_every_audience_and_a_believable_share_of_welfare() {
        let offer = offer(&Catalog::built_in());
        for audience in Audience::ALL {
            assert!(
                offer.plans.iter().any(|plan| plan.audience == audience),
                "{audience:?}"
            );
        }
        let entitled: u16 = offer
            .welfare
            .iter()
            .filter(|class| class.entitles == Entitles::WelfarePlans)
            .map(|class| class.per_mille)
            .sum();
        assert!((80..=100).contains(&entitled), "{entitled}");
        assert!(!offer.options.is_empty());
    }
}
