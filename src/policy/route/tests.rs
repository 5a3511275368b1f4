mod attack_tests;
mod model_tests;

use super::*;
use crate::policy::request_target::{AmbiguousPaths, RequestTarget};

use AmbiguousPaths::{InsecureAllow, Reject};
use CaseSensitivity::{Insensitive, Sensitive};

fn exact(text: &str) -> PathPattern {
    PathPattern::exact(text, Sensitive, Reject).unwrap()
}

fn prefix(text: &str) -> PathPattern {
    PathPattern::prefix(text, Sensitive, Reject).unwrap()
}

fn regex(text: &str) -> PathPattern {
    PathPattern::regex(text, Sensitive, Reject).unwrap()
}

fn methods(names: &[&str]) -> Vec<Method> {
    names.iter().map(|name| Method::parse(name).unwrap()).collect()
}

fn hosts(names: &[&str]) -> Vec<HostPattern> {
    names.iter().map(|name| HostPattern::parse(name).unwrap()).collect()
}

fn on(path: PathPattern) -> Route {
    Route { path, ..Route::default() }
}

fn find(router: &Router, host: &str, path: &str, method: &str) -> Result<Option<usize>, RouteFault> {
    let target = RequestTarget::read(path.as_bytes(), Reject).unwrap();
    let found = router.find(Some(host.as_bytes()), &target, method.as_bytes())?;
    Ok(found.map(RouteIndex::index))
}

/// Whether a rule with this pattern matches this path.
fn matches(pattern: &PathPattern, path: &str) -> bool {
    find(&Router::new(vec![on(pattern.clone())]), "acme.com", path, "GET").unwrap().is_some()
}

#[test]
fn first_matching_rule_in_the_operators_order_applies() {
    let router = Router::new(vec![
        on(exact("/a/b/c")),
        Route { hosts: hosts(&["api.acme.com"]), path: prefix("/a/b"), methods: methods(&["POST"]) },
        Route { hosts: hosts(&["*.acme.com"]), path: regex("/a/[^/]+/d"), methods: Vec::new() },
        on(prefix("/a")),
        on(prefix("/a/b")),
        Route { hosts: hosts(&["api.acme.com"]), ..Route::default() },
    ]);
    for (host, path, method, expected) in [
        ("x", "/a/b/c", "GET", Some(0)),
        ("api.acme.com", "/a/b/c", "POST", Some(0)),
        ("api.acme.com", "/a/b/d", "POST", Some(1)),
        ("api.acme.com", "/a/b/d", "GET", Some(2)),
        ("x.y.acme.com", "/a/b/d", "POST", Some(2)),
        ("acme.com", "/a/b/d", "POST", Some(3)),
        ("x", "/a/b", "GET", Some(3)),
        ("x", "/b", "GET", None),
        ("api.acme.com", "/b", "GET", Some(5)),
    ] {
        assert_eq!(find(&router, host, path, method), Ok(expected), "{method} {host}{path}");
    }
    assert_eq!(find(&Router::new(Vec::new()), "x", "/", "GET"), Ok(None));
}

#[test]
fn prefix_matches_whole_segments() {
    for path in ["/admin", "/admin/", "/admin/users", "/admin/users/"] {
        assert!(matches(&prefix("/admin"), path) && matches(&prefix("/admin/"), path), "{path}");
    }
    for path in ["/administrator", "/admin%20", "/admin.json", "/", "/x/admin", "/admi"] {
        assert!(!matches(&prefix("/admin"), path), "{path}");
    }
    assert!(matches(&prefix("/"), "/") && matches(&prefix("/"), "/a/b"));
    assert!(matches(&PathPattern::ANY, "/") && matches(&PathPattern::ANY, "/a/b"));
}

#[test]
fn trailing_slash_does_not_bypass_a_rule() {
    for pattern in [exact("/admin/users"), exact("/admin/users/")] {
        assert!(matches(&pattern, "/admin/users") && matches(&pattern, "/admin/users/"));
        assert!(!matches(&pattern, "/admin") && !matches(&pattern, "/admin/users/1"));
    }
    assert!(matches(&exact("/"), "/") && !matches(&exact("/"), "/a"));
    assert!(matches(&regex("/reports/[0-9]{4}"), "/reports/2026/"));
    assert!(matches(&regex("/reports/[0-9]{4}/"), "/reports/2026/"));
    assert!(!matches(&regex("/reports/[0-9]{4}/"), "/reports/2026"), "a regular expression must contain `/?`");
    assert!(matches(&regex("/reports/[0-9]{4}/?"), "/reports/2026"));
    assert!(!matches(&regex("/a/[^/]*"), "/a"), "the rule requires the slash");
    assert!(matches(&regex("/"), "/") && !matches(&regex("[^/]*"), "/"));
}

#[test]
fn regular_expression_matches_the_whole_path() {
    let reports = regex("/reports/[0-9]{4}");
    assert!(matches(&reports, "/reports/2026"));
    for path in ["/reports/20260", "/x/reports/2026", "/reports/2026/x", "/reports/202a", "/reports"] {
        assert!(!matches(&reports, path), "{path}");
    }
    let either = regex("/a|/b/c");
    assert!(matches(&either, "/a") && matches(&either, "/b/c"));
    assert!(!matches(&either, "/a/b/c") && !matches(&either, "/a/x") && !matches(&either, "/x/b/c"));
    assert!(matches(&regex("^/a/.*$"), "/a/b/c") && !matches(&regex("^/a$"), "/a/b"));
    assert!(matches(&regex(r".*\.json"), "/a/b.json") && !matches(&regex(r".*\.json"), "/a/b_json"));
}

#[test]
fn regular_expression_matches_any_literal_start() {
    for (expression, path) in [
        ("/a/b?/c", "/a/b/c"),
        ("/a/b{0,1}c/d", "/a/c/d"),
        ("/a/(b/)?c", "/a/c"),
        ("/a(/b)*/c", "/a/c"),
        ("/a/(b|c)/d", "/a/c/d"),
        ("(/a|/b)/c", "/b/c"),
        ("/a/[|]|/b", "/b"),
        ("/a/[]|]/b|/c", "/c"),
        (r"/a/\[|/b", "/b"),
        ("/a/[(]|/b/c", "/b/c"),
        ("/a/[[:alpha:](]|/b/c", "/b/c"),
        ("/a/[](]/b|/c/d", "/c/d"),
        ("/a/[^](]/b|/c/d", "/c/d"),
        (r"/a/(\)|x)/b|/c/d", "/c/d"),
        (r"/a/\(|/b/\)", "/b/)"),
        ("(?x)/a/b # (\n|/c/d", "/c/d"),
        ("/a/b(?x)# (\n|/c/d", "/c/d"),
        ("(?i)/A/b", "/a/B"),
        ("/a/(?i:B/C)/d", "/a/b/c/d"),
        (r"/a/b\b/c", "/a/b/c"),
        (r"/a\.b/c", "/a.b/c"),
        (r"/a/\x62/c", "/a/b/c"),
        ("/a/{1}b", "/a/b"),
        ("/a/b+/c", "/a/bb/c"),
        ("/?a?/?b", "/b"),
        (r"/a/\w", "/a/x"),
        (r"/a/\d/b/\x63", "/a/1/b/c"),
        (r"/[^/]+/\d/users", "/a/1/users"),
        ("/[^/]+/(a|b)c", "/x/bc"),
        ("/[^/]+/(?i:a)B", "/x/AB"),
        ("/[^/]+/[a-z]b$", "/x/ab"),
        (r"/[^/]+/\$", "/x/$"),
        ("/[^/]+/", "/x/"),
    ] {
        assert!(matches(&regex(expression), path), "{expression} and {path}");
    }
}

#[test]
fn regular_expression_is_indexed_by_its_literal_start_and_end() {
    for (expression, leading, ending) in [
        ("/a/b/[^/]+/c", "/a/b/", "/c"),
        ("^/a/b$", "/a/", "/a/b"),
        (r"/v1\.0/(a|b)/x-y", "/v1.0/", "/x-y"),
        (r"/a\<b/c", "/", "b/c"),
        ("/a/[(|]/b", "/a/", "/b"),
        (r"/a/\d/\d/c", "/a/", "/c"),
        (r"/a/\dc", "/a/", ""),
        ("/a/bc?", "/a/", ""),
        ("/a/b|/a/c", "/", ""),
        ("(?i)/a/b", "/", ""),
        (r".*\.json", "/", "json"),
    ] {
        assert_eq!(path_pattern::index_key(&regex(expression)), Some((leading, ending)), "{expression}");
    }
}

#[test]
fn case_insensitive_rule_matches_all_spellings() {
    for pattern in [
        PathPattern::exact("/Admin/caf%C3%A9", Insensitive, Reject).unwrap(),
        PathPattern::prefix("/aDmin", Insensitive, Reject).unwrap(),
        PathPattern::regex("/Admin/.*", Insensitive, Reject).unwrap(),
    ] {
        for path in ["/admin/caf%c3%a9", "/ADMIN/CAF%C3%A9", "/%41dmin/Caf%C3%A9"] {
            assert!(matches(&pattern, path), "{pattern:?} and {path}");
        }
        assert!(!matches(&pattern, "/admins"));
    }
    let router = Router::new(vec![
        on(exact("/Admin")),
        on(PathPattern::prefix("/admin", Insensitive, Reject).unwrap()),
        on(prefix("/ADMIN")),
    ]);
    for (path, expected) in [("/Admin", 0), ("/admin", 1), ("/ADMIN", 1), ("/Admin/x", 1)] {
        assert_eq!(find(&router, "x", path, "GET"), Ok(Some(expected)), "{path}");
    }
}

#[test]
fn host_rule_matches_all_spellings_and_invalid_hosts_are_rejected() {
    let routes = vec![
        Route { hosts: hosts(&["api.acme.com"]), ..Route::default() },
        Route { hosts: hosts(&["*.acme.com", "acme.org"]), ..Route::default() },
        on(prefix("/free")),
    ];
    let router = Router::new(routes).with_ambiguous_hosts(AmbiguousHosts::InsecureAllow);
    for (host, expected) in [
        ("api.acme.com", Some(0)),
        ("API.acme.com", Some(0)),
        ("api.acme.com.", Some(0)),
        ("api.acme.com:443", Some(0)),
        ("www.acme.com", Some(1)),
        ("a.api.ACME.com.:8443", Some(1)),
        ("acme.org", Some(1)),
        ("acme.com", Some(2)),
        ("notacme.com", Some(2)),
        ("www.acme.org", Some(2)),
    ] {
        assert_eq!(find(&router, host, "/free", "GET"), Ok(expected), "{host}");
    }
    let target = RequestTarget::read(b"/free", Reject).unwrap();
    for invalid in [None, Some(&b""[..]), Some(b"api.acme.com\xff"), Some(b"api.acme.com,x"), Some(b"u@api.acme.com")] {
        assert_eq!(router.find(invalid, &target, b"GET"), Err(RouteFault::HostUnusable), "{invalid:?}");
    }
    let without_hosts = Router::new(vec![on(prefix("/free"))]);
    assert_eq!(without_hosts.find(None, &target, b"GET").unwrap().map(RouteIndex::index), Some(0));
    assert_eq!(without_hosts.find(Some(b"\xff"), &target, b"GET").unwrap().map(RouteIndex::index), Some(0));
}

#[test]
fn host_that_matches_another_rule_as_written_is_rejected() {
    let router = Router::new(vec![
        Route { hosts: hosts(&["static.acme.com", "*.cdn.acme.com", "[2001:db8::1]"]), ..Route::default() },
        on(prefix("/free")),
        Route { hosts: hosts(&["api.acme.com"]), ..on(prefix("/free")) },
    ]);
    for host in ["static.acme.com", "STATIC.acme.com", "a.CDN.acme.com", "[2001:db8::1]", "[2001:DB8::1]"] {
        assert_eq!(find(&router, host, "/admin", "GET"), Ok(Some(0)), "{host}");
    }
    for host in [
        "static.acme.com:81",
        "static.acme.com:80",
        "static.acme.com.",
        "Static.acme.com.:443",
        "a.cdn.acme.com:81",
        "a.cdn.acme.com.",
        "[2001:db8::1]:81",
        "[2001:db8:0::1]",
        "[2001:0db8::1]",
    ] {
        for path in ["/admin", "/free"] {
            assert_eq!(find(&router, host, path, "GET"), Err(RouteFault::HostAmbiguous), "{host}{path}");
        }
    }
    // Both spellings match the same rule.
    for host in ["api.acme.com:8443", "api.acme.com.", "other:1", "127.0.0.1:8080"] {
        assert_eq!(find(&router, host, "/free", "GET"), Ok(Some(1)), "{host}");
        assert_eq!(find(&router, host, "/admin", "GET"), Ok(None), "{host}");
    }
    for host in ["static.acme.com:", "static.acme.com.:", "api.acme.com:", "other:", "[::1]:"] {
        assert_eq!(find(&router, host, "/free", "GET"), Err(RouteFault::HostUnusable), "{host}");
    }
    // The readings of the path differ for only one spelling of the host.
    let by_path =
        Router::new(vec![Route { hosts: hosts(&["static.acme.com"]), ..Route::default() }, on(prefix("/a/b"))]);
    assert_eq!(find(&by_path, "static.acme.com", "/a;x/b", "GET"), Ok(Some(0)));
    assert_eq!(find(&by_path, "static.acme.com:81", "/a;x/b", "GET"), Err(RouteFault::HostAmbiguous));
}

#[test]
fn methods_are_case_sensitive() {
    let router = Router::new(vec![
        Route { path: prefix("/a"), methods: methods(&["GET", "HEAD"]), ..Route::default() },
        Route { path: prefix("/a"), methods: methods(&["HEAD", "GET"]), ..Route::default() },
        Route { path: prefix("/a"), methods: methods(&["GET", "PROPFIND"]), ..Route::default() },
        on(prefix("/a")),
    ]);
    for (method, expected) in
        [("GET", 0), ("HEAD", 0), ("PROPFIND", 2), ("get", 3), ("GET ", 3), ("", 3), ("GE\u{130}", 3)]
    {
        assert_eq!(find(&router, "x", "/a", method), Ok(Some(expected)), "{method:?}");
    }
    for bad in ["", "get", "Get", "GET ", "G/T", "GÉT"] {
        assert_eq!(Method::parse(bad), Err(PatternFault::Method), "{bad:?}");
    }
    assert_eq!(Method::parse("M-SEARCH").unwrap().as_str(), "M-SEARCH");
    for method in ["delete", "dElEtE", "DELETe", "", "GET ", " GET", "GE\u{130}", "PO\u{17f}T", "GET\t", "a"] {
        assert!(!Method::is_well_formed(method.as_bytes()), "{method:?}");
    }
    for method in ["GET", "VERSION-CONTROL", "BASELINE-CONTROL", "M-SEARCH", "PURGE", "X_1"] {
        assert!(Method::is_well_formed(method.as_bytes()), "{method:?}");
    }
}

#[test]
fn path_with_two_readings_is_accepted_if_both_match_the_same_rule() {
    let router = Router::new(vec![on(prefix("/public")), on(prefix("/admin"))]);
    for (path, expected) in [
        ("/admin/a;b;c", Ok(Some(1))),
        ("/admin/a;b/c", Ok(Some(1))),
        ("/public/;x/a", Ok(Some(0))),
        ("/orders/1;v=2", Ok(None)),
        ("//orders/1", Ok(None)),
        ("//admin/admin/x", Ok(Some(1))),
        ("/admin;x/users", Err(RouteFault::PathAmbiguous)),
        ("/;/admin", Err(RouteFault::PathAmbiguous)),
        ("/public;/admin", Err(RouteFault::PathAmbiguous)),
        ("/admin;/x.css", Err(RouteFault::PathAmbiguous)),
        ("/orders;/../admin", Err(RouteFault::PathAmbiguous)),
        ("/public%3b", Err(RouteFault::PathAmbiguous)),
        ("//public/admin", Err(RouteFault::PathAmbiguous)),
        ("//admin/x", Err(RouteFault::PathAmbiguous)),
        ("//x/admin", Err(RouteFault::PathAmbiguous)),
    ] {
        assert_eq!(find(&router, "x", path, "GET"), expected, "{path}");
    }
}

/// Fastify 3 and 4, Fastify 5 with `useSemicolonDelimiter`, and restify serve `/admin` for `/admin;/x.css`.
#[test]
fn semicolon_that_ends_the_path_does_not_bypass_a_rule() {
    let public_assets = Router::new(vec![on(regex(r".*\.(css|js|png)"))]);
    for path in ["/admin;/x.css", "/admin;x.css", "/admin%3B/x.css", "/admin/;a.js", "/;/x.png", "/admin;.css?x"] {
        assert_eq!(find(&public_assets, "x", path, "GET"), Err(RouteFault::PathAmbiguous), "{path}");
    }
    assert_eq!(find(&public_assets, "x", "/a/x.css", "GET"), Ok(Some(0)));
    let accounts = Router::new(vec![
        Route { methods: methods(&["DELETE"]), ..on(regex("/accounts/[0-9]+")) },
        on(exact("/admin")),
    ]);
    for (method, path) in
        [("DELETE", "/accounts/7;/x"), ("DELETE", "/accounts/7;x=/y"), ("GET", "/admin;a=b/c"), ("GET", "/admin;/")]
    {
        assert_eq!(find(&accounts, "x", path, method), Err(RouteFault::PathAmbiguous), "{path}");
    }
}

#[test]
fn path_that_no_request_can_have_is_a_fault_with_a_hint() {
    let normal = |text: &str| {
        let path = RequestTarget::read(text.as_bytes(), Reject).unwrap().path().clone().into_owned();
        PatternFault::NotNormal(path)
    };
    for (text, fault) in [
        ("", PatternFault::NotAPath),
        ("admin", PatternFault::NotAPath),
        ("https://acme.com/a", PatternFault::NotAPath),
        ("/a?b", PatternFault::QueryOrFragment),
        ("/a#b", PatternFault::QueryOrFragment),
        ("/admin/*", PatternFault::Placeholder),
        ("/users/{id}", PatternFault::Placeholder),
        ("/a;b", PatternFault::Parameter),
        ("/a//b", normal("/a/b")),
        ("//a", normal("/a")),
        ("/a/./b/../c", normal("/a/c")),
        ("/%61", normal("/a")),
        ("/caf%c3%a9", normal("/caf%C3%A9")),
        ("/café", normal("/caf%C3%A9")),
        ("/a%2Fb", PatternFault::Rejected(TargetFault::EscapedSlash)),
        ("/a b", PatternFault::Rejected(TargetFault::RawByte)),
        ("/a/..;/b", PatternFault::Rejected(TargetFault::ParameterInDotSegment)),
    ] {
        assert_eq!(PathPattern::exact(text, Sensitive, Reject).unwrap_err(), fault, "{text}");
        assert_eq!(PathPattern::prefix(text, Sensitive, Reject).unwrap_err(), fault, "{text}");
        let hint = fault.hint();
        assert!(hint.len() > 20 && fault.to_string() == hint && (text.is_empty() || !hint.contains(text)), "{hint}");
    }
    let long = format!("/{}", "a".repeat(MAX_PATTERN_BYTES));
    assert_eq!(PathPattern::exact(&long, Sensitive, Reject).unwrap_err(), PatternFault::TooLong);
    assert!(PathPattern::exact(&long[..MAX_PATTERN_BYTES], Sensitive, Reject).is_ok());
}

#[test]
fn rules_match_ambiguous_paths_if_they_are_allowed() {
    let router = Router::new(vec![
        on(PathPattern::exact("/projects/a%2Fb", Sensitive, InsecureAllow).unwrap()),
        on(PathPattern::prefix("/a;b", Sensitive, InsecureAllow).unwrap()),
    ]);
    for (path, expected) in [("/projects/a%2fb", Some(0)), ("/a;b/c", Some(1)), ("/a%3bb", Some(1)), ("/a", None)] {
        let target = RequestTarget::read(path.as_bytes(), InsecureAllow).unwrap();
        assert_eq!(router.find(None, &target, b"GET").unwrap().map(RouteIndex::index), expected, "{path}");
    }
}

#[test]
fn invalid_regular_expression_is_a_fault() {
    let fault = |text: &str| PathPattern::regex(text, Sensitive, Reject).unwrap_err();
    for bad in ["/(", "/a)|(?:/b", r"/(a)\1", "/(?=a)", "/[z-a]", "/a**{", r"/\p{L}", "/(?x)#", &"(".repeat(40)] {
        assert_eq!(fault(bad), PatternFault::Regex, "{bad}");
    }
    assert_eq!(fault("/(.{100}){100}"), PatternFault::RegexTooLarge);
    assert_eq!(fault("/caf\u{e9}"), PatternFault::RegexNotAscii);
    assert_eq!(fault(&"a".repeat(MAX_PATTERN_BYTES + 1)), PatternFault::TooLong);
    let longest = format!("/[{}]", "a".repeat(MAX_PATTERN_BYTES - 3));
    assert!(matches(&regex(&longest), "/a"));
    for bad in ["", "reports/.*", "^a", "a"] {
        assert_eq!(fault(bad), PatternFault::NotAPath, "{bad}");
    }
    assert!(matches!(fault("/a//b/.*"), PatternFault::NotNormal(_)));
    assert!(matches!(fault("/%61/.*"), PatternFault::NotNormal(_)));
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let nested = format!("/tenants/{uuid}/users/{uuid}/(?:profile|settings|avatar)");
    assert!(PathPattern::regex(&nested, Insensitive, Reject).is_ok());
}
