//! A synthetic population of telecom subscribers and their usage, from one seed.
//!
//! Invariants:
//! - Everything about a user is drawn from (seed, index of the user) alone. So any range can be
//!   made without what lies before it, and the first N of a larger population are the population
//!   of N.
//! - Only whole numbers: the same seed gives the same people on every machine.
//! - Nobody can be reached by accident: e-mail addresses are in domains reserved for examples,
//!   and phone numbers in the part of `010` that is assigned to nobody.
//! - Nothing is held per user: a population of millions costs as much memory as one of ten.

mod draw;
mod names;
mod offer;
mod person;
mod population;
mod scatter;
mod shelf;
mod subscriber;
mod tripwire;
mod usage;

pub use offer::{Audience, Entitles, Offer, PlanShare, WelfareShare};
pub use population::{Population, PopulationError, Seed, Settings};
pub use subscriber::PlainSubscriber;
pub use usage::Events;
