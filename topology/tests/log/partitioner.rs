//! The partition of a key is Kafka's, to the bit.

use sealpost_topology::partitioner::{murmur2, shard_of};
use sealpost_topology::types::Shard;

#[test]
fn the_hash_is_that_of_kafkas_own_tests() {
    let known: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        ("abc", 479_470_107),
    ];
    for (key, hash) in known {
        assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
    }
}

/// What Kafka 4.1.1 gives for user ids: its hash, and its partition of 8 and of 12.
const USER_IDS: [(&str, i32, u32, u32); 10] = [
    ("0", 971_027_396, 4, 8),
    ("1", -1_993_445_489, 7, 3),
    ("7", -1_961_297_549, 3, 3),
    ("42", 417_700_972, 4, 4),
    ("100", 627_947_253, 5, 9),
    ("12345", -1_188_365_604, 4, 8),
    ("1000000", -1_399_446_429, 3, 11),
    ("123456789", -1_822_237_082, 6, 6),
    ("9007199254740993", 309_283_515, 3, 3),
    ("18446744073709551615", 1_949_584_741, 5, 1),
];

#[test]
fn a_user_id_lies_in_the_partition_that_a_java_producer_takes() {
    for (key, hash, of_8, of_12) in USER_IDS {
        assert_eq!(murmur2(key.as_bytes()) as i32, hash, "{key}");
        assert_eq!(shard_of(key.as_bytes(), 8), Shard(of_8), "{key}");
        assert_eq!(shard_of(key.as_bytes(), 12), Shard(of_12), "{key}");
    }
}

#[test]
fn every_shard_gets_its_share_of_users() {
    let mut counts = [0_u32; 12];
    for user in 0..12_000_u32 {
        counts[shard_of(user.to_string().as_bytes(), 12).0 as usize] += 1;
    }
    assert!(
        counts.iter().all(|count| (850..=1_150).contains(count)),
        "{counts:?}"
    );
}
