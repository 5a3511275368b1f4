use super::*;

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// It comes under this rule.
    Rule(&'static str),
    /// It comes under no rule, and so needs a token.
    NoRule,
    /// Its target is refused, with 400.
    Refused(TargetFault),
    /// Servers may read it as paths of different rules: refused, with 400.
    Ambiguous,
}
use Answer::{Ambiguous, NoRule, Refused, Rule};
use TargetFault::*;

/// An attack case: its label, the request's method and target, the answer.
type Row = (&'static str, &'static str, &'static str, Answer);

/// The names of the rules, in order, with their conditions.
fn rules() -> Vec<(&'static str, Route)> {
    vec![
        ("health", on(exact("/healthz"))),
        ("public", on(prefix("/public"))),
        ("admin", on(prefix("/admin"))),
        ("users", on(exact("/users/alice"))),
        ("folded", on(PathPattern::prefix("/folded", Ignored, Refuse).unwrap())),
        ("api", on(prefix("/api"))),
        ("items read", Route { path: prefix("/items"), methods: methods(&["GET"]), ..Route::default() }),
        ("v1.0", on(regex(r"/v1\.0/.*"))),
        ("report", on(regex("/reports/[0-9]{4}|/summary"))),
        ("slow", on(regex("/slow/(a*)*(a|aa)+b"))),
    ]
}

/// Group I of the attack cases, whose table is in `tests/core/attack_cases.rs`.
const ROWS: &[Row] = &[
    ("I1 dots", "GET", "/public/../admin", Ambiguous),
    ("I1 escaped dots", "GET", "/public/%2e%2e/admin", Ambiguous),
    ("I1 in capitals", "GET", "/public/%2E%2E/admin", Ambiguous),
    ("I1 the second alone", "GET", "/public/.%2e/admin", Ambiguous),
    ("I1 the first alone", "GET", "/public/%2e./admin", Ambiguous),
    ("I1 at the end", "GET", "/admin/x/..", Rule("admin")),
    ("I1 an escaped slash behind dots", "GET", "/public/..%2fadmin", Refused(EscapedSlash)),
    ("I1 an escaped backslash behind dots", "GET", "/public/..%5cadmin", Refused(Backslash)),
    ("I1 a parameter behind dots", "GET", "/public/..;/admin", Refused(ParameterInDotSegment)),
    ("I1 an escaped parameter behind dots", "GET", "/public/..%3b/admin", Refused(ParameterInDotSegment)),
    ("I1 a parameter before dots", "GET", "/public/;/../../admin", Refused(DotsAfterEmptySegment)),
    ("I1 escaped twice", "GET", "/public/%252e%252e/admin", Rule("public")),
    ("I1 above the root", "GET", "/../admin", Refused(AboveRoot)),
    ("I1 dots behind two slashes", "GET", "/public//../admin", Refused(DotsAfterEmptySegment)),
    ("I2 two slashes in front", "GET", "//admin", Ambiguous),
    ("I2 two slashes in front of two segments", "GET", "//public/admin", Ambiguous),
    ("I2 two slashes and no rule for any reading", "GET", "//orders/1", NoRule),
    ("I2 a dot", "GET", "/./admin", Ambiguous),
    ("I2 two slashes inside", "GET", "/admin//x", Rule("admin")),
    ("I2 many slashes", "GET", "/users//alice///", Rule("users")),
    ("I3 an escaped slash in front", "GET", "/%2Fadmin", Refused(EscapedSlash)),
    ("I3 nothing but an escaped slash in front", "GET", "%2Fadmin", Refused(NotAPath)),
    ("I3 an escaped backslash in front", "GET", "/%5Cadmin", Refused(Backslash)),
    ("I3 a backslash in front", "GET", "/\\admin", Refused(Backslash)),
    ("I3 nothing but a backslash in front", "GET", "\\admin", Refused(NotAPath)),
    ("I4 a query", "GET", "/admin?x", Rule("admin")),
    ("I4 dots in the query", "GET", "/public?/../admin", Rule("public")),
    ("I4 the query names a public path", "GET", "/x?skip=/public", NoRule),
    ("I4 the query is one", "GET", "/admin?/healthz", Rule("admin")),
    ("I4 an escaped question mark", "GET", "/admin%3F/../healthz", Ambiguous),
    ("I4 an escaped question mark at the end", "GET", "/healthz%3F", NoRule),
    ("I5 a fragment", "GET", "/admin#frag", Refused(Fragment)),
    ("I5 a fragment that ends in a public path", "GET", "/admin#/../public", Refused(Fragment)),
    ("I5 an escaped one is a character", "GET", "/healthz%23", NoRule),
    ("I5 an escaped one within a rule", "GET", "/admin/c%23", Rule("admin")),
    ("I6 a capital", "GET", "/Admin", NoRule),
    ("I6 capitals", "GET", "/ADMIN", NoRule),
    ("I6 a rule that lets in without a token folds no case", "GET", "/Public/x", NoRule),
    ("I6 a rule that says so does", "GET", "/FOLDED/x", Rule("folded")),
    ("I7 a slash at the end", "GET", "/users/alice/", Rule("users")),
    ("I7 no slash at the end", "GET", "/users/alice", Rule("users")),
    ("I7 a dot at the end", "GET", "/users/alice/.", Ambiguous),
    ("I7 a blank at the end", "GET", "/healthz%20", NoRule),
    ("I7 NUL", "GET", "/healthz%00", Refused(ControlByte)),
    ("I7 a line feed", "GET", "/admin%0a", Refused(ControlByte)),
    ("I7 overlong UTF-8", "GET", "/public/%c0%ae%c0%ae/admin", Refused(NotUtf8)),
    ("I7 an overlong slash", "GET", "/public/..%c0%afadmin", Refused(NotUtf8)),
    ("I7 an escaped letter", "GET", "/adm%69n", Rule("admin")),
    ("I7 escaped as only IIS has it", "GET", "/%u0061dmin", Refused(BrokenEscape)),
    ("I8 a longer segment", "GET", "/apifoo", NoRule),
    ("I8 the segment and more", "GET", "/api/foo", Rule("api")),
    ("I8 the segment with a parameter", "GET", "/api;foo", Ambiguous),
    ("I9 another method", "POST", "/items/1", NoRule),
    ("I9 in small letters", "get", "/items/1", NoRule),
    ("I9 unknown", "GETX", "/items/1", NoRule),
    ("I9 as the rule has it", "GET", "/items/1", Rule("items read")),
    ("I10 a dot is a dot", "GET", "/v1x0/a", NoRule),
    ("I10 the dot itself", "GET", "/v1.0/a", Rule("v1.0")),
    ("I10 more in front", "GET", "/x/reports/2026", NoRule),
    ("I10 more behind", "GET", "/reports/2026/x", NoRule),
    ("I10 more behind the last branch", "GET", "/summary/x", NoRule),
    ("I10 more in front of the last branch", "GET", "/reports/summary", NoRule),
];

fn answer(router: &Router, names: &[&'static str], method: &str, target: &[u8]) -> Answer {
    match RequestTarget::read(target, Refuse) {
        Err(fault) => Refused(fault),
        Ok(target) => match router.find(Some(b"acme.com"), &target, method.as_bytes()) {
            Err(_) => Ambiguous,
            Ok(found) => found.map_or(NoRule, |index| Rule(names[index.place()])),
        },
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn every_case_about_paths_comes_under_the_right_rule_or_is_refused() {
    let (names, routes): (Vec<_>, Vec<_>) = rules().into_iter().unzip();
    let router = Router::new(routes);
    let wrong: Vec<_> = ROWS
        .iter()
        .map(|(label, method, target, expected)| (label, expected, answer(&router, &names, method, target.as_bytes())))
        .filter(|(_, expected, answer)| *expected != answer)
        .collect();
    assert!(wrong.is_empty(), "label, expected, answer: {wrong:#?}");
    for case in 1..=10 {
        assert!(ROWS.iter().any(|(label, ..)| label.starts_with(&format!("I{case} "))), "no row for I{case}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_expression_made_to_be_slow_takes_linear_time() {
    let (names, routes): (Vec<_>, Vec<_>) = rules().into_iter().unzip();
    let router = Router::new(routes);
    let target = format!("/slow/{}", "a".repeat(8000));
    assert_eq!(answer(&router, &names, "GET", target.as_bytes()), NoRule, "I10 with back-tracking this never ends");
}
