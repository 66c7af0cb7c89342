//! The memory of batches. A thread makes and drops batches of much the same size in every step:
//! what one gives up the next one takes, and the system is not asked for pages again and again.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Most that a thread keeps for later.
const SPARE_BYTES_MAX: usize = 8 * 1024 * 1024;
const SPARES_MAX: usize = 32;
/// Smaller ones are not worth it, larger ones are seldom wanted again.
const KEPT_BYTES_MIN: usize = 4 * 1024;
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Default)]
struct Spares {
    /// The largest last.
    bodies: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spares {
    fn take(&mut self) -> Vec<u8> {
        let body = self.bodies.pop().unwrap_or_default();
        self.bytes -= body.capacity();
        body
    }

    /// The smallest with room for so many bytes.
    fn take_for(&mut self, bytes: usize) -> Option<Vec<u8>> {
        let place = self.bodies.partition_point(|body| body.capacity() < bytes);
        if place >= self.bodies.len() {
            return None;
        }
        let body = self.bodies.remove(place);
        self.bytes -= body.capacity();
        Some(body)
    }

    fn keep(&mut self, mut body: Vec<u8>) {
        let bytes = body.capacity();
        let worth = (KEPT_BYTES_MIN..=KEPT_BYTES_MAX).contains(&bytes);
        if !worth || self.bodies.len() >= SPARES_MAX || self.bytes + bytes > SPARE_BYTES_MAX {
            return;
        }
        body.clear();
        let place = self
            .bodies
            .partition_point(|other| other.capacity() < bytes);
        self.bodies.insert(place, body);
        self.bytes += bytes;
    }
}

thread_local! {
    static SPARES: RefCell<Spares> = RefCell::default();
}

/// Bytes of a batch. Empty, it takes no memory.
#[derive(Debug, Default, Clone)]
pub(super) struct Body(Vec<u8>);

impl Body {
    /// So many zeros. What is of a known length is often kept for long: it takes no more memory than
    /// it must.
    pub(super) fn of(bytes: usize) -> Self {
        let spare = SPARES.try_with(|spares| spares.borrow_mut().take_for(bytes));
        let mut body = spare.ok().flatten().unwrap_or_default();
        body.resize(bytes, 0);
        Self(body)
    }

    /// To be filled: with memory that was a batch's before, if there is any.
    pub(super) fn filling(&mut self) -> &mut Vec<u8> {
        if self.0.capacity() == 0 {
            self.0 = SPARES
                .try_with(|spares| spares.borrow_mut().take())
                .unwrap_or_default();
        }
        &mut self.0
    }
}

impl Deref for Body {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Body {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.0);
        // a thread that ends keeps nothing
        let _ = SPARES.try_with(|spares| spares.borrow_mut().keep(body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_up_is_taken_again_and_shows_nothing_of_before() {
        let mut body = Body::default();
        body.filling().extend_from_slice(&[7; 5_000]);
        let capacity = body.capacity();
        drop(body);
        let mut body = Body::default();
        assert_eq!(body.capacity(), 0, "nothing is taken before it is wanted");
        assert!(body.filling().is_empty());
        assert_eq!(body.capacity(), capacity);
    }

    #[test]
    fn of_a_known_length_the_smallest_that_has_room_is_taken() {
        let capacities = [40_000, 10_000, 20_000];
        drop(capacities.map(|bytes| Body(Vec::with_capacity(bytes))));
        let body = Body::of(15_000);
        assert_eq!((body.capacity(), body.len()), (20_000, 15_000));
        assert!(body.iter().all(|byte| *byte == 0));
        assert_eq!(Body::of(50_000).capacity(), 50_000);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        for bytes in [1, KEPT_BYTES_MIN, KEPT_BYTES_MAX, KEPT_BYTES_MAX * 2] {
            let bodies: Vec<_> = (0..50).map(|_| Body(Vec::with_capacity(bytes))).collect();
            drop(bodies);
        }
        SPARES.with_borrow(|spares| {
            let bytes: usize = spares.bodies.iter().map(Vec::capacity).sum();
            assert_eq!(spares.bytes, bytes);
            assert!(bytes <= SPARE_BYTES_MAX && spares.bodies.len() <= SPARES_MAX);
            assert!(spares.bodies.is_sorted_by_key(Vec::capacity));
        });
    }
}
