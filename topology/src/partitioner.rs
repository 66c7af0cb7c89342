//! Which shard a key belongs to: Kafka's default for Java clients, so that any producer agrees.

use crate::types::Shard;

/// Kafka's murmur2 (32-bit, seed `0x9747b28c`).
#[must_use]
pub fn murmur2(key: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    // Kafka's keys are far below 4 GiB; the length takes part modulo 2^32, as there
    let mut hash = 0x9747_b28c_u32 ^ (key.len() as u32);
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MIX);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MIX) ^ mixed.wrapping_mul(MIX);
    }
    if !tail.is_empty() {
        for (place, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

/// The shard of a key among `partitions` (at least one).
#[must_use]
pub fn shard_of(key: &[u8], partitions: u32) -> Shard {
    Shard((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}
