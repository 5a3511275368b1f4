use super::*;
use crate::http::RequestHead;
use crate::jose::signing_fixture::verified;
use crate::policy::provider::{Audiences, Provider};
use crate::policy::provider_fixture;
use crate::unix_time::UnixTime;
use serde_json::json;
use std::time::Duration;

const FORMATS: [ClaimFormat; 4] = [ClaimFormat::String, ClaimFormat::Space, ClaimFormat::Comma, ClaimFormat::Json];

/// A validated token with these claims in addition to issuer and expiry.
fn token(claims: &Value) -> ValidatedToken {
    let issuer = "https://idp.example".into();
    let provider = Provider {
        issuer,
        audiences: Audiences::InsecureAny,
        clock_skew: Duration::ZERO,
        ..provider_fixture::provider()
    };
    let mut all = json!({"iss": "https://idp.example", "exp": 2000});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    ValidatedToken::validate(verified(&all, None), &provider, UnixTime::from_secs(1000)).unwrap()
}

fn header(name: &str) -> HeaderName {
    HeaderName::parse(name).unwrap()
}

/// The header names that are removed from a head with these fields.
fn stripped(forwarding: &Forwarding, names: &[&str]) -> Vec<String> {
    let head = RequestHead::new(names.iter().map(|name| ((*name).to_owned(), b"mallory".to_vec())).collect());
    let edits = head.removals(|name| forwarding.is_managed(name)).into_iter();
    edits
        .map(|edit| match edit {
            HeaderEdit::Remove(name) => name,
            other @ (HeaderEdit::Set(..) | HeaderEdit::Rewrite(_)) => panic!("{other:?}"),
        })
        .collect()
}

fn claim(path: &[&str]) -> ClaimSource {
    ClaimSource::Claim(path.iter().map(|name| (*name).to_owned()).collect())
}

fn forwarding(claims: Vec<(&str, ClaimSource, ClaimFormat)>) -> Forwarding {
    let claims = claims.into_iter();
    Forwarding::new(
        claims.map(|(name, source, format)| ForwardedClaim { header: header(name), source, format }).collect(),
        None,
    )
}

/// The value of the header `x-value`.
fn written(token: &ValidatedToken, source: &ClaimSource, format: ClaimFormat) -> Option<String> {
    let forwarding = forwarding(vec![("X-Value", source.clone(), format)]);
    match forwarding.identity(token).unwrap().as_slice() {
        [] => None,
        [HeaderEdit::Set(name, value)] => {
            assert_eq!(name.as_str(), "x-value");
            // Every written value must be parseable, and so safe to send.
            assert_eq!(HeaderValue::parse(value.as_str()).as_ref(), Some(value), "{value:?}");
            Some(value.as_str().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

/// The value of the claim `c` in each format: string, space, comma, JSON.
fn in_each_format(value: &Value) -> [Option<String>; 4] {
    let token = token(&json!({ "c": value }));
    FORMATS.map(|format| written(&token, &claim(&["c"]), format))
}

fn all(texts: [&str; 4]) -> [Option<String>; 4] {
    texts.map(|text| (!text.is_empty()).then(|| text.to_owned()))
}

#[test]
fn all_value_types_are_written_in_all_formats() {
    // "" means no header.
    for (value, expected) in [
        (json!("alice"), ["alice", "alice", "alice", r#""alice""#]),
        (json!(5), ["5", "5", "5", "5"]),
        (json!(-1.5), ["-1.5", "-1.5", "-1.5", "-1.5"]),
        (json!(u64::MAX), ["18446744073709551615"; 4]),
        (json!(true), ["true"; 4]),
        (json!(false), ["false"; 4]),
        (json!(null), ["", "", "", "null"]),
        (json!(["a", "b"]), [r#"["a","b"]"#, "a b", "a,b", r#"["a","b"]"#]),
        (json!(["a", 1, true]), [r#"["a",1,true]"#, "a 1 true", "a,1,true", r#"["a",1,true]"#]),
        (json!([]), ["[]", "", "", "[]"]),
        (json!({"k": "v"}), [r#"{"k":"v"}"#, "", "", r#"{"k":"v"}"#]),
        (json!([["a"], "b"]), [r#"[["a"],"b"]"#, "", "", r#"[["a"],"b"]"#]),
        (json!(["a", null]), [r#"["a",null]"#, "", "", r#"["a",null]"#]),
        (json!(["a", {"k": 1}]), [r#"["a",{"k":1}]"#, "", "", r#"["a",{"k":1}]"#]),
        (json!({}), ["{}", "", "", "{}"]),
    ] {
        assert_eq!(in_each_format(&value), all(expected), "{value}");
    }
    assert_eq!(written(&token(&json!({"c": ""})), &claim(&["c"]), ClaimFormat::String), None);
    assert_eq!(written(&token(&json!({"c": ""})), &claim(&["c"]), ClaimFormat::Json), Some(r#""""#.to_owned()));
    let absent = token(&json!({}));
    assert_eq!(FORMATS.map(|format| written(&absent, &claim(&["c"]), format)), [None, None, None, None]);
}

#[test]
fn unsafe_bytes_in_a_value_are_encoded() {
    for (value, expected) in [
        ("a\r\nx-admin: 1", ["a%0D%0Ax-admin: 1", "a%0D%0Ax-admin:%201", "a%0D%0Ax-admin: 1", r#""a\r\nx-admin: 1""#]),
        ("a\nb\0c\td", ["a%0Ab%00c%09d", "a%0Ab%00c%09d", "a%0Ab%00c%09d", r#""a\nb\u0000c\td""#]),
        ("Zo\u{eb}", ["Zo%C3%AB", "Zo%C3%AB", "Zo%C3%AB", r#""Zo\u00eb""#]),
        ("\u{1f600}", ["%F0%9F%98%80", "%F0%9F%98%80", "%F0%9F%98%80", r#""\ud83d\ude00""#]),
        ("\u{7f}", ["%7F", "%7F", "%7F", r#""\u007f""#]),
        ("\u{85}\u{2028}", ["%C2%85%E2%80%A8", "%C2%85%E2%80%A8", "%C2%85%E2%80%A8", r#""\u0085\u2028""#]),
        ("100%", ["100%25", "100%25", "100%25", r#""100%""#]),
        ("%0D%0A", ["%250D%250A", "%250D%250A", "%250D%250A", r#""%0D%0A""#]),
        (" a ", ["%20a%20", "%20a%20", "%20a%20", r#"" a ""#]),
        (" ", ["%20", "%20", "%20", r#"" ""#]),
        ("a,b c", ["a%2Cb c", "a%2Cb%20c", "a%2Cb c", r#""a,b c""#]),
        (r#"a"b\c"#, [r#"a"b\c"#, r#"a"b\c"#, r#"a"b\c"#, r#""a\"b\\c""#]),
    ] {
        assert_eq!(in_each_format(&json!(value)), all(expected), "{value:?}");
    }
}

#[test]
fn separator_in_a_list_item_is_encoded() {
    let list = json!(["a b", "c,d", "e%f", "g\r\nh", " i "]);
    let [_, space, comma, json] = in_each_format(&list);
    assert_eq!(space.as_deref(), Some("a%20b c%2Cd e%25f g%0D%0Ah %20i%20"));
    assert_eq!(comma.as_deref(), Some("a b,c%2Cd,e%25f,g%0D%0Ah,%20i%20"));
    assert_eq!(serde_json::from_str::<Value>(&json.unwrap()).unwrap(), list);
}

#[test]
fn different_values_have_different_encodings() {
    let values = [
        "a b", "a%20b", "a%2520b", "a,b", "a%2Cb", "=?a", "%3D?a", "\u{e9}", "%C3%A9", "e\u{301}", "A B", "a  b",
        " a b", "a b ",
    ];
    for format in FORMATS {
        let mut seen: Vec<String> = Vec::new();
        for value in values {
            let text = written(&token(&json!({"c": [value]})), &claim(&["c"]), format).unwrap();
            assert!(!seen.contains(&text), "{format:?} {value:?}: {text}");
            seen.push(text);
        }
    }
}

#[test]
fn json_in_a_header_is_ascii_and_equivalent() {
    let value = json!({"n\u{e4}me": ["\u{1f600}", "\r\n", "\u{7f}", 1, null], "q": "\"\\"});
    let text = written(&token(&json!({ "c": value })), &claim(&["c"]), ClaimFormat::Json).unwrap();
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
}

#[test]
fn subject_and_client_are_read_from_the_providers_claims() {
    let okta = token(&json!({"sub": "alice", "cid": "0oa1"}));
    let other = token(&json!({"sub": "alice", "client_id": "0oa1"}));
    let third = token(&json!({"sub": "alice", "azp": "0oa1"}));
    for token in [&okta, &other, &third] {
        assert_eq!(written(token, &ClaimSource::Subject, ClaimFormat::String).as_deref(), Some("alice"));
        let sources = [ClaimSource::Client, claim(&["cid"]), claim(&["client_id"]), claim(&["azp"])];
        for source in sources {
            assert_eq!(written(token, &source, ClaimFormat::String).as_deref(), Some("0oa1"), "{source:?}");
            assert_eq!(written(token, &source, ClaimFormat::Json).as_deref(), Some(r#""0oa1""#), "{source:?}");
        }
    }
    let anonymous = token(&json!({}));
    for source in [ClaimSource::Subject, ClaimSource::Client, claim(&["sub"]), claim(&["cid"])] {
        assert_eq!(FORMATS.map(|format| written(&anonymous, &source, format)), [None, None, None, None], "{source:?}");
    }
    // A configured name is used unchanged.
    let both = token(&json!({"cid": "0oa1", "azp": "0oa2"}));
    assert_eq!(written(&both, &claim(&["azp"]), ClaimFormat::String).as_deref(), Some("0oa2"));
}

#[test]
fn scopes_are_a_list_for_both_names_and_both_formats() {
    for token in [token(&json!({"scp": ["openid", "orders:read"]})), token(&json!({"scope": "openid orders:read"}))] {
        for source in [ClaimSource::Scopes, claim(&["scp"]), claim(&["scope"])] {
            let forms = FORMATS.map(|format| written(&token, &source, format));
            let list = r#"["openid","orders:read"]"#;
            let expected = all(["openid orders:read", "openid orders:read", "openid,orders:read", list]);
            assert_eq!(forms, expected, "{source:?}");
        }
    }
    for token in [token(&json!({})), token(&json!({"scp": []})), token(&json!({"scope": ""}))] {
        for source in [ClaimSource::Scopes, claim(&["scp"]), claim(&["scope"])] {
            assert_eq!(FORMATS.map(|format| written(&token, &source, format)), all(["", "", "", "[]"]), "{source:?}");
        }
    }
    // The second name is not used if the first is present. A malformed first claim is not written.
    let malformed = token(&json!({"scp": ["a"], "scope": 5}));
    assert_eq!(FORMATS.map(|format| written(&malformed, &claim(&["scope"]), format)), [None, None, None, None]);
    // A longer path with one of these names as prefix is another claim.
    let nested = token(&json!({"x": {"scope": "a b"}}));
    assert_eq!(written(&nested, &claim(&["x", "scope"]), ClaimFormat::Space).as_deref(), Some("a%20b"));
}

#[test]
fn path_is_literal_and_ends_at_a_non_object() {
    let token = token(&json!({"https://acme.com/claims": {"tenant": "t1", "a.b": 1}, "list": [{"x": 1}], "text": "t"}));
    for (path, expected) in [
        (&["https://acme.com/claims", "tenant"][..], Some("t1")),
        (&["https://acme.com/claims", "a.b"], Some("1")),
        (&["https://acme.com/claims", "a", "b"], None),
        (&["https://acme.com/claims", "Tenant"], None),
        (&["list", "0", "x"], None),
        (&["text", "t"], None),
        (&["TEXT"], None),
        (&[], None),
    ] {
        assert_eq!(written(&token, &claim(path), ClaimFormat::String).as_deref(), expected, "{path:?}");
    }
}

/// CVE-2026-54763, CVE-2026-88011, CVE-2025-64484: a name that a backend folds to a managed name is managed too.
#[test]
fn spelling_that_folds_to_a_managed_name_is_managed() {
    let forwarding = forwarding(vec![
        ("X-User-Id", ClaimSource::Subject, ClaimFormat::String),
        ("x_group", claim(&["groups"]), ClaimFormat::Comma),
    ]);
    for name in [
        "x-user-id",
        "X-User-Id",
        "X_User_Id",
        "x.user.id",
        "X_User.Id",
        "x-user_id",
        "X.USER-ID",
        "x-group",
        "X_Group",
        "x.group",
    ] {
        assert!(forwarding.is_managed(name), "{name}");
        assert_eq!(stripped(&forwarding, &[name]), [name.to_ascii_lowercase()]);
    }
    for name in [
        "",
        "x-user",
        "x-user-id-2",
        "xx-user-id",
        "x--user-id",
        "x-userid",
        "xuserid",
        "x-user-i\u{f0}",
        "authorization",
        ":path",
    ] {
        assert!(!forwarding.is_managed(name), "{name}");
        assert_eq!(stripped(&forwarding, &[name]), [""; 0], "{name}");
    }
}

#[test]
fn each_spelling_in_the_request_is_removed_once() {
    let forwarding = forwarding(vec![("x-user-id", ClaimSource::Subject, ClaimFormat::String)]);
    let names = [":path", "x-user-id", "X_User_Id", "accept", "x-user-id", "x.user.id", "x_user_id"];
    assert_eq!(stripped(&forwarding, &names), ["x-user-id", "x_user_id", "x.user.id"]);
    assert_eq!(stripped(&Forwarding::default(), &names), [""; 0]);
}

#[test]
fn client_header_is_removed_even_if_the_claim_is_absent() {
    let forwarding = forwarding(vec![
        ("x-user-id", ClaimSource::Subject, ClaimFormat::String),
        ("x-group", claim(&["groups"]), ClaimFormat::Comma),
    ]);
    assert_eq!(stripped(&forwarding, &["x-user-id", "x-group"]), ["x-user-id", "x-group"]);
    let identity = forwarding.identity(&token(&json!({"sub": "alice"}))).unwrap();
    assert_eq!(identity, [HeaderEdit::Set(header("x-user-id"), HeaderValue::parse("alice").unwrap())]);
}

#[test]
fn empty_string_in_a_list_is_omitted() {
    for (value, expected) in [
        (json!(""), ["", "", "", r#""""#]),
        (json!([""]), [r#"[""]"#, "", "", r#"[""]"#]),
        (json!(["", "a"]), [r#"["","a"]"#, "a", "a", r#"["","a"]"#]),
        (json!(["a", "", "b", ""]), [r#"["a","","b",""]"#, "a b", "a,b", r#"["a","","b",""]"#]),
    ] {
        assert_eq!(in_each_format(&value), all(expected), "{value}");
    }
}

/// lighttpd's `http_cgi_encode_varname` replaces everything except letters and digits with `_`.
#[test]
fn all_special_characters_in_a_name_fold_together() {
    let forwarding = forwarding(vec![("x-user-id", ClaimSource::Subject, ClaimFormat::String)]);
    for sign in "!#$%&'*+-.^_`|~".chars() {
        assert!(forwarding.is_managed(&format!("x{sign}user{sign}id")), "{sign}");
    }
}

#[test]
fn value_that_is_too_long_is_not_forwarded_in_part() {
    let identity = |length: usize, format| {
        let forwarding = forwarding(vec![("x-user-id", ClaimSource::Subject, format)]);
        forwarding.identity(&token(&json!({"sub": "a".repeat(length)}))).map(|edits| edits.len())
    };
    assert_eq!(identity(8000, ClaimFormat::String), Ok(1));
    assert_eq!(identity(8001, ClaimFormat::String), Err(Unforwardable::TooLong));
    // The limit applies to the written form, including quotes and escapes.
    assert_eq!(identity(7999, ClaimFormat::Json), Err(Unforwardable::TooLong));
    let forwarding = forwarding(vec![("x-name", claim(&["name"]), ClaimFormat::String)]);
    assert_eq!(forwarding.identity(&token(&json!({"name": "\u{e9}".repeat(1334)}))), Err(Unforwardable::TooLong));
}

#[test]
fn payload_is_forwarded_as_signed_and_its_header_is_managed() {
    let forwarding = Forwarding::new(Vec::new(), Some(header("x-jwt-payload")));
    let claims = json!({"sub": "Zo\u{eb}", "big": "x".repeat(9000)});
    let token = token(&claims);
    let [HeaderEdit::Set(name, value)] = &*forwarding.identity(&token).unwrap() else { panic!("one header") };
    assert_eq!((name.as_str(), value.as_str()), ("x-jwt-payload", token.payload().unwrap().as_base64url()));
    let decoded = crate::jose::signing_fixture::decoded(value.as_str());
    assert_eq!(decoded["sub"], claims["sub"]);
    assert!(!value.as_str().contains(['=', '.']), "no padding, and no other part of the token");
    assert_eq!(
        stripped(&forwarding, &["X-Jwt_Payload", "x-jwt-payload", "x-other"]),
        ["x-jwt_payload", "x-jwt-payload"]
    );
}

/// `CherryPy` decodes RFC 2047 in every header, so `=?utf-8?q?admin?=` would become `admin`.
#[test]
fn encoded_word_in_a_value_is_escaped() {
    for (value, expected) in [
        ("=?utf-8?q?admin?=", ["%3D?utf-8?q?admin?=", r#""\u003d?utf-8?q?admin?=""#]),
        ("x =?utf-8?b?YWRtaW4=?=", ["x %3D?utf-8?b?YWRtaW4%3D?=", r#""x \u003d?utf-8?b?YWRtaW4\u003d?=""#]),
        ("==?", ["=%3D?", r#""=\u003d?""#]),
        ("a=b?c", ["a=b?c", r#""a=b?c""#]),
        ("=", ["=", r#""=""#]),
    ] {
        let [string, space, comma, json] = in_each_format(&json!(value));
        assert_eq!((string.as_deref(), json.as_deref()), (Some(expected[0]), Some(expected[1])), "{value}");
        for written in [space, comma] {
            assert!(!written.unwrap().contains("=?"), "{value}");
        }
        assert_eq!(serde_json::from_str::<Value>(&json.unwrap()).unwrap(), json!(value));
    }
    let nested = json!({"=?k": ["=?v"]});
    let [string, _, _, json] = in_each_format(&nested);
    for written in [string.unwrap(), json.unwrap()] {
        assert!(!written.contains("=?"), "{written}");
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), nested);
    }
}

#[test]
fn string_that_looks_like_json_differs_from_the_json_value() {
    for (text, value) in [(r#"["admin"]"#, json!(["admin"])), (r#"{"a":1}"#, json!({"a": 1})), ("[]", json!([]))] {
        let [as_text, ..] = in_each_format(&json!(text));
        let [as_value, ..] = in_each_format(&value);
        assert_ne!(as_text, as_value, "{text}");
        assert!(as_text.unwrap().starts_with(['%']), "{text}");
    }
    assert_eq!(in_each_format(&json!("a[0]"))[0].as_deref(), Some("a[0]"));
}

/// RFC 9110 section 5.3 and `HAProxy`'s `req.hdr`: a comma ends a value.
#[test]
fn comma_in_a_string_is_encoded() {
    for value in [json!("mallory,admin"), json!(["mallory,admin", "b"]), json!("Doe, Jane")] {
        let [string, space, comma, _] = in_each_format(&value);
        assert!(!space.unwrap().contains(','), "{value}");
        assert_eq!(comma.unwrap().matches(',').count(), value.as_array().map_or(0, |items| items.len() - 1), "{value}");
        if value.is_string() {
            assert!(!string.unwrap().contains(','), "{value}");
        }
    }
}

#[test]
fn rounded_number_is_not_forwarded_in_any_format() {
    let written = |text: &str, format| {
        let value: Value = serde_json::from_str(text).unwrap();
        claim(&["c"]).header_value(format, &token(&json!({ "c": value })))
    };
    for format in FORMATS {
        for text in [
            "18446744073709551616",
            "18446744073709551617",
            "-9223372036854775809",
            "1e300",
            "9007199254740993.0",
            r#"["a", 18446744073709551617]"#,
            r#"{"a": {"b": [18446744073709551617]}}"#,
        ] {
            assert_eq!(written(text, format), Err(Unforwardable::NumberInexact), "{format:?} {text}");
        }
        for text in ["18446744073709551615", "-9223372036854775808", "9007199254740993", "1.5", "9007199254740991.0"] {
            assert!(written(text, format).unwrap().is_some(), "{format:?} {text}");
        }
    }
}

#[test]
fn empty_subject_sets_no_header() {
    let token = token(&json!({"sub": "", "cid": ""}));
    for source in [ClaimSource::Subject, ClaimSource::Client, claim(&["sub"])] {
        for format in [ClaimFormat::String, ClaimFormat::Space, ClaimFormat::Comma] {
            assert_eq!(written(&token, &source, format), None, "{source:?} {format:?}");
        }
    }
}

/// grpc-gateway removes `Grpc-Metadata-`. Its own metadata of standard fields start with `grpcgateway-`.
#[test]
fn grpc_gateway_name_of_a_managed_header_is_managed() {
    let plain = forwarding(vec![("x-user-id", ClaimSource::Subject, ClaimFormat::String)]);
    let prefixed = forwarding(vec![("grpc-metadata-x-user-id", ClaimSource::Subject, ClaimFormat::String)]);
    for name in [
        "x-user-id",
        "grpc-metadata-x-user-id",
        "Grpc-Metadata-X-User-Id",
        "grpc_metadata_x_user_id",
        "grpc.metadata-x_user.id",
        "grpcgateway-x-user-id",
        "grpc-metadata-grpc-metadata-x-user-id",
        "grpc-metadata-grpcgateway-x-user-id",
    ] {
        assert!(plain.is_managed(name) && prefixed.is_managed(name), "{name}");
    }
    for name in
        ["grpc-metadata-", "grpc-x-user-id", "grpc-metadata-x-user", "rpc-metadata-x-user-id", "grpcmetadata-x-user-id"]
    {
        assert!(!plain.is_managed(name) && !prefixed.is_managed(name), "{name}");
    }
}
