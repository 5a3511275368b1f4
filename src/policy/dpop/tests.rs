use super::*;

fn head(authority: &str, path: &str) -> RequestHead {
    let fields = [(":method", "GET"), (":authority", authority), (":path", path)];
    RequestHead::new(fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec())
}

fn settings(origins: &[&str]) -> Dpop {
    Dpop {
        is_required: false,
        algorithms: vec![Algorithm::Es256],
        max_age: Duration::from_secs(60),
        nonce: NonceMode::Off,
        origins: origins.iter().map(|origin| PublicOrigin::parse(origin).unwrap()).collect(),
    }
}

#[test]
fn the_only_origin_counts_whatever_the_host_of_the_request_is() {
    let settings = settings(&["https://api.acme.com"]);
    for authority in ["api.acme.com", "10.0.0.1:8080", "internal", "", "evil.example"] {
        assert!(settings.is_target("https://api.acme.com/a?x=1", &head(authority, "/a?y=2")), "{authority}");
        for other in ["https://evil.example/a", "http://api.acme.com/a", "https://api.acme.com:8443/a", "/a", ""] {
            assert!(!settings.is_target(other, &head(authority, "/a")), "{authority} {other}");
        }
        assert!(
            !settings.is_target(&format!("https://{authority}/a"), &head("evil.example", "/a"))
                || authority == "api.acme.com"
        );
    }
}

#[test]
fn of_several_origins_the_host_of_the_request_selects() {
    let settings =
        settings(&["https://a.acme.com", "https://b.acme.com", "https://b.acme.com:8443", "https://c.acme.com:9"]);
    for (authority, target, is_target) in [
        ("a.acme.com", "https://a.acme.com/x", true),
        ("A.ACME.com:443", "https://a.acme.com/x", true),
        ("a.acme.com", "https://b.acme.com/x", false),
        ("b.acme.com", "https://a.acme.com/x", false),
        ("b.acme.com", "https://b.acme.com/x", true),
        // The port selects where it is one of an origin.
        ("b.acme.com", "https://b.acme.com:8443/x", false),
        ("b.acme.com:8443", "https://b.acme.com:8443/x", true),
        ("b.acme.com:8443", "https://b.acme.com/x", false),
        // A proxy in front listens on another port.
        ("b.acme.com:10000", "https://b.acme.com/x", true),
        ("b.acme.com:10000", "https://b.acme.com:8443/x", true),
        ("c.acme.com", "https://c.acme.com:9/x", true),
        ("evil.example", "https://a.acme.com/x", false),
        ("", "https://a.acme.com/x", false),
        ("a.acme.com:", "https://a.acme.com/x", false),
        ("a.acme.com@b.acme.com", "https://a.acme.com/x", false),
    ] {
        assert_eq!(settings.is_target(target, &head(authority, "/x")), is_target, "{authority} {target}");
    }
    let two_hosts = RequestHead::new(
        [(":authority", "a.acme.com"), (":authority", "b.acme.com"), (":path", "/x")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .to_vec(),
    );
    assert!(!settings.is_target("https://a.acme.com/x", &two_hosts));
}

#[test]
fn paths_are_compared_in_normal_form_and_queries_are_not() {
    let settings = settings(&["https://api.acme.com"]);
    for (target, path, is_target) in [
        ("https://api.acme.com/a/b", "/a/b", true),
        ("https://api.acme.com/a/b", "/a/b?q=1", true),
        ("https://api.acme.com/a/b?q=1#f", "/a/b", true),
        ("https://api.acme.com/%61/b", "/a/b", true),
        ("https://api.acme.com/a/b", "/%61/%62", true),
        ("https://api.acme.com", "/", true),
        ("https://api.acme.com/a b", "/a%20b", true),
        ("https://api.acme.com/a/b", "/a/c", false),
        ("https://api.acme.com/a/b", "/a/b/", false),
        ("https://api.acme.com/a/b", "/a%2Fb", false),
        ("https://api.acme.com/a/b", "/A/b", false),
        ("https://api.acme.com/a/b", "//a/b", false),
        ("https://api.acme.com/a%00/b", "/a", false),
        ("https://api.acme.com/grpc.Service/Method", "/grpc.Service/Method", true),
        ("https://api.acme.com/a", "*", false),
        ("https://api.acme.com/a", "", false),
    ] {
        assert_eq!(settings.is_target(target, &head("api.acme.com", path)), is_target, "{target} {path}");
    }
}

#[test]
fn only_the_form_of_browsers_is_an_origin() {
    for origin in ["https://api.acme.com", "https://api.acme.com:8443", "http://127.0.0.1:8080", "https://[::1]:8443"] {
        assert_eq!(PublicOrigin::parse(origin).map(|origin| origin.as_str().to_owned()).as_deref(), Some(origin));
    }
    for none in [
        "",
        "api.acme.com",
        "https://",
        "https://api.acme.com/",
        "https://api.acme.com/v1",
        "https://API.acme.com",
        "HTTPS://api.acme.com",
        "https://api.acme.com.",
        "https://api.acme.com:443",
        "http://api.acme.com:80",
        "https://user@api.acme.com",
        "https://*.acme.com",
        "ftp://api.acme.com",
        "https://api.acme.com:08443",
        "null",
        "*",
    ] {
        assert_eq!(PublicOrigin::parse(none), None, "{none}");
    }
}

#[test]
fn a_request_has_exactly_one_proof() {
    let with = |values: &[&str]| {
        let fields = values.iter().map(|value| (String::from("dpop"), value.as_bytes().to_vec())).collect();
        find_proof(&RequestHead::new(fields)).map(|proof| String::from_utf8_lossy(proof).into_owned())
    };
    assert_eq!(with(&[]), Err(ProofFault::Missing));
    assert_eq!(with(&["a.b.c"]), Ok(String::from("a.b.c")));
    for two in [&["a.b.c", "a.b.c"][..], &["a.b.c", "d.e.f"], &["a.b.c,d.e.f"], &["a.b.c, "], &[","], &["", ""]] {
        assert_eq!(with(two), Err(ProofFault::Multiple), "{two:?}");
    }
}
