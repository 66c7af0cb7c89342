//! Who a receipt is from, and that it is fresh.
//!
//! # Invariants
//! - The signature is HMAC-SHA256 over `TIMESTAMP.BODY`, compared in constant time; nothing of a
//!   body is looked at before it is right.
//! - A receipt that was taken is refused when it comes again; one that was not taken may come
//!   again as it is. What is remembered is bounded, and nothing is forgotten while it could come
//!   again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::http::problem::Problem;

/// Seconds since 1970, as text.
pub(super) const TIMESTAMP: &str = "sealpost-timestamp";
/// The signature in hexadecimal.
pub(super) const SIGNATURE: &str = "sealpost-signature";
/// Receipts that are remembered at once.
const REMEMBERED_MAX: usize = 200_000;

/// One channel's secret and what was taken by it.
pub(super) struct Seal {
    secret: Zeroizing<String>,
    tolerance_s: i64,
    /// Signatures, and until when they would be fresh.
    taken: Mutex<HashMap<[u8; 32], i64>>,
}

/// A receipt that is being taken: forgotten again unless it is kept.
pub(super) struct Taking<'a> {
    seal: &'a Seal,
    signature: [u8; 32],
    keeps: bool,
}

impl Seal {
    pub(super) fn new(secret: Zeroizing<String>, tolerance_s: i64) -> Self {
        Self {
            secret,
            tolerance_s,
            taken: Mutex::new(HashMap::new()),
        }
    }

    /// Checks a receipt as it came.
    ///
    /// # Errors
    /// A [`Problem`] that says what is wrong with it.
    pub(super) fn check(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_s: i64,
    ) -> Result<Taking<'_>, Problem> {
        let refused =
            |why: &str, what_to_do: &str| Problem::new(StatusCode::UNAUTHORIZED, why, what_to_do);
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(timestamp), Some(given)) = (text(TIMESTAMP), text(SIGNATURE)) else {
            return Err(refused(
                "the receipt is not signed",
                "send Sealpost-Timestamp and Sealpost-Signature",
            ));
        };
        let forged = || {
            refused(
                "the signature is not that of this body and time",
                "sign TIMESTAMP.BODY with HMAC-SHA256 and the channel's secret, in hexadecimal",
            )
        };
        let signature = unhex(given).ok_or_else(forged)?;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).map_err(|_| forged())?;
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.verify_slice(&signature).map_err(|_| forged())?;
        let at_s: i64 = timestamp.parse().map_err(|_| {
            refused(
                "the time of the receipt is no number",
                "send the seconds since 1970",
            )
        })?;
        if now_s.abs_diff(at_s) > self.tolerance_s.unsigned_abs() {
            return Err(refused(
                "the time of the receipt is too far from now",
                "sign it again with the time now, and look at both clocks",
            ));
        }
        let mut taken = self.taken();
        if taken.contains_key(&signature) {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "this receipt was taken before",
                "nothing: do not send it again",
            ));
        }
        if taken.len() >= REMEMBERED_MAX {
            taken.retain(|_, until_s| *until_s >= now_s);
        }
        if taken.len() >= REMEMBERED_MAX {
            return Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many receipts came at once",
                "send it again later",
            )
            .after_s(60));
        }
        taken.insert(signature, at_s.saturating_add(self.tolerance_s));
        Ok(Taking {
            seal: self,
            signature,
            keeps: false,
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<[u8; 32], i64>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taking<'_> {
    /// It was taken.
    pub(super) fn keep(mut self) {
        self.keeps = true;
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if !self.keeps {
            self.seal.taken().remove(&self.signature);
        }
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use axum::response::IntoResponse as _;

    use super::*;

    /// By another implementation: `printf '1000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`
    const OF_AN_EMPTY_OBJECT: &str =
        "bd3e8b6d13803a2406a848a68bc7a2e80b251fb9d894858564c77ce80a4aa634";

    fn headers(timestamp: &str, signature: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TIMESTAMP, timestamp.parse().unwrap());
        headers.insert(SIGNATURE, signature.parse().unwrap());
        headers
    }

    fn seal() -> Seal {
        Seal::new(Zeroizing::new("0123456789abcdef".to_owned()), 300)
    }

    #[test]
    fn what_openssl_signs_is_taken_once_and_again_if_it_was_not_kept() {
        let (seal, headers) = (seal(), headers("1000", OF_AN_EMPTY_OBJECT));
        drop(seal.check(&headers, b"{}", 1_300).ok().unwrap());
        seal.check(&headers, b"{}", 700).ok().unwrap().keep();
        let again = seal.check(&headers, b"{}", 1_000).err().unwrap();
        assert_eq!(again.into_response().status(), StatusCode::CONFLICT);
    }

    #[test]
    fn a_receipt_that_is_forged_or_old_is_refused() {
        let seal = seal();
        let right = OF_AN_EMPTY_OBJECT;
        let mut forged = right.to_owned();
        forged.replace_range(0..1, if right.starts_with('0') { "1" } else { "0" });
        for (timestamp, signature, body, now_s) in [
            ("1000", forged.as_str(), "{}", 1_000),
            ("1000", right, "{ }", 1_000),
            ("1001", right, "{}", 1_000),
            ("1000", "", "{}", 1_000),
            ("1000", right, "{}", 1_301),
            ("1000", right, "{}", 699),
        ] {
            let refusal = seal.check(&headers(timestamp, signature), body.as_bytes(), now_s);
            let refusal = refusal.err().unwrap().into_response().status();
            assert_eq!(
                refusal,
                StatusCode::UNAUTHORIZED,
                "{timestamp} {signature} {now_s}"
            );
        }
        let unsigned = seal.check(&HeaderMap::new(), b"{}", 1_000).err().unwrap();
        assert_eq!(unsigned.into_response().status(), StatusCode::UNAUTHORIZED);
    }
}
