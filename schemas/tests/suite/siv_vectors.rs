//! The vectors of RFC 5297, appendix A, through the entry points that the key ring uses.

use aes_siv::siv::Aes128Siv;
use aes_siv::{KeyInit as _, Tag};

use crate::{hex, unhex};

struct Vector {
    key: &'static str,
    associated_data: &'static [&'static str],
    plaintext: &'static str,
    tag: &'static str,
    ciphertext: &'static str,
}

/// Deterministic authenticated encryption.
const A1: Vector = Vector {
    key: "fffefdfc fbfaf9f8 f7f6f5f4 f3f2f1f0 f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff",
    associated_data: &["10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627"],
    plaintext: "11223344 55667788 99aabbcc ddee",
    tag: "85632d07 c6e8f37f 950acd32 0a2ecc93",
    ciphertext: "40c02b96 90c4dc04 daef7f6a fe5c",
};

/// More than one string of associated data, as in a sealed value.
const A2: Vector = Vector {
    key: "7f7e7d7c 7b7a7978 77767574 73727170 40414243 44454647 48494a4b 4c4d4e4f",
    associated_data: &[
        "00112233 44556677 8899aabb ccddeeff deaddada deaddada ffeeddcc bbaa9988 77665544 33221100",
        "10203040 50607080 90a0",
        "09f91102 9d74e35b d84156c5 635688c0",
    ],
    plaintext: "74686973 20697320 736f6d65 20706c61 696e7465 78742074 6f20656e 63727970 74207573 696e6720 5349562d 414553",
    tag: "7bdb6e3b 432667eb 06f4d14b ff2fbd0f",
    ciphertext: "cb900f2f ddbe4043 26601965 c889bf17 dba77ceb 094fa663 b7a3f748 ba8af829 ea64ad54 4a272e9c 485b62a3 fd5c0d",
};

fn check(vector: &Vector) {
    let key: [u8; 32] = unhex(vector.key).try_into().unwrap();
    let headers: Vec<Vec<u8>> = vector
        .associated_data
        .iter()
        .map(|text| unhex(text))
        .collect();
    let mut text = unhex(vector.plaintext);

    let tag = Aes128Siv::new(&key.into())
        .encrypt_inout_detached(&headers, text.as_mut_slice().into())
        .unwrap();
    assert_eq!(hex(&tag), hex(&unhex(vector.tag)));
    assert_eq!(hex(&text), hex(&unhex(vector.ciphertext)));

    let tag: [u8; 16] = unhex(vector.tag).try_into().unwrap();
    Aes128Siv::new(&key.into())
        .decrypt_inout_detached(&headers, text.as_mut_slice().into(), &Tag::from(tag))
        .unwrap();
    assert_eq!(hex(&text), hex(&unhex(vector.plaintext)));
}

#[test]
fn the_cipher_agrees_with_rfc_5297_a1() {
    check(&A1);
}

#[test]
fn the_cipher_agrees_with_rfc_5297_a2() {
    check(&A2);
}
