//! Key set JSON -> keys (RFC 7517, RFC 7518 section 6, RFC 8037).
//!
//! One bad key never spoils a set: a key that cannot be used is skipped and counted. Only what can
//! verify a signature is kept: no symmetric key, nothing marked for encryption, nothing that carries
//! its private half, no RSA key below 2048 bits, no point off its curve.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::compact::decode;
use super::der::{self, Curve};
use super::rsa::RsaPublicKey;
use super::strict_json::{JsonLimits, parse_object};

/// The largest key set document that is read, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 1024 * 1024;
/// How many keys of a set are read, usable or not: a bound of the work that a set causes.
pub const MAX_KEYS: usize = 512;
const LIMITS: JsonLimits = JsonLimits { depth: 8, members: 256 };
/// How many keys are tried for a token that does not say which one signed it.
const MAX_CANDIDATES: usize = 4;

/// A public key that can verify signatures.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    pub(super) material: PublicKey,
    /// The same as a host's library reads it.
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

/// The usable keys of one document.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<KeyFault>,
}

/// Why a whole key set is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetFault {
    /// Longer than the limit.
    TooLarge,
    /// Not a JSON object with a list `keys`.
    Malformed,
    /// Not one of its keys can verify a signature.
    NoUsableKey,
}

/// Why one key of a set is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not an object, or a member is missing, of the wrong type or not canonical base64url.
    Malformed,
    /// A key type, curve or algorithm that is not supported, symmetric keys among them.
    Unsupported,
    /// `use` or `key_ops` says that the key is not for verifying.
    NotForVerifying,
    /// The key carries its private half: it is public now, and whoever published it has a problem.
    Private,
    /// Too short, too long, a weak exponent, a weak modulus, a point off its curve.
    Weak,
    /// `alg`, `kty` and `crv` do not agree.
    Inconsistent,
    /// As many keys as the limit are before it in the set.
    OverLimit,
}

impl KeySet {
    /// Reads a key set document.
    ///
    /// # Errors
    /// When there is nothing to use in it: then the keys held before stay in force.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetFault> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetFault::TooLarge);
        }
        let document = parse_object(text, LIMITS).map_err(|_| KeySetFault::Malformed)?;
        Self::from_members(&document)
    }

    /// Takes a key set that was parsed as part of a larger document.
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

    /// How many keys can be used.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key; a set that was parsed has at least one.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the usable keys are the same: a token that one set verifies the other does too.
    pub fn has_same_keys(&self, other: &Self) -> bool {
        self.keys == other.keys
    }

    /// Why the other keys of the document were skipped.
    pub fn skipped(&self) -> &[KeyFault] {
        &self.skipped
    }

    /// The ids of the usable keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::id)
    }

    /// Whether a key of exactly that id is among [`Self::candidates`].
    pub fn has_key_of_id(&self, key_id: &str, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.id() == Some(key_id) && key.serves(algorithm))
    }

    /// Whether there is any of [`Self::candidates`].
    pub fn has_candidate(&self, key_id: Option<&str>, algorithm: Algorithm) -> bool {
        let may_have_signed = |key: &Key| key_id.is_none() || key.id.is_none() || key.id.as_deref() == key_id;
        self.keys.iter().any(|key| may_have_signed(key) && key.serves(algorithm))
    }

    /// The keys that may have signed a token of that `kid` and `alg`: those of exactly that id, else
    /// those without an id; for a token without `kid` all that serve the algorithm. At most four, so
    /// that a token cannot ask for a whole set of verifications.
    pub fn candidates(&self, key_id: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        let serving = || self.keys.iter().filter(move |key| key.serves(algorithm));
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
    /// The key's id, `kid`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether a signature of that algorithm can have been made with this key.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }

    /// The key as `SubjectPublicKeyInfo` in DER (RFC 5280 section 4.1.2.7), prepared when it was read.
    pub fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }

    /// One key that the code itself holds, as the text of a JWK.
    pub(super) fn of_text(jwk: &str) -> Option<Self> {
        Self::from_json(&parse_object(jwk.as_bytes(), LIMITS).ok()?.into()).ok()
    }

    fn from_json(item: &Value) -> Result<Self, KeyFault> {
        let members = item.as_object().ok_or(KeyFault::Malformed)?;
        let key_type = text(members, "kty")?.ok_or(KeyFault::Malformed)?;
        if key_type != "oct" && carries_private_half(members) {
            return Err(KeyFault::Private);
        }
        if !is_for_verifying(members)? {
            return Err(KeyFault::NotForVerifying);
        }
        let algorithm = match stated(members, "alg")? {
            None => None,
            Some(name) => Some(Algorithm::parse(name).ok_or(KeyFault::Unsupported)?),
        };
        let (material, subject_public_key_info) = PublicKey::from_members(key_type, members)?;
        if algorithm.is_some_and(|algorithm| !material.fits(algorithm)) {
            return Err(KeyFault::Inconsistent);
        }
        Ok(Self { id: text(members, "kid")?.map(str::to_owned), algorithm, material, subject_public_key_info })
    }
}

impl PublicKey {
    /// The key and its `SubjectPublicKeyInfo`.
    pub(super) fn from_members(key_type: &str, members: &Map<String, Value>) -> Result<(Self, Vec<u8>), KeyFault> {
        match (key_type, text(members, "crv")?) {
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

    const fn fits(&self, algorithm: Algorithm) -> bool {
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

/// Whether a member holds a part of the private half (RFC 7518 section 6). .NET and Java serializers write these members
/// into every key: `null`, and `oth` as an empty list of further primes.
fn carries_private_half(members: &Map<String, Value>) -> bool {
    ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|name| match members.get(*name) {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !(*name == "oth" && items.is_empty()),
        Some(_) => true,
    })
}

/// `use` (RFC 7517 section 4.2) and `key_ops` (section 4.3), each honoured when present. An empty list is what .NET writes
/// for an absent one. `jwt-svid` is the use of keys that verify JWTs of SPIFFE (SPIFFE Trust Domain and Bundle, section
/// 4.2.2); `x509-svid` is that of certificate authorities.
fn is_for_verifying(members: &Map<String, Value>) -> Result<bool, KeyFault> {
    let by_use = stated(members, "use")?.is_none_or(|purpose| matches!(purpose, "sig" | "jwt-svid"));
    let by_operations = match members.get("key_ops") {
        None | Some(Value::Null) => true,
        Some(Value::Array(operations)) => {
            operations.is_empty() || operations.iter().any(|operation| operation == "verify")
        }
        Some(_) => return Err(KeyFault::Malformed),
    };
    Ok(by_use && by_operations)
}

/// A string that says something: serializers write an absent one as `""` too.
fn stated<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    Ok(text(members, name)?.filter(|text| !text.is_empty()))
}

/// A string; `null` is an absent one.
pub(super) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, KeyFault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KeyFault::Malformed),
    }
}

pub(super) fn octets(members: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyFault> {
    let encoded = text(members, name)?.ok_or(KeyFault::Malformed)?;
    decode(encoded.as_bytes()).map_err(|_| KeyFault::Malformed)
}

/// A key of 32 bytes that is the canonical encoding of a point of large order (RFC 8032 section 5.1.3).
fn ed25519(encoded: &[u8]) -> Result<ed25519_compact::PublicKey, KeyFault> {
    let key = ed25519_compact::PublicKey::from_slice(encoded).map_err(|_| KeyFault::Malformed)?;
    key.validate().map_err(|_| KeyFault::Weak)?;
    Ok(key)
}

/// The uncompressed SEC 1 point; a coordinate that is not exactly as long as the field is refused
/// (RFC 7518 section 6.2.1.2: leading zeros are not left out).
fn point(members: &Map<String, Value>, length: usize) -> Result<Vec<u8>, KeyFault> {
    let (x, y) = (octets(members, "x")?, octets(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err(KeyFault::Malformed);
    }
    Ok([vec![4], x, y].concat())
}

impl PartialEq for Key {
    /// The prepared form says everything of the key itself.
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
