//! Parses the JWS compact serialization `a.b.c` (RFC 7515 section 7.1) strictly into an [`UnverifiedToken`].
//!
//! These tokens are rejected before a key is looked up: other shapes, non-canonical base64url, ambiguous JSON, critical
//! extensions (`crit`), unencoded payloads (`b64`), compression (`zip`), nesting (`cty: JWT`). Key material in the
//! header (`jwk`, `jku`, `x5u`, `x5c`) is ignored. The caller limits the length of the whole token.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::claims::{Claim, Claims};
use super::strict_json::{JsonLimits, parse_object};
use crate::encoding::base64url_decode;
use crate::memory;
use crate::redacted::Redacted;
use crate::unix_time::UnixTime;

/// The longest JOSE header that is decoded, in base64url characters.
const MAX_HEADER_LENGTH: usize = 2048;
const HEADER_LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };
const CLAIMS_LIMITS: JsonLimits = JsonLimits { depth: 32, members: 256 };

/// A parsed token whose signature is not verified. Its content is untrusted.
#[derive(Clone, Debug)]
pub struct UnverifiedToken {
    serialized: Redacted<Rc<[u8]>>,
    signing_input_length: usize,
    signature: Redacted<Vec<u8>>,
    header: JoseHeader,
    claims: Claims,
}

/// The header parameters that are read (RFC 7515 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoseHeader {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    pub token_type: Option<String>,
}

/// Why a token is rejected while it is parsed or its signature is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenFault {
    /// A part is not canonical base64url without padding.
    Encoding,
    /// The header is longer than the limit.
    HeaderTooLarge,
    /// The header is not a JSON object, has a duplicate member, or is nested too deeply.
    HeaderJson,
    /// `alg` is missing or not a string.
    AlgorithmMalformed,
    /// `alg` is not an accepted algorithm: `none`, `HS*`, or an unknown name.
    AlgorithmUnsupported,
    /// `kid` or `typ` is not a string.
    HeaderParameterMalformed,
    /// `crit`, `b64`, `zip` or a nested token requires processing that is not supported.
    ExtensionUnsupported,
    /// The payload is not a JSON object, has a duplicate member, or is nested too deeply.
    ClaimsJson,
    /// No candidate key verifies the signature.
    SignatureInvalid,
}

/// The three parts of a JWS, not decoded.
#[derive(Clone, Copy)]
pub(super) struct CompactParts<'a> {
    text: &'a [u8],
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> CompactParts<'a> {
    pub(super) fn split(text: &'a [u8]) -> Result<Self, TokenFault> {
        let mut parts = text.split(|byte| *byte == b'.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(payload), Some(signature), None) => Ok(Self { text, header, payload, signature }),
            _ => Err(TokenFault::Encoding),
        }
    }

    pub(super) fn header(&self) -> Result<Vec<u8>, TokenFault> {
        decode(self.header)
    }

    pub(super) fn payload(&self) -> Result<Vec<u8>, TokenFault> {
        decode(self.payload)
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, TokenFault> {
        decode(self.signature)
    }

    /// Header, dot and payload.
    pub(super) fn signing_input(&self) -> &'a [u8] {
        self.text.get(..self.header.len() + 1 + self.payload.len()).unwrap_or_default()
    }
}

impl UnverifiedToken {
    /// Whether `text` has the three parts of a JWS. Any other token is opaque.
    pub fn has_three_parts(text: &[u8]) -> bool {
        text.iter().filter(|byte| **byte == b'.').count() == 2
    }

    /// Parses a token of three parts.
    ///
    /// # Errors
    /// The first fault found. It holds no part of the token.
    pub fn parse(text: &[u8]) -> Result<Self, TokenFault> {
        let parts = CompactParts::split(text)?;
        if parts.header.len() > MAX_HEADER_LENGTH {
            return Err(TokenFault::HeaderTooLarge);
        }
        let signing_input_length = parts.signing_input().len();
        let header = JoseHeader::parse(&parts.header()?)?;
        let claims = parse_object(&parts.payload()?, CLAIMS_LIMITS).map_err(|_| TokenFault::ClaimsJson)?;
        let signature = parts.signature()?;
        Ok(Self {
            serialized: Redacted::new(Rc::from(text)),
            signing_input_length,
            signature: Redacted::new(signature),
            header,
            claims: Claims::new(claims),
        })
    }

    pub const fn header(&self) -> &JoseHeader {
        &self.header
    }

    /// The unverified issuer. Use it only to select the keys.
    pub fn claimed_issuer(&self) -> Claim<&str> {
        self.claims.string("iss")
    }

    /// The unverified audiences. Use them only to select the keys. `null` and an empty list are malformed.
    pub fn claimed_audiences(&self) -> Claim<Vec<&str>> {
        let audiences = self.claims.strings("aud");
        if audiences == Claim::Absent && self.claims.contains("aud") { Claim::Malformed } else { audiences }
    }

    /// The unverified expiry. Use it only to reject an expired token early.
    pub fn claimed_expiry(&self) -> Claim<UnixTime> {
        self.claims.time("exp")
    }

    pub fn serialized(&self) -> &Redacted<Rc<[u8]>> {
        &self.serialized
    }

    /// An estimate of the memory that a cached token uses.
    pub fn held_bytes(&self) -> usize {
        // The parsed claims take a small multiple of the token's length.
        self.serialized.reveal().len().saturating_mul(4)
    }

    /// The memory of a parked token. Small claims take many times the token's length.
    pub fn parked_bytes(&self) -> usize {
        let header = [&self.header.key_id, &self.header.token_type];
        let header = header.into_iter().flatten().map(|text| memory::allocation(text.capacity()));
        let text = self.serialized.reveal().len().saturating_add(2 * size_of::<usize>());
        let parts = [text, self.signature.reveal().capacity()].map(memory::allocation);
        parts.into_iter().chain(header).fold(memory::members(self.claims.members()), usize::saturating_add)
    }

    pub(super) fn signing_input(&self) -> &[u8] {
        self.serialized.reveal().get(..self.signing_input_length).unwrap_or_default()
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.signature.reveal()
    }

    pub(super) fn into_parts(self) -> (Redacted<Rc<[u8]>>, JoseHeader, Claims) {
        (self.serialized, self.header, self.claims)
    }
}

impl JoseHeader {
    fn parse(text: &[u8]) -> Result<Self, TokenFault> {
        let members = parse_object(text, HEADER_LIMITS).map_err(|_| TokenFault::HeaderJson)?;
        let Some(Value::String(algorithm)) = members.get("alg") else {
            return Err(TokenFault::AlgorithmMalformed);
        };
        let algorithm = Algorithm::parse(algorithm).ok_or(TokenFault::AlgorithmUnsupported)?;
        if requires_extension(&members) {
            return Err(TokenFault::ExtensionUnsupported);
        }
        Ok(Self { algorithm, key_id: optional_string(&members, "kid")?, token_type: optional_string(&members, "typ")? })
    }
}

/// Whether the header has `crit` in any form (RFC 7515 section 4.1.11 requires rejection, as no extension is
/// supported), `b64` (RFC 7797), `zip`, or declares a nested token (`cty: JWT`).
pub(super) fn requires_extension(header: &Map<String, Value>) -> bool {
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

fn optional_string(header: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenFault> {
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
