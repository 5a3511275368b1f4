//! Envoy's foreign functions `verify_signature` and `sign`, of RSA (PKCS #1 v1.5).

use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::{Padding, Rsa};
use superboring::sign::{Signer, Verifier};

/// `VerifySignatureResult { result: true }`
const VALID: [u8; 2] = [0x08, 0x01];
/// `VerifySignatureResult { error: "no" }`
const INVALID: [u8; 4] = [0x12, 2, b'n', b'o'];

/// The `VerifySignatureResult` of `VerifySignatureArguments`.
pub(crate) fn verify_signature(arguments: &[u8]) -> Vec<u8> {
    let [hash, key, signature, text] = fields(arguments);
    let is_valid = || -> Option<bool> {
        let key = PKey::from_rsa(Rsa::public_key_from_der(key).ok()?).ok()?;
        let mut verifier = Verifier::new(digest(hash)?, &key).ok()?;
        verifier.set_rsa_padding(Padding::PKCS1).ok()?;
        verifier.verify_oneshot(signature, text).ok()
    };
    if is_valid() == Some(true) { VALID.to_vec() } else { INVALID.to_vec() }
}

/// The `SignResult` of `SignArguments`: hash, private key in PKCS #8, text.
pub(crate) fn sign(arguments: &[u8]) -> Vec<u8> {
    let [hash, key, text, _] = fields(arguments);
    let signature = || -> Option<Vec<u8>> {
        let key = PKey::from_rsa(Rsa::private_key_from_der(key).ok()?).ok()?;
        let mut signer = Signer::new(digest(hash)?, &key).ok()?;
        signer.set_rsa_padding(Padding::PKCS1).ok()?;
        signer.sign_oneshot_to_vec(text).ok()
    };
    let Some(signature) = signature() else { return [&[0x1a, 2][..], b"no"].concat() };
    let [low, high] = [signature.len() & 0x7f | 0x80, signature.len() >> 7];
    let size = [low, high].map(|part| u8::try_from(part).expect("a signature of less than 16 KiB"));
    [&[0x08, 0x01, 0x12][..], &size, &signature].concat()
}

fn digest(hash: &[u8]) -> Option<MessageDigest> {
    match hash {
        b"sha256" => Some(MessageDigest::sha256()),
        b"sha384" => Some(MessageDigest::sha384()),
        b"sha512" => Some(MessageDigest::sha512()),
        _ => None,
    }
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
