//! JOSE: parses tokens and verifies their signatures (RFC 7515, 7517, 7518, 7519).
//!
//! This module knows no policy and no clock: `policy` validates the claims. [`compact`] parses a token into an
//! [`UnverifiedToken`]. [`verify`] is the only code that turns it into a [`VerifiedToken`], with a [`jwk`] key.
//! [`dpop_proof`] does both for proofs. [`introspected`] reads introspection responses. The gateway signs its own client assertions with a [`private_key`].

pub mod algorithm;
pub mod claims;
pub mod compact;
mod der;
pub mod dpop_proof;
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
pub use dpop_proof::{ProofFormatFault, ProofKey, UnverifiedProof, VerifiedProof};
pub use introspected::{ActiveToken, IntrospectedToken, ResponseFault};
pub use jwk::{Key, KeySet, KeySetFault};
pub use native::{HostCall, NativeVerifier, SelfTestFailure};
pub use native_signer::{HostCannotSign, NativeSigner};
pub use pkcs8::PrivateKeyFault;
pub use private_key::{PrivateKey, RsaSigner, SignedBy};
pub use strict_json::{JsonFault, JsonLimits, parse_object};
pub use verify::{PortableVerifier, SignatureVerifier, SignedPayload, VerifiedToken};
