//! JOSE: what a token says and whether its signature holds (RFC 7515, 7517, 7518, 7519).
//!
//! Knows no policy and no time: whether a *true* token is also *wanted* is decided in `policy`.
//! The way of a token: [`compact`] parses it into an [`UnverifiedToken`], [`verify`] turns that into
//! a [`VerifiedToken`] with a [`jwk`] key, and that is the only way to get one.

pub mod algorithm;
pub mod claims;
pub mod compact;
mod der;
pub mod jwk;
pub mod native;
mod rsa;
#[cfg(test)]
pub(crate) mod signing_fixture;
mod strict_json;
pub mod verify;

pub use algorithm::Algorithm;
pub use claims::{Claim, Claims};
pub use compact::{TokenFault, UnverifiedToken};
pub use jwk::{Key, KeySet, KeySetFault};
pub use native::{Doubt, HostCall, NativeVerifier};
pub use strict_json::{JsonFault, JsonLimits, parse_object};
pub use verify::{PortableVerifier, SignatureVerifier, SignedPayload, VerifiedToken};
