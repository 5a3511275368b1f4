use super::*;
use crate::jose::KeySet;
use crate::jose::signing_fixture::TestKey;

#[test]
fn integer_has_the_shortest_non_negative_form() {
    for (number, expected) in [
        (&b""[..], &b"\x02\x01\x00"[..]),
        (b"\x00", b"\x02\x01\x00"),
        (b"\x00\x00", b"\x02\x01\x00"),
        (b"\x01", b"\x02\x01\x01"),
        (b"\x00\x7f", b"\x02\x01\x7f"),
        (b"\x80", b"\x02\x02\x00\x80"),
        (b"\x00\x80", b"\x02\x02\x00\x80"),
        (b"\x00\x00\xff\x00", b"\x02\x03\x00\xff\x00"),
        (b"\x01\x00\x00", b"\x02\x03\x01\x00\x00"),
    ] {
        assert_eq!(unsigned_integer(number), expected, "{number:x?}");
    }
}

#[test]
fn length_has_the_shortest_form() {
    for (length, expected) in [
        (0, &b"\x30\x00"[..]),
        (1, b"\x30\x01"),
        (127, b"\x30\x7f"),
        (128, b"\x30\x81\x80"),
        (255, b"\x30\x81\xff"),
        (256, b"\x30\x82\x01\x00"),
        (65_535, b"\x30\x82\xff\xff"),
        (65_536, b"\x30\x83\x01\x00\x00"),
    ] {
        let encoded = tagged(SEQUENCE, &[&vec![7; length]]);
        assert_eq!(encoded.strip_prefix(expected), Some(&vec![7; length][..]), "{length}");
    }
}

#[test]
fn ecdsa_signature_is_encoded_as_two_integers() {
    let pair = |r: &[u8], s: &[u8]| ecdsa_signature(&[r, s].concat());
    assert_eq!(pair(b"\x01\x02", b"\x00\x03"), b"\x30\x07\x02\x02\x01\x02\x02\x01\x03");
    assert_eq!(pair(b"\xff\x02", b"\x80\x00"), b"\x30\x0a\x02\x03\x00\xff\x02\x02\x03\x00\x80\x00");
    assert_eq!(pair(b"\x00\x00", b"\x00\x00"), b"\x30\x06\x02\x01\x00\x02\x01\x00");
    // P-521 signatures exceed the short form of a length.
    let longest = pair(&[0xff; 66], &[0xff; 66]);
    let half = [b"\x02\x43\x00", &[0xff; 66][..]].concat();
    assert_eq!(longest, [&b"\x30\x81\x8a"[..], &half, &half].concat());
}

/// The output of `openssl pkey -pubout -outform DER` for the same keys.
#[test]
fn public_keys_match_the_openssl_encoding() {
    for (key, expected) in [
        (
            TestKey::P256,
            "3059301306072a8648ce3d020106082a8648ce3d030107034200045bdfb31f0cf5ba884a8f7ce6fdf762875ff1ed3df41326a036ff3793c950a661cbbde33c0cf8956ea0dd7a06cc677b12704b43b24aef2c02fa3ace6f54ab7824",
        ),
        (
            TestKey::P384,
            "3076301006072a8648ce3d020106052b8104002203620004faeb42c76fc8750f99975bf18336090e37ddd0c521d76babb510e94bed8c6b2954759e84c7680701464a7699083312a867a83834832ea6bd13ee823e8e5e886553a245b14e811b9cc2cde2dae91ecef485a6fa5bfecbd67126ff1f96e46da24b",
        ),
        (
            TestKey::P521,
            "30819b301006072a8648ce3d020106052b81040023038186000401fe15076e84c18282ec03fdf14f0dd549f78f706ed2f4371bd356373db0eba263794793915105df0029ea9f592e2946ae176d2f4678f1e9b4893ac9e1151890a59a001c393ba820e04de0f012a093a87009d622b678faf3d3feca6895d7c5d9d614511da3a5ddc78c1de3216a7831c2c69cc349403f0d9eb5f8eddfe213a44b62267667",
        ),
        (TestKey::Ed25519, "302a300506032b657003210065a178c60b5ece46046a543a70f245bd301e3e10992e78028867bf921a66c830"),
        (
            TestKey::RsaA,
            "30820122300d06092a864886f70d01010105000382010f003082010a0282010100dcd5fdacbf78ed4a5d9097717aef7d0fde74f3f22aacd4da743d9c54212fa51e362bb9644576b5b9847e580f7925f45816950b1908789739ce5b1e3fdc4794f74c77f49e6a224eb5cc934b883523739e9e7cb98c769310e84e8609293137839222796bbed7d5e0d10b2f17d6a3c1fa8bffe226b4ff1b6e26c2b6012bc6f4b7933e716f6585d2107ba48a418f91ea63b87f565213bd3422fd16ea8000b880b28b7d589a894dbdb09c5d0fcd63804b05fbcfabad12ede21c3e8778b6b72caf59d7726f7a370f42fe76c4218a5a489482f0a8e4c0881c97ad5c086eecc50ad736faa2a9443c0456c29fc5b10c724c84929c9cee115cb7285605c92732970ac161110203010001",
        ),
    ] {
        assert_eq!(public_key(&key.key_set(), key), hex(expected), "{key:?}");
    }
}

/// Leading zeros in the JWK are accepted and not encoded.
#[test]
fn leading_zeros_of_a_modulus_are_not_encoded() {
    let (n, e) = (TestKey::RsaA.octets("n"), TestKey::RsaA.octets("e"));
    let padded = rsa_public_key(&[&[0, 0], &n[..]].concat(), &[&[0], &e[..]].concat());
    assert_eq!(padded, rsa_public_key(&n, &e));
}

fn public_key(set: &KeySet, key: TestKey) -> Vec<u8> {
    let candidates = set.candidates(None, key.algorithm());
    candidates[0].subject_public_key_info().to_vec()
}

fn hex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
