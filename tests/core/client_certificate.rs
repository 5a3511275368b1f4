//! The client's certificate behind a proxy where TLS ends (`client_certificate`): whose header counts, and what the backend
//! receives.

use crate::engine_harness::{Harness, NOW, Setup, edits_of, get, published, response_of};
use crate::signing::{AUDIENCE, ISSUER, SigningKey, key_set, payload, with};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use okta_proxy_wasm::config;
use okta_proxy_wasm::engine::{Attribute, Decision, Verdict};
use okta_proxy_wasm::http::{HeaderEdit, RequestHead};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Each is the digest of another certificate.
const CLIENT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const STRANGER: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const HOP: &str = "5d95c3876576b207c0c104e82a4fa5a2573b365e0ed565ee6de6022c03027ad4";
const HOP_URI: &str = "spiffe://acme/edge";
/// DER of something that is no certificate but has its form.
const DER: &[u8] = &[0x30, 3, 2, 1, 7];

fn thumbprint(hex: &str) -> String {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    URL_SAFE_NO_PAD.encode((0..hex.len()).step_by(2).map(digit).collect::<Vec<_>>())
}

fn configuration(header: &str, hops: Value) -> Value {
    json!({
        "providers": { "okta": { "issuer": ISSUER, "audiences": [AUDIENCE],
            "jwks": { "inline": key_set(&[&SigningKey::a("k1")]) }, "sender_constraint": { "mtls": "if_bound" } } },
        "client_certificate": { "header": header, "hops": hops },
        "rules": [{ "match": { "path": "/public" }, "access": "public" }],
    })
}

fn engine(header: &str) -> Harness {
    Harness::new(&configuration(header, json!({ "certificate_hashes": [HOP] })))
}

fn bound_to(thumbprint: &str) -> String {
    SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": { "x5t#S256": thumbprint } })))
}

fn connected_with(engine: &mut Harness, digest: &str) {
    engine.attributes = Some(vec![(Attribute::PeerDigest, digest.as_bytes().to_vec())]);
}

#[test]
fn the_header_of_a_hop_is_the_certificate_of_the_client_and_no_other_header_is() {
    const HEADER: &str = "x-forwarded-client-cert";
    let (of_client, of_hop, of_stranger) =
        (bound_to(&thumbprint(CLIENT)), bound_to(&thumbprint(HOP)), bound_to(&thumbprint(STRANGER)));
    let hash = |digest: &str| format!("Hash={digest};Subject=\"CN=d-7,O=ACME\"");
    let two = format!("Hash={CLIENT},Hash={STRANGER}");
    type Row<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let rows: &[Row<'_>] = &[
        ("a client behind the hop", HOP, &of_client, &[(HEADER, &hash(CLIENT))], "authorized"),
        ("another client behind the hop", HOP, &of_client, &[(HEADER, &hash(STRANGER))], "certificate_mismatch"),
        ("a client without a certificate behind the hop", HOP, &of_client, &[], "certificate_missing"),
        ("a token of the hop's certificate, no header", HOP, &of_hop, &[], "certificate_missing"),
        (
            "a token of the hop's certificate, a client",
            HOP,
            &of_hop,
            &[(HEADER, &hash(CLIENT))],
            "certificate_mismatch",
        ),
        ("the hop's certificate in the header", HOP, &of_hop, &[(HEADER, &hash(HOP))], "certificate_header_malformed"),
        ("two elements", HOP, &of_client, &[(HEADER, &two)], "certificate_header_malformed"),
        (
            "two headers",
            HOP,
            &of_client,
            &[(HEADER, &hash(CLIENT)), (HEADER, &hash(STRANGER))],
            "certificate_header_malformed",
        ),
        ("an empty header", HOP, &of_client, &[(HEADER, "")], "certificate_header_malformed"),
        ("another spelling", HOP, &of_client, &[("x_forwarded_client_cert", &hash(CLIENT))], "certificate_missing"),
        ("the header that is not configured", HOP, &of_client, &[("client-cert", ":AA==:")], "certificate_missing"),
        ("a spoofed header over plain text", "", &of_client, &[(HEADER, &hash(CLIENT))], "certificate_missing"),
        ("a spoofed header of a stranger", STRANGER, &of_client, &[(HEADER, &hash(CLIENT))], "certificate_mismatch"),
        ("a stranger with its own token", STRANGER, &of_stranger, &[(HEADER, &hash(CLIENT))], "authorized"),
        ("a malformed header of a stranger", STRANGER, &of_stranger, &[(HEADER, &two)], "authorized"),
        ("a client that connects itself", CLIENT, &of_client, &[], "authorized"),
    ];
    for (name, digest, token, fields, expected) in rows {
        let mut engine = engine(HEADER);
        connected_with(&mut engine, digest);
        // The second time the token is cached.
        for _ in 0..2 {
            let decision = engine.decide(&get("/", token, fields));
            assert_eq!(decision.audit.reason(), *expected, "{name}");
            if let Verdict::Deny(_) = &decision.verdict {
                let response = response_of(&decision);
                assert_eq!(response.status, 401, "{name}");
                let challenge = response.header(&okta_proxy_wasm::http::HeaderName::WWW_AUTHENTICATE);
                assert!(challenge.is_some_and(|text| text.contains("error=\"invalid_token\"")), "{challenge:?}");
            }
        }
    }
}

#[test]
fn client_cert_of_a_hop_is_hashed() {
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(DER));
    let (bound, other) = (bound_to(&digest), bound_to(&thumbprint(CLIENT)));
    let value = format!(":{}:", STANDARD.encode(DER));
    let twice = format!("{value}, {value}");
    let with_parameter = format!("{value};a=1");
    for (digest, token, fields, expected) in [
        (HOP, &bound, &[("client-cert", &*value)][..], "authorized"),
        (HOP, &other, &[("client-cert", &*value)], "certificate_mismatch"),
        (HOP, &bound, &[], "certificate_missing"),
        (HOP, &bound, &[("client-cert-chain", &*value)], "certificate_missing"),
        (HOP, &bound, &[("client-cert", &*value), ("client-cert", &*value)], "certificate_header_malformed"),
        (HOP, &bound, &[("client-cert", &*twice)], "certificate_header_malformed"),
        (HOP, &bound, &[("client-cert", &*with_parameter)], "certificate_header_malformed"),
        (STRANGER, &bound, &[("client-cert", &*value)], "certificate_mismatch"),
        ("", &bound, &[("client-cert", &*value)], "certificate_missing"),
    ] {
        let mut engine = engine("client-cert");
        connected_with(&mut engine, digest);
        assert_eq!(engine.reason(&get("/", token, fields)), expected, "{digest} {fields:?}");
    }
}

#[test]
fn a_hop_is_recognized_by_names_only_with_mutual_tls_and_by_address_only_with_a_port() {
    let token = bound_to(&thumbprint(CLIENT));
    let header = format!("Hash={CLIENT}");
    let fields = [("x-forwarded-client-cert", &*header), ("x-forwarded-for", "10.0.0.7")];
    let uri = || (Attribute::PeerUri, HOP_URI.as_bytes().to_vec());
    let dns = || (Attribute::PeerDns, b"edge.acme.com".to_vec());
    let address = |text: &str| (Attribute::SourceAddress, text.as_bytes().to_vec());
    let mtls = |is: bool| (Attribute::Mtls, vec![u8::from(is)]);
    let hops = |hops: Value| Harness::new(&configuration("x-forwarded-client-cert", hops));
    let (by_uri, by_dns) = (json!({ "uri_sans": [HOP_URI] }), json!({ "dns_sans": ["edge.acme.com"] }));
    let by_address = json!({ "insecure_addresses": ["10.0.0.0/8"] });
    for (settings, attributes, is_hop) in [
        (&by_uri, vec![mtls(true), uri()], true),
        (&by_uri, vec![mtls(false), uri()], false),
        (&by_uri, vec![uri()], false),
        (&by_uri, vec![mtls(true), dns()], false),
        (&by_dns, vec![mtls(true), dns()], true),
        (&by_dns, vec![mtls(true), uri()], false),
        (&by_address, vec![address("10.0.0.7:1234")], true),
        // Envoy took it from `x-forwarded-for`.
        (&by_address, vec![address("10.0.0.7:0")], false),
        (&by_address, vec![address("192.0.2.7:1234")], false),
        (&by_address, vec![], false),
    ] {
        let mut engine = hops(settings.clone());
        engine.attributes = Some(attributes.clone());
        let expected = if is_hop { "authorized" } else { "certificate_missing" };
        assert_eq!(engine.reason(&get("/", &token, &fields)), expected, "{settings} {attributes:?}");
    }
}

#[test]
fn the_attributes_of_hops_are_read_only_where_a_token_decides() {
    let all = json!({ "certificate_hashes": [HOP], "uri_sans": [HOP_URI], "dns_sans": ["edge.acme.com"],
        "insecure_addresses": ["10.0.0.7"] });
    let mut engine = Harness::new(&configuration("client-cert", all));
    engine.attributes = Some(Vec::new());
    let token = bound_to(&thumbprint(CLIENT));
    for (path, expected) in [
        (
            "/",
            &[Attribute::PeerDigest, Attribute::Mtls, Attribute::PeerUri, Attribute::PeerDns, Attribute::SourceAddress]
                [..],
        ),
        ("/public", &[]),
    ] {
        engine.decide(&get(path, &token, &[]));
        assert_eq!(engine.asked, expected, "{path}");
    }
    let mut by_hash = self::engine("client-cert");
    by_hash.attributes = Some(Vec::new());
    by_hash.decide(&get("/", &token, &[]));
    assert_eq!(by_hash.asked, [Attribute::PeerDigest]);
}

fn removed(decision: &Decision) -> Vec<String> {
    let mut names: Vec<String> = edits_of(decision)
        .iter()
        .filter_map(|edit| match edit {
            HeaderEdit::Remove(name) => Some(name.clone()),
            HeaderEdit::Set(..) | HeaderEdit::Rewrite(_) => None,
        })
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn the_backend_never_receives_a_header_with_a_certificate() {
    let xfcc = format!("Hash={CLIENT}");
    let fields = [
        ("client-cert", ":AA==:"),
        ("client_cert", ":AA==:"),
        ("client-cert-chain", ":AA==:"),
        ("x-forwarded-client-cert", &*xfcc),
        ("x-other", "kept"),
    ];
    let token = SigningKey::a("k1").token(&payload(NOW));
    let of_both = ["client-cert", "client-cert-chain", "client_cert"];
    for (header, expected) in [
        ("client-cert", of_both.to_vec()),
        ("x-forwarded-client-cert", [&of_both[..], &["x-forwarded-client-cert"]].concat()),
    ] {
        for digest in [HOP, STRANGER, ""] {
            let mut engine = engine(header);
            connected_with(&mut engine, digest);
            for path in ["/public", "/"] {
                let found = removed(&engine.decide(&get(path, &token, &fields)));
                let about: Vec<&str> =
                    found.iter().map(String::as_str).filter(|name| name.contains("client")).collect();
                assert_eq!(about, expected, "{header} {digest} {path}");
            }
        }
    }
    // A backend may read trailers as headers.
    let policy = |header| {
        let document = configuration(header, json!({ "certificate_hashes": [HOP] })).to_string();
        config::load(document.as_bytes(), &config::no_environment).unwrap().policy
    };
    let (standard, of_envoy) = (policy("client-cert"), policy("x-forwarded-client-cert"));
    for name in ["client-cert", "Client_Cert", "client-cert-chain"] {
        assert!(standard.is_managed_trailer(name) && of_envoy.is_managed_trailer(name), "{name}");
    }
    assert!(of_envoy.is_managed_trailer("x-forwarded-client-cert"));
    assert!(!standard.is_managed_trailer("x-forwarded-client-cert"));
    // Without the setting it is Envoy's affair.
    let mut off = configuration("client-cert", json!({}));
    off.as_object_mut().unwrap().remove("client_certificate");
    let mut engine = Harness::new(&off);
    connected_with(&mut engine, "");
    let found = removed(&engine.decide(&get("/", &token, &fields)));
    assert!(!found.iter().any(|name| name.contains("client")), "{found:?}");
}

#[test]
fn a_pending_request_keeps_the_header_and_the_connection_it_came_with() {
    let mut configuration = configuration("x-forwarded-client-cert", json!({ "certificate_hashes": [HOP] }));
    configuration["providers"]["okta"]["upstream"] = json!("okta");
    configuration["providers"]["okta"]["jwks"] = json!({ "uri": "https://acme.okta.com/keys" });
    let mut engine = Harness::with(&configuration, Setup::default());
    let token = bound_to(&thumbprint(CLIENT));
    let header = format!("Hash={CLIENT}");
    let request = |fields: &[(&str, &str)]| -> RequestHead { get("/", &token, fields) };
    for (digest, fields) in [
        (HOP, &[("x-forwarded-client-cert", &*header)][..]),
        (STRANGER, &[("x-forwarded-client-cert", &*header)]),
        (HOP, &[]),
    ] {
        connected_with(&mut engine, digest);
        assert_eq!(engine.send(&request(fields)).1, None, "the keys are fetched");
    }
    engine.fetch(published(&key_set(&[&SigningKey::a("k1")])));
    engine.tick();
    let mut reasons: Vec<_> = engine.take_decided().iter().map(|(_, decision)| decision.audit.reason()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["authorized", "certificate_mismatch", "certificate_missing"]);
}
