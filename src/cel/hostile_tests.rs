use super::fixture::Scene;
use super::*;
use serde_json::{Value as Json, json};

use EvaluationError as E;

#[test]
fn no_expression_costs_more_than_its_share() {
    let scene = Scene::with_claims(&json!({
        "groups": (0..2000).map(|number| format!("g{number}")).collect::<Vec<_>>(), "long": "a".repeat(8000),
        "text": "a".repeat(2000),
    }));
    for expression in [
        "claims.groups.all(a, claims.groups.all(b, true))",
        "claims.groups.all(a, claims.groups.all(b, true)) || true",
        "true && claims.groups.exists(a, claims.groups.exists(b, a == b + '!'))",
        "claims.groups.map(a, claims.groups.map(b, a + b)) == []",
        "claims.groups.all(a, !('x' in claims.groups))",
        "claims.groups.all(a, claims.groups + claims.groups != [])",
        "claims.groups.all(a, claims.groups == claims.groups)",
        "claims.groups.map(a, claims.long + claims.long + claims.long) == []",
        "claims.groups.all(a, !claims.long.contains('ab')) || true",
        "claims.groups.all(a, !claims.long.matches('(a*)*b')) || true",
        "claims.long.matches('(a{1,500}){1,1}b') || true",
        "claims.groups.all(a, size(claims.long) > 0)",
        "claims.groups.all(a, claims.long.lowerAscii() != '')",
    ] {
        let outcome = scene.holds(expression);
        assert!(outcome == Err(E::CostLimitExceeded), "{expression}: {outcome:?}");
    }
    // What a real token holds is well within.
    assert_eq!(scene.holds("claims.groups.exists(group, group.startsWith('g1999'))"), Ok(true));
    assert_eq!(scene.holds("'g1999' in claims.groups && claims.text.matches('^a+$')"), Ok(true));
}

/// A list literal with room in a condition.
fn repeated(body: &str) -> String {
    format!("[{}0].all(i, {body})", "0, ".repeat(400))
}

#[test]
fn bytes_of_a_request_are_charged_whatever_is_done_with_them() {
    let long = 30_000;
    let texts = ["a".repeat(long), "0h".repeat(long / 2), "0".repeat(long), format!("/{}", "a/".repeat(long / 2))];
    for (text, body) in [
        (0, "request.headers['x-a'] != 'b'"),
        (0, "request.headers['x-a'] == request.headers['x-b']"),
        (0, "request.headers['x-a'] <= request.headers['x-b']"),
        (0, "request.headers['x-a'] in [request.headers['x-b'], request.method]"),
        (0, "request.headers['x-a'].startsWith(request.headers['x-b'])"),
        (0, "request.headers['x-a'].endsWith(request.headers['x-b'])"),
        (0, "request.headers['x-a'].contains(request.headers['x-b'])"),
        (0, "request.headers['x-a'] + request.headers['x-b'] != ''"),
        (0, "request.headers['x-a'].lowerAscii() != ''"),
        (0, "size(request.headers['x-a']) > 0"),
        (0, "{request.headers['x-a']: 1}[request.headers['x-b']] == 1"),
        (0, "has({request.headers['x-a']: 1}.a) || true"),
        (0, "request.headers['x-a'].matches('^a') || true"),
        (1, "duration(request.headers['x-a']) == duration('0s') || true"),
        (2, "int(request.headers['x-a']) == 0"),
        (2, "double(request.headers['x-a']) == 0.0"),
        (2, "timestamp(request.headers['x-a']) == timestamp(0) || true"),
        (3, "path_segment(request.headers['x-a'], 1) == 'a'"),
    ] {
        let scene = Scene::with_headers(&[("x-a", &texts[text]), ("x-b", &texts[text]), (":method", "GET")]);
        let expression = repeated(body);
        assert_eq!(scene.holds(&expression), Err(E::CostLimitExceeded), "{expression}");
        let charged = scene.charged(body);
        assert!(charged >= long / 16, "{body}: {charged} units for {long} bytes");
    }
}

/// A proxy may accept as many header fields as it likes; Envoy accepts 100 by default.
#[test]
fn header_fields_are_charged_whatever_is_done_with_them() {
    let names: Vec<String> = (0..10_000).map(|number| format!("{number:05}x")).collect();
    let fields = |count: usize| names.iter().take(count).map(|name| (name.as_str(), "1")).collect::<Vec<_>>();
    let repeated_name = vec![("x-a", "1"); 10_000];
    for (head, expression) in [
        (fields(10_000), "request.headers.all(n, n in request.headers)".to_owned()),
        (fields(10_000), "request.headers.exists(n, request.headers[n] == '2')".to_owned()),
        (fields(10_000), "size(request.headers) > 0".to_owned()),
        (fields(1000), repeated("!('00000y' in request.headers)")),
        (fields(1000), repeated("!has(request.headers.abcdef)")),
        (fields(1000), "request.headers.all(n, request.headers.all(m, n == m || n != m))".to_owned()),
        (repeated_name.clone(), repeated("!('x-b' in request.headers)")),
        (repeated_name.clone(), repeated("request.raw_path == '/' || true")),
    ] {
        assert_eq!(Scene::with_headers(&head).holds(&expression), Err(E::CostLimitExceeded), "{expression}");
    }
    // Repeated headers are not joined: a condition on one is an error, whose cost does not depend on their values.
    let long = "a".repeat(6000);
    let scene = Scene::with_headers(&vec![("x-a", long.as_str()); 10]);
    assert_eq!(scene.holds("request.headers['x-a'] != ''"), Err(E::HeaderAmbiguous));
    assert!(scene.charged("request.headers['x-a'] != ''") < 20);
    // What clients really send is well within.
    let scene = Scene::with_headers(&fields(100));
    assert_eq!(scene.holds("request.headers.all(n, n in request.headers && n.startsWith('0'))"), Ok(true));
}

#[test]
fn a_computed_string_is_shared_and_not_copied() {
    let scene = Scene::with_headers(&[("x-a", &"a".repeat(30_000))]);
    let once = scene.charged("[request.headers['x-a'].lowerAscii()].all(x, true)");
    let twice = scene.charged("[request.headers['x-a'].lowerAscii()].all(x, [x, x, x, x].all(y, true))");
    assert!(once > 3000 && twice < once + 100, "{once}, {twice}");
}

/// The worst that a shared cost limit can lead to is a rejected request, also behind `not` and beside what holds.
#[test]
fn all_programs_of_a_request_share_one_cost_limit() {
    let scene = Scene::with_headers(&[("x-a", &"a".repeat(30_000))]);
    let half = Program::compile(&format!("[{}0].all(i, size(request.headers['x-a']) > 0)", "0, ".repeat(3))).unwrap();
    let cheap = Program::compile("size(request.headers['x-a']) > 0").unwrap();
    scene.with_cost_tracker(|activation| {
        assert_eq!(half.evaluate(activation), Ok(true));
        // Each is evaluated once.
        for _ in 0..100 {
            assert_eq!(half.evaluate(activation), Ok(true));
        }
        assert_eq!(cheap.evaluate(activation), Ok(true));
        let another = Program::compile("size(request.headers['x-a']) > 1").unwrap();
        assert_eq!(another.evaluate(activation), Err(E::CostLimitExceeded));
        let any = Program::compile("true").unwrap();
        assert_eq!(any.evaluate(activation), Err(E::CostLimitExceeded));
        assert_eq!(cheap.evaluate(activation), Ok(true));
    });
}

#[test]
fn a_spent_condition_is_an_error_whatever_stands_beside_it() {
    let scene = Scene::with_claims(&json!({ "groups": vec![1; 1000] }));
    let costly = "claims.groups.all(a, claims.groups.all(b, a == b))";
    for expression in
        [format!("{costly} || true"), format!("true && {costly}"), format!("!({costly} && false)"), costly.to_owned()]
    {
        assert_eq!(scene.holds(&expression), Err(E::CostLimitExceeded), "{expression}");
    }
}

#[test]
fn claims_of_any_shape_are_values_or_errors() {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!([deep]);
    }
    let shapes = [
        json!(null),
        json!(true),
        json!(-0.0),
        json!(1e308),
        json!(5e-324),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\u{0}\u{202e}\u{10ffff}é"),
        json!([]),
        json!({}),
        json!([[[]], {"a": [null]}]),
        deep,
        json!({"": 1, "a.b": 2, "\u{0}": 3}),
    ];
    let expressions = [
        "claims.a == claims.b",
        "claims.a != claims.b",
        "claims.a < claims.b",
        "claims.a + claims.b == claims.a",
        "claims.a - claims.b == claims.a",
        "claims.a * claims.b == claims.a",
        "claims.a / claims.b == claims.a",
        "claims.a % claims.b == claims.a",
        "claims.a in claims.b",
        "-claims.a == claims.b",
        "!claims.a",
        "claims.a",
        "claims.a[claims.b] == 1",
        "claims.a.x == 1",
        "has(claims.a.x)",
        "size(claims.a) == 1",
        "claims.a && claims.b",
        "int(claims.a) == int(claims.b)",
        "double(claims.a) == 1.0",
        "string(claims.a) == string(claims.b)",
        "timestamp(claims.a) == timestamp(claims.b)",
        "timestamp(claims.a) - duration(claims.b) > timestamp(0)",
        "duration(claims.a) == duration(claims.b)",
        "claims.a.getHours() == claims.b.getDayOfYear('-23:59')",
        "claims.a.matches('^.*$')",
        "claims.a.startsWith(claims.b)",
        "claims.a.contains(claims.b)",
        "path_segment(claims.a, claims.b) == ''",
        "ip_in(claims.a, claims.b)",
        "ip_in(claims.a, [claims.b])",
        "claims.a.all(x, claims.b.exists(y, x == y))",
        "claims.a.map(x, x + claims.b) == claims.b",
        "{claims.a: claims.b}[claims.a] == claims.b",
        "[claims.a, claims.b] == [claims.b, claims.a]",
        "request.headers[claims.a] == claims.b",
        "claims.a ? claims.b : claims.a",
        "claims.a in request.headers",
    ];
    for left in &shapes {
        for right in &shapes {
            let scene = Scene::with_claims(&json!({ "a": left, "b": right }));
            for expression in expressions {
                // The point is that it returns.
                let _ = scene.holds(expression);
            }
            assert_ne!(scene.holds("claims.a == claims.a"), Ok(false), "{left}");
            if std::mem::discriminant(left) != std::mem::discriminant(right) {
                for expression in ["claims.a == claims.b", "claims.a != claims.b", "claims.a in [claims.b]"] {
                    assert!(scene.holds(expression).is_err(), "{expression} for {left} and {right}");
                }
            }
        }
    }
}

#[test]
fn hostile_headers_and_paths_are_values_or_errors() {
    for value in [b"".to_vec(), b"\xff".to_vec(), b"\0".to_vec(), vec![b'('; 60_000], "é\u{202e}".as_bytes().to_vec()]
    {
        for name in ["x-a", ":path", ":authority", ":method"] {
            let scene = Scene::with_header(name, value.clone());
            for expression in [
                "request.headers['x-a'].matches('(.*)(.*)(.*)$')",
                "request.raw_path == request.raw_query && request.url_path != request.raw_path",
                "request.host == request.method",
                "request.headers.exists(n, request.headers[n].contains('('))",
                "path_segment(request.url_path, 9223372036854775807) == ''",
                "request.headers == request.headers",
            ] {
                let _ = scene.holds(expression);
            }
        }
    }
}

#[test]
fn a_host_with_a_port_is_ambiguous_unless_the_proxy_ignores_ports() {
    let scene = Scene::with_header(":authority", b"Api.acme.com:8443".to_vec());
    let condition = "request.host == 'api.acme.com'";
    assert_eq!(scene.holds(condition), Err(E::HostAmbiguous));
    assert_eq!(scene.holds_with_any_host(condition), Ok(true));
}

/// Expressions of random tokens.
#[test]
fn no_sequence_of_tokens_makes_compiler_or_evaluator_panic() {
    const TOKENS: [&str; 64] = [
        "true",
        "false",
        "null",
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "1.5",
        "'a'",
        "'10.0.0.1'",
        "''",
        "'é'",
        "(",
        "(",
        ")",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        ":",
        "?",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "&&",
        "||",
        "claims",
        "claims.groups",
        "claims.level",
        "claims.mixed",
        "request.url_path",
        "request.raw_path",
        "request.host",
        "request.time",
        "request.headers",
        "source.address",
        "token.scopes",
        "x",
        ".all(x,",
        ".exists(x,",
        ".map(x,",
        ".size()",
        "ip_in(",
        "timestamp(",
        "duration('1h')",
        ".getHours()",
        ".matches('a')",
        "has(",
        "path_segment(",
        "'",
        "\\",
        "\u{0}",
        "é",
    ];
    let scene = Scene::new();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut read = 0;
    for _ in 0..30_000 {
        let words: Vec<&str> = (0..random.below(14)).map(|_| *random.one(&TOKENS)).collect();
        let text = words.join(" ");
        if Program::compile(&text).is_ok() {
            read += 1;
            let _ = scene.holds(&text);
        }
    }
    assert!(read > 30, "only {read} were expressions");
}

/// Small and repeatable; the same here and under Node.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(super) fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

#[test]
fn a_scene_without_claims_is_served() {
    let none: Json = json!({});
    assert_eq!(Scene::with_claims(&none).holds("!has(claims.a) && size(claims) == 0"), Ok(true));
}
