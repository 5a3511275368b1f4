//! Nonces of the gateway (RFC 9449 section 9) without state: a message authentication code over the time. Every worker and
//! gateway with the same key accepts them.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::encoding::{base64url, base64url_decoded};
use crate::unix_time::UnixTime;

/// All nonces of one slot of time are equal. One is accepted in its slot and the next one, so for two to four minutes.
const SLOT: Duration = Duration::from_secs(120);
/// Separates these codes from others that are made with the same key.
const PURPOSE: &[u8] = b"okta-proxy-wasm DPoP nonce\0";
const CODE_BYTES: usize = 16;

/// Makes and checks the nonces for the tokens of one issuer.
#[derive(Clone)]
pub struct NonceIssuer(Hmac<Sha256>);

/// Why a nonce is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NonceFault {
    /// There is none.
    Missing,
    /// It is of another time or key, or none at all.
    Invalid,
}

/// The age of an accepted nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceAge {
    Current,
    /// The client should use a new one from now on.
    Ending,
}

impl NonceIssuer {
    /// For the tokens of `issuer`.
    pub fn new(key: &[u8], issuer: &str) -> Self {
        // A key of any length is one.
        let mut code = Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        code.update(PURPOSE);
        code.update(issuer.as_bytes());
        code.update(&[0]);
        Self(code)
    }

    /// The nonce for new proofs.
    pub fn current(&self, now: UnixTime) -> String {
        base64url(self.of_slot(slot(now)))
    }

    /// Checks the nonce of a proof.
    ///
    /// # Errors
    /// If it is missing or not accepted.
    pub fn check(&self, nonce: Option<&str>, now: UnixTime) -> Result<NonceAge, NonceFault> {
        let nonce = base64url_decoded(nonce.ok_or(NonceFault::Missing)?).ok_or(NonceFault::Invalid)?;
        let now = slot(now);
        let is_of = |slot: Option<u64>| slot.is_some_and(|slot| self.of_slot(slot) == nonce);
        // The next one is that of a gateway whose clock is ahead.
        if is_of(Some(now)) || is_of(now.checked_add(1)) {
            Ok(NonceAge::Current)
        } else if is_of(now.checked_sub(1)) {
            Ok(NonceAge::Ending)
        } else {
            Err(NonceFault::Invalid)
        }
    }

    fn of_slot(&self, slot: u64) -> Vec<u8> {
        let code = self.0.clone().chain_update(slot.to_be_bytes()).finalize().into_bytes();
        code.into_iter().take(CODE_BYTES).collect()
    }
}

fn slot(now: UnixTime) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

impl fmt::Debug for NonceIssuer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("NonceIssuer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"a key of thirty-two bytes, or so";
    const SECONDS: u64 = 1_700_000_040;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    #[test]
    fn a_nonce_is_accepted_in_its_slot_and_the_next_one_and_by_a_gateway_that_is_behind() {
        // The first second of a slot.
        assert_eq!(SECONDS % SLOT.as_secs(), 0);
        let issuer = NonceIssuer::new(KEY, "https://acme.okta.com");
        let nonce = issuer.current(at(SECONDS));
        let check = |seconds| issuer.check(Some(&nonce), at(seconds));
        for (seconds, expected) in [
            (SECONDS - 121, Err(NonceFault::Invalid)),
            (SECONDS - 120, Ok(NonceAge::Current)),
            (SECONDS, Ok(NonceAge::Current)),
            (SECONDS + 119, Ok(NonceAge::Current)),
            (SECONDS + 120, Ok(NonceAge::Ending)),
            (SECONDS + 239, Ok(NonceAge::Ending)),
            (SECONDS + 240, Err(NonceFault::Invalid)),
        ] {
            assert_eq!(check(seconds), expected, "{seconds}");
        }
        assert_eq!(issuer.check(None, at(SECONDS)), Err(NonceFault::Missing));
        assert_eq!(issuer.current(at(SECONDS + 119)), nonce);
        assert_ne!(issuer.current(at(SECONDS + 120)), nonce);
    }

    #[test]
    fn only_the_whole_nonce_of_the_same_key_and_issuer_is_accepted() {
        let issuer = NonceIssuer::new(KEY, "https://acme.okta.com");
        let nonce = issuer.current(at(SECONDS));
        let check = |nonce: &str| issuer.check(Some(nonce), at(SECONDS));
        assert_eq!(NonceIssuer::new(KEY, "https://acme.okta.com").current(at(SECONDS)), nonce);
        for (key, name) in [(&KEY[1..], "https://acme.okta.com"), (KEY, "https://acme.okta.co"), (b"", "")] {
            assert_eq!(check(&NonceIssuer::new(key, name).current(at(SECONDS))), Err(NonceFault::Invalid), "{name}");
        }
        for end in 0..nonce.len() {
            assert_eq!(check(&nonce[..end]), Err(NonceFault::Invalid), "{end}");
        }
        for wrong in [format!("{nonce}="), format!("{nonce}A"), format!(" {nonce}"), format!("{nonce}AAAA"), "é".into()]
        {
            assert_eq!(check(&wrong), Err(NonceFault::Invalid), "{wrong}");
        }
        for at in 0..nonce.len() {
            let other = if nonce.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = nonce.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(check(&changed), Err(NonceFault::Invalid), "{at}");
        }
    }
}
