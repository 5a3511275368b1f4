use super::*;
use crate::policy::provider_fixture::{active, dpop};
use serde_json::json;

/// SHA-256 of nothing, in both spellings.
const HEX: &[u8] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const BASE64URL: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// With this mode for both constraints.
fn allowing(mode: ConstraintMode) -> SenderConstraint {
    let dpop = (mode != ConstraintMode::Off).then(|| dpop(mode == ConstraintMode::Required));
    SenderConstraint { mtls: mode, dpop }
}

fn mtls(mode: ConstraintMode) -> SenderConstraint {
    SenderConstraint { mtls: mode, dpop: None }
}

fn bound(cnf: Value, allowed: &SenderConstraint) -> Result<Binding, BindingFault> {
    Binding::of(active(&json!({ "cnf": cnf })).claims(), allowed)
}

#[test]
fn a_thumbprint_has_one_spelling() {
    let thumbprint = Thumbprint::parse(BASE64URL);
    for mode in [ConstraintMode::IfBound, ConstraintMode::Required] {
        assert_eq!(
            bound(json!({ "x5t#S256": BASE64URL }), &mtls(mode)),
            Ok(Binding { certificate: thumbprint, key: None })
        );
        assert_eq!(
            bound(json!({ "x5t#S256": BASE64URL, "jkt": BASE64URL }), &allowing(mode)),
            Ok(Binding { certificate: thumbprint, key: thumbprint })
        );
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
            for (name, fault) in [("x5t#S256", BindingFault::CertificateMalformed), ("jkt", BindingFault::KeyMalformed)]
            {
                assert_eq!(bound(json!({ name: malformed }), &allowing(mode)), Err(fault), "{name} {malformed}");
            }
        }
    }
}

#[test]
fn every_other_constraint_is_rejected() {
    for mode in [ConstraintMode::Off, ConstraintMode::IfBound, ConstraintMode::Required] {
        for cnf in [
            json!({ "x5t#S256": BASE64URL, "jwk": {} }),
            json!({ "jkt": BASE64URL, "kid": "x" }),
            json!({ "x5t": BASE64URL }),
            json!({ "X5T#S256": BASE64URL }),
            json!({ "JKT": BASE64URL }),
            json!({}),
            json!(null),
            json!(BASE64URL),
            json!([{ "x5t#S256": BASE64URL }]),
        ] {
            assert_eq!(bound(cnf.clone(), &allowing(mode)), Err(BindingFault::Unverified), "{mode:?} {cnf}");
        }
    }
    // A constraint whose check is off, alone and beside one that is checked.
    let only_dpop = SenderConstraint { mtls: ConstraintMode::Off, dpop: Some(dpop(false)) };
    for (cnf, allowed) in [
        (json!({ "x5t#S256": BASE64URL }), mtls(ConstraintMode::Off)),
        (json!({ "jkt": BASE64URL }), mtls(ConstraintMode::IfBound)),
        (json!({ "x5t#S256": BASE64URL, "jkt": BASE64URL }), mtls(ConstraintMode::Required)),
        (json!({ "x5t#S256": BASE64URL }), only_dpop),
    ] {
        assert_eq!(bound(cnf.clone(), &allowed), Err(BindingFault::Unverified), "{cnf} {allowed:?}");
    }
}

#[test]
fn a_token_without_a_constraint_is_accepted_unless_one_is_required() {
    let unbound = |allowed: &SenderConstraint| Binding::of(active(&json!({})).claims(), allowed);
    assert_eq!(unbound(&allowing(ConstraintMode::Off)), Ok(Binding::default()));
    assert_eq!(unbound(&allowing(ConstraintMode::IfBound)), Ok(Binding::default()));
    assert_eq!(unbound(&mtls(ConstraintMode::Required)), Err(BindingFault::Missing));
    let requires_dpop = SenderConstraint { mtls: ConstraintMode::IfBound, dpop: Some(dpop(true)) };
    assert_eq!(unbound(&requires_dpop), Err(BindingFault::Missing));
    // With both required, one is not enough.
    for cnf in [json!({ "x5t#S256": BASE64URL }), json!({ "jkt": BASE64URL })] {
        assert_eq!(bound(cnf, &allowing(ConstraintMode::Required)), Err(BindingFault::Missing));
    }
}

#[test]
fn only_the_digest_of_the_certificate_meets_the_constraint() {
    let binding = Binding { certificate: Thumbprint::parse(BASE64URL), key: None };
    assert_eq!(binding.check_certificate(Thumbprint::of_hex(HEX)), Ok(()));
    assert_eq!(binding.check_certificate(None), Err(ConstraintFault::CertificateMissing));
    assert_eq!(Binding::default().check_certificate(None), Ok(()));
    for at in 0..HEX.len() {
        let mut other = HEX.to_vec();
        other[at] = if other[at] == b'0' { b'1' } else { b'0' };
        let other = Thumbprint::of_hex(&other);
        assert!(other.is_some());
        assert_eq!(binding.check_certificate(other), Err(ConstraintFault::CertificateMismatch), "{at}");
    }
}

#[test]
fn a_binding_proves_what_it_has_and_has_the_name_of_it() {
    let thumbprint = Thumbprint::parse(BASE64URL);
    let (dpop, mtls, any) = (ProofKind::Dpop, ProofKind::Mtls, ProofKind::Any);
    for (key, certificate, name, proved) in [
        (None, None, None, &[][..]),
        (thumbprint, None, Some("dpop"), &[dpop, any]),
        (None, thumbprint, Some("mtls"), &[mtls, any]),
        (thumbprint, thumbprint, Some("dpop_mtls"), &[dpop, mtls, any]),
    ] {
        let binding = Binding { certificate, key };
        assert_eq!(binding.kind().map(BindingKind::name), name);
        for kind in [dpop, mtls, any] {
            assert_eq!(binding.proves(kind), proved.contains(&kind), "{name:?}: {kind:?}");
        }
    }
}

#[test]
fn a_provider_accepts_the_proofs_of_its_modes_and_requires_those_of_every_token() {
    use ConstraintMode::{IfBound, Off, Required};
    for (dpop, mtls, accepted, required) in [
        (Off, Off, [false; 3], [false; 3]),
        (IfBound, Off, [true, false, true], [false; 3]),
        (Off, IfBound, [false, true, true], [false; 3]),
        (Required, IfBound, [true; 3], [true, false, true]),
        (IfBound, Required, [true; 3], [false, true, true]),
        (Required, Required, [true; 3], [true; 3]),
    ] {
        let modes = ConstraintModes { dpop, mtls };
        let kinds = [ProofKind::Dpop, ProofKind::Mtls, ProofKind::Any];
        assert_eq!(kinds.map(|kind| modes.accept(kind)), accepted, "{modes:?}");
        assert_eq!(kinds.map(|kind| modes.require(kind)), required, "{modes:?}");
        assert_eq!(modes.accept_some(), accepted[2], "{modes:?}");
        let dpop = (dpop != Off).then(|| self::dpop(dpop == Required));
        assert_eq!(SenderConstraint { mtls, dpop }.modes(), modes);
    }
}
