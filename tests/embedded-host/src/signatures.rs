//! Envoy's foreign function `verify_signature`, of RSA (PKCS #1 v1.5) with SHA-256.

use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::{Padding, Rsa};
use superboring::sign::Verifier;

/// `VerifySignatureResult { result: true }`
const VALID: [u8; 2] = [0x08, 0x01];
/// `VerifySignatureResult { error: "no" }`
const INVALID: [u8; 4] = [0x12, 2, b'n', b'o'];

/// The `VerifySignatureResult` of `VerifySignatureArguments`.
pub(crate) fn verify_signature(arguments: &[u8]) -> Vec<u8> {
    let [hash, key, signature, text] = fields(arguments);
    let is_valid = || -> Option<bool> {
        let key = PKey::from_rsa(Rsa::public_key_from_der(key).ok()?).ok()?;
        let mut verifier = Verifier::new(MessageDigest::sha256(), &key).ok()?;
        verifier.set_rsa_padding(Padding::PKCS1).ok()?;
        verifier.verify_oneshot(signature, text).ok()
    };
    if hash == b"sha256" && is_valid() == Some(true) { VALID.to_vec() } else { INVALID.to_vec() }
}

/// The first four fields of a protobuf message of byte strings.
fn fields(mut message: &[u8]) -> [&[u8]; 4] {
    let mut fields = [&[][..]; 4];
    while let Some((tag, rest)) = message.split_first() {
        let (size, rest) = varint(rest);
        let (field, rest) = rest.split_at(size);
        fields[usize::from(tag >> 3) - 1] = field;
        message = rest;
    }
    fields
}

fn varint(bytes: &[u8]) -> (usize, &[u8]) {
    let size = bytes.iter().position(|byte| byte & 0x80 == 0).expect("the end of a number") + 1;
    let number = bytes[..size].iter().rev().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[size..])
}
