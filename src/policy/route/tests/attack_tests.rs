use super::*;

/// The expected result of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// It matches this rule.
    Rule(&'static str),
    /// It matches no rule, and so requires a token.
    NoRule,
    /// Its target is rejected with 400.
    Rejected(TargetFault),
    /// Servers may read it as paths of different rules: rejected with 400.
    Ambiguous,
}
use Outcome::{Ambiguous, NoRule, Rejected, Rule};
use TargetFault::*;

/// A case of the attack list: label, method, target and expected result.
type Row = (&'static str, &'static str, &'static str, Outcome);

/// The rules in order, with their names and conditions.
fn rules() -> Vec<(&'static str, Route)> {
    vec![
        ("health", on(exact("/healthz"))),
        ("public", on(prefix("/public"))),
        ("admin", on(prefix("/admin"))),
        ("users", on(exact("/users/alice"))),
        ("folded", on(PathPattern::prefix("/folded", Insensitive, Reject).unwrap())),
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
    ("I1 an escaped slash after dots", "GET", "/public/..%2fadmin", Rejected(EscapedSlash)),
    ("I1 an escaped backslash after dots", "GET", "/public/..%5cadmin", Rejected(Backslash)),
    ("I1 a parameter after dots", "GET", "/public/..;/admin", Rejected(ParameterInDotSegment)),
    ("I1 an escaped parameter after dots", "GET", "/public/..%3b/admin", Rejected(ParameterInDotSegment)),
    ("I1 a parameter before dots", "GET", "/public/;/../../admin", Rejected(DotsAfterEmptySegment)),
    ("I1 escaped twice", "GET", "/public/%252e%252e/admin", Rule("public")),
    ("I1 above the root", "GET", "/../admin", Rejected(AboveRoot)),
    ("I1 dots after two slashes", "GET", "/public//../admin", Rejected(DotsAfterEmptySegment)),
    ("I2 two slashes in front", "GET", "//admin", Ambiguous),
    ("I2 two slashes in front of two segments", "GET", "//public/admin", Ambiguous),
    ("I2 two slashes and no rule for any reading", "GET", "//orders/1", NoRule),
    ("I2 a dot", "GET", "/./admin", Ambiguous),
    ("I2 two slashes inside", "GET", "/admin//x", Rule("admin")),
    ("I2 many slashes", "GET", "/users//alice///", Rule("users")),
    ("I3 an escaped slash in front", "GET", "/%2Fadmin", Rejected(EscapedSlash)),
    ("I3 nothing but an escaped slash in front", "GET", "%2Fadmin", Rejected(NotAPath)),
    ("I3 an escaped backslash in front", "GET", "/%5Cadmin", Rejected(Backslash)),
    ("I3 a backslash in front", "GET", "/\\admin", Rejected(Backslash)),
    ("I3 nothing but a backslash in front", "GET", "\\admin", Rejected(NotAPath)),
    ("I4 a query", "GET", "/admin?x", Rule("admin")),
    ("I4 dots in the query", "GET", "/public?/../admin", Rule("public")),
    ("I4 the query names a public path", "GET", "/x?skip=/public", NoRule),
    ("I4 the query is a public path", "GET", "/admin?/healthz", Rule("admin")),
    ("I4 an escaped question mark", "GET", "/admin%3F/../healthz", Ambiguous),
    ("I4 an escaped question mark at the end", "GET", "/healthz%3F", NoRule),
    ("I5 a fragment", "GET", "/admin#frag", Rejected(Fragment)),
    ("I5 a fragment that ends in a public path", "GET", "/admin#/../public", Rejected(Fragment)),
    ("I5 an escaped one is a character", "GET", "/healthz%23", NoRule),
    ("I5 an escaped one within a rule", "GET", "/admin/c%23", Rule("admin")),
    ("I6 a capital", "GET", "/Admin", NoRule),
    ("I6 capitals", "GET", "/ADMIN", NoRule),
    ("I6 a rule without a token is case-sensitive", "GET", "/Public/x", NoRule),
    ("I6 a rule with the setting does", "GET", "/FOLDED/x", Rule("folded")),
    ("I7 a slash at the end", "GET", "/users/alice/", Rule("users")),
    ("I7 no slash at the end", "GET", "/users/alice", Rule("users")),
    ("I7 a dot at the end", "GET", "/users/alice/.", Ambiguous),
    ("I7 a space at the end", "GET", "/healthz%20", NoRule),
    ("I7 NUL", "GET", "/healthz%00", Rejected(ControlByte)),
    ("I7 a line feed", "GET", "/admin%0a", Rejected(ControlByte)),
    ("I7 overlong UTF-8", "GET", "/public/%c0%ae%c0%ae/admin", Rejected(NotUtf8)),
    ("I7 an overlong slash", "GET", "/public/..%c0%afadmin", Rejected(NotUtf8)),
    ("I7 an escaped letter", "GET", "/adm%69n", Rule("admin")),
    ("I7 escaped as only IIS has it", "GET", "/%u0061dmin", Rejected(BrokenEscape)),
    ("I8 a longer segment", "GET", "/apifoo", NoRule),
    ("I8 the segment and more", "GET", "/api/foo", Rule("api")),
    ("I8 the segment with a parameter", "GET", "/api;foo", Ambiguous),
    ("I9 another method", "POST", "/items/1", NoRule),
    ("I9 in lower case", "get", "/items/1", NoRule),
    ("I9 unknown", "GETX", "/items/1", NoRule),
    ("I9 the method of the rule", "GET", "/items/1", Rule("items read")),
    ("I10 a literal dot", "GET", "/v1x0/a", NoRule),
    ("I10 the dot itself", "GET", "/v1.0/a", Rule("v1.0")),
    ("I10 more in front", "GET", "/x/reports/2026", NoRule),
    ("I10 more after it", "GET", "/reports/2026/x", NoRule),
    ("I10 more after the last branch", "GET", "/summary/x", NoRule),
    ("I10 more in front of the last branch", "GET", "/reports/summary", NoRule),
];

fn evaluate(router: &Router, names: &[&'static str], method: &str, target: &[u8]) -> Outcome {
    match RequestTarget::read(target, Reject) {
        Err(fault) => Rejected(fault),
        Ok(target) => match router.find(Some(b"acme.com"), &target, method.as_bytes()) {
            Err(_) => Ambiguous,
            Ok(found) => found.map_or(NoRule, |index| Rule(names[index.index()])),
        },
    }
}

#[test]
fn path_attacks_match_the_right_rule_or_are_rejected() {
    let (names, routes): (Vec<_>, Vec<_>) = rules().into_iter().unzip();
    let router = Router::new(routes);
    let wrong: Vec<_> = ROWS
        .iter()
        .map(|(label, method, target, expected)| {
            (label, expected, evaluate(&router, &names, method, target.as_bytes()))
        })
        .filter(|(_, expected, evaluate)| *expected != evaluate)
        .collect();
    assert!(wrong.is_empty(), "label, expected, actual: {wrong:#?}");
    for case in 1..=10 {
        assert!(ROWS.iter().any(|(label, ..)| label.starts_with(&format!("I{case} "))), "no row for I{case}");
    }
}

#[test]
fn malicious_path_is_matched_in_linear_time() {
    let (names, routes): (Vec<_>, Vec<_>) = rules().into_iter().unzip();
    let router = Router::new(routes);
    let target = format!("/slow/{}", "a".repeat(8000));
    assert_eq!(evaluate(&router, &names, "GET", target.as_bytes()), NoRule, "I10 backtracking would not terminate");
}
