use super::*;

fn test_key() -> RsaPublicKey {
    RsaPublicKey::new(&TestKey::RsaA.octets("n"), &TestKey::RsaA.octets("e")).unwrap()
}

/// The PKCS#1 v1.5 encoding of `info` (`DigestInfo` or malformed content), padded to the length of the modulus.
fn pkcs1(info: &[u8]) -> Vec<u8> {
    [&[0, 1], &vec![0xff; 256 - 3 - info.len()][..], &[0], info].concat()
}

fn sha256_info() -> Vec<u8> {
    [Hash::Sha256.digest_info_prefix(), &Hash::Sha256.digest(&[MESSAGE])].concat()
}

#[test]
fn pkcs1_signature_verifies_for_its_message_and_hash_only() {
    let key = test_key();
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let info = [hash.digest_info_prefix(), &hash.digest(&[MESSAGE])].concat();
        let signature = TestKey::RsaA.private_operation(&pkcs1(&info));
        assert!(key.verifies_pkcs1(hash, MESSAGE, &signature), "{hash:?}");
        assert!(!key.verifies_pkcs1(hash, b"another message", &signature), "{hash:?}");
        assert!(!key.verifies_pss(hash, MESSAGE, &signature), "{hash:?}");
        for other in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().filter(|other| *other != hash) {
            assert!(!key.verifies_pkcs1(other, MESSAGE, &signature), "{hash:?} as {other:?}");
        }
    }
}

#[test]
fn other_pkcs1_encoding_of_the_same_digest_is_rejected() {
    let key = test_key();
    let digest = Hash::Sha256.digest(&[MESSAGE]);
    let info = sha256_info();
    let good = pkcs1(&info);
    let with = |at: usize, byte: u8| {
        let mut encoded = good.clone();
        encoded[at] = byte;
        encoded
    };
    let short_padding = |padding: usize| {
        let mut encoded = [&[0, 1], &vec![0xff; padding][..], &[0], &info].concat();
        encoded.resize(256, 0x5a);
        encoded
    };
    let wrapped = |prefix: &[u8]| pkcs1(&[prefix, &digest].concat());
    let separator = 256 - info.len() - 1;
    let faults: Vec<(&str, Vec<u8>)> = vec![
        ("first byte", with(0, 1)),
        ("block type 0", with(1, 0)),
        ("block type 2", with(1, 2)),
        ("first padding byte", with(2, 0xfe)),
        ("padding byte in the middle", with(100, 0)),
        ("last padding byte", with(separator - 1, 0x7f)),
        ("separator", with(separator, 1)),
        ("separator is padding", with(separator, 0xff)),
        ("first byte of the digest", with(256 - 32, digest[0] ^ 1)),
        ("last byte of the digest", with(255, digest[31] ^ 0x80)),
        ("no padding, garbage after it (Bleichenbacher 2006)", short_padding(0)),
        ("eight bytes of padding, garbage after it", short_padding(8)),
        ("one byte of garbage after it", short_padding(256 - 3 - info.len() - 1)),
        ("the digest alone", pkcs1(&digest)),
        ("without NULL", wrapped(b"\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20")),
        (
            "long form of a length (BER)",
            wrapped(b"\x30\x81\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"),
        ),
        (
            "long form of the inner length",
            wrapped(b"\x30\x32\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x81\x20"),
        ),
        (
            "garbage in NULL",
            wrapped(b"\x30\x32\x30\x0e\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x01\x00\x04\x20"),
        ),
        (
            "identifier of SHA-384",
            wrapped(b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\x04\x20"),
        ),
        ("identifier of SHA-1", wrapped(b"\x30\x2d\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x20")),
        ("zero", vec![0; 256]),
    ];
    assert!(key.verifies_pkcs1(Hash::Sha256, MESSAGE, &TestKey::RsaA.private_operation(&good)));
    for (fault, encoded) in faults {
        assert_eq!(encoded.len(), 256, "{fault}");
        let signature = TestKey::RsaA.private_operation(&encoded);
        assert!(!key.verifies_pkcs1(Hash::Sha256, MESSAGE, &signature), "{fault}");
    }
}

#[test]
fn signature_out_of_range_or_of_wrong_length_is_rejected() {
    let key = test_key();
    let n = BigUint::from_bytes_be(&TestKey::RsaA.octets("n"));
    let signature = TestKey::RsaA.private_operation(&pkcs1(&sha256_info()));
    let twin = BigUint::from_bytes_be(&signature) + &n;
    let mut faults = vec![
        twin.to_bytes_be(),
        [vec![0], signature.clone()].concat(),
        [signature.clone(), vec![0]].concat(),
        signature[1..].to_vec(),
        signature[..255].to_vec(),
        Vec::new(),
        vec![0; 256],
        vec![0xff; 256],
        bytes(&one(), 256),
        bytes(&(&n - one()), 256),
        bytes(&(&n - BigUint::from_bytes_be(&signature)), 256),
        n.to_bytes_be(),
    ];
    faults.extend([0, 1, 128, 255].map(|at| {
        let mut altered = signature.clone();
        altered[at] ^= 1;
        altered
    }));
    assert!(key.verifies_pkcs1(Hash::Sha256, MESSAGE, &signature));
    for fault in faults {
        assert!(!key.verifies_pkcs1(Hash::Sha256, MESSAGE, &fault), "{fault:x?}");
        assert!(!key.verifies_pss(Hash::Sha256, MESSAGE, &fault), "{fault:x?}");
    }
}

/// The parts of an EMSA-PSS encoding (RFC 8017 section 9.1.1). Each can be replaced.
#[derive(Clone)]
struct Pss {
    hash: Hash,
    mask_hash: Hash,
    salt: Vec<u8>,
    bits: usize,
    separator: u8,
    /// A byte of the zero padding, counted from its end.
    altered_zero: Option<usize>,
    trailer: u8,
    unused_bits_set: bool,
    /// The bytes before the message digest: eight zeros.
    before_digest: Vec<u8>,
}

impl Pss {
    fn new(hash: Hash, bits: usize) -> Self {
        Self {
            hash,
            mask_hash: hash,
            salt: (0..hash.output_length()).map(|at| u8::try_from(at).unwrap() ^ 0x3c).collect(),
            bits,
            separator: 1,
            altered_zero: None,
            trailer: 0xbc,
            unused_bits_set: false,
            before_digest: vec![0; 8],
        }
    }

    fn encode(&self, message: &[u8]) -> Vec<u8> {
        let length = self.bits.div_ceil(8);
        let digest = self.hash.digest(&[&self.before_digest, &self.hash.digest(&[message]), &self.salt]);
        let mut block = vec![0; length - self.salt.len() - digest.len() - 2];
        if let Some(from_end) = self.altered_zero {
            let at = block.len() - 1 - from_end;
            block[at] = 1;
        }
        block.push(self.separator);
        block.extend_from_slice(&self.salt);
        let mask = mask_generation(self.mask_hash, &digest, block.len());
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
        let unused = 8 * length - self.bits;
        if unused > 0 {
            block[0] &= 0xff >> unused;
            if self.unused_bits_set {
                block[0] |= 0x80;
            }
        }
        [block, digest, vec![self.trailer]].concat()
    }
}

#[test]
fn pss_signature_verifies_for_its_message_and_hash_only() {
    let key = test_key();
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        let signature = TestKey::RsaA.private_operation(&Pss::new(hash, 2047).encode(MESSAGE));
        assert!(key.verifies_pss(hash, MESSAGE, &signature), "{hash:?}");
        assert!(!key.verifies_pss(hash, b"another message", &signature), "{hash:?}");
        assert!(!key.verifies_pkcs1(hash, MESSAGE, &signature), "{hash:?}");
        for other in [Hash::Sha256, Hash::Sha384, Hash::Sha512].into_iter().filter(|other| *other != hash) {
            assert!(!key.verifies_pss(other, MESSAGE, &signature), "{hash:?} as {other:?}");
        }
    }
}

#[test]
fn pss_encoding_with_one_wrong_part_is_rejected() {
    let good = Pss::new(Hash::Sha256, 2047);
    let salt_of = |length: usize| Pss { salt: vec![0x11; length], ..good.clone() };
    let faults = [
        ("no salt", salt_of(0)),
        ("salt of 20 bytes", salt_of(20)),
        ("salt one byte short", salt_of(31)),
        ("salt one byte long", salt_of(33)),
        ("salt of another hash's length", salt_of(64)),
        ("largest salt", salt_of(256 - 32 - 2)),
        ("mask of another hash", Pss { mask_hash: Hash::Sha384, ..good.clone() }),
        ("trailer 0xcc", Pss { trailer: 0xcc, ..good.clone() }),
        ("trailer 0x00", Pss { trailer: 0, ..good.clone() }),
        ("separator 0", Pss { separator: 0, ..good.clone() }),
        ("separator 2", Pss { separator: 2, ..good.clone() }),
        ("separator 0x81", Pss { separator: 0x81, ..good.clone() }),
        ("last zero of the padding", Pss { altered_zero: Some(0), ..good.clone() }),
        ("a zero in the middle", Pss { altered_zero: Some(100), ..good.clone() }),
        ("seven zeros before the digest", Pss { before_digest: vec![0; 7], ..good.clone() }),
        ("not zeros before the digest", Pss { before_digest: vec![1; 8], ..good.clone() }),
    ];
    assert!(pss_encoding_is_consistent(Hash::Sha256, MESSAGE, &good.encode(MESSAGE), 2047));
    for (fault, encoding) in faults {
        assert!(!pss_encoding_is_consistent(Hash::Sha256, MESSAGE, &encoding.encode(MESSAGE), 2047), "{fault}");
    }
    // Not every key can sign the unused high bit, so the encoding is checked directly.
    let high_bit = Pss { unused_bits_set: true, ..good };
    assert!(!pss_encoding_is_consistent(Hash::Sha256, MESSAGE, &high_bit.encode(MESSAGE), 2047));
}

#[test]
fn pss_encoding_verifies_for_every_modulus_bit_length() {
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        for bits in 2047..=2063 {
            let encoded = Pss::new(hash, bits).encode(MESSAGE);
            let modulus_bytes = (bits + 1).div_ceil(8);
            let leading = modulus_bytes - encoded.len();
            assert_eq!(leading, usize::from(bits % 8 == 0), "{bits}");
            let padded = [vec![0; leading], encoded.clone()].concat();
            assert!(pss_encoding_is_consistent(hash, MESSAGE, &padded, bits), "{hash:?} {bits}");
            for at in [0, 1, padded.len() / 2, padded.len() - 34, padded.len() - 1] {
                let mut altered = padded.clone();
                altered[at] ^= 1;
                assert!(!pss_encoding_is_consistent(hash, MESSAGE, &altered, bits), "{hash:?} {bits} {at}");
            }
            for bit in 0..(8 - bits % 8) % 8 {
                let mut altered = padded.clone();
                altered[0] |= 0x80 >> bit;
                assert!(!pss_encoding_is_consistent(hash, MESSAGE, &altered, bits), "{hash:?} {bits} bit {bit}");
            }
        }
    }
}
