//! Requests and tokens in a second spelling, in a real Envoy: no spelling changes the result of a condition.

use super::*;

#[test]
fn no_spelling_of_a_request_or_type_of_a_claim_bypasses_a_condition() {
    let configuration = with_rules(vec![
        condition("orgs", "claims.tenant == path_segment(request.url_path, 2)"),
        condition("prefix", "request.url_path.startsWith('/prefix/' + claims.tenant + '/')"),
        condition("not-guest", "claims.role != 'guest' && !(claims.role in ['visitor'])"),
        condition("active", "claims.suspended != true"),
        condition("slash", "request.url_path != '/slash'"),
        condition("elsewhere", "request.host != 'admin.acme.com'"),
        condition("devices", "request.headers['x-device-id'] == claims.device"),
        condition("no-debug", "!('x-debug' in request.headers)"),
    ]);
    let gateway = Setup { configuration, workers: 1, ..Setup::default() }.start();
    let get = |path: &str, claims: Value| Request::get(path).bearer(&gateway.bent(claims));
    let tenant = |path: &str, tenant: &str| get(path, json!({ "tenant": tenant }));
    let role = |role: Value| get("/not-guest", json!({ "role": role }));
    let at = |host: &str| get("/elsewhere", json!({})).header("host", host);
    let device = |id: &str| get("/devices", json!({ "device": "d-7" })).header("x-device-id", id);
    let rows = [
        // A tenant that calls itself `acme%20inc` does not get the paths of `acme inc`.
        ("condition_unmet", tenant("/orgs/acme%20inc/users", "acme%20inc")),
        ("authorized", tenant("/orgs/acme%20inc/users", "acme inc")),
        ("authorized", tenant("/orgs/acme%2520inc/users", "acme%20inc")),
        ("authorized", tenant("/orgs/caf%c3%a9/", "caf\u{e9}")),
        ("condition_path_ambiguous", tenant("/prefix/acme%20inc/users", "acme%20inc")),
        ("authorized", tenant("/prefix/acme/users", "acme")),
        ("authorized", role(json!("admin"))),
        ("condition_unmet", role(json!("guest"))),
        ("condition_wrong_type", role(json!(["guest"]))),
        ("condition_wrong_type", role(json!({ "guest": true }))),
        ("condition_wrong_type", role(json!(0))),
        ("condition_wrong_type", get("/active", json!({ "suspended": "true" }))),
        ("condition_value_missing", get("/active", json!({}))),
        ("authorized", get("/active", json!({ "suspended": false }))),
        ("condition_unmet", get("/slash", json!({}))),
        ("condition_path_ambiguous", get("/slash/", json!({}))),
        ("authorized", get("/slash/x/", json!({}))),
        ("authorized", at("acme.com")),
        ("authorized", at("acme.com:81")),
        ("condition_unmet", at("ADMIN.acme.com")),
        ("condition_host_ambiguous", at("admin.acme.com:81")),
        ("condition_host_ambiguous", at("admin.acme.com.")),
        // Two device headers are no device, whichever of them a backend takes.
        ("authorized", device("d-7")),
        ("condition_header_ambiguous", device("d-7").header("x-device-id", "d-8")),
        ("authorized", get("/no-debug", json!({}))),
        ("condition_unmet", get("/no-debug", json!({})).header("x-debug", "1")),
        ("condition_header_ambiguous", get("/no-debug", json!({})).header("X.Debug", "1")),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(reason, request)| (reason, gateway.port(), request)).collect();
    assert_rows(&gateway, &rows);
}
