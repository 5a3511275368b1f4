use super::*;
use crate::encoding::base64url;

const HEADER: &str = r#"{"alg":"RS256","kid":"k1"}"#;
const PAYLOAD: &str = r#"{"iss":"https://acme.okta.com/oauth2/default"}"#;

fn token(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", base64url(header), base64url(payload), base64url("signature"))
}

fn fault(text: &str) -> TokenFault {
    UnverifiedToken::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn valid_token_is_parsed() {
    let token = UnverifiedToken::parse(token(HEADER, PAYLOAD).as_bytes()).unwrap();
    assert_eq!(token.header().algorithm, Algorithm::Rs256);
    assert_eq!(token.header().key_id.as_deref(), Some("k1"));
    assert_eq!(token.claimed_issuer(), Claim::Valid("https://acme.okta.com/oauth2/default"));
    assert_eq!(token.signature(), b"signature");
    assert_eq!(token.signing_input(), format!("{}.{}", base64url(HEADER), base64url(PAYLOAD)).as_bytes());
}

#[test]
fn token_without_three_parts_is_rejected() {
    for text in ["", "a", ".", "a.b", "a.b.c.d", "a.b.c.d.e", "...."] {
        assert!(!UnverifiedToken::has_three_parts(text.as_bytes()), "{text}");
        assert_eq!(fault(text), TokenFault::Encoding, "{text}");
    }
    for text in ["..", "a..", ".b."] {
        assert!(UnverifiedToken::has_three_parts(text.as_bytes()), "{text}");
        assert!(UnverifiedToken::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn non_canonical_base64url_is_rejected() {
    let good = token(HEADER, PAYLOAD);
    let invalid = ["=", "==", "!", "?", " ", "\n", "\t", "+", "/", "%2B", "\u{ff0e}"];
    for suffix in invalid {
        assert_eq!(fault(&format!("{good}{suffix}")), TokenFault::Encoding, "{suffix:?}");
        assert_eq!(fault(&good.replacen('.', &format!("{suffix}."), 1)), TokenFault::Encoding, "{suffix:?}");
    }
    // "YR" and "YQ" differ only in unused bits. Only the canonical form is accepted.
    assert_eq!(decode(b"YQ").unwrap(), b"a");
    assert_eq!(decode(b"YR"), Err(TokenFault::Encoding));
}

#[test]
fn missing_or_unsupported_algorithm_is_rejected() {
    for header in [r#"{}"#, r#"{"alg":null}"#, r#"{"alg":5}"#, r#"{"alg":["RS256"]}"#] {
        assert_eq!(fault(&token(header, PAYLOAD)), TokenFault::AlgorithmMalformed, "{header}");
    }
    for algorithm in ["none", "None", "NONE", "nOnE", "none ", "", "HS256", "hs256", "RS1", "rs256"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        assert_eq!(fault(&token(&header, PAYLOAD)), TokenFault::AlgorithmUnsupported, "{algorithm}");
    }
}

#[test]
fn unsupported_extension_is_rejected() {
    for extension in [
        r#""crit":["exp"],"exp":1"#,
        r#""crit":[]"#,
        r#""crit":"x""#,
        r#""crit":["b64"],"b64":false"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""cty":"JWT""#,
        r#""cty":"application/jwt""#,
        r#""cty":5"#,
    ] {
        let header = format!(r#"{{"alg":"RS256",{extension}}}"#);
        assert_eq!(fault(&token(&header, PAYLOAD)), TokenFault::ExtensionUnsupported, "{extension}");
    }
}

#[test]
fn key_material_in_the_header_is_ignored() {
    let header = r#"{"alg":"RS256","jwk":{"kty":"oct"},"jku":5,"x5u":null,"x5c":["AAAA"]}"#;
    let token = UnverifiedToken::parse(token(header, PAYLOAD).as_bytes()).unwrap();
    let expected = JoseHeader { algorithm: Algorithm::Rs256, key_id: None, token_type: None };
    assert_eq!(*token.header(), expected);
}

#[test]
fn kid_or_typ_that_is_not_a_string_is_rejected() {
    for parameter in [r#""kid":1"#, r#""kid":null"#, r#""kid":["k1"]"#, r#""typ":1"#, r#""typ":null"#] {
        let header = format!(r#"{{"alg":"RS256",{parameter}}}"#);
        assert_eq!(fault(&token(&header, PAYLOAD)), TokenFault::HeaderParameterMalformed, "{parameter}");
    }
}

#[test]
fn ambiguous_or_deep_json_is_rejected() {
    assert_eq!(fault(&token(r#"{"alg":"RS256","\u0061lg":"none"}"#, PAYLOAD)), TokenFault::HeaderJson);
    assert_eq!(fault(&token("[]", PAYLOAD)), TokenFault::HeaderJson);
    let deep_header = format!(r#"{{"alg":"RS256","a":{}{}}}"#, "[".repeat(9), "]".repeat(9));
    assert_eq!(fault(&token(&deep_header, PAYLOAD)), TokenFault::HeaderJson);
    for payload in ["[]", "null", "5", "", "{}x", r#"{"iss":"a","iss":"b"}"#, &"[".repeat(1000)] {
        assert_eq!(fault(&token(HEADER, payload)), TokenFault::ClaimsJson, "{payload}");
    }
}

#[test]
fn header_over_the_limit_is_rejected() {
    let header = format!(r#"{{"alg":"RS256","x":"{}"}}"#, "a".repeat(1600));
    assert_eq!(fault(&token(&header, PAYLOAD)), TokenFault::HeaderTooLarge);
    // Three bytes encode to four characters, so 1,536 bytes are exactly at the limit.
    let empty = r#"{"alg":"RS256","x":""}"#.len();
    let at_the_limit = format!(r#"{{"alg":"RS256","x":"{}"}}"#, "a".repeat(1536 - empty));
    assert_eq!(base64url(&at_the_limit).len(), MAX_HEADER_LENGTH);
    assert!(UnverifiedToken::parse(token(&at_the_limit, PAYLOAD).as_bytes()).is_ok());
}

#[test]
fn debug_output_omits_token_and_claims() {
    let shown = format!("{:?}", UnverifiedToken::parse(token(HEADER, PAYLOAD).as_bytes()).unwrap());
    assert!(!shown.contains("acme.okta.com") && !shown.contains(&base64url(PAYLOAD)), "{shown}");
}
