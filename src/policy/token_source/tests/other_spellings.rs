//! Cookies, parameters and headers that backends read as a configured credential and the filter does not.

use super::*;

/// Names that at least one framework of `folding.rs` reads as `access_token`, as a parameter and as a cookie.
const SPELLINGS: [&str; 27] = [
    ".access_token",
    ".access_token.",
    "access.token",
    "access[token",
    "access%5Btoken",
    "access%2etoken",
    "Access_Token",
    "ACCESS.TOKEN",
    "access_token[]",
    "access_token%5B%5D",
    "access_token%5b%5d",
    "access_token[0]",
    "access_token[a][b]",
    "access_token[",
    "access_token]",
    "[access_token]",
    "[]access_token",
    "[access.token][x]",
    "access%20token",
    "access+token",
    "%20access_token",
    "+access_token",
    "access_token%20",
    "access_token%00",
    "access_token%00x",
    "access%255Ftoken",
    "access%255Btoken",
];

/// Unrelated names.
const OTHERS: [&str; 18] = [
    "access_tokens",
    "my_access_token",
    "access_token.sig",
    "access_token_hint",
    "access-token",
    "accesstoken",
    "access__token",
    "_access_token",
    "access_token_",
    "access",
    "token",
    "access[token]",
    "user[access_token]",
    "x%00access_token",
    "access%token",
    "%25",
    "x",
    "",
];

fn forwarding() -> TokenSource {
    TokenSource { forward: true, ..everywhere() }
}

fn with_exact_names() -> TokenSource {
    TokenSource { exact_names: true, ..everywhere() }
}

/// The edits, without the headers that are always removed.
fn edits(source: &TokenSource, field: &str, value: &str) -> Vec<String> {
    let mut edits = stripped(source, &[(field, value.as_bytes())]);
    edits.retain(|edit| !["-authorization", "-x-api-token"].contains(&edit.as_str()));
    edits
}

#[test]
fn parameter_that_folds_to_a_credential_is_rejected_and_removed() {
    for name in SPELLINGS {
        let path = format!("/a?x=1&{name}=a");
        assert_eq!(in_path(&path), "Malformed", "{name}");
        for source in [everywhere(), forwarding()] {
            assert_eq!(edits(&source, ":path", &path), [":path~/a?x=1"], "{name}");
        }
        assert_eq!(in_path(&format!("{path}&access_token=b")), "Multiple", "{name}");
        assert_eq!(in_path(&format!("/a?access_token=b&{name}=a")), "Multiple", "{name}");
        assert_eq!(in_path(&format!("/a?x=1;{name}=a")), "Malformed", "{name}");
        assert_eq!(edits(&forwarding(), ":path", &format!("/a?access_token=b&{name}=a")), [":path~/a?access_token=b"]);
        assert_eq!(found(&with_exact_names(), &[(":path", path.as_bytes())]), "Missing", "{name}");
        assert_eq!(edits(&with_exact_names(), ":path", &path), [""; 0], "{name}");
    }
    assert_eq!(in_path("/a??access_token=a"), "Malformed", "`URLSearchParams` skips a question mark");
}

#[test]
fn cookie_that_folds_to_a_credential_is_rejected_and_removed() {
    let spaces = ["\u{a0}", "\u{85}", "\u{2003}", "\u{3000}", "\u{feff}", "\u{200b}", "\u{1c}", "\u{b}"];
    let padded = spaces.iter().flat_map(|space| [format!("{space}access_token"), format!("access_token{space}")]);
    let spellings = SPELLINGS.map(str::to_owned).into_iter().chain(["access token".to_owned()]).chain(padded);
    for name in spellings {
        let line = format!("sid=1; {name}=a");
        assert_eq!(in_cookies(&[&line]), "Malformed", "{name:?}");
        for source in [everywhere(), forwarding()] {
            assert_eq!(edits(&source, "cookie", &line), ["cookie~sid=1"], "{name:?}");
        }
        assert_eq!(in_cookies(&[&line, "access_token=b"]), "Multiple", "{name:?}");
        assert_eq!(in_cookies(&["access_token=b", &line]), "Multiple", "{name:?}");
        // No parser that splits at commas reads a space in a name as an underscore.
        if name != "access token" {
            assert_eq!(in_cookies(&[&format!("sid=1,{name}=a")]), "Malformed", "{name:?}");
        }
        assert_eq!(edits(&forwarding(), "cookie", &format!("access_token=b; {name}=a")), ["cookie~access_token=b"]);
        // A space before a name ends a cookie for Python, with any setting.
        if name.bytes().all(|byte| byte.is_ascii_graphic()) {
            assert_eq!(found(&with_exact_names(), &[("cookie", line.as_bytes())]), "Missing", "{name:?}");
            assert_eq!(edits(&with_exact_names(), "cookie", &line), [""; 0], "{name:?}");
        }
    }
    // Node.js and Starlette read header values as Latin-1, where one byte is a space.
    for line in [&b"\xa0access_token=a"[..], b"access_token\xa0=a", b"\x85access_token=a", b"x=1\xa0access_token=a"] {
        assert_eq!(found(&everywhere(), &[("cookie", line)]), "Malformed", "{line:?}");
        assert_eq!(stripped(&forwarding(), &[("cookie", line)]), ["-cookie"], "{line:?}");
    }
    assert_eq!(in_cookies(&["$Version=1; access_token=a; $Path=/"]), "token a");
    assert_eq!(in_cookies(&["$Version=1, access_token=a"]), "Malformed");
    assert_eq!(in_cookies(&["x=\"1; access_token=a\""]), "Malformed", "parsers differ on quotes");
}

#[test]
fn name_that_no_backend_folds_is_ignored() {
    for name in OTHERS {
        let path = format!("/a?{name}=a");
        assert_eq!(in_path(&path), "Missing", "{name}");
        assert_eq!(edits(&everywhere(), ":path", &path), [""; 0], "{name}");
        let line = format!("{name}=a");
        assert_eq!(in_cookies(&[&line]), "Missing", "{name}");
        assert_eq!(edits(&everywhere(), "cookie", &line), [""; 0], "{name}");
    }
}

#[test]
fn target_for_other_recipients_contains_no_credential() {
    let names = [ParamName::parse("access_token").unwrap()];
    for name in SPELLINGS {
        let path = format!("/a?{name}=secret&x=1");
        let head = head(&[(":path", path.as_bytes())]);
        assert_eq!(target_without(&head, &names).as_deref(), Some(&b"/a?x=1"[..]), "{name}");
    }
}

#[test]
fn alternatives_to_authorization_are_removed_and_not_read() {
    let names = [
        "proxy-authorization",
        "Proxy_Authorization",
        "x-forwarded-authorization",
        "x_http_authorization",
        "redirect-http-authorization",
        "redirect_x_http_authorization",
        "http.authorization",
        "x-forwarded-access-token",
        "x-auth-request-access-token",
    ];
    for name in names {
        let fields = [(name, &b"Bearer a"[..])];
        assert_eq!(found(&only_bearer(), &fields), "Missing", "{name}");
        let lower = name.to_ascii_lowercase();
        assert_eq!(stripped(&only_bearer(), &fields), ["-authorization".to_owned(), format!("-{lower}")], "{name}");
        let forwarding = TokenSource { forward: true, ..only_bearer() };
        assert_eq!(stripped(&forwarding, &fields), [format!("-{lower}")], "{name}");
        assert!(only_bearer().is_carrier(name), "{name}: a trailer too");
        let elsewhere = TokenSource { headers: everywhere().headers.split_off(1), ..only_bearer() };
        assert_eq!(stripped(&elsewhere, &fields), ["-x-api-token"], "{name}: `authorization` is not read");
    }
    for name in ["x-authorization", "authorization-x", "myauthorization", "access-token"] {
        assert_eq!(stripped(&only_bearer(), &[(name, b"a")]), ["-authorization"], "{name}");
    }
    // A configured one is read and forwarded like any other.
    let mut both = everywhere();
    both.forward = true;
    both.headers[1].name = HeaderName::parse("proxy-authorization").unwrap();
    assert_eq!(found(&both, &[("proxy-authorization", b"a")]), "token a");
    assert_eq!(stripped(&both, &[("proxy-authorization", b"a")]), [""; 0]);
}
