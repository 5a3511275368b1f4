//! Signs with the host's crypto library, if the host has the function.
//!
//! It encodes the messages of Envoy's foreign function `sign` (since 1.37). The caller transports them. `private_key`
//! verifies each signature before it is used.

use super::native::{HostCall, protobuf};
use super::private_key::{PrivateKey, RsaSigner, SignedBy};

/// The protobuf of `SignResult` starts with `result: true`. The signature is its second field.
const SIGNED: [u8; 3] = [0x08, 0x01, 0x12];
const PROBE: &[u8] = b"okta-proxy-wasm: can this host sign?";

pub struct NativeSigner {
    call: HostCall,
}

/// A configured key requires signing by the host, and the host cannot sign. The configuration must be rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCannotSign;

impl NativeSigner {
    /// Signs once with every key that the host signs with. Run it when the configuration is loaded.
    ///
    /// # Errors
    /// If the host cannot sign with one of the keys.
    pub fn with_self_test<'a>(
        call: HostCall,
        keys: impl IntoIterator<Item = &'a PrivateKey>,
    ) -> Result<Self, HostCannotSign> {
        let signer = Self { call };
        let mut by_host = keys.into_iter().filter(|key| key.signed_by() == SignedBy::Host);
        let can = by_host.all(|key| key.sign(PROBE, &signer).is_some());
        if can { Ok(signer) } else { Err(HostCannotSign) }
    }
}

impl RsaSigner for NativeSigner {
    fn sign_rs256(&self, pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        signature_in(&(self.call)(&sign_arguments(pkcs8, message))?)
    }
}

/// Encodes `SignArguments`: hash, key, text, in this order.
fn sign_arguments(pkcs8: &[u8], message: &[u8]) -> Vec<u8> {
    protobuf(&[b"sha256", pkcs8, message])
}

/// The signature, if `result` is exactly `SignResult { result: true, signature }`.
fn signature_in(result: &[u8]) -> Option<Vec<u8>> {
    let rest = result.strip_prefix(&SIGNED)?;
    let mut length = 0_usize;
    for (at, byte) in rest.iter().take(3).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let signature = rest.get(at + 1..)?;
            return (signature.len() == length && length > 0).then(|| signature.to_vec());
        }
    }
    None
}

impl std::fmt::Debug for NativeSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("NativeSigner")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::native::write_varint;
    use crate::jose::signing_fixture::TestKey;

    fn sign_result(signature: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNED.to_vec();
        write_varint(&mut bytes, signature.len());
        bytes.extend_from_slice(signature);
        bytes
    }

    /// A host that signs the last field of the arguments.
    fn host(key: TestKey) -> HostCall {
        Box::new(move |arguments| {
            let at = arguments.windows(PROBE.len()).position(|window| window == PROBE)?;
            Some(sign_result(&key.sign(arguments.get(at..)?)))
        })
    }

    #[test]
    fn host_that_cannot_sign_is_rejected() {
        let rsa = PrivateKey::parse(TestKey::RsaA.pem()).unwrap();
        let elliptic = PrivateKey::parse(TestKey::P256.pem()).unwrap();
        assert!(NativeSigner::with_self_test(host(TestKey::RsaA), [&rsa, &elliptic]).is_ok());
        assert!(NativeSigner::with_self_test(host(TestKey::RsaB), [&rsa]).is_err(), "with another key");
        assert!(NativeSigner::with_self_test(Box::new(|_| None), [&rsa]).is_err(), "no such function");
        assert!(NativeSigner::with_self_test(Box::new(|_| Some(b"\x1a\x03bad".to_vec())), [&rsa]).is_err());
        assert!(NativeSigner::with_self_test(Box::new(|_| None), [&elliptic]).is_ok(), "ES256 does not need the host");
    }

    #[test]
    fn arguments_are_encoded_as_protobuf() {
        assert_eq!(sign_arguments(b"KEY", b"text"), b"\x0a\x06sha256\x12\x03KEY\x1a\x04text");
    }

    #[test]
    fn truncated_or_extended_result_is_rejected() {
        let good = sign_result(&[7; 256]);
        assert_eq!(signature_in(&good), Some(vec![7; 256]));
        for end in 0..good.len() {
            assert_eq!(signature_in(&good[..end]), None, "{end}");
        }
        for bad in [
            &b"\x08\x00\x12\x01x"[..],
            b"\x08\x01\x12\x00",
            b"\x08\x01\x12\x01xy",
            b"\x12\x01x",
            b"\x08\x01\x12\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(signature_in(bad), None, "{bad:x?}");
        }
    }
}
