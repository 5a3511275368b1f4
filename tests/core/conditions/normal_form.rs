//! Conditions see the same normal form as rules, and no second spelling of a request changes their result.

use super::*;

/// `/orgs/acme%20inc` is the path of the tenant `acme inc`, and not that of a tenant which calls itself `acme%20inc`.
#[test]
fn path_segment_is_compared_as_decoded_string() {
    let condition = "claims.tenant == path_segment(request.url_path, 2)";
    let decision_reason = |tenant: &str, target: &str| {
        reason(&decide(&mut requiring(condition), &head(target, json!({ "tenant": tenant }), &[])))
    };
    for (tenant, target, expected) in [
        ("acme%20inc", "/orgs/acme%20inc/users", "condition_unmet"),
        ("acme inc", "/orgs/acme%20inc/users", "authorized"),
        ("acme%20inc", "/orgs/acme%2520inc", "authorized"),
        ("acme inc", "/orgs/acme%2520inc", "condition_unmet"),
        ("acme+inc", "/orgs/acme+inc", "authorized"),
        ("acme inc", "/orgs/acme+inc", "condition_unmet"),
        ("caf\u{e9}", "/orgs/caf%C3%A9/", "authorized"),
        ("caf\u{e9}", "/orgs/caf%c3%a9", "authorized"),
        ("caf%C3%A9", "/orgs/caf%C3%A9", "condition_unmet"),
        ("100%", "/orgs/100%25", "authorized"),
        ("a?b#c", "/orgs/a%3Fb%23c", "authorized"),
        ("a\u{85}b", "/orgs/a%C2%85b", "condition_not_text"),
    ] {
        assert_eq!(decision_reason(tenant, target), expected, "{tenant:?} at {target}");
    }
    // With the refusals switched off, what is no text is refused here.
    let relaxed = configured(json!({ "insecure_ambiguous_paths": true, "rules": [
        { "require": { "condition": "path_segment(request.url_path, 2) != 'acme'" } }] }));
    for segment in ["a%2Fb", "a%5Cb", "a%00", "a%7F", "a%0Ab", "%FF", "%C0%AF"] {
        let head = head(&format!("/orgs/{segment}"), json!({}), &[]);
        assert_eq!(reason(&decide(&mut engine(&relaxed), &head)), "condition_not_text", "{segment}");
    }
}

/// `request.url_path == '/orgs/' + claims.tenant` has the same hole as a segment that is not decoded.
#[test]
fn claim_that_needs_escaping_in_a_path_is_not_compared_with_a_path() {
    for condition in [
        "request.url_path == '/orgs/' + claims.tenant",
        "'/orgs/' + claims.tenant == request.url_path",
        "request.url_path != '/orgs/' + claims.tenant",
        "request.url_path.startsWith('/orgs/' + claims.tenant)",
        "!request.url_path.endsWith(claims.tenant)",
        "request.url_path.contains(claims.tenant)",
        "request.url_path.lowerAscii().contains(claims.tenant)",
        "(request.url_path + '/x').contains(claims.tenant)",
        "request.url_path in ['/orgs/' + claims.tenant]",
        "request.url_path in claims.paths",
    ] {
        for tenant in ["acme%20inc", "acme inc", "caf\u{e9}"] {
            let claims = json!({ "tenant": tenant, "paths": [format!("/orgs/{tenant}")] });
            let decision = decide(&mut requiring(condition), &head("/orgs/acme%20inc", claims, &[]));
            assert_eq!(reason(&decision), "condition_path_ambiguous", "{condition} for {tenant}");
        }
    }
    let claims = || json!({ "tenant": "acme", "paths": ["/orgs/acme", "/orgs/b"] });
    for condition in ["request.url_path == '/orgs/' + claims.tenant", "request.url_path in claims.paths"] {
        assert_eq!(evaluate(condition, claims(), &[]), "authorized", "{condition}");
    }
}

fn at(method: &str, host: &str, target: &str, more: &[(&str, &str)]) -> RequestHead {
    let fields = [(":method", method), (":authority", host), (":path", target)];
    let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    RequestHead::new(fields.iter().chain(more).map(field).collect())
}

/// An anonymous request under a public rule with this condition.
fn evaluate_at(condition: &str, host: &str, target: &str) -> &'static str {
    let rules = json!([{ "name": "all", "access": "public", "require": { "condition": condition } }]);
    reason(&decide(&mut engine(&configured(json!({ "rules": rules }))), &at("GET", host, target, &[])))
}

#[test]
fn the_slash_at_the_end_of_a_path_changes_no_condition() {
    const ALLOWED: &str = "no_token_required";
    const DENIED: &str = "condition_unmet";
    // With a slash some servers read a path below `/admin/`, others `/admin`.
    const AMBIGUOUS: &str = "condition_path_ambiguous";
    for (condition, without, with_slash) in [
        ("request.url_path != '/admin'", DENIED, AMBIGUOUS),
        ("!request.url_path.endsWith('/admin')", DENIED, AMBIGUOUS),
        ("!(request.url_path in ['/admin', '/root'])", DENIED, AMBIGUOUS),
        ("!request.url_path.matches('^/admin$')", DENIED, AMBIGUOUS),
        ("request.url_path == '/admin'", ALLOWED, AMBIGUOUS),
        ("request.url_path in ['/admin']", ALLOWED, AMBIGUOUS),
        ("request.url_path.matches('^/[a-z]+$')", ALLOWED, AMBIGUOUS),
        ("!request.url_path.startsWith('/admin/')", ALLOWED, AMBIGUOUS),
        ("!request.url_path.matches('^/admin/')", ALLOWED, AMBIGUOUS),
        ("request.url_path.startsWith('/admin')", ALLOWED, ALLOWED),
        ("request.url_path.matches('^/admin/?$')", ALLOWED, ALLOWED),
        ("path_segment(request.url_path, 1) == 'admin'", ALLOWED, ALLOWED),
        ("path_segment(request.url_path, 1) != 'admin'", DENIED, DENIED),
        ("has(request.url_path)", ALLOWED, ALLOWED),
        ("request.raw_path == '/admin'", ALLOWED, DENIED),
        ("request.method == 'GET'", ALLOWED, ALLOWED),
    ] {
        assert_eq!(evaluate_at(condition, "acme.com", "/admin"), without, "{condition}");
        for target in ["/admin/", "/admin//", "/%61dmin/"] {
            assert_eq!(evaluate_at(condition, "acme.com", target), with_slash, "{condition} at {target}");
        }
    }
    assert_eq!(evaluate_at("request.url_path == '/'", "acme.com", "/"), ALLOWED);
    // Servers that do not resolve dot segments read another path.
    assert_eq!(evaluate_at("request.url_path == '/'", "acme.com", "/x/.."), AMBIGUOUS);
}

#[test]
fn a_condition_sees_the_normal_form_of_the_host() {
    const ALLOWED: &str = "no_token_required";
    let decision_reason = |condition: &str, host: &str| evaluate_at(condition, host, "/");
    for condition in [
        "request.host != 'admin.acme.com'",
        "!request.host.startsWith('admin.')",
        "!(request.host in ['admin.acme.com'])",
        "!request.host.matches('^admin[.]acme[.]com$')",
    ] {
        for host in ["admin.acme.com", "ADMIN.acme.com"] {
            assert_eq!(decision_reason(condition, host), "condition_unmet", "{condition} for {host}");
        }
        for host in ["admin.acme.com:8443", "admin.acme.com.", "Admin.Acme.Com.:81"] {
            let reason = decision_reason(condition, host);
            assert!(
                ["condition_unmet", "condition_host_ambiguous"].contains(&reason),
                "{condition} for {host}: {reason}"
            );
        }
    }
    // Envoy's virtual hosts compare the host as written: `static.acme.com:81` may be served by another one.
    for host in ["static.acme.com:81", "static.acme.com.", "Static.acme.com:443"] {
        for condition in ["request.host == 'static.acme.com'", "request.host.endsWith('.acme.com')"] {
            assert_eq!(decision_reason(condition, host), "condition_host_ambiguous", "{condition} for {host}");
        }
        for condition in
            ["request.host != 'admin.acme.com'", "request.host.contains('acme')", "request.method == 'GET'"]
        {
            assert_eq!(decision_reason(condition, host), ALLOWED, "{condition} for {host}");
        }
    }
    assert_eq!(decision_reason("request.host == 'static.acme.com'", "STATIC.acme.com"), ALLOWED);
    assert_eq!(decision_reason("request.host == '[::1]'", "[::1]"), ALLOWED);
    assert_eq!(decision_reason("request.host == '[::1]'", "[0::1]"), "condition_host_ambiguous");
    assert_eq!(decision_reason("request.raw_host == 'Static.acme.com:81'", "Static.acme.com:81"), ALLOWED);
    // Readings of host and path that would cancel each other out.
    for condition in [
        "request.host != 'a.com' || request.url_path == '/x'",
        "request.host == 'a.com' || request.url_path == '/x'",
        "(request.host == 'a.com') == (request.url_path == '/x')",
    ] {
        assert_ne!(evaluate_at(condition, "a.com:81", "/x/"), ALLOWED, "{condition}");
    }
    let relaxed = configured(json!({ "insecure_ambiguous_hosts": true, "rules": [
        { "access": "public", "require": { "condition": "request.host == 'static.acme.com'" } }] }));
    let with_port = at("GET", "static.acme.com:81", "/", &[]);
    assert_eq!(reason(&decide(&mut engine(&relaxed), &with_port)), ALLOWED);
    for host in ["", "a..com", "user@a.com", "a.com:b", "127.1", "a.com/x", "a.com,b.com", "a b"] {
        for condition in ["request.host == 'a.com'", "request.host != 'a.com'", "has(request.host)"] {
            assert_eq!(decision_reason(condition, host), "condition_host_malformed", "{condition} for {host:?}");
        }
    }
}

#[test]
fn repeated_header_or_header_in_two_spellings_is_indeterminate() {
    let decision_reason = |condition: &str, more: &[(&str, &str)]| {
        let rules = json!([{ "name": "all", "access": "public", "require": { "condition": condition } }]);
        reason(&decide(&mut engine(&configured(json!({ "rules": rules }))), &at("GET", "a.com", "/", more)))
    };
    for more in [
        &[("x-device", "d-8"), ("x-device", "d-7")][..],
        &[("x-device", "d-7"), ("x_device", "d-8")],
        &[("X_DEVICE", "d-8"), ("x-device", "d-7")],
        &[("x.device", "d-8"), ("x-device", "d-7")],
    ] {
        for condition in [
            "request.headers['x-device'] != 'd-8'",
            "request.headers['x-device'] == 'd-7'",
            "request.headers['x-' + 'device'] != 'd-8'",
            "!request.headers.exists(name, name == 'x-device' && request.headers[name] == 'd-8')",
        ] {
            assert_eq!(decision_reason(condition, more), "condition_header_ambiguous", "{condition} for {more:?}");
        }
    }
    // Under CGI and WSGI `X_Debug` is `X-Debug`.
    for condition in ["!('x-debug' in request.headers)", "!(('x-' + 'debug') in request.headers)"] {
        assert_eq!(decision_reason(condition, &[("x_debug", "1")]), "condition_header_ambiguous", "{condition}");
        assert_eq!(decision_reason(condition, &[("x-debug", "1")]), "condition_unmet", "{condition}");
        assert_eq!(decision_reason(condition, &[("x-debugs", "1")]), "no_token_required", "{condition}");
    }
    assert_eq!(decision_reason("!('x_debug' in request.headers)", &[("x-debug", "1")]), "condition_header_ambiguous");
    let agent = "request.useragent != 'curl'";
    assert_eq!(decision_reason(agent, &[("user-agent", "a"), ("user-agent", "curl")]), "condition_header_ambiguous");
    assert_eq!(decision_reason(agent, &[("user-agent", "a")]), "no_token_required");
}

#[test]
fn a_property_that_is_empty_is_missing_and_a_mapped_address_is_the_ipv4_address() {
    let decision_reason = |condition: &str, values: &[(Attribute, &[u8])]| {
        let mut engine = requiring(condition);
        let head = head("/", json!({}), &[]);
        reason(&decide_by(&mut engine, &head, values))
    };
    for attribute in Attribute::ALL {
        let [object, member] = attribute.path();
        let condition = format!("{object}.{member} == {object}.{member}");
        assert_eq!(decision_reason(&condition, &[(attribute, b"")]), "condition_value_missing", "{condition}");
        assert_eq!(
            decision_reason(&format!("!has({object}.{member})"), &[(attribute, b"")]),
            "authorized",
            "{condition}"
        );
    }
    let outside = "!source.address.startsWith('10.')";
    for address in ["10.0.0.1:9", "[::ffff:10.0.0.1]:9", "[::FFFF:a00:1]:9", "[0:0::ffff:10.0.0.1]:9"] {
        assert_eq!(
            decision_reason(outside, &[(Attribute::SourceAddress, address.as_bytes())]),
            "condition_unmet",
            "{address}"
        );
    }
    let name = "connection.requested_server_name != 'admin.acme.com'";
    for (sni, expected) in [
        ("admin.acme.com", "condition_unmet"),
        ("ADMIN.acme.com", "condition_unmet"),
        ("admin.acme.com.", "condition_host_ambiguous"),
        ("admin.acme.com:443", "condition_host_ambiguous"),
        ("static.acme.com", "authorized"),
    ] {
        assert_eq!(decision_reason(name, &[(Attribute::RequestedServerName, sni.as_bytes())]), expected, "{sni}");
    }
}

#[test]
fn constant_outside_the_normal_form_and_name_of_a_raw_value_are_faults() {
    let fault = |condition: &str| {
        let document = configured(json!({ "rules": [{ "require": { "condition": condition } }] }));
        config::load(document.to_string().as_bytes(), &config::no_environment).err().map(|faults| faults[0].to_string())
    };
    for (condition, hint) in [
        ("request.path == '/a'", "request.url_path"),
        ("has(request.path)", "request.raw_path"),
        ("request.query == 'a'", "request.raw_query"),
        ("request.host != 'api.acme.com:8443'", "without port"),
        ("request.host == 'API.acme.com'", "lower case"),
        ("'api.acme.com.' == request.host", "dot"),
        ("request.host in ['api.acme.com', 'b.com:1']", "without port"),
        ("request.host.endsWith(':8443')", "without port"),
        ("request.host.startsWith('API.')", "lower case"),
        ("request.url_path != '/admin/'", "slash"),
        ("request.url_path != '/acme inc'", "normal form"),
        ("request.url_path != '/%61dmin'", "normal form"),
        ("request.url_path in ['/a?b']", "normal form"),
        ("request.url_path.contains('acme inc')", "normal form"),
        ("request.url_path != 'admin'", "normal form"),
        ("request.method != 'delete'", "capitals"),
        ("request.method in ['get']", "capitals"),
        ("request.method in [1, true]", "different types"),
    ] {
        let found = fault(condition);
        assert!(found.as_ref().is_some_and(|found| found.contains(hint)), "{condition}: {found:?}");
    }
    for condition in [
        "request.host == 'api.acme.com' && request.host.endsWith('.acme.com') && request.host != '[::1]'",
        "request.url_path == '/acme%20inc' && request.url_path != '/' && request.url_path.startsWith('/a/')",
        "request.url_path.contains('%20') && request.url_path in ['/a', '/a;b']",
        "request.method != 'DELETE' && request.method.lowerAscii() == 'get'",
    ] {
        assert_eq!(fault(condition), None, "{condition}");
    }
}
