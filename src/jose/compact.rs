//! `a.b.c` -> [`UnverifiedToken`]: the JWS compact serialization (RFC 7515 section 7.1), read strictly.
//!
//! What is refused here is refused before any key is looked for: other shapes, loose base64url,
//! ambiguous JSON, extensions that must be understood (`crit`), unencoded payloads (`b64`), compression
//! (`zip`), nesting (`cty: JWT`). Key material offered by the token itself (`jwk`, `jku`, `x5u`,
//! `x5c`) is never looked at. Length limits of the whole token belong to the caller.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::claims::{Claim, Claims};
use super::strict_json::{JsonLimits, parse_object};
use crate::encoding::base64url_decode;
use crate::memory;
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// The longest JOSE header that is decoded, in characters of base64url.
const MAX_HEADER_LENGTH: usize = 2048;
const HEADER_LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };
const CLAIMS_LIMITS: JsonLimits = JsonLimits { depth: 32, members: 256 };

/// A token that was parsed and nothing more: whatever it says may be a lie.
#[derive(Clone, Debug)]
pub struct UnverifiedToken {
    text: Redacted<Rc<[u8]>>,
    signing_input_length: usize,
    signature: Redacted<Vec<u8>>,
    header: JoseHeader,
    claims: Claims,
}

/// The header parameters that are looked at (RFC 7515 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoseHeader {
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`
    pub key_id: Option<String>,
    /// `typ`
    pub token_type: Option<String>,
}

/// Why a text is not a token that could be verified, or why its signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenFault {
    /// A part is not canonical base64url without padding.
    Encoding,
    /// The header is longer than the limit.
    HeaderTooLarge,
    /// The header is not a JSON object, has a member twice, or is nested too deeply.
    HeaderJson,
    /// `alg` is missing or not a string.
    AlgorithmMalformed,
    /// `alg` names an algorithm that is never accepted: `none`, `HS*`, or an unknown one.
    AlgorithmUnsupported,
    /// `kid` or `typ` is not a string.
    HeaderParameterMalformed,
    /// `crit`, `b64`, `zip` or a nested token asks for processing that is not done.
    ExtensionUnsupported,
    /// The payload is not a JSON object, has a member twice, or is nested too deeply.
    ClaimsJson,
    /// No key given verifies the signature.
    SignatureInvalid,
}

impl UnverifiedToken {
    /// Whether `text` has the three parts of a JWS; anything else is opaque to us.
    pub fn has_three_parts(text: &[u8]) -> bool {
        text.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// Reads a token of three parts.
    ///
    /// # Errors
    /// The first fault met; no part of the token is in it.
    pub fn parse(text: &[u8]) -> Result<Self, TokenFault> {
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenFault::Encoding);
        };
        if header.len() > MAX_HEADER_LENGTH {
            return Err(TokenFault::HeaderTooLarge);
        }
        let signing_input_length = header.len() + 1 + payload.len();
        let header = JoseHeader::parse(&decode(header)?)?;
        let claims = parse_object(&decode(payload)?, CLAIMS_LIMITS).map_err(|_| TokenFault::ClaimsJson)?;
        let signature = decode(signature)?;
        Ok(Self {
            text: Redacted::new(Rc::from(text)),
            signing_input_length,
            signature: Redacted::new(signature),
            header,
            claims: Claims::new(claims),
        })
    }

    /// What the header says.
    pub const fn header(&self) -> &JoseHeader {
        &self.header
    }

    /// What the token *claims* to be its issuer: good for choosing whose keys to try, for nothing else.
    pub fn claimed_issuer(&self) -> Claim<&str> {
        self.claims.text("iss")
    }

    /// Whom the token *claims* to be for: good for choosing whose keys to try, for nothing else. `null` and an empty list
    /// are malformed.
    pub fn claimed_audiences(&self) -> Claim<Vec<&str>> {
        let audiences = self.claims.texts("aud");
        if audiences == Claim::Absent && self.claims.contains("aud") { Claim::Malformed } else { audiences }
    }

    /// When the token *claims* to end: good for refusing it early, for nothing else.
    pub fn claimed_expiry(&self) -> Claim<UnixTime> {
        self.claims.time("exp")
    }

    /// The token as it was given.
    pub fn text(&self) -> &Redacted<Rc<[u8]>> {
        &self.text
    }

    /// About how many bytes this token holds on to when it is kept.
    pub fn held_bytes(&self) -> usize {
        // The parsed claims take a small multiple of their text.
        self.text.reveal().len().saturating_mul(4)
    }

    /// How many bytes it holds: of small claims many times their text.
    pub fn parked_bytes(&self) -> usize {
        let header = [&self.header.key_id, &self.header.token_type];
        let header = header.into_iter().flatten().map(|text| memory::allocation(text.capacity()));
        let text = self.text.reveal().len().saturating_add(2 * size_of::<usize>());
        let parts = [text, self.signature.reveal().capacity()].map(memory::allocation);
        parts.into_iter().chain(header).fold(memory::members(self.claims.members()), usize::saturating_add)
    }

    pub(super) fn signing_input(&self) -> &[u8] {
        self.text.reveal().get(..self.signing_input_length).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.signature.reveal()
    }

    pub(super) fn into_parts(self) -> (Redacted<Rc<[u8]>>, JoseHeader, Claims) {
        (self.text, self.header, self.claims)
    }
}

impl JoseHeader {
    fn parse(text: &[u8]) -> Result<Self, TokenFault> {
        let members = parse_object(text, HEADER_LIMITS).map_err(|_| TokenFault::HeaderJson)?;
        let Some(Value::String(algorithm)) = members.get("alg") else {
            return Err(TokenFault::AlgorithmMalformed);
        };
        let algorithm = Algorithm::parse(algorithm).ok_or(TokenFault::AlgorithmUnsupported)?;
        if asks_for_an_extension(&members) {
            return Err(TokenFault::ExtensionUnsupported);
        }
        Ok(Self { algorithm, key_id: optional_text(&members, "kid")?, token_type: optional_text(&members, "typ")? })
    }
}

/// `crit` in any form (RFC 7515 section 4.1.11: understand or refuse, and nothing is understood),
/// `b64` (RFC 7797), `zip`, and a payload that is a token again (`cty: JWT`).
fn asks_for_an_extension(header: &Map<String, Value>) -> bool {
    let nested = match header.get("cty") {
        None => false,
        Some(Value::String(content)) => {
            let content = content.to_ascii_lowercase();
            content.strip_prefix("application/").unwrap_or(&content) == "jwt"
        }
        Some(_) => true,
    };
    nested || ["crit", "b64", "zip"].iter().any(|name| header.contains_key(*name))
}

fn optional_text(header: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenFault> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(TokenFault::HeaderParameterMalformed),
    }
}

pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, TokenFault> {
    base64url_decode(text).ok_or(TokenFault::Encoding)
}

#[cfg(test)]
#[path = "compact/tests.rs"]
mod tests;
