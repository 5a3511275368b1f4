use super::*;

use CompileErrorKind as P;

#[track_caller]
fn assert_errors(rows: &[(&str, usize, usize, CompileErrorKind)]) {
    let mut wrong = Vec::new();
    for (text, line, column, problem) in rows {
        match Program::compile(text) {
            Ok(_) => wrong.push(format!("{text}: accepted")),
            Err(errors) => {
                let error = &errors[0];
                let is_of_kind = std::mem::discriminant(&error.kind) == std::mem::discriminant(problem);
                if !is_of_kind || (error.line, error.column) != (*line, *column) {
                    wrong.push(format!("{text}: {error:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_syntax_error_has_a_position() {
    const ANY: &str = "";
    assert_errors(&[
        ("", 1, 1, P::Syntax(ANY)),
        ("true &&", 1, 8, P::Syntax(ANY)),
        ("true\n  && # true", 2, 6, P::Syntax(ANY)),
        ("// all\ntrue true", 2, 6, P::Syntax(ANY)),
        ("'é' == 'é' é", 1, 12, P::Syntax(ANY)),
        ("(true", 1, 6, P::Syntax(ANY)),
        ("[true", 1, 6, P::Syntax(ANY)),
        ("{'a': true", 1, 11, P::Syntax(ANY)),
        ("{'a' true}", 1, 6, P::Syntax(ANY)),
        ("request.method == 'GET", 1, 19, P::Syntax(ANY)),
        ("request.method == 'GE\nT'", 1, 19, P::Syntax(ANY)),
        ("'\\q' == ''", 1, 2, P::Syntax(ANY)),
        ("'\\ud800' == ''", 1, 2, P::Syntax(ANY)),
        ("'\\x4' == ''", 1, 2, P::Syntax(ANY)),
        ("'\\", 1, 2, P::Syntax(ANY)),
        ("9223372036854775808 > 0", 1, 1, P::Syntax(ANY)),
        ("-9223372036854775809 > 0", 1, 1, P::Syntax(ANY)),
        ("99999999999999999999 > 0", 1, 1, P::Syntax(ANY)),
        ("1e999 > 0", 1, 1, P::Syntax(ANY)),
        ("1e > 0", 1, 1, P::Syntax(ANY)),
        ("12ab > 0", 1, 1, P::Syntax(ANY)),
        ("0x > 0", 1, 1, P::Syntax(ANY)),
        ("true ? true", 1, 12, P::Syntax(ANY)),
        ("a = b", 1, 3, P::Syntax(ANY)),
        ("true & true", 1, 6, P::Syntax(ANY)),
        ("while", 1, 1, P::Syntax(ANY)),
        ("has(request)", 1, 5, P::Syntax(ANY)),
        ("claims.groups.exists(1, true)", 1, 22, P::Syntax(ANY)),
        ("claims.", 1, 8, P::Syntax(ANY)),
        ("size([1,,2]) > 1", 1, 9, P::Syntax(ANY)),
        ("b'a' == b'a'", 1, 1, P::Unsupported(ANY)),
        ("1u == 1u", 1, 1, P::Unsupported(ANY)),
        ("claims.?a == 1", 1, 7, P::Unsupported(ANY)),
        (".claims == 1", 1, 1, P::Unsupported(ANY)),
        ("claims.`a` == 1", 1, 8, P::Unsupported(ANY)),
        ("Message{a: 1} == 1", 1, 8, P::Unsupported(ANY)),
    ]);
}

#[test]
fn an_undeclared_name_is_an_error_with_a_position() {
    assert_errors(&[
        ("user == 'a'", 1, 1, P::UnknownName(None)),
        ("true || claim.a == 'a'", 1, 9, P::UnknownName(None)),
        ("[1].all(x, y == 1)", 1, 12, P::UnknownName(None)),
        ("[1].all(x, true) && x == 1", 1, 21, P::UnknownName(None)),
        ("request.foo == 1", 1, 9, P::UnknownAttribute(None)),
        ("has(request.foo)", 1, 13, P::UnknownAttribute(None)),
        ("source.mtls", 1, 8, P::UnknownAttribute(None)),
        ("request.path == '/a'", 1, 9, P::RawAttribute("")),
        ("has(request.query)", 1, 13, P::RawAttribute("")),
        ("connection.peer == 1", 1, 12, P::UnknownAttribute(None)),
        ("token.scope == 'a'", 1, 7, P::UnknownAttribute(None)),
        ("now() > request.time", 1, 1, P::UnknownFunction(None)),
        ("request.url_path.startswith('/')", 1, 18, P::UnknownFunction(None)),
        ("request.url_path.startsWith('/', 1)", 1, 18, P::UnknownFunction(None)),
        ("startsWith(request.url_path, '/')", 1, 1, P::UnknownFunction(None)),
        ("claims.groups.exists(x, y, true)", 1, 15, P::UnknownFunction(None)),
        ("request.headers['X-Device'] == 'a'", 1, 17, P::HeaderName),
        ("request.headers[':path'] == 'a'", 1, 17, P::HeaderName),
        ("'X-Device' in request.headers", 1, 12, P::HeaderName),
        ("claims.groups.exists(claims, true)", 1, 22, P::NameTaken),
        ("claims.groups.exists(request, true)", 1, 22, P::NameTaken),
        ("[1].all(x, [1].all(x, true))", 1, 20, P::NameTaken),
        ("[1].all(x, [1].all(y, [1].all(z, true)))", 1, 31, P::TooNested),
    ]);
}

#[test]
fn a_type_error_is_found_at_compile_time() {
    const ANY: &str = "";
    assert_errors(&[
        ("request.url_path", 1, 1, P::NotBoolean),
        ("1 + 1", 1, 1, P::NotBoolean),
        ("claims", 1, 1, P::NotBoolean),
        ("[1].map(x, true)", 1, 1, P::NotBoolean),
        ("request", 1, 1, P::WrongType(ANY)),
        ("!request.url_path", 1, 2, P::WrongType(ANY)),
        ("true && request.url_path", 1, 9, P::WrongType(ANY)),
        ("request.url_path ? true : false", 1, 1, P::WrongType(ANY)),
        ("request.url_path == 5", 1, 18, P::NeverEqual),
        ("source.port != '443'", 1, 13, P::NeverEqual),
        ("request.time == 'monday'", 1, 14, P::NeverEqual),
        ("request.method in [1, true]", 1, 16, P::NeverEqual),
        ("request.method == null", 1, 16, P::NeverEqual),
        ("request.host != 'API.acme.com'", 1, 14, P::NotNormal(ANY)),
        ("request.url_path in ['/a', '/b/']", 1, 18, P::NotNormal(ANY)),
        ("request.url_path.startsWith('/a b')", 1, 29, P::NotNormal(ANY)),
        ("request.method != 'delete'", 1, 16, P::NotNormal(ANY)),
        ("request.url_path > 5", 1, 18, P::WrongType(ANY)),
        ("request.headers < request.headers", 1, 17, P::WrongType(ANY)),
        ("'a' in 'abc'", 1, 5, P::WrongType(ANY)),
        ("source.port + 'a' == 'a'", 1, 13, P::WrongType(ANY)),
        ("source.port + 1.0 > 1.0", 1, 13, P::WrongType(ANY)),
        ("request.time + request.time > request.time", 1, 14, P::WrongType(ANY)),
        ("-request.url_path == ''", 1, 2, P::WrongType(ANY)),
        ("source.port.startsWith('4')", 1, 1, P::WrongType(ANY)),
        ("request.url_path.exists(x, true)", 1, 1, P::WrongType(ANY)),
        ("request.url_path.foo == 1", 1, 1, P::WrongType(ANY)),
        ("request.url_path[0] == '/'", 1, 1, P::WrongType(ANY)),
        ("request.headers[0] == '/'", 1, 17, P::WrongType(ANY)),
        ("token.scopes['a'] == 'a'", 1, 14, P::WrongType(ANY)),
        ("{1.5: 1} == {}", 1, 2, P::WrongType(ANY)),
        ("timestamp('yesterday') < request.time", 1, 11, P::WrongType(ANY)),
        ("timestamp('2026-02-29T00:00:00Z') < request.time", 1, 11, P::WrongType(ANY)),
        ("timestamp('2026-01-01T24:00:00Z') < request.time", 1, 11, P::WrongType(ANY)),
        ("timestamp('2026-01-01') < request.time", 1, 11, P::WrongType(ANY)),
        ("duration('1d') < duration('2h')", 1, 10, P::WrongType(ANY)),
        ("duration('') < duration('2h')", 1, 10, P::WrongType(ANY)),
        ("request.time.getHours('Europe/Berlin') < 1", 1, 23, P::TimeZone),
        ("request.time.getHours(claims.zone) < 1", 1, 23, P::TimeZone),
        ("request.time.getHours('+25:00') < 1", 1, 23, P::TimeZone),
        ("ip_in(source.address, ['10.0.0.0/8', '10.0.0.0/33'])", 1, 38, P::Network),
        ("ip_in(source.address, ['10.1.0.0/8'])", 1, 24, P::Network),
        ("ip_in(source.port, ['10.0.0.0/8'])", 1, 7, P::WrongType(ANY)),
        ("ip_in(source.address, '10.0.0.0/8')", 1, 23, P::WrongType(ANY)),
        ("request.url_path.matches('(')", 1, 26, P::Pattern(ANY)),
        ("request.url_path.matches('(a)\\\\1')", 1, 26, P::Pattern(ANY)),
        ("request.url_path.matches(claims.pattern)", 1, 26, P::Pattern(ANY)),
        ("request.url_path.matches('a{1000}{1000}')", 1, 26, P::Pattern(ANY)),
    ]);
}

fn positions(text: &str) -> Vec<(usize, usize, CompileErrorKind)> {
    let errors = Program::compile(text).err().unwrap_or_default();
    errors.into_iter().map(|error| (error.line, error.column, error.kind)).collect()
}

#[test]
fn all_errors_of_an_expression_are_reported_in_order() {
    let kinds = |text: &str| positions(text).into_iter().map(|(_, column, kind)| (column, kind)).collect::<Vec<_>>();
    assert_eq!(
        kinds("foo == 1 && request.bar == 2 || baz(3) || request.url_path"),
        [
            (1, P::UnknownName(None)),
            (21, P::UnknownAttribute(None)),
            (33, P::UnknownFunction(None)),
            (43, P::WrongType("true or false")),
        ]
    );
    // Both operands of a function, of an operator and of a network.
    let hint = "a type that this function takes";
    assert_eq!(kinds("request.time.startsWith(source.port)"), [(1, P::WrongType(hint)), (25, P::WrongType(hint))]);
    assert_eq!(kinds("size(foo) + size(bar) > 1").len(), 2);
    assert_eq!(kinds("ip_in(foo, ['10.0.0.1/8', '300.0.0.0/8'])").len(), 3);
    assert_eq!(kinds("[foo, bar, 1].exists(x, x == baz)").len(), 3);
    assert_eq!(kinds("{foo: bar}.a == 1 ? baz : [qux][0]").len(), 4);
    assert_eq!(kinds("true ||\nfoo ||\nbar").iter().map(|(column, _)| *column).collect::<Vec<_>>(), [1, 1]);
    // An error has no other errors in its train: what it is of is not known.
    for alone in ["foo + 1 == 'a'", "foo.bar.startsWith('x')", "foo in ['a'] && foo[1] == 2", "!foo", "-foo > 1"] {
        assert!(kinds(alone).iter().all(|(_, kind)| *kind == P::UnknownName(None)), "{alone}: {:?}", kinds(alone));
    }
    assert_eq!(kinds("foo ? request.time : 'a'"), [(1, P::UnknownName(None)), (5, P::NotBoolean)][..1]);
    // An unknown call with a variable of its own.
    assert_eq!(kinds("claims.groups.unheard_of(x, x == 'a')"), [(15, P::UnknownFunction(None))]);
    assert_eq!(kinds(&format!("foo{}", " || foo".repeat(99))).len(), 16);
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn unknown_names_have_a_suggestion() {
    let said = |text: &str| {
        let errors = Program::compile(text).unwrap_err();
        errors.iter().map(|error| error.kind.to_string()).collect::<Vec<_>>()
    };
    let variable = |meant: &str| format!("unknown variable; did you mean {meant}?");
    let attribute = |meant: &str| format!("unknown attribute; did you mean {meant}?");
    let function = |call: &str| format!("unknown function, or called in another way; write {call}");
    for (text, expected) in [
        ("reqest.method == 'GET'", variable("request")),
        ("claim.tenant == 'acme'", variable("claims")),
        ("jwt.tenant == 'acme'", variable("claims")),
        ("'admins' in groups", variable("claims.groups")),
        ("method == 'GET'", variable("request.method")),
        ("scopes.exists(s, s == 'a')", variable("token.scopes")),
        ("ip_in(remote_ip, ['10.0.0.0/8'])", variable("source.address")),
        ("now > timestamp('2026-01-01T00:00:00Z')", variable("request.time")),
        ("True", variable("true")),
        ("request.methd == 'GET'", attribute("request.method")),
        ("request.header['x-a'] == 'b'", attribute("request.headers")),
        ("request.auth.claims.iss == 'x'", attribute("claims")),
        ("token.claims.iss == 'x'", attribute("claims")),
        ("token.scope == 'x'", attribute("token.scopes")),
        ("token.sub == 'x'", attribute("token.subject")),
        ("source.ip == 'x'", attribute("source.address")),
        ("connection.sni == 'x'", attribute("connection.requested_server_name")),
        ("request.url_path.startswith('/a')", function("text.startsWith(prefix)")),
        ("startsWith(request.url_path, '/a')", function("text.startsWith(prefix)")),
        ("request.url_path.startsWith('/a', 1)", function("text.startsWith(prefix)")),
        ("request.host.toLowerCase() == 'a'", function("text.lowerAscii()")),
        ("length(claims.groups) > 1", function("size(list)")),
        ("claims.groups.exist(g, g == 'a')", function("list.exists(item, condition)")),
        ("claims.groups.any(g, g == 'a')", function("list.exists(item, condition)")),
        ("cidr_match(source.address, '10.0.0.0/8')", function("ip_in(address, ['10.0.0.0/8'])")),
        ("now() > claims.start", function("request.time")),
    ] {
        assert_eq!(said(text), [expected], "{text}");
    }
    // The field of a misspelt variable is checked too.
    assert_eq!(said("reqest.methd == 'GET'"), [variable("request"), attribute("request.method")]);
    assert_eq!(said("reqest.path == '/a'").len(), 2);
    for text in ["unheard_of == 1", "request.unheard_of == 1", "unheard_of(1)"] {
        assert!(!said(text)[0].contains("mean") && !said(text)[0].contains("write"), "{text}");
    }
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn message_for_the_tool_has_the_name_and_a_caret() {
    let said = |text: &str| Program::compile(text).unwrap_err()[0].message_with_excerpt();
    assert_eq!(
        said("true && reqest.method == 'GET'"),
        "unknown variable `reqest`; did you mean request?\n    true && reqest.method == 'GET'\n            ^^^^^^"
    );
    assert_eq!(
        said("true &&\n  request.url_path == 5"),
        "compares different types, which are never equal\n      request.url_path == 5\n                       ^"
    );
}

#[test]
fn length_and_depth_are_bounded_exactly() {
    let row = |open: &str, inner: &str, close: &str, times: usize| {
        Program::compile(&[&open.repeat(times), inner, &close.repeat(times)].concat())
            .err()
            .map(|errors| errors[0].kind)
    };
    assert_eq!(Program::compile(&format!("true{}", " ".repeat(MAX_SOURCE_BYTES - 4))).err(), None);
    assert_eq!(positions(&format!("true{}", " ".repeat(MAX_SOURCE_BYTES - 3))), [(1, 1, P::TooLong)]);
    assert_eq!(row("(", "true", ")", 63), None);
    assert_eq!(row("(", "true", ")", 64), Some(P::TooDeep));
    assert_eq!(row("(", "true", ")", 2000), Some(P::TooDeep));
    assert_eq!(row("!", "true", "", 63), None);
    assert_eq!(row("!", "true", "", 64), Some(P::TooDeep));
    assert_eq!(row("!", "true", "", 4000), Some(P::TooDeep));
    assert_eq!(row("[", "", "", 4000), Some(P::TooDeep));
    assert_eq!(row("{1:", "", "", 1000), Some(P::TooDeep));
    assert_eq!(row("", "claims", ".a", 62), None);
    assert_eq!(row("", "claims", ".a", 1000), Some(P::TooDeep));
    assert_eq!(row("", "claims", "[0]", 1000), Some(P::TooDeep));
    assert_eq!(row("", "1 == 1", "+1", 1000), Some(P::TooDeep));
    assert_eq!(row("true?true:", "true", "", 400), Some(P::TooDeep));
    assert_eq!(row("true&&", "true", "||true", 300), None, "chains of && and || are one node");
    assert_eq!(row("f(", "", "", 2000), Some(P::TooDeep));
}

#[test]
fn a_compile_error_contains_nothing_of_the_expression() {
    for text in ["s3cret == 1", "request.s3cret == 1", "s3cret()", "'s3cret", "ip_in(source.address, ['s3cret'])"] {
        for error in Program::compile(text).unwrap_err() {
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
    let errors = Program::compile("true &&\n  request.foo").unwrap_err();
    assert_eq!(errors[0].to_string(), "unknown attribute at line 2, column 11");
}
