//! One test for each public advisory that concerns an existing feature, with its id in the name.

use serde_json::json;

use super::keys::{body, fetching, holding, published, roca_modulus};
use super::requests::{at_the_backend, sent};
use super::{NOW, Scene, check, claiming, faults_of, headed, one_issuer, row, saying, two_issuers};
use crate::forge::{self, Forge, base64url, hmac_token, joined, signature_of, with_signature};
use crate::signing::{payload, with};

/// The advisories that concern what is here.
const HERE: [&str; 37] = [
    "CVE-2017-15361",
    "CVE-2022-21449",
    "CVE-2022-3102",
    "CVE-2023-27487",
    "CVE-2023-51774",
    "CVE-2025-22149",
    "CVE-2025-64484",
    "CVE-2025-64527",
    "CVE-2026-102269",
    "CVE-2026-25537",
    "CVE-2026-32301",
    "CVE-2026-32597",
    "CVE-2026-33433",
    "CVE-2026-34457",
    "CVE-2026-39858",
    "CVE-2026-40575",
    "CVE-2026-54763",
    "CVE-2026-59096",
    "CVE-2026-62995",
    "CVE-2026-76835",
    "CVE-2026-88011",
    "GHSA-2gx3-rcp4-g85q",
    "GHSA-3fvg-4v2m-98jf",
    "GHSA-752w-5fwx-jx9f",
    "GHSA-75c5-xw7c-p5pm",
    "GHSA-8wjv-2p76-3863",
    "GHSA-9v7f-9g4p-ffgj",
    "GHSA-fhv5-28vv-h8m8",
    "GHSA-ffc3-869f-jxw9",
    "GHSA-hxm8-2xgr-2p9m",
    "GHSA-pxh4-856f-4h89",
    "GHSA-r6x4-923q-g947",
    "GHSA-rf44-j88r-hh8c",
    "GHSA-w7vc-732c-9m39",
    "GHSA-x677-9fxg-v5c5",
    "GHSA-xgmm-8j9v-c9wx",
    "nodedb#61",
];

/// Those that concern what is still to be built: path rules, caches of verdicts, introspection.
const LATER: [(&str, &str); 10] = [
    ("CVE-2020-8595", "path rules"),
    ("CVE-2021-29492", "path rules"),
    ("CVE-2021-31920", "path rules"),
    ("CVE-2021-32701", "caches"),
    ("CVE-2021-39156", "path rules"),
    ("CVE-2025-54576", "path rules"),
    ("CVE-2026-33494", "path rules"),
    ("CVE-2026-33496", "caches"),
    ("CVE-2026-39350", "path rules"),
    ("GHSA-vj5m-rch8-5r2p", "path rules"),
];

#[test]
fn every_advisory_has_its_test_or_its_explanation() {
    let here = include_str!("advisories.rs");
    let names: Vec<&str> = here.lines().filter_map(|line| line.strip_prefix("fn ")).collect();
    let in_a_name = |id: &str| {
        let id = id.to_ascii_lowercase().replace(['-', '#'], "_");
        names.iter().any(|name| name.starts_with(&format!("{id}_")) || name.contains(&format!("_{id}_")))
    };
    for id in HERE {
        assert!(in_a_name(id), "no test for {id}");
    }
    for (id, place) in LATER {
        assert!(!in_a_name(id), "{id} has a test now; it was to come with {place}");
    }
}

#[test]
fn cve_2017_15361_a_roca_modulus_is_rejected_as_a_key() {
    let key = json!({ "kty": "RSA", "kid": "k", "n": base64url(roca_modulus().to_bytes_be()), "e": "AQAB" });
    assert!(faults_of(&one_issuer(&[key])).contains("no key here can verify"));
}

#[test]
fn cve_2022_21449_a_psychic_signature_is_rejected() {
    let zero = num_bigint::BigUint::ZERO;
    let rows = [(Forge::P256, "ES256", "p256"), (Forge::P384, "ES384", "p384")].map(|(key, algorithm, kid)| {
        let token = key.token(algorithm, kid, json!({}), &payload(NOW));
        row("(0,0)", "signature_invalid", with_signature(&token, joined(key, &zero, &zero)))
    });
    check(&two_issuers(), rows.into());
}

#[test]
fn cve_2022_3102_and_cve_2023_51774_a_jwe_is_never_parsed_as_a_jws() {
    let jws = claiming(json!({}));
    let jwe_header = base64url(r#"{"alg":"dir","enc":"A256GCM","kid":"rsa"}"#);
    let pbes = base64url(r#"{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA"}"#);
    check(
        &two_issuers(),
        vec![
            row("five parts", "token_opaque", format!("{jwe_header}..AAAA.AAAA.AAAA")),
            row("five parts around a token", "token_opaque", format!("{jws}.AAAA.AAAA")),
            row(
                "three parts under a JWE header",
                "algorithm_unsupported",
                format!("{jwe_header}.{}", jws.split_once('.').unwrap().1),
            ),
            row("an expensive p2c", "token_opaque", format!("{pbes}.AAAA.AAAA.AAAA.AAAA")),
            row("an expensive p2c of three parts", "algorithm_unsupported", format!("{pbes}.e30.AAAA")),
        ],
    );
}

fn spoofed(fields: &[(&str, &[u8])]) {
    let reason = Scene::new(&two_issuers()).request(fields).unwrap().audit.reason();
    assert_eq!(reason, "token_missing", "{fields:?}");
}

#[test]
fn cve_2023_27487_a_forged_original_path_is_ignored() {
    spoofed(&[("x-envoy-original-path", b"/healthz"), ("x-envoy-original-method", b"OPTIONS")]);
}

#[test]
fn cve_2026_40575_and_cve_2026_76835_a_forged_forwarded_uri_is_ignored() {
    spoofed(&[
        ("x-forwarded-uri", b"/public"),
        ("x-forwarded-method", b"OPTIONS"),
        ("x-auth-request-redirect", b"/public"),
    ]);
    spoofed(&[("x-original-url", b"/ping"), ("x-rewrite-url", b"/ping")]);
}

#[test]
fn cve_2026_34457_no_user_agent_bypasses_authentication() {
    for agent in ["GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0", "Envoy/HC"] {
        spoofed(&[("user-agent", agent.as_bytes())]);
    }
}

#[test]
fn cve_2025_22149_a_key_that_was_removed_verifies_nothing() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    let token = claiming(json!({ "exp": NOW + 86_400 }));
    assert_eq!(scene.reason(&token), "authorized");
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, published(&[Forge::RsaB.jwk("other")]));
    assert_eq!(scene.reason(&token), "parked");
    for _ in 0..2 {
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, published(&[Forge::RsaB.jwk("other")]));
        scene.pass(4);
    }
    assert_eq!(scene.decided.last().unwrap().1.audit.reason(), "key_unknown");
}

/// None of these fields, each with the value `mallory`, reaches the backend.
fn stripped(names: &[&str]) {
    let fields: Vec<(&str, &[u8])> = names.iter().map(|name| (*name, &b"mallory"[..])).collect();
    for claims in [json!({}), json!({ "sub": null, "cid": null, "scp": null })] {
        let decision = sent(&two_issuers(), &claiming(claims), &fields);
        let arrived = at_the_backend(&decision, &fields);
        assert!(arrived.iter().all(|(_, value)| value != "mallory"), "{arrived:?}");
    }
}

#[test]
fn cve_2025_64484_identity_headers_with_underscores_are_removed() {
    stripped(&["x_user_id", "X_User_Id", "x-user_id", "x_client_id", "x_granted_scopes"]);
}

#[test]
fn cve_2026_33433_and_cve_2026_39858_identity_headers_of_the_client_are_removed_also_where_the_filter_sets_none() {
    stripped(&["x-user-id", "X-User-Id", "x-client-id", "x-granted-scopes"]);
}

#[test]
fn cve_2026_54763_ghsa_x677_9fxg_v5c5_other_spellings_are_removed() {
    stripped(&["X_USER_ID", "x_user-id", "X-USER_ID", "X_Client-Id"]);
}

#[test]
fn cve_2026_88011_ghsa_rf44_j88r_hh8c_spellings_with_dots_are_removed() {
    stripped(&["X.User.Id", "x.user.id", "x-user.id", "x_user.id", "x.client.id", "x.granted.scopes"]);
}

#[test]
fn cve_2025_64527_two_authorization_fields_are_rejected_and_cause_no_fetch() {
    let good = format!("Bearer {}", claiming(json!({})));
    let other = format!("Bearer {}", Forge::RsaB.token("RS256", "rsa", json!({}), &payload(NOW)));
    let mut scene = Scene::new(&fetching());
    let fetch = scene.tick_begins_a_fetch();
    for (first, second) in [(&good, &good), (&good, &other), (&other, &good)] {
        let decision =
            scene.request(&[("authorization", first.as_bytes()), ("Authorization", second.as_bytes())]).unwrap();
        assert_eq!(decision.audit.reason(), "multiple_credentials");
    }
    scene.answer(&fetch, published(&[Forge::RsaA.jwk("rsa")]));
    assert_eq!((scene.decided.len(), scene.tick().len()), (0, 0));
}

#[test]
fn cve_2026_102269_ghsa_hxm8_2xgr_2p9m_nothing_can_be_appended_to_a_token() {
    let mut rows = Vec::new();
    for token in [claiming(json!({})), Forge::P256.token("ES256", "p256", json!({}), &payload(NOW))] {
        for (tail, reason) in [
            ("!!!!", "credential_malformed"),
            ("?", "credential_malformed"),
            ("!", "credential_malformed"),
            ("\u{0}", "credential_malformed"),
            ("====", "token_encoding"),
            ("~", "token_encoding"),
            ("-", "token_encoding"),
        ] {
            rows.push(row("appended", reason, format!("{token}{tail}")));
        }
    }
    // Four letters are three bytes more of a signature.
    rows.push(row("three bytes more", "signature_invalid", format!("{}AAAA", claiming(json!({})))));
    check(&two_issuers(), rows);
}

#[test]
fn cve_2026_25537_a_claim_of_the_wrong_type_is_not_absent() {
    let mut rows = Vec::new();
    for value in [json!("99999999999"), json!(true), json!([]), json!({}), json!("soon")] {
        for name in ["exp", "nbf", "iat"] {
            rows.push(row("a time", "time_malformed", claiming(json!({ name: value }))));
        }
    }
    let claims = payload(NOW).to_string().replace("\"exp\":1800003600", "\"exp\":null");
    rows.push(row("exp null", "time_malformed", saying(&claims)));
    rows.push(row("aud number", "audience_malformed", claiming(json!({ "aud": 5 }))));
    rows.push(row("iss list", "issuer_malformed", claiming(json!({ "iss": [crate::signing::ISSUER] }))));
    for (name, value) in [
        ("sub", json!(1)),
        ("sub", json!(["root"])),
        ("cid", json!(1)),
        ("scp", json!(1)),
        ("scp", json!({ "admin": 1 })),
    ] {
        rows.push(row("identity", "identity_malformed", claiming(json!({ name: value }))));
    }
    check(&two_issuers(), rows);
}

#[test]
fn cve_2026_32301_and_cve_2026_59096_no_unverified_claim_selects_what_is_fetched() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    for issuer in ["https://evil.example", "https://acme.okta.com/oauth2/default/../../evil", "https://a.example/keys"]
    {
        let token = Forge::RsaB.token(
            "RS256",
            "evil",
            json!({ "jku": issuer }),
            &with(&payload(NOW), json!({ "iss": issuer })),
        );
        assert_eq!(scene.reason(token), "issuer_unknown");
    }
    assert_eq!(scene.tick(), []);
    let named = Forge::RsaB.token(
        "RS256",
        "../../evil",
        json!({}),
        &with(&payload(NOW), json!({ "tenant": "evil", "aud": "evil" })),
    );
    assert_eq!(scene.reason(named), "parked");
    assert_eq!(scene.tick_begins_a_fetch().request.address.to_string(), "https://a.example/keys");
}

#[test]
fn cve_2026_32597_ghsa_752w_5fwx_jx9f_unsupported_crit_is_rejected() {
    let rows = [json!(["x"]), json!(["exp"]), json!([]), json!("x"), json!(null), json!(["b64"])]
        .map(|crit| Forge::RsaA.token("RS256", "rsa", json!({ "crit": crit, "x": 1 }), &payload(NOW)))
        .map(|token| row("crit", "token_extension_unsupported", token));
    check(&two_issuers(), rows.into());
}

#[test]
fn cve_2026_62995_a_signature_has_one_encoding_and_no_list_is_keyed_by_it() {
    let token = Forge::P256.token("ES256", "p256", json!({}), &payload(NOW));
    let twin = with_signature(&token, forge::twin(Forge::P256, &signature_of(&token)));
    assert_ne!(token, twin);
    let mut rows = vec![row("the token", "authorized", token.clone()), row("its twin", "authorized", twin)];
    for blank in ["\n", " ", "\t"] {
        rows.push(row("blank", "credential_malformed", format!("{token}{blank}")));
    }
    rows.push(row("padded", "token_encoding", format!("{token}==")));
    rows.push(row("the other alphabet", "token_encoding", token.replacen('e', "+", 1)));
    check(&two_issuers(), rows);
}

#[test]
fn ghsa_2gx3_rcp4_g85q_unknown_key_ids_do_not_flood_the_issuer() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    let mut fetches = 0;
    for number in 0..300 {
        let input = forge::signing_input(
            &json!({ "alg": "RS256", "kid": number.to_string() }).to_string(),
            &payload(NOW).to_string(),
        );
        let _ = scene.bearer(format!("{input}.AAAA"));
        for fetch in scene.tick() {
            fetches += 1;
            scene.answer(&fetch, published(&[Forge::RsaA.jwk("rsa")]));
        }
        scene.now = scene.now.plus(std::time::Duration::from_millis(99));
    }
    assert_eq!(fetches, 3 + 7, "three at once, and one in each four of 29.7 seconds");
}

#[test]
fn ghsa_3fvg_4v2m_98jf_a_signature_in_another_alphabet_is_rejected() {
    let token = claiming(json!({}));
    let (rest, signature) = token.rsplit_once('.').unwrap();
    check(
        &two_issuers(),
        vec![
            row("hex", "signature_invalid", format!("{rest}.{}", "ab".repeat(256))),
            row("an octet of junk inside", "token_encoding", format!("{rest}.~{}", &signature[1..])),
            row("a backslash", "credential_malformed", format!("{rest}.\\{}", &signature[1..])),
        ],
    );
}

#[test]
fn ghsa_75c5_xw7c_p5pm_a_partial_issuer_match_is_rejected() {
    let rows = ["https://acme.okta.com", "acme", "", "https://acme.okta.com/oauth2/default2"]
        .map(|issuer| row("iss", "issuer_unknown", claiming(json!({ "iss": issuer }))));
    check(&two_issuers(), rows.into());
}

#[test]
fn ghsa_8wjv_2p76_3863_nesting_depth_is_bounded() {
    let mut rows = Vec::new();
    for depth in [33, 100, 1000, 2000] {
        rows.push(row(
            "closed",
            "token_claims_json",
            saying(&format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth))),
        ));
        rows.push(row("open", "token_claims_json", saying(&format!("{{\"a\":{}", "[".repeat(depth)))));
    }
    check(&two_issuers(), rows);
}

#[test]
fn ghsa_9v7f_9g4p_ffgj_a_redirect_is_neither_followed_nor_accepted() {
    for status in [301, 302, 303, 307, 308] {
        let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
        scene.pass(3600);
        let fetch = scene.tick_begins_a_fetch();
        scene.answer(&fetch, body(status, json!({ "keys": [Forge::RsaB.jwk("rsa")] }).to_string()));
        assert_eq!(scene.tick(), [], "{status} is followed");
        assert_eq!(scene.reason(claiming(json!({}))), "authorized", "{status}: the old keys are gone");
        assert_eq!(scene.reason(Forge::RsaB.token("RS256", "rsa", json!({}), &payload(NOW))), "signature_invalid");
    }
}

#[test]
fn ghsa_fhv5_28vv_h8m8_a_failed_fetch_keeps_the_cached_keys() {
    let mut scene = holding(&[Forge::RsaA.jwk("rsa")]);
    scene.pass(3600);
    let fetch = scene.tick_begins_a_fetch();
    scene.answer(&fetch, body(200, "{\"keys\":[]}"));
    assert_eq!(scene.reason(claiming(json!({}))), "authorized");
}

fn confused(secret: &[u8]) {
    let rows = ["HS256", "HS384", "HS512"].map(|algorithm| {
        let header = json!({ "alg": algorithm, "kid": "rsa" }).to_string();
        row("HMAC", "algorithm_unsupported", hmac_token(algorithm, &header, &payload(NOW).to_string(), secret))
    });
    check(&two_issuers(), rows.into());
}

#[test]
fn ghsa_xgmm_8j9v_c9wx_the_public_pem_is_rejected_as_an_hmac_secret() {
    confused(&Forge::RsaA.rsa().public_key().unwrap().public_key_to_pem().unwrap());
}

#[test]
fn ghsa_r6x4_923q_g947_the_public_der_is_rejected_as_an_hmac_secret() {
    confused(&Forge::RsaA.rsa().public_key().unwrap().public_key_to_der().unwrap());
}

#[test]
fn ghsa_ffc3_869f_jxw9_the_jwk_text_is_rejected_as_an_hmac_secret() {
    confused(Forge::RsaA.jwk("rsa").to_string().as_bytes());
}

#[test]
fn ghsa_pxh4_856f_4h89_an_empty_or_short_secret_is_rejected() {
    for secret in ["", "secret", "rsa"] {
        confused(secret.as_bytes());
        let key = json!({ "kty": "oct", "kid": "k", "k": base64url(secret) });
        assert!(faults_of(&one_issuer(&[key])).contains("no key here can verify"));
    }
}

#[test]
fn ghsa_w7vc_732c_9m39_an_unencoded_payload_is_rejected() {
    let header = r#"{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}"#;
    let claims = payload(NOW).to_string();
    let input = format!("{}.{claims}", base64url(header));
    let raw = format!("{input}.{}", base64url(Forge::RsaA.sign("RS256", input.as_bytes())));
    let encoded = headed(Forge::RsaA, "RS256", header);
    let (head, rest) = encoded.split_once('.').unwrap();
    check(
        &two_issuers(),
        vec![
            row("raw: its commas look like two credentials", "multiple_credentials", raw),
            row("encoded", "token_extension_unsupported", encoded.clone()),
            row("detached", "token_extension_unsupported", format!("{head}..{}", rest.split_once('.').unwrap().1)),
        ],
    );
}

#[test]
fn nodedb_61_a_single_provider_without_an_issuer_accepts_no_token() {
    let mut configuration = one_issuer(&[Forge::RsaA.jwk("rsa")]);
    configuration["providers"]["a"].as_object_mut().unwrap().remove("issuer");
    assert!(faults_of(&configuration).contains("$.providers.a.issuer: missing"));
}
