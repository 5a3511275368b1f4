use super::*;
use crate::jose::signing_fixture::TestKey;

fn fault(der: &[u8]) -> Option<PrivateKeyFault> {
    parts(der).err()
}

#[test]
fn openssl_output_is_parsed() {
    let der = from_pem(TestKey::RsaA.pem()).unwrap();
    let Ok(Parts::Rsa { n, e }) = parts(&der) else { panic!("an RSA key") };
    assert_eq!((n, e), (&*TestKey::RsaA.octets("n"), &*TestKey::RsaA.octets("e")));
    let der = from_pem(TestKey::P256.pem()).unwrap();
    let Ok(Parts::P256 { secret, public: Some([4, point @ ..]) }) = parts(&der) else { panic!("a P-256 key") };
    assert_eq!(secret, &*TestKey::P256.octets("d"));
    assert_eq!(point, [TestKey::P256.octets("x"), TestKey::P256.octets("y")].concat());
}

#[test]
fn pem_accepts_any_line_ends_and_requires_matching_labels() {
    let pem = TestKey::P256.pem();
    let der = from_pem(pem).unwrap();
    assert_eq!(from_pem(&pem.replace('\n', "\r\n")), Ok(der.clone()));
    assert_eq!(from_pem(&pem.replace("=\n-", "=\n\n-")), Ok(der));
    for broken in [
        pem.replace("END PRIVATE", "END PUBLIC"),
        pem.replace("-----END PRIVATE KEY-----", ""),
        pem.replace("-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY"),
        pem.replace("MI", "M!"),
        String::from("-----BEGIN PRIVATE KEY-----"),
    ] {
        assert_eq!(from_pem(&broken), Err(PrivateKeyFault::Malformed), "{broken}");
    }
}

#[test]
fn truncated_or_extended_key_is_malformed() {
    for key in [TestKey::P256, TestKey::RsaA] {
        let der = from_pem(key.pem()).unwrap();
        for length in 0..der.len() {
            assert_eq!(fault(&der[..length]), Some(PrivateKeyFault::Malformed), "{length} of {}", der.len());
        }
        assert_eq!(fault(&[&*der, b"\0"].concat()), Some(PrivateKeyFault::Malformed));
    }
}

#[test]
fn changed_bytes_never_panic() {
    for key in [TestKey::P256, TestKey::RsaA] {
        let der = from_pem(key.pem()).unwrap();
        for at in 0..der.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= change;
                let _ = parts(&changed);
            }
        }
    }
}

#[test]
fn non_canonical_integers_and_lengths_are_rejected() {
    for (bytes, expected) in [
        (&b"\x02\x01\x00"[..], Some(&b"\x00"[..])),
        (b"\x02\x01\x7f", Some(b"\x7f")),
        (b"\x02\x02\x00\x80", Some(b"\x80")),
        (b"\x02\x01\x80", None),
        (b"\x02\x02\x00\x7f", None),
        (b"\x02\x00", None),
        (b"\x04\x01\x01", None),
    ] {
        assert_eq!(Reader(bytes).unsigned(), expected, "{bytes:x?}");
    }
    for (bytes, expected) in [
        (&b"\x00"[..], Some(0)),
        (b"\x7f", Some(127)),
        (b"\x81\x80", Some(128)),
        (b"\x82\x01\x00", Some(256)),
        (b"\x81\x7f", None),
        (b"\x82\x00\xff", None),
        (b"\x80", None),
        (b"\x83\x01\x00\x00", None),
        (b"", None),
    ] {
        assert_eq!(length(bytes).map(|(length, _)| length), expected, "{bytes:x?}");
    }
}
