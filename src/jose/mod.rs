//! JOSE: what a token says and whether its signature holds (RFC 7515, 7517, 7518, 7519).
//!
//! Knows no policy and no time: whether a *true* token is also *wanted* is decided in `policy`.
//! The way of a token: [`compact`] parses it into an [`UnverifiedToken`], [`verify`] turns that into
//! a [`VerifiedToken`] with a [`jwk`] key, and that is the only way to get one. What an introspection endpoint says of
//! a token is [`introspected`]; with a [`private_key`] the gateway itself signs what it says to the issuer.

pub mod algorithm;
pub mod claims;
pub mod compact;
mod der;
pub mod introspected;
pub mod jwk;
pub mod native;
pub mod native_signer;
mod pkcs8;
pub mod private_key;
mod rsa;
#[cfg(test)]
pub(crate) mod signing_fixture;
mod strict_json;
pub mod verify;

pub use algorithm::Algorithm;
pub use claims::{Claim, Claims};
pub use compact::{TokenFault, UnverifiedToken};
pub use introspected::{ActiveToken, IntrospectedToken, ResponseFault};
pub use jwk::{Key, KeySet, KeySetFault};
pub use native::{HostCall, NativeVerifier, SelfTestFailure};
pub use native_signer::{CannotSign, NativeSigner};
pub use private_key::{PrivateKey, PrivateKeyFault, RsaSigner, SignedBy};
pub use strict_json::{JsonFault, JsonLimits, parse_object};
pub use verify::{PortableVerifier, SignatureVerifier, SignedPayload, VerifiedToken};
