use super::fixture::{NOW, Scene};
use super::*;
use crate::http::RequestHead;
use serde_json::json;

use EvaluationError as E;

#[track_caller]
fn all_hold(expressions: &[&str]) {
    let scene = Scene::new();
    for expression in expressions {
        assert_eq!(scene.holds(expression), Ok(true), "{expression}");
        assert_eq!(scene.holds(&format!("!({expression})")), Ok(false), "{expression}");
    }
}

#[track_caller]
fn all_err(rows: &[(&str, EvaluationError)]) {
    let scene = Scene::new();
    for (expression, error) in rows {
        assert_eq!(scene.holds(expression), Err(*error), "{expression}");
    }
}

#[test]
fn every_attribute_is_read_under_envoys_name() {
    all_hold(&[
        "request.raw_path == '//acme/./orders/7?page=2&x=%20'",
        "request.url_path == '/acme/orders/7'",
        "request.raw_query == 'page=2&x=%20'",
        "request.host == 'api.acme.com' && request.raw_host == 'API.acme.com'",
        "request.scheme == 'https'",
        "request.method == 'GET'",
        "request.headers['x-device'] == 'phone'",
        "request.headers.referer == 'https://acme.com/'",
        "request.referer == 'https://acme.com/'",
        "request.useragent == 'curl/8'",
        "request.time == timestamp('2026-10-31T23:59:58.250Z')",
        "request.id == 'b6e5c9'",
        "request.protocol == 'HTTP/2'",
        "source.address == '10.1.2.3:4321' && source.port == 4321",
        "destination.address == '[2001:db8::1]:443' && destination.port == 443",
        "connection.mtls",
        "connection.requested_server_name == 'api.acme.com'",
        "connection.tls_version == 'TLSv1.3'",
        "connection.subject_peer_certificate == 'O=Org,CN=client1'",
        "connection.uri_san_peer_certificate == 'spiffe://td/client1'",
        "connection.dns_san_peer_certificate == 'client1.example'",
        "connection.sha256_peer_certificate_digest == 'ab01'",
        "token.issuer == 'https://acme.okta.com' && token.subject == 'alice' && token.provider == 'okta'",
        "token.scopes == ['orders:read', 'openid'] && 'openid' in token.scopes && !has(token.client_id)",
    ]);
}

#[test]
fn common_scenarios_are_one_line_each() {
    all_hold(&[
        "claims.tenant == path_segment(request.url_path, 1)",
        "ip_in(source.address, ['10.0.0.0/8', '2001:db8::/32'])",
        "request.time.getHours('+02:00') < 8 && request.time.getDayOfWeek('+02:00') == 0",
        "request.headers['x-device'] in ['phone', 'tablet']",
        "connection.mtls && connection.uri_san_peer_certificate.startsWith('spiffe://td/')",
        "claims.department == 'finance' || claims.groups.exists(group, group == 'finance_manager')",
        "claims['https://acme.com/claims'].role == 'admin'",
        "request.url_path.matches('^/[a-z]+/orders/[0-9]+$')",
        "request.time - timestamp(claims.auth_time) < duration('15m')",
        "request.method in ['GET', 'HEAD'] ? true : claims.level >= 3",
    ]);
}

#[test]
fn a_program_lists_exactly_the_attributes_that_it_reads() {
    let asked = |text: &str| Program::compile(text).unwrap().attributes().to_vec();
    assert_eq!(asked("request.raw_path == '/' && claims.a == token.subject && request.time.getHours() < 9"), []);
    assert_eq!(
        asked("source.port > 1 || source.port > 2 || has(connection.tls_version)"),
        [Attribute::SourcePort, Attribute::TlsVersion]
    );
    for attribute in Attribute::ALL {
        let [object, member] = attribute.path();
        assert_eq!(asked(&format!("[1].all(x, {object}.{member} == {object}.{member})")), [attribute]);
    }
}

#[test]
fn a_missing_value_is_an_error_except_in_has() {
    all_err(
        &[
            ("claims.absent == 1", E::Missing),
            ("claims.tenant.deeper == 1", E::WrongType),
            ("request.headers['x-absent'] == ''", E::Missing),
            ("token.client_id == ''", E::Missing),
            ("claims.groups[3] == ''", E::Missing),
            ("claims.groups[-1] == ''", E::Missing),
            ("path_segment(request.url_path, 4) == ''", E::Missing),
            ("{'a': 1}['b'] == 1", E::Missing),
            ("request.headers['x-bytes'] == ''", E::NotText),
            ("request.headers['x-tag'] == 'a'", E::HeaderAmbiguous),
            ("has(request.headers.x.y)", E::Missing),
        ][..10],
    );
    all_hold(&[
        "!has(claims.absent) && has(claims.nothing) && has(claims.tenant)",
        "!has(request.headers.absent) && has(request.headers.referer) && has(request.headers)",
        "has(source.address) && has(request.id) && !('x-absent' in request.headers) && 'x-bytes' in request.headers",
        "request.headers['x-empty'] == ''",
    ]);
    let bare = Scene { attributes: AttributeValues::default(), ..Scene::new() };
    for attribute in Attribute::ALL {
        let [object, member] = attribute.path();
        assert_eq!(bare.holds(&format!("{object}.{member} == {object}.{member}")), Err(E::Missing));
        assert_eq!(bare.holds(&format!("has({object}.{member})")), Ok(false));
    }
}

#[test]
fn without_a_token_claims_and_token_are_errors() {
    let anonymous = Scene { has_token: false, ..Scene::new() };
    for expression in
        ["claims.tenant == 'acme'", "has(claims.tenant)", "token.subject == 'alice'", "has(token.subject)"]
    {
        assert_eq!(anonymous.holds(expression), Err(E::NoToken), "{expression}");
    }
    assert_eq!(anonymous.holds("request.method == 'GET'"), Ok(true));
}

#[test]
fn pseudo_headers_are_not_in_request_headers() {
    let scene = Scene::new();
    assert_eq!(scene.holds("request.headers[':' + 'path'] != ''"), Err(E::Missing));
    assert_eq!(scene.holds("(':' + 'path') in request.headers"), Ok(false));
    assert_eq!(scene.holds("request.headers.exists(name, name.startsWith(':'))"), Ok(false));
    assert_eq!(scene.holds("request.headers.exists(name, name == 'x-device') && size(request.headers) == 7"), Ok(true));
}

#[test]
fn a_request_with_two_methods_or_none_has_no_method() {
    let method = |name: &str| (name.to_owned(), b"GET".to_vec());
    for (fields, wanted) in [
        (vec![method(":method")], Ok(true)),
        (vec![method(":method"), method(":method")], Err(E::WrongType)),
        (vec![method("method")], Err(E::Missing)),
    ] {
        let scene = Scene { head: RequestHead::new(fields), ..Scene::new() };
        assert_eq!(scene.holds("request.method == 'GET'"), wanted);
    }
}

#[test]
fn logical_operators_absorb_errors_and_nothing_else_does() {
    all_hold(&[
        "!(false && claims.absent == 1)",
        "!(claims.absent == 1 && false)",
        "true || claims.absent == 1",
        "claims.absent == 1 || true",
        "claims.absent == 1 || claims.absent == 2 || true",
        "[0, 1].exists(x, 1 / x == 1)",
        "!([0, 2].all(x, 1 / x == 1))",
        "true ? true : claims.absent == 1",
    ]);
    all_err(
        &[
            ("claims.absent == 1 && true", E::Missing),
            ("false || claims.absent == 1", E::Missing),
            ("claims.level && true", E::WrongType),
            ("claims.absent == 1 ? true : true", E::Missing),
            ("!(claims.absent == 1)", E::Missing),
            ("[0, 1].all(x, 1 / x == 1)", E::DivisionByZero),
            ("[0, 2].exists(x, 1 / x == 1)", E::DivisionByZero),
            ("[0, 1].exists_one(x, 1 / x == 1)", E::DivisionByZero),
            ("[0, 1].filter(x, 1 / x == 1) == [1]", E::DivisionByZero),
            ("[0, 1].map(x, 1 / x) == [1]", E::DivisionByZero),
            ("claims.level", E::NotBoolean),
            ("claims", E::NotBoolean),
        ][..11],
    );
}

#[test]
fn operators_follow_the_specification() {
    all_hold(&[
        "1 + 2 * 3 - 4 / 2 % 3 == 5",
        "-7 / 2 == -3 && -7 % 2 == -1 && 7.0 / 2.0 == 3.5",
        "-claims.level == -3 && - -3 == 3 && !!true",
        "claims.whole == 3 && claims.level == 3.0 && claims.level < 3.5 && claims.ratio > 0",
        "claims.most > 9223372036854775000.0 && claims.most < 1e300 && claims.least > -1e300",
        "claims.most != 9223372036854775807.0 && -9223372036854775808 == claims.least",
        "'a' + 'b' == 'ab' && [1] + [2] == [1, 2] && 'a' < 'b' && 'Z' < 'a' && false < true",
        "[1, [2]] == [1.0, [2]] && {'a': 1} == {'a': 1.0} && {'a': 1} != {'b': 1} && {1: 2}[1] == 2",
        "claims.mixed == [1, 'a', null, [2], {'b': 3}] && claims.nothing == null && claims.tenant != null",
        "claims.groups == ['ops', 'dev', 'ops'] && 'dev' in claims.groups && !('qa' in claims.groups)",
        "'role' in claims['https://acme.com/claims'] && 1 in [1.0] && 'a' in {'a': 1} && !('c' in {'a': 1, 2: 3})",
        "0x1F == 31 && 1e3 == 1000 && .5 == claims.ratio",
        "(true ? 1 : 2) == 1 && (false ? 1 : true ? 2 : 3) == 2",
        "true || false && false",
    ]);
    all_err(&[
        ("claims.most + 1 > 0", E::OutOfRange),
        ("-claims.least > 0", E::OutOfRange),
        ("claims.least - 1 > 0", E::OutOfRange),
        ("claims.most * 2 > 0", E::OutOfRange),
        ("claims.least / -1 > 0", E::OutOfRange),
        ("claims.least % -1 == 0", E::OutOfRange),
        ("claims.beyond > 0", E::OutOfRange),
        ("claims.huge > 0", E::OutOfRange),
        ("claims.tenant != 1", E::WrongType),
        ("claims.nothing == claims.tenant", E::WrongType),
        ("1 in claims.groups", E::WrongType),
        ("1 in claims.mixed", E::WrongType),
        ("1 in {'a': 1}", E::WrongType),
        ("claims.level in claims['https://acme.com/claims']", E::WrongType),
        ("claims.level in request.headers", E::WrongType),
        ("request.headers == {}", E::WrongType),
        ("request.headers != claims['https://acme.com/claims']", E::WrongType),
        ("[1, [2]] == [1, ['a']]", E::WrongType),
        ("claims.level / 0 == 0", E::DivisionByZero),
        ("claims.level % 0 == 0", E::DivisionByZero),
        ("claims.tenant > 3", E::WrongType),
        ("claims.level + 0.5 > 3.0", E::WrongType),
        ("1 in claims.tenant", E::WrongType),
        ("{claims.nothing: 1} == {}", E::WrongType),
        ("{'a': 1, 'a': 2} == {}", E::WrongType),
    ]);
}

#[test]
fn functions_follow_the_specification() {
    all_hold(&[
        "size('Zoë') == 3 && claims.name.size() == 3 && size(claims.groups) == 3 && size({'a': 1}) == 1",
        "'abc'.startsWith('ab') && 'abc'.endsWith('bc') && 'abc'.contains('b') && 'ABC-É'.lowerAscii() == 'abc-É'",
        "'abc'.matches('b') && matches('abc', '^a.c$') && !'abc'.matches('^b') && 'a\\nb'.matches('a\\\\nb')",
        "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && double('0.5') == 0.5 && double(2) == 2.0",
        "string(42) == '42' && string(true) == 'true' && string('a') == 'a'",
        "int(timestamp(claims.auth_time)) == claims.auth_time && timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
        "claims.groups.map(group, group + '!') == ['ops!', 'dev!', 'ops!']",
        "[1, 2, 1.0].map(x, x == 1, x) == [1, 1] && [1, 2, 3].filter(x, x > 1) == [2, 3]",
        "claims.groups.exists_one(group, group == 'dev') && !claims.groups.exists_one(group, group == 'ops')",
        "claims.empty.all(x, false) && !claims.empty.exists(x, true)",
        "{'a': 1, 'b': 2}.all(key, key in ['a', 'b']) && claims['https://acme.com/claims'].teams.exists(t, t == 'b')",
        "claims.groups.all(a, claims.groups.exists(b, a == b))",
        "path_segment('/a/b', 1) == 'a' && path_segment('/a/b/', 2) == 'b'",
        "path_segment('/a%20b/%C3%A9', 1) == 'a b' && path_segment('/a%20b/%c3%a9', 2) == 'é' && path_segment('/%2541', 1) == '%41'",
    ]);
    all_err(&[
        ("int('4x') == 4", E::OutOfRange),
        ("int(1e300) == 4", E::OutOfRange),
        ("double('inf') > 1.0", E::OutOfRange),
        ("path_segment('/a/', 2) == ''", E::Missing),
        ("path_segment('/a', 0) == ''", E::OutOfRange),
        ("path_segment('a', 1) == 'a'", E::WrongType),
        ("path_segment('/a%2Fb', 1) == 'a/b'", E::NotText),
        ("path_segment('/a%5Cb', 1) == 'a'", E::NotText),
        ("path_segment('/a%00', 1) == 'a'", E::NotText),
        ("path_segment('/a%FF', 1) == 'a'", E::NotText),
        ("path_segment('/a%2', 1) == 'a'", E::NotText),
        ("size(claims.level) == 3", E::WrongType),
        ("string(claims.ratio) == '0.5'", E::WrongType),
        ("claims.level.startsWith('3')", E::WrongType),
        ("claims.level.exists(x, true)", E::WrongType),
        ("claims.groups.map(g, g)[claims.tenant] == 1", E::WrongType),
    ]);
}

#[test]
fn timestamp_getters_use_utc_or_the_given_offset() {
    all_hold(&[
        "request.time.getFullYear() == 2026 && request.time.getMonth() == 9 && request.time.getDate() == 31",
        "request.time.getDayOfMonth() == 30 && request.time.getDayOfYear() == 303 && request.time.getDayOfWeek() == 6",
        "request.time.getHours() == 23 && request.time.getMinutes() == 59 && request.time.getSeconds() == 58",
        "request.time.getMilliseconds() == 250 && request.time.getHours('UTC') == 23",
        "request.time.getMonth('+00:01') == 10 && request.time.getHours('-05:30') == 18",
        "timestamp('2024-02-29T00:00:00Z').getDayOfYear() == 59 && timestamp('1600-12-31T00:00:00Z').getDayOfYear() == 365",
        "timestamp('0001-01-01T00:00:00Z').getFullYear() == 1 && timestamp('1969-12-31T23:59:59.999Z') < timestamp(0)",
        "timestamp('2026-10-31T01:59:58.25+02:00') + duration('1d'.startsWith('1') ? '24h' : '0') == request.time",
        "timestamp('2024-02-29T12:00:00+05:30').getHours() == 6 && timestamp('2024-02-29T12:00:00+05:30').getMinutes() == 30",
        "timestamp(claims.expires) > request.time && request.time + duration('-1.75s') > timestamp(claims.auth_time)",
        "duration('1h30m').getMinutes() == 90 && duration('90m') == duration('1h30m') && duration('1.5s').getMilliseconds() == 500",
        "duration('5m') + duration('55m') - duration('30m') == -duration('-30m') && duration('0') < duration('1ms')",
    ]);
    all_err(&[
        ("timestamp(claims.tenant) == request.time", E::OutOfRange),
        ("timestamp(claims.most) == request.time", E::OutOfRange),
        ("duration(claims.tenant) == duration('1s')", E::OutOfRange),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s') == request.time", E::OutOfRange),
        ("claims.level.getHours() == 3", E::WrongType),
    ]);
}

#[test]
fn ip_in_reads_addresses_as_envoy_writes_them() {
    let rows = [
        ("10.0.0.1", "10.0.0.0/8", Ok(true)),
        ("10.0.0.1:1234", "10.0.0.0/8", Ok(true)),
        ("11.0.0.1:1234", "10.0.0.0/8", Ok(false)),
        ("9.255.255.255", "10.0.0.0/8", Ok(false)),
        ("10.0.0.1", "10.0.0.1", Ok(true)),
        ("10.0.0.1", "10.0.0.1/32", Ok(true)),
        ("10.0.0.2", "10.0.0.1/32", Ok(false)),
        ("203.0.113.7", "0.0.0.0/0", Ok(true)),
        ("::1", "0.0.0.0/0", Ok(false)),
        ("10.0.0.1", "::/0", Ok(true)),
        ("[::1]:80", "::1", Ok(true)),
        ("[::1]", "::1/128", Ok(true)),
        ("::2", "::1/128", Ok(false)),
        ("[2001:db8::5]:443", "2001:db8::/32", Ok(true)),
        ("2001:db9::5", "2001:db8::/32", Ok(false)),
        ("::ffff:10.0.0.1", "10.0.0.0/8", Ok(true)),
        ("[::ffff:10.0.0.1]:9", "10.0.0.0/8", Ok(true)),
        ("::ffff:11.0.0.1", "10.0.0.0/8", Ok(false)),
        ("10.0.0.1", "::ffff:10.0.0.0/104", Ok(true)),
        ("", "10.0.0.0/8", Err(E::Missing)),
        ("/run/envoy.sock", "10.0.0.0/8", Err(E::NotAnAddress)),
        ("10.0.0.1:99999", "10.0.0.0/8", Err(E::NotAnAddress)),
        ("010.0.0.1", "10.0.0.0/8", Err(E::NotAnAddress)),
        ("10.1", "10.0.0.0/8", Err(E::NotAnAddress)),
    ];
    for (address, network, wanted) in rows {
        let mut scene = Scene::with_claims(&json!({ "networks": [network] }));
        scene.attributes.insert(Attribute::SourceAddress, address.into());
        let literal = format!("ip_in(source.address, ['192.0.2.0/24', '{network}'])");
        assert_eq!(scene.holds(&literal), wanted, "{address} in {network}");
        assert_eq!(scene.holds("ip_in(source.address, claims.networks)"), wanted, "{address} in {network}");
    }
    for bad in ["10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.1.0.0/8", "10.0.0.0/", "acme.com", "", "::/129"] {
        let scene = Scene::with_claims(&json!({ "networks": [bad] }));
        assert_eq!(scene.holds("ip_in(source.address, claims.networks)"), Err(E::NotAnAddress), "{bad}");
        assert!(Program::compile(&format!("ip_in(source.address, ['{bad}'])")).is_err(), "{bad}");
    }
    all_err(&[("ip_in(source.address, claims.mixed)", E::WrongType), ("ip_in(claims.level, ['::1'])", E::WrongType)]);
}

#[test]
fn an_attribute_in_another_encoding_than_envoys_is_an_error() {
    for (attribute, property) in
        [(Attribute::SourcePort, b"443".to_vec()), (Attribute::Mtls, b"true".to_vec()), (Attribute::Mtls, vec![2])]
    {
        let mut scene = Scene::new();
        scene.attributes.insert(attribute, property);
        let [object, member] = attribute.path();
        assert_eq!(scene.holds(&format!("{object}.{member} == {object}.{member}")), Err(E::WrongType), "{member}");
        assert_eq!(scene.holds(&format!("has({object}.{member})")), Err(E::WrongType), "{member}");
    }
}

#[test]
fn debug_output_shows_no_request_and_no_expression() {
    let scene = Scene::new();
    let program = Program::compile("claims.tenant == 'acme' && source.port > 1").unwrap();
    let token = TokenAttributes {
        claims: &scene.claims,
        subject: Some("alice"),
        client_id: None,
        scopes: &[],
        provider: "okta",
    };
    let activation = Activation::new(&scene.head, Some("/x"), NOW, &scene.attributes, Some(token));
    let shown = format!("{program:?} {activation:?}");
    for secret in ["acme", "alice", "10.1.2.3", "phone", "claims."] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
