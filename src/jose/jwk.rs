//! Parses a JSON Web Key Set into keys (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! An unusable key is skipped and counted. It does not invalidate the set. Only keys that can verify a signature are
//! kept: no symmetric key, no encryption key, no key with its private half, no RSA key below 2048 bits, no point off
//! its curve.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::compact::decode;
use super::der::{self, Curve};
use super::rsa::RsaPublicKey;
use super::strict_json::{JsonLimits, parse_object};

/// The largest key set document that is parsed, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 1024 * 1024;
/// How many keys of a set are parsed, usable or not. It limits the work per set.
pub const MAX_KEYS: usize = 512;
const LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };
/// How many keys are tried for a token without `kid`.
const MAX_CANDIDATES: usize = 4;

/// A public key that can verify signatures.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    pub(super) material: PublicKey,
    /// The key in the encoding of the host's crypto library.
    subject_public_key_info: Vec<u8>,
}

#[derive(Clone)]
pub(super) enum PublicKey {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519(ed25519_compact::PublicKey),
}

/// The usable keys of one key set document.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<KeyFault>,
}

/// Why a key set is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetFault {
    /// The document is longer than the limit.
    TooLarge,
    /// The document is not a JSON object with a list `keys`.
    Malformed,
    /// No key of the set can verify a signature.
    NoUsableKey,
}

/// Why one key of a set is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not an object, or a member is missing, of the wrong type or not canonical base64url.
    Malformed,
    /// The key type, curve or algorithm is not supported. This includes symmetric keys.
    Unsupported,
    /// `use` or `key_ops` excludes signature verification.
    NotForVerification,
    /// The key includes its private half, so it is compromised.
    Private,
    /// The key is too short or too long, has a weak exponent or modulus, or is a point off its curve.
    Weak,
    /// `alg`, `kty` and `crv` contradict each other.
    Inconsistent,
    /// The set has more keys than the limit, and this one is beyond it.
    OverLimit,
}

impl KeySet {
    /// Parses a key set document.
    ///
    /// # Errors
    /// If no key of the document is usable. The caller then keeps the cached keys.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetFault> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetFault::TooLarge);
        }
        let document = parse_object(text, LIMITS).map_err(|_| KeySetFault::Malformed)?;
        Self::from_members(&document)
    }

    /// Reads a key set that was parsed as part of a larger document.
    ///
    /// # Errors
    /// As [`KeySet::parse`].
    pub fn from_members(document: &Map<String, Value>) -> Result<Self, KeySetFault> {
        let Some(Value::Array(items)) = document.get("keys") else { return Err(KeySetFault::Malformed) };
        let mut set = Self::default();
        for item in items.iter().take(MAX_KEYS) {
            match Key::from_json(item) {
                Ok(key) => set.keys.push(key),
                Err(fault) => set.skipped.push(fault),
            }
        }
        set.skipped.extend(items.iter().skip(MAX_KEYS).map(|_| KeyFault::OverLimit));
        if set.keys.is_empty() { Err(KeySetFault::NoUsableKey) } else { Ok(set) }
    }

    /// The number of usable keys.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no usable key. A parsed set has at least one.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether both sets have the same usable keys and so verify the same tokens.
    pub fn has_same_keys(&self, other: &Self) -> bool {
        self.keys == other.keys
    }

    /// Why keys of the document were skipped, one entry per key.
    pub fn skipped(&self) -> &[KeyFault] {
        &self.skipped
    }

    /// The `kid` values of the usable keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::id)
    }

    /// Whether [`Self::candidates`] has a key with exactly this `kid`.
    pub fn has_key_with_id(&self, key_id: &str, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.id() == Some(key_id) && key.supports(algorithm))
    }

    /// Whether [`Self::candidates`] has any key.
    pub fn has_candidate(&self, key_id: Option<&str>, algorithm: Algorithm) -> bool {
        let matches_id = |key: &Key| key_id.is_none() || key.id.is_none() || key.id.as_deref() == key_id;
        self.keys.iter().any(|key| matches_id(key) && key.supports(algorithm))
    }

    /// The keys that can verify a token with this `kid` and `alg`: those with exactly this `kid`, else those without a
    /// `kid`. A token without `kid` selects all keys of the algorithm. At most four are returned, to limit the work per
    /// token.
    pub fn candidates(&self, key_id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let serving = || self.keys.iter().filter(move |key| key.supports(algorithm));
        let matching: Vec<&Key> = match key_id {
            None => serving().take(MAX_CANDIDATES).collect(),
            Some(id) => serving().filter(|key| key.id.as_deref() == Some(id)).take(MAX_CANDIDATES).collect(),
        };
        if matching.is_empty() {
            serving().filter(|key| key.id.is_none()).take(MAX_CANDIDATES).collect()
        } else {
            matching
        }
    }
}

impl Key {
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether the key can verify signatures of this algorithm.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.supports(algorithm)
    }

    /// The key as DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7), encoded when the key was parsed.
    pub fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }

    /// Parses a JWK that is a constant of this module.
    pub(super) fn from_jwk(jwk: &str) -> Option<Self> {
        Self::from_json(&parse_object(jwk.as_bytes(), LIMITS).ok()?.into()).ok()
    }

    /// Whether a public JWK may verify signatures of this algorithm, as far as the members beside its key material say.
    pub(super) fn check_use(members: &Map<String, Value>, algorithm: Algorithm) -> Result<(), KeyFault> {
        match allowed_algorithm(members)? {
            Some(only) if only != algorithm => Err(KeyFault::Inconsistent),
            Some(_) | None => Ok(()),
        }
    }

    /// Parses the key material of a JWK; [`Key::check_use`] checks the other members.
    pub(super) fn from_required_members(members: &Map<String, Value>) -> Result<Self, KeyFault> {
        let key_type = optional_string(members, "kty")?.ok_or(KeyFault::Malformed)?;
        let (material, subject_public_key_info) = PublicKey::from_members(key_type, members)?;
        Ok(Self { id: None, algorithm: None, material, subject_public_key_info })
    }

    fn from_json(item: &Value) -> Result<Self, KeyFault> {
        let members = item.as_object().ok_or(KeyFault::Malformed)?;
        let key_type = optional_string(members, "kty")?.ok_or(KeyFault::Malformed)?;
        let algorithm = allowed_algorithm(members)?;
        let (material, subject_public_key_info) = PublicKey::from_members(key_type, members)?;
        if algorithm.is_some_and(|algorithm| !material.supports(algorithm)) {
            return Err(KeyFault::Inconsistent);
        }
        let id = optional_string(members, "kid")?.map(str::to_owned);
        Ok(Self { id, algorithm, material, subject_public_key_info })
    }
}

impl PublicKey {
    /// The key and its `SubjectPublicKeyInfo`.
    pub(super) fn from_members(key_type: &str, members: &Map<String, Value>) -> Result<(Self, Vec<u8>), KeyFault> {
        match (key_type, optional_string(members, "crv")?) {
            ("RSA", _) => {
                let (n, e) = (octets(members, "n")?, octets(members, "e")?);
                let key = RsaPublicKey::new(&n, &e).ok_or(KeyFault::Weak)?;
                Ok((Self::Rsa(key), der::rsa_public_key(&n, &e)))
            }
            ("EC", Some("P-256")) => {
                let point = point(members, 32)?;
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyFault::Weak)?;
                Ok((Self::P256(key), der::ec_public_key(Curve::P256, &point)))
            }
            ("EC", Some("P-384")) => {
                let point = point(members, 48)?;
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyFault::Weak)?;
                Ok((Self::P384(key), der::ec_public_key(Curve::P384, &point)))
            }
            ("EC", Some("P-521")) => {
                let point = point(members, 66)?;
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyFault::Weak)?;
                Ok((Self::P521(key), der::ec_public_key(Curve::P521, &point)))
            }
            ("OKP", Some("Ed25519")) => {
                let encoded = octets(members, "x")?;
                Ok((Self::Ed25519(ed25519(&encoded)?), der::ed25519_public_key(&encoded)))
            }
            ("EC" | "OKP", None) => Err(KeyFault::Malformed),
            _ => Err(KeyFault::Unsupported),
        }
    }

    const fn supports(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        match algorithm {
            Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => matches!(self, Self::Rsa(_)),
            Es256 => matches!(self, Self::P256(_)),
            Es384 => matches!(self, Self::P384(_)),
            Es512 => matches!(self, Self::P521(_)),
            EdDsa => matches!(self, Self::Ed25519(_)),
        }
    }
}

/// The only algorithm that a JWK is for, if it names one.
///
/// # Errors
/// If it is no public key, or not for signatures.
fn allowed_algorithm(members: &Map<String, Value>) -> Result<Option<Algorithm>, KeyFault> {
    if optional_string(members, "kty")? != Some("oct") && carries_private_half(members) {
        return Err(KeyFault::Private);
    }
    if !is_for_verification(members)? {
        return Err(KeyFault::NotForVerification);
    }
    match non_empty_string(members, "alg")? {
        None => Ok(None),
        Some(name) => Algorithm::parse(name).map(Some).ok_or(KeyFault::Unsupported),
    }
}

/// Whether a member holds part of the private half (RFC 7518 section 6). .NET and Java serializers write these members
/// into every key: as `null`, and `oth` as an empty list of other primes.
fn carries_private_half(members: &Map<String, Value>) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| match members.get(*name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !(*name == "oth" && items.is_empty()),
        Some(_) => true,
    })
}

/// Checks `use` (RFC 7517 section 4.2) and `key_ops` (section 4.3) if present. .NET writes an absent list as an empty
/// one. `jwt-svid` marks keys that verify JWTs of SPIFFE (SPIFFE Trust Domain and Bundle, section 4.2.2). `x509-svid`
/// marks certificate authorities.
fn is_for_verification(members: &Map<String, Value>) -> Result<bool, KeyFault> {
    let by_use = non_empty_string(members, "use")?.is_none_or(|purpose| matches!(purpose, "sig" | "jwt-svid"));
    let by_operations = match members.get("key_ops") {
        None | Some(Value::Null) => true,
        Some(Value::Array(operations)) => {
            operations.is_empty() || operations.iter().any(|operation| operation == "verify")
        }
        Some(_) => return Err(KeyFault::Malformed),
    };
    Ok(by_use && by_operations)
}

/// A non-empty string. Serializers also write an absent one as `""`.
fn non_empty_string<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    Ok(optional_string(members, name)?.filter(|text| !text.is_empty()))
}

/// A string. `null` is absent.
pub(super) fn optional_string<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

pub(super) fn octets(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let encoded = optional_string(members, name)?.ok_or(KeyFault::Malformed)?;
    decode(encoded.as_bytes()).map_err(|_| KeyFault::Malformed)
}

/// A key of 32 bytes that canonically encodes a point of large order (RFC 8032 section 5.1.3).
fn ed25519(encoded: &[u8]) -> Result<ed25519_compact::PublicKey, KeyFault> {
    let key = ed25519_compact::PublicKey::from_slice(encoded).map_err(|_| KeyFault::Malformed)?;
    key.validate().map_err(|_| KeyFault::Weak)?;
    Ok(key)
}

/// The uncompressed SEC 1 point. Each coordinate must have the full length of the field (RFC 7518 section 6.2.1.2).
fn point(members: &Map<String, Value>, length: usize) -> Result<Vec<u8>, KeyFault> {
    let (x, y) = (octets(members, "x")?, octets(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err(KeyFault::Malformed);
    }
    Ok([vec![4], x, y].concat())
}

impl PartialEq for Key {
    /// The DER encoding identifies the key material.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.algorithm == other.algorithm
            && self.subject_public_key_info == other.subject_public_key_info
    }
}

impl Eq for Key {}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "jwk/tests.rs"]
mod tests;
