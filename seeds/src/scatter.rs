//! Numbers that are nobody else's, and do not show the order in which they were given out.

use crate::Seed;
use crate::draw::mix;

/// A permutation of the numbers below a modulus: neighbours land far from each other, and no two
/// in the same place.
#[derive(Debug)]
pub(crate) struct Scatter {
    modulus: u64,
    factor: u64,
    shift: u64,
}

impl Scatter {
    /// The modulus must be above 1000, with no other primes than 2, 3 and 5.
    pub(crate) fn new(seed: Seed, modulus: u64) -> Self {
        // 7^k is coprime to any such modulus, and so is a product of two coprime numbers; a large
        // power of 7 as factor scatters well
        let drawn = mix(seed, modulus);
        let power = 12 + drawn % 13;
        let factor = (0..power).fold(7, |factor, _| factor * 7 % modulus);
        Self {
            modulus,
            factor,
            shift: drawn % modulus,
        }
    }

    pub(crate) const fn place(&self, number: u64) -> u64 {
        // all three are below 2^26: the product fits
        ((number % self.modulus) * self.factor + self.shift) % self.modulus
    }
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
    fn scattering_never_puts_two_in_one_place() {
        for seed in [0, 42, u64::MAX] {
            let scatter = Scatter::new(Seed(seed), 60_000);
            let mut seen = vec![false; 60_000];
            for number in 0..60_000 {
                let place = usize::try_from(scatter.place(number)).unwrap();
                assert!(
                    !std::mem::replace(&mut seen[place], true),
                    "{seed}: {number}"
                );
            }
        }
    }
}
