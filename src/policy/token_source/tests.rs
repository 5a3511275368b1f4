mod other_spellings;

use super::*;
use crate::http::HeaderName;

/// `authorization` with Bearer and Token, `x-api-token`, two cookies, two parameters; tokens of at most 16 bytes.
fn everywhere() -> TokenSource {
    let schemes = ["Bearer", "Token"].iter().map(|scheme| AuthScheme::parse(scheme).unwrap()).collect();
    TokenSource {
        headers: vec![
            HeaderSource { name: HeaderName::AUTHORIZATION, form: HeaderForm::Schemes(schemes) },
            HeaderSource { name: HeaderName::parse("x-api-token").unwrap(), form: HeaderForm::Whole },
        ],
        cookies: vec![CookieName::parse("access_token").unwrap(), CookieName::parse("__Host-at").unwrap()],
        params: vec![ParamName::parse("access_token").unwrap(), ParamName::parse("t").unwrap()],
        forward: false,
        exact_names: false,
        max_bytes: 16,
    }
}

fn only_bearer() -> TokenSource {
    let form = HeaderForm::Schemes(vec![AuthScheme::parse("Bearer").unwrap()]);
    let headers = vec![HeaderSource { name: HeaderName::AUTHORIZATION, form }];
    TokenSource { headers, cookies: Vec::new(), params: Vec::new(), ..everywhere() }
}

fn head(fields: &[(&str, &[u8])]) -> RequestHead {
    RequestHead::new(fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
}

fn found(source: &TokenSource, fields: &[(&str, &[u8])]) -> String {
    match source.find(&head(fields)) {
        Credential::Token(token, _) => format!("token {}", String::from_utf8_lossy(&token)),
        other @ (Credential::Missing | Credential::Multiple | Credential::Malformed | Credential::TooLarge) => {
            format!("{other:?}")
        }
    }
}

fn in_authorization(values: &[&[u8]]) -> String {
    let fields: Vec<(&str, &[u8])> = values.iter().map(|value| ("Authorization", *value)).collect();
    found(&only_bearer(), &fields)
}

fn in_cookies(lines: &[&str]) -> String {
    let fields: Vec<(&str, &[u8])> = lines.iter().map(|line| ("cookie", line.as_bytes())).collect();
    found(&everywhere(), &fields)
}

fn in_path(path: &str) -> String {
    found(&everywhere(), &[(":path", path.as_bytes())])
}

fn stripped(source: &TokenSource, fields: &[(&str, &[u8])]) -> Vec<String> {
    let show = |edit: &HeaderEdit| match edit {
        HeaderEdit::Remove(name) => format!("-{name}"),
        HeaderEdit::Set(name, _) => panic!("sets {}", name.as_str()),
        HeaderEdit::Rewrite(rest) => format!("{}~{}", rest.field(), rest.as_bytes().escape_ascii()),
    };
    source.strip(&head(fields)).unwrap().iter().map(show).collect()
}

/// The edits of the field, without the headers that are always removed.
fn rest_of(field: &str, values: &[&[u8]]) -> String {
    let fields: Vec<(&str, &[u8])> = values.iter().map(|value| (field, *value)).collect();
    let edits = stripped(&everywhere(), &fields);
    assert_eq!(edits[..2], ["-authorization", "-x-api-token"]);
    assert!(edits.len() <= 3, "{edits:?}");
    edits.get(2).cloned().unwrap_or_default()
}

#[test]
fn scheme_is_case_insensitive_and_followed_by_one_space() {
    for value in ["Bearer a.b-c_d~e/f+", "bearer a.b-c_d~e/f+", "BEARER a.b-c_d~e/f+"] {
        assert_eq!(in_authorization(&[value.as_bytes()]), "token a.b-c_d~e/f+", "{value}");
    }
    assert_eq!(in_authorization(&[b"Bearer a=="]), "token a==");
    let malformed: [&[u8]; 12] = [
        b"Bearer",
        b"Bearer ",
        b"Bearer  a",
        b"Bearer\ta",
        b"Bearer\xa0a",
        b"Bearer:a",
        b"Bearer a b",
        b"Bearer a ",
        b"Bearer \xff",
        b"Bearer =",
        b"Bearer a=b",
        b"Bearer \"a\"",
    ];
    for value in malformed {
        assert_eq!(in_authorization(&[value]), "Malformed", "{value:?}");
    }
}

#[test]
fn other_scheme_is_not_a_credential() {
    let others: [&[u8]; 9] = [
        b"Basic YTpi",
        b"DPoP a",
        b"Negotiate a",
        b"Bearerish a",
        b"Bearer.v2 a",
        b"Token a",
        b"\xff\xfe",
        b"",
        b"Digest username=\"a\", realm=\"b\"",
    ];
    for value in others {
        assert_eq!(in_authorization(&[value]), "Missing", "{value:?}");
    }
    assert_eq!(in_authorization(&[]), "Missing");
}

#[test]
fn two_credentials_are_rejected_in_any_form_of_the_host() {
    let forms: [&[&[u8]]; 7] = [
        &[b"Bearer a", b"Bearer a"],
        &[b"Bearer a", b"Bearer b"],
        &[b"Bearer a", b"Basic b"],
        &[b"Bearer a,Bearer b"],
        &[b"Bearer a, Basic b"],
        &[b"Basic a,bearer b"],
        &[b"Bearer a,"],
    ];
    for values in forms {
        assert_eq!(in_authorization(values), "Multiple", "{values:?}");
    }
}

#[test]
fn header_accepts_several_schemes_or_none() {
    let authorization = |value: &[u8]| found(&everywhere(), &[("authorization", value)]);
    assert_eq!(authorization(b"Bearer a"), "token a");
    assert_eq!(authorization(b"token b"), "token b");
    assert_eq!(authorization(b"Basic b"), "Missing");
    assert_eq!(authorization(b"Bearer a, Token b"), "Multiple");
    assert_eq!(authorization(b"Basic a, Token b"), "Multiple");

    let whole = |values: &[&[u8]]| {
        let fields: Vec<(&str, &[u8])> = values.iter().map(|value| ("X-Api-Token", *value)).collect();
        found(&everywhere(), &fields)
    };
    assert_eq!(whole(&[b"a.b.c"]), "token a.b.c");
    assert_eq!(whole(&[b"a", b"a"]), "Multiple");
    assert_eq!(whole(&[b"a,a"]), "Multiple");
    for value in [&b"Bearer a"[..], b"", b"\"a\"", b"\xff"] {
        assert_eq!(whole(&[value]), "Malformed", "{value:?}");
    }
    assert_eq!(found(&everywhere(), &[("x_api_token", b"a")]), "Missing", "another spelling is another header");
}

#[test]
fn token_over_the_limit_is_rejected() {
    let (fits, over) = ("1234567890123456", "1234567890123456\u{1}");
    assert_eq!(in_authorization(&[format!("Bearer {fits}").as_bytes()]), format!("token {fits}"));
    assert_eq!(in_authorization(&[format!("Bearer {over}").as_bytes()]), "TooLarge");
    assert_eq!(in_cookies(&[&format!("access_token={fits}")]), format!("token {fits}"));
    assert_eq!(in_cookies(&[&format!("access_token={over}")]), "TooLarge");
    assert_eq!(in_path(&format!("/?t={fits}")), format!("token {fits}"));
    assert_eq!(in_path(&format!("/?t={over}")), "TooLarge");
    assert_eq!(in_path(&format!("/?t={}", "%61".repeat(16))), format!("token {}", "a".repeat(16)));
    assert_eq!(in_path(&format!("/?t={}", "%61".repeat(17))), "TooLarge");
    assert_eq!(in_path(&format!("/?t={}", "%61".repeat(20_000))), "TooLarge");
}

#[test]
fn cookie_is_found_by_exact_name_in_all_lines() {
    assert_eq!(in_cookies(&["access_token=a.b.c"]), "token a.b.c");
    assert_eq!(in_cookies(&["sid=1; access_token=a.b.c; x=y"]), "token a.b.c");
    assert_eq!(in_cookies(&["sid=1", "x=y;access_token=a.b.c"]), "token a.b.c");
    assert_eq!(in_cookies(&["sid=1;\taccess_token \t= a.b.c ; x=y"]), "token a.b.c", "as lenient backends read it");
    assert_eq!(in_cookies(&["access_token=\"a.b.c\""]), "token a.b.c");
    assert_eq!(in_cookies(&["__Host-at=a=="]), "token a==");
    for other in ["access_tokens=a", "xaccess_token=a", "sid=access_token", "", ";;"] {
        assert_eq!(in_cookies(&[other]), "Missing", "{other}");
    }
    for bad in [
        "access_token=",
        "access_token",
        "access_token=\"a",
        "access_token=\"",
        "access_token=a b",
        "access_token=a,b",
        "access_token=%61",
    ] {
        assert_eq!(in_cookies(&[bad]), "Malformed", "{bad}");
    }
}

#[test]
fn repeated_cookie_is_rejected() {
    for lines in [
        &["access_token=a; access_token=a"][..],
        &["access_token=a; access_token=b"],
        &["access_token=a", "access_token=a"],
        &["access_token=a; x=y", "z=1; access_token="],
        &["access_token=a; __Host-at=a"],
    ] {
        assert_eq!(in_cookies(lines), "Multiple", "{lines:?}");
    }
}

#[test]
fn parameter_is_found_by_decoded_name_in_the_query_only() {
    for path in [
        "/a?access_token=a.b.c",
        "/a?x=1&access_token=a.b.c&y",
        "/a?access%5Ftoken=a.b.c",
        "/a?access%5ftoken=a%2Eb%2ec",
        "/?%61%63%63%65%73%73%5f%74%6f%6b%65%6e=a.b.c",
        "/a?x=?&access_token=a.b.c#access_token=z",
        "http://h/a?access_token=a.b.c",
    ] {
        assert_eq!(in_path(path), "token a.b.c", "{path}");
    }
    assert_eq!(in_path("/?t=a%3D%3D"), "token a==");
    for path in [
        "/access_token=a",
        "/a&access_token=a",
        "/a;access_token=a",
        "/a#?access_token=a",
        "/a%3Faccess_token=a",
        "/a?access_token2=a",
        "/a?access%token=a",
        "/a?x=access_token",
        "/a?x=1%26access_token=a",
        "/a?%3F=1",
        "/a?",
        "/a",
        "",
    ] {
        assert_eq!(in_path(path), "Missing", "{path}");
    }
    for path in
        ["/?t=", "/?t", "/?t=a+b", "/?t=a%20b", "/?t=a%", "/?t=a%2", "/?t=a%zz", "/?t=%00", "/?t=%C3%A9", "/?t=a=b"]
    {
        assert_eq!(in_path(path), "Malformed", "{path}");
    }
    let elsewhere = ["x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-forwarded-uri", "referer"];
    for name in elsewhere {
        assert_eq!(found(&everywhere(), &[(":path", b"/"), (name, b"/?access_token=a")]), "Missing", "{name}");
    }
}

#[test]
fn repeated_parameter_is_rejected_in_any_encoding() {
    for path in [
        "/?access_token=a&access_token=a",
        "/?access_token=a&x=1&access_token=b",
        "/?access_token=a&access%5Ftoken=b",
        "/?access_token&access_token=a",
        "/?access_token=a&t=a",
        "/?access_token=a&x=1;access_token=b",
    ] {
        assert_eq!(in_path(path), "Multiple", "{path}");
    }
}

#[test]
fn credential_for_lenient_parsers_is_rejected_and_removed() {
    for path in ["/?x=1;access_token=a", "/?;access%5Ftoken=a", "/?t=a;x=1"] {
        assert_eq!(in_path(path), "Malformed", "{path}");
        assert_eq!(rest_of(":path", &[path.as_bytes()]), ":path~/", "{path}");
    }
    for line in [
        "x=1,access_token=a",
        "x=1, access_token=a",
        "x=1 access_token=a",
        "x=\"1\taccess_token=a\"",
        "x=1 access_token =a",
        "x access_token=a",
    ] {
        assert_eq!(in_cookies(&[line]), "Malformed", "{line}");
        assert_eq!(rest_of("cookie", &[line.as_bytes()]), "-cookie", "{line}");
    }
    assert_eq!(in_cookies(&["note=the access_token is here"]), "Missing");
    assert_eq!(in_path("/?note=a;access_token"), "Missing");
}

#[test]
fn credentials_in_two_locations_are_rejected_even_if_equal() {
    let places: [(&str, &[u8]); 5] = [
        ("authorization", b"Bearer a"),
        ("x-api-token", b"a"),
        ("cookie", b"access_token=a"),
        ("cookie", b"x=1; __Host-at=a"),
        (":path", b"/?access_token=a"),
    ];
    for (at, one) in places.iter().enumerate() {
        assert_eq!(found(&everywhere(), &[*one]), "token a");
        for other in places.iter().skip(at + 1) {
            assert_eq!(found(&everywhere(), &[*one, *other]), "Multiple", "{one:?} {other:?}");
        }
    }
    let malformed = [("authorization", &b"Bearer a"[..]), ("cookie", b"access_token=")];
    assert_eq!(found(&everywhere(), &malformed), "Multiple", "a malformed one counts too");
    assert_eq!(found(&everywhere(), &[("authorization", b"Basic YTpi"), ("x-api-token", b"a")]), "token a");
}

#[test]
fn unconfigured_locations_are_ignored() {
    let fields: [(&str, &[u8]); 3] =
        [(":path", b"/?access_token=a&access_token=b"), ("cookie", b"access_token=a"), ("x-api-token", b"a")];
    assert_eq!(found(&only_bearer(), &fields), "Missing");
    assert_eq!(stripped(&only_bearer(), &fields), ["-authorization"]);
}

#[test]
fn cookie_is_removed_and_others_are_unchanged() {
    let rest = |lines: &[&[u8]]| rest_of("cookie", lines);
    assert_eq!(rest(&[b"sid=1; access_token=a; x=\"y\""]), "cookie~sid=1; x=\\\"y\\\"");
    assert_eq!(rest(&[b"sid=1", b"access_token=a;x=y", b"z=1"]), "cookie~sid=1; x=y; z=1");
    assert_eq!(rest(&[b"a=\xff%20=;access_token=a"]), "cookie~a=\\xff%20=");
    assert_eq!(rest(&[b"access_token=a"]), "-cookie");
    assert_eq!(rest(&[b"access_token=a;", b"access_token=b; __Host-at=c"]), "-cookie");
    assert_eq!(rest(&[b"access_token=not a token; b=1"]), "cookie~b=1");
    assert_eq!(rest(&[b"sid=1;;  x=y", b"z=1"]), "", "without a credential the field is unchanged");
    assert_eq!(rest(&[b"access-token=a; xaccess_token=b"]), "");
}

#[test]
fn parameter_is_removed_and_the_rest_of_the_path_is_unchanged() {
    let rows = [
        ("/a?access_token=a", ":path~/a"),
        ("/a?access_token=a&x=1", ":path~/a?x=1"),
        ("/a?x=1&access_token=a", ":path~/a?x=1"),
        ("/a?x=%31+&access%5Ftoken=a&y=?/", ":path~/a?x=%31+&y=?/"),
        ("/a%2Fb;c?x&&access_token=a&y", ":path~/a%2Fb;c?x&&y"),
        ("/a?t=a&access_token=b&t", ":path~/a"),
        ("/a?&access_token=a", ":path~/a"),
        ("/a?access_token=a&", ":path~/a"),
        ("/a?x=1&access_token=a#f", ":path~/a?x=1#f"),
        ("/a?access_token=%20&x", ":path~/a?x"),
        ("/a?x=1&access-token=a", ""),
        ("/a?", ""),
        ("/a", ""),
    ];
    for (path, rest) in rows {
        assert_eq!(rest_of(":path", &[path.as_bytes()]), rest, "{path}");
    }
}

#[test]
fn other_spelling_of_a_credential_header_is_removed_even_if_credentials_are_forwarded() {
    let fields: [(&str, &[u8]); 6] = [
        ("x-api-token", b"a"),
        ("X_Api_Token", b"b"),
        ("x.api.token", b"b"),
        ("x_api_token", b"c"),
        ("cookie", b"access_token=a"),
        (":path", b"/?t=a"),
    ];
    let headers = ["-authorization", "-x-api-token", "-x_api_token", "-x.api.token"];
    assert_eq!(stripped(&everywhere(), &fields), [&headers[..], &["-cookie", ":path~/"]].concat());
    let forwarding = TokenSource { forward: true, ..everywhere() };
    assert_eq!(stripped(&forwarding, &fields), headers[2..]);
}

#[test]
fn credential_that_cannot_be_removed_rejects_the_request() {
    let unwritable: [(&str, &[u8]); 4] = [
        ("cookie", b"a=\r\nx: y; access_token=a"),
        (":path", b"?access_token=a"),
        (":path", b"/a b?access_token=a"),
        (":path", b"/\r\nx: y?access_token=a"),
    ];
    for field in unwritable {
        assert_eq!(everywhere().strip(&head(&[field])), Err(UnremovableCredential), "{field:?}");
    }
    let two_targets = head(&[(":path", b"/?t=a"), (":path", b"/?t=b")]);
    assert_eq!(everywhere().strip(&two_targets), Err(UnremovableCredential));
}

#[test]
fn credential_trailers_are_detected() {
    for name in ["authorization", "Authorization", "x-api-token", "x_api.token", "cookie", "Cookie"] {
        assert!(everywhere().is_carrier(name), "{name}");
    }
    assert!(!everywhere().is_carrier("x-innocent"));
    assert!(!only_bearer().is_carrier("cookie"));
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let pieces: [&[u8]; 12] =
        [b"", b"=", b";", b"&", b"%", b"%5", b"?", b"#", b"\"", b",", b"access_token", b"\xff\x00\r\n"];
    for one in pieces {
        for two in pieces {
            for three in pieces {
                let text = [one, two, three].concat();
                let head =
                    head(&[(":path", &text), ("cookie", &text), ("authorization", &text), ("x-api-token", &text)]);
                let _ = everywhere().find(&head);
                let _ = everywhere().strip(&head);
            }
        }
    }
}
