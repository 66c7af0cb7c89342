//! Draws: whole numbers from a stream of their own for every user and purpose.
//!
//! ChaCha8 under a key made of the seed, with the stream number as its nonce, gives every user
//! an independent sequence without going through those before. The reduction to a range is
//! written out here, so that a new version of a random-number crate cannot change a population.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::Seed;

/// What is drawn from a stream: the streams of one user never meet.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    /// Who the user is.
    Person(u64),
    /// What the user used.
    Usage(u64),
}

/// A sequence of draws.
pub(crate) struct Draw(ChaCha8Rng);

impl Draw {
    /// The draws of one stream.
    pub(crate) fn new(seed: Seed, stream: Stream) -> Self {
        let mut key = *b"sealpost/seeds/1 key, 8 of seed:";
        if let Some(tail) = key.last_chunk_mut::<8>() {
            *tail = seed.0.to_le_bytes();
        }
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(match stream {
            Stream::Person(index) => index << 1,
            Stream::Usage(index) => index << 1 | 1,
        });
        Self(generator)
    }

    /// A number below `end`; 0 if `end` is 0. The bias is below 2^-32 times `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        // the upper half of a 32×32-bit product: below `end` by construction
        ((u64::from(self.0.next_u32()) * u64::from(end)) >> 32) as u32
    }

    /// True in so many of a thousand cases.
    pub(crate) fn per_mille(&mut self, share: u16) -> bool {
        self.below(1000) < u32::from(share)
    }

    /// One of the items, each as likely as the others; `None` of nothing.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let place = self.below(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.get(place as usize)
    }

    /// One of the items, by weight; `None` if all weigh nothing.
    pub(crate) fn pick_weighted<'a, T>(
        &mut self,
        items: &'a [T],
        weight: impl Fn(&T) -> u32,
    ) -> Option<&'a T> {
        let mut place = self.below(items.iter().map(&weight).sum());
        items.iter().find(|item| {
            let weight = weight(item);
            let found = place < weight;
            place = place.saturating_sub(weight);
            found
        })
    }

    /// `median` times 2^z, z being nearly normal with a deviation of 1.6: a few use a hundred
    /// times what most use. The factor stays between 1/256 and 256.
    pub(crate) fn skewed(&mut self, median: u64) -> u64 {
        // eight uniform numbers of 16 bits: mean 262,140, deviation 53,510; doubled and read as a
        // number with 16 binary places that is a deviation of 1.6
        let sum: i64 = (0..4)
            .map(|_| {
                let word = self.0.next_u32();
                i64::from(word & 0xffff) + i64::from(word >> 16)
            })
            .sum();
        let exponent = 2 * (sum - 262_140);
        // 2^fraction is taken as 1 + fraction: at most 6 % off, and whole numbers suffice
        let mantissa = (exponent.rem_euclid(1 << 16) | 1 << 16).unsigned_abs();
        let shift = exponent.div_euclid(1 << 16);
        let scaled = u128::from(median) * u128::from(mantissa);
        let value = if shift >= 0 {
            scaled << shift.min(8)
        } else {
            scaled >> (-shift).min(8)
        };
        u64::try_from(value >> 16).unwrap_or(u64::MAX)
    }
}

/// A well-mixed number of two others, where a whole stream would be too much.
pub(crate) fn mix(seed: Seed, number: u64) -> u64 {
    // the finalizer of SplitMix64, once for each input
    let round = |mut word: u64| {
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    round(round(seed.0) ^ number)
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
    fn a_stream_repeats_itself_and_differs_from_its_neighbours() {
        let first = |stream| {
            let mut draw = Draw::new(Seed(42), stream);
            [draw.below(u32::MAX), draw.below(u32::MAX)]
        };
        assert_eq!(first(Stream::Person(7)), first(Stream::Person(7)));
        assert_ne!(first(Stream::Person(7)), first(Stream::Usage(7)));
        assert_ne!(first(Stream::Person(7)), first(Stream::Person(8)));
        assert_ne!(
            first(Stream::Person(7)),
            [Draw::new(Seed(43), Stream::Person(7)).below(u32::MAX), 0]
        );
    }

    #[test]
    fn the_draws_of_a_seed_never_change() {
        // written down once: a population that was handed out must be made again years later
        let mut draw = Draw::new(Seed(42), Stream::Person(0));
        assert_eq!(
            [(); 4].map(|()| draw.below(1_000_000)),
            [999_043, 430_314, 30_828, 669_129]
        );
        assert_eq!(mix(Seed(42), 7), 1587005860896957696);
    }

    #[test]
    fn weights_are_kept_to() {
        let mut draw = Draw::new(Seed(1), Stream::Person(1));
        let items = [("a", 0_u32), ("b", 30), ("c", 70)];
        let mut seen = [0_u32; 2];
        for _ in 0..10_000 {
            match draw.pick_weighted(&items, |item| item.1).unwrap().0 {
                "b" => seen[0] += 1,
                "c" => seen[1] += 1,
                other => panic!("{other} weighs nothing"),
            }
        }
        assert!((2_800..3_200).contains(&seen[0]), "{seen:?}");
        assert_eq!(draw.pick_weighted(&[] as &[u32], |weight| *weight), None);
    }

    #[test]
    fn a_skewed_draw_has_its_median_and_a_long_tail() {
        let mut draw = Draw::new(Seed(1), Stream::Usage(1));
        let mut drawn: Vec<u64> = (0..10_001).map(|_| draw.skewed(1_000_000)).collect();
        drawn.sort_unstable();
        assert!(
            (900_000..1_150_000).contains(&drawn[5_000]),
            "{}",
            drawn[5_000]
        );
        assert!(drawn[9_900] > 8_000_000, "{}", drawn[9_900]);
        assert!(drawn[100] < 125_000, "{}", drawn[100]);
        assert_eq!(draw.skewed(0), 0);
        assert!(draw.skewed(u64::MAX) > 0);
    }
}
