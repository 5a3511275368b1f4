use super::*;
use crate::policy::provider_fixture::active;
use serde_json::json;

/// SHA-256 of nothing, in both spellings.
const HEX: &[u8] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const BASE64URL: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

fn bound(cnf: Value, mode: ConstraintMode) -> Result<Option<CertificateThumbprint>, BindingFault> {
    bound_certificate(active(&json!({ "cnf": cnf })).claims(), mode)
}

fn certificate(digest: &[u8]) -> AttributeValues {
    let mut attributes = AttributeValues::default();
    attributes.insert(Attribute::PeerDigest, digest.to_vec());
    attributes
}

#[test]
fn a_thumbprint_has_one_spelling() {
    for mode in [ConstraintMode::IfBound, ConstraintMode::Required] {
        assert!(matches!(bound(json!({ "x5t#S256": BASE64URL }), mode), Ok(Some(_))));
        let hex = String::from_utf8(HEX.to_vec()).unwrap();
        let standard = BASE64URL.replace('-', "+").replace('_', "/");
        // The last character with a bit that no byte has.
        let other_end = BASE64URL.replace("uFU", "uFV");
        for malformed in [
            json!(hex),
            json!(hex.to_uppercase()),
            json!(format!("{BASE64URL}=")),
            json!(standard),
            json!(other_end),
            json!(&BASE64URL[1..]),
            json!(format!("{BASE64URL}A")),
            json!(format!(" {BASE64URL}")),
            json!(""),
            json!(null),
            json!(5),
            json!([BASE64URL]),
        ] {
            assert_eq!(
                bound(json!({ "x5t#S256": malformed }), mode),
                Err(BindingFault::ThumbprintMalformed),
                "{malformed}"
            );
        }
    }
}

#[test]
fn every_other_constraint_is_rejected() {
    for mode in [ConstraintMode::Off, ConstraintMode::IfBound, ConstraintMode::Required] {
        for cnf in [
            json!({ "jkt": "x" }),
            json!({ "x5t#S256": BASE64URL, "jkt": "x" }),
            json!({ "x5t#S256": BASE64URL, "jwk": {} }),
            json!({ "x5t": BASE64URL }),
            json!({ "X5T#S256": BASE64URL }),
            json!({}),
            json!(null),
            json!(BASE64URL),
            json!([{ "x5t#S256": BASE64URL }]),
        ] {
            assert_eq!(bound(cnf.clone(), mode), Err(BindingFault::Unverified), "{mode:?} {cnf}");
        }
    }
    let cnf = json!({ "x5t#S256": BASE64URL });
    assert_eq!(bound(cnf, ConstraintMode::Off), Err(BindingFault::Unverified));
}

#[test]
fn a_token_without_a_constraint_is_accepted_unless_one_is_required() {
    let unbound = active(&json!({}));
    assert_eq!(bound_certificate(unbound.claims(), ConstraintMode::Off), Ok(None));
    assert_eq!(bound_certificate(unbound.claims(), ConstraintMode::IfBound), Ok(None));
    assert_eq!(bound_certificate(unbound.claims(), ConstraintMode::Required), Err(BindingFault::Missing));
}

#[test]
fn only_the_digest_of_the_certificate_meets_the_constraint() {
    let thumbprint = CertificateThumbprint::parse(BASE64URL).unwrap();
    assert_eq!(thumbprint.check(&certificate(HEX)), Ok(()));
    assert_eq!(thumbprint.check(&certificate(&HEX.to_ascii_uppercase())), Ok(()));
    assert_eq!(thumbprint.check(&AttributeValues::default()), Err(ConstraintFault::CertificateMissing));
    for unusable in [b"".to_vec(), b"x".repeat(64), HEX[..62].to_vec(), [HEX, b"00"].concat(), BASE64URL.into()] {
        assert_eq!(thumbprint.check(&certificate(&unusable)), Err(ConstraintFault::CertificateMissing), "{unusable:?}");
    }
    for at in 0..HEX.len() {
        let mut other = HEX.to_vec();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        assert_eq!(thumbprint.check(&certificate(&other)), Err(ConstraintFault::CertificateMismatch), "{at}");
    }
}
