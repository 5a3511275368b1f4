//! nginx with ngx_wasm_module: one scene for each way in which it was measured to differ. The host of these scenes ends the
//! worker, forwards or hides what nginx does.

use std::time::Duration;

use embedded_host::{
    Action, Callout, CalloutResponse, Fault, FaultyCalls, Fields, HostBehavior, Outcome, REQUEST_LINE_HOST, RootId,
    Status, Vm,
};
use serde_json::json;

use super::proof_signer::ProofSigner;
use super::signing::{SigningKey, payload, with};
use super::{
    NOW, configured, fetch_keys, fetched_keys, fields, forwarded, good_token, inline_keys, published, status,
    with_keys, with_token,
};

/// A head as nginx receives it.
fn get(path: &str, more: &[(&str, &str)]) -> Fields {
    let head = [(":method", "GET"), (":path", path), (":authority", "api.example"), ("host", "api.example")];
    head.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn with_public_prefix() -> serde_json::Value {
    let mut configuration = inline_keys();
    configuration["rules"] = json!([
        { "match": { "path_prefix": "/pub" }, "access": "public" },
        { "match": { "hosts": ["internal.example"] }, "access": "public" },
    ]);
    configuration
}

/// A second period traps, and one that a request sets.
#[test]
fn the_tick_period_is_set_once() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    for number in 0..5 {
        let stream = vm.request(root, with_token(&SigningKey::b(&number.to_string()).token(&payload(NOW))));
        vm.tick(root);
        vm.close(stream);
    }
    assert_eq!(vm.calls()["proxy_set_tick_period_milliseconds"], 1);
}

#[test]
fn rules_match_the_target_and_the_host_that_the_client_sent() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &with_public_prefix());
    for (path, expected) in [
        ("/admin", 401),
        ("/admin/..%2fpub/x", 400),
        ("/pub/../admin", 400),
        ("/pub/%2e%2E/admin", 400),
        ("/pub/..%5cadmin", 400),
        ("/pub/.", 400),
        ("/pub%2f..", 400),
    ] {
        let stream = vm.request(root, get(path, &[]));
        assert_eq!(status(&vm, stream), expected, "{path}");
    }
    for path in ["/pub/x", "/pub/a%20b?q=..%2f"] {
        let stream = vm.request(root, get(path, &[]));
        assert_eq!(forwarded(&vm, stream, ":path"), [path]);
    }
    let bearer = format!("Bearer {}", good_token());
    let honest = vm.request(root, get("/a%20b", &[("authorization", &bearer)]));
    assert_eq!(forwarded(&vm, honest, "x-user-id"), ["alice@acme.com"]);
}

/// nginx hands the host of `GET http://a/` to the backend, and shows the field `Host`.
#[test]
fn a_request_line_that_names_another_host_is_rejected() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &with_public_prefix());
    for (line, field, expected) in [
        (None, "internal.example", None),
        (Some("internal.example"), "internal.example", None),
        (Some("other.example"), "internal.example", Some(400)),
        (Some("internal.example"), "other.example", Some(400)),
        (None, "other.example:8080", Some(401)),
    ] {
        let mut head = get("/", &[]);
        head.retain(|(name, _)| name != "host");
        head.push((String::from("host"), field.as_bytes().to_vec()));
        head.extend(line.map(|line| (REQUEST_LINE_HOST.to_owned(), line.as_bytes().to_vec())));
        let stream = vm.request(root, head);
        match expected {
            Some(expected) => assert_eq!(status(&vm, stream), expected, "{line:?} {field}"),
            None => assert!(matches!(vm.outcome(stream), Outcome::Forwarded(_)), "{line:?} {field}"),
        }
    }
}

/// Without it the filter would decide on a normalized path, and the backend may receive the client's.
#[test]
fn a_request_whose_target_or_host_the_host_does_not_return_is_rejected() {
    for status in [Status::NotFound as i32, 3, Status::InternalFailure as i32] {
        // The first property that is read tells the kind of host; each request reads its target and its host.
        for (call, more) in [(2, ("x", "y")), (3, (REQUEST_LINE_HOST, "internal.example"))] {
            let fault = Fault { function: "proxy_get_property", status, calls: FaultyCalls::Only(call) };
            let behavior = HostBehavior { fault: Some(fault), ..HostBehavior::nginx() };
            let (mut vm, root) = configured(behavior, &with_public_prefix());
            let path = if call == 2 { "/admin/..%2fpub/x" } else { "/pub/x" };
            let stream = vm.request(root, get(path, &[more]));
            assert_eq!(self::status(&vm, stream), 503, "{status} of call {call}");
            let next = vm.request(root, get("/pub/x", &[]));
            assert!(matches!(vm.outcome(next), Outcome::Forwarded(_)));
        }
    }
    // An empty target, which nginx shows as `/`.
    let mut document = with_public_prefix();
    document["rules"] = json!([{ "match": { "path": "/" }, "access": "public" }]);
    let (mut vm, root) = configured(HostBehavior::nginx(), &document);
    let stream = vm.request(root, get("", &[]));
    assert_eq!(status(&vm, stream), 503);
}

/// The backend may have received the request, but the client does not get the response.
#[test]
fn a_response_to_a_rejected_request_is_withheld_unless_it_is_the_filters_own() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &with_public_prefix());
    let rejected = vm.request(root, get("/admin", &[]));
    let Outcome::Responded(own) = vm.outcome(rejected) else { panic!("not answered") };
    let marked: Vec<_> = own.headers.iter().filter(|(name, _)| name.ends_with("-response")).collect();
    assert_eq!(marked.len(), 1, "{:?}", own.headers);
    let passed = vm.response_of(rejected, own.headers.clone(), &own.body);
    assert!(!passed.headers.iter().any(|(name, _)| name.ends_with("-response")), "the mark stays in the gateway");
    assert_eq!(passed.body, own.body);
    let served = [(":status", "200"), ("set-cookie", "session=1"), ("content-length", "6"), ("date", "now")];
    let served: Fields = served.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let guessed = [served.clone(), vec![(marked[0].0.clone(), b"0".to_vec())]].concat();
    for head in [served.clone(), guessed] {
        let withheld = vm.response_of(rejected, head, b"secret");
        assert!(withheld.headers.contains(&(String::from(":status"), b"500".to_vec())), "{:?}", withheld.headers);
        assert!(!withheld.headers.iter().any(|(name, _)| name == "set-cookie"), "{:?}", withheld.headers);
        assert!(!String::from_utf8_lossy(&withheld.body).contains("secret"));
    }
    let allowed = vm.request(root, get("/pub/x", &[]));
    let passed = vm.response_of(allowed, served.clone(), b"public");
    assert_eq!((passed.headers, passed.body), (served, b"public".to_vec()));
}

#[test]
fn fields_that_cannot_be_removed_are_emptied_and_repeated_ones_are_rejected() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &with_public_prefix());
    let bearer = format!("Bearer {}", good_token());
    let spoofed = vm.request(root, get("/", &[("authorization", &bearer), ("X-User-Id", "root")]));
    assert_eq!(forwarded(&vm, spoofed, "authorization"), [""]);
    assert_eq!(forwarded(&vm, spoofed, "X-User-Id"), ["alice@acme.com"]);
    assert_eq!(forwarded(&vm, spoofed, "x-user-id"), Vec::<String>::new());
    let public = vm.request(root, get("/pub/x", &[("x-user-id", "root")]));
    assert_eq!(forwarded(&vm, public, "x-user-id"), [""]);
    for path in ["/", "/pub/x"] {
        let twice = [("authorization", bearer.as_str()), ("x-user-id", "a"), ("X-User-Id", "b")];
        let stream = vm.request(root, get(path, &twice));
        assert_eq!(status(&vm, stream), 400, "{path}");
    }
}

#[test]
fn a_head_that_the_host_does_not_show_whole_is_rejected_unread() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &with_public_prefix());
    for (more, expected) in [(92, None), (93, Some(431)), (120, Some(431))] {
        let names: Vec<String> = (0..more).map(|number| format!("h{number}")).collect();
        let more: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        let stream = vm.request(root, get("/pub/x", &more));
        match expected {
            Some(expected) => assert_eq!(status(&vm, stream), expected),
            None => assert!(matches!(vm.outcome(stream), Outcome::Forwarded(_))),
        }
    }
}

/// Only its own callout can release a request.
#[test]
fn a_request_waits_for_its_own_callout_and_others_are_to_try_again() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    let token = SigningKey::b("k2").token(&payload(NOW));
    let first = vm.request(root, with_token(&token));
    assert_eq!(vm.outcome(first), Outcome::Waiting);
    assert_eq!(vm.body(first, 10, true), Action::Pause);
    let callout = vm.take_callout().unwrap();
    assert_eq!(callout.owner, first.0);
    let second = vm.request(root, with_token(&token));
    assert_eq!(status(&vm, second), 503);
    let Outcome::Responded(response) = vm.outcome(second) else { panic!("not answered") };
    assert!(response.headers.iter().any(|(name, _)| name == "retry-after"), "{:?}", response.headers);
    vm.tick(root);
    assert_eq!(vm.outcome(first), Outcome::Waiting, "the root releases nobody");
    let keys = super::key_set(&[&SigningKey::a("k1"), &SigningKey::b("k2")]).to_string();
    vm.answer(&callout, CalloutResponse::new(200, keys.as_bytes()));
    assert_eq!(forwarded(&vm, first, "x-user-id"), ["alice@acme.com"]);
    let third = vm.request(root, with_token(&token));
    assert_eq!(forwarded(&vm, third, "x-user-id"), ["alice@acme.com"]);
}

/// Its signature fails with the key held, and the fetch under way may bring another one: 401 would be wrong.
#[test]
fn a_token_of_a_replaced_key_is_to_be_sent_again_while_another_request_fetches_the_keys() {
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    let token = SigningKey::b("k1").token(&payload(NOW));
    let first = vm.request(root, with_token(&token));
    let second = vm.request(root, with_token(&token));
    assert_eq!((vm.outcome(first), status(&vm, second)), (Outcome::Waiting, 503));
    let callout = vm.take_callout().unwrap();
    vm.answer(&callout, CalloutResponse::new(200, super::key_set(&[&SigningKey::b("k1")]).to_string().as_bytes()));
    assert_eq!(forwarded(&vm, first, "x-user-id"), ["alice@acme.com"]);
    let third = vm.request(root, with_token(&token));
    assert_eq!(forwarded(&vm, third, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn a_callout_that_fails_or_leaves_the_request_pending_never_forwards_it() {
    for answer in [CalloutResponse::none(), CalloutResponse::new(500, b""), CalloutResponse::new(200, b"{}")] {
        let (mut vm, root) = with_keys(HostBehavior::nginx());
        let stream = vm.request(root, with_token(&SigningKey::b("k2").token(&payload(NOW))));
        let callout = vm.take_callout().unwrap();
        vm.answer(&callout, answer);
        assert_eq!(status(&vm, stream), 503);
    }
    // The client has gone: its callout ends unheard.
    let (mut vm, root) = with_keys(HostBehavior::nginx());
    let stream = vm.request(root, with_token(&SigningKey::b("k2").token(&payload(NOW))));
    let callout = vm.take_callout().unwrap();
    vm.close(stream);
    vm.answer(&callout, published());
    let later = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, later, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn requests_before_the_first_keys_are_to_try_again() {
    let (mut vm, root) = configured(HostBehavior::nginx(), &fetched_keys());
    vm.tick(root);
    let early = vm.request(root, with_token(&good_token()));
    assert_eq!(status(&vm, early), 503, "the root fetches the keys");
    let callout = vm.take_callout().unwrap();
    vm.answer(&callout, published());
    let stream = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
    let (mut vm, root) = configured(HostBehavior::nginx(), &fetched_keys());
    let waits = vm.request(root, with_token(&good_token()));
    fetch_keys(&mut vm, root);
    assert_eq!(forwarded(&vm, waits, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn a_proof_is_used_up_by_the_worker_that_accepts_it_and_the_log_says_so() {
    let mut document = inline_keys();
    for provider in document["providers"].as_object_mut().unwrap().values_mut() {
        provider["sender_constraint"] =
            json!({ "dpop": "if_bound", "proofs": { "origins": ["https://api.acme.com"] } });
    }
    let client = ProofSigner::new(1);
    let token = SigningKey::a("k1").token(&with(&payload(NOW), json!({ "cnf": { "jkt": client.thumbprint() } })));
    let proof = client.proof(&token, NOW, json!({ "htu": "https://api.acme.com/accounts" }));
    let credential = format!("DPoP {token}");
    let mut statuses = Vec::new();
    for _ in 0..2 {
        let mut vm = Vm::start(HostBehavior::nginx());
        let (root, _) = vm.configure(document.to_string().as_bytes());
        let is_said = |line: &String| line.contains("$.replay_detection: each worker of this host");
        assert!(vm.log().iter().any(is_said), "{:?}", vm.log());
        for _ in 0..2 {
            let request = fields(&[("authorization", credential.as_bytes()), ("dpop", proof.as_bytes())]);
            let stream = vm.request(root, request);
            statuses.push(match vm.outcome(stream) {
                Outcome::Forwarded(_) => 200,
                Outcome::Responded(response) => response.status,
                Outcome::Waiting => 0,
            });
        }
    }
    assert_eq!(statuses, [200, 401, 200, 401]);
}

#[test]
fn all_that_this_host_cannot_do_is_logged_at_once() {
    let mut document = inline_keys();
    document["token"] = json!({ "from_params": ["access_token"] });
    document["filter_state"] = json!(["subject"]);
    document["clear_route_cache"] = json!(true);
    for provider in document["providers"].as_object_mut().unwrap().values_mut() {
        provider["sender_constraint"] = json!({ "mtls": "if_bound", "dpop": "if_bound",
            "proofs": { "origins": ["https://api.acme.com"], "nonce": "required" } });
    }
    let mut vm = Vm::start(HostBehavior::nginx());
    vm.configure(document.to_string().as_bytes());
    for setting in [
        "`token.from_params`",
        "`filter_state`",
        "`clear_route_cache`",
        "`sender_constraint.mtls`",
        "`sender_constraint.proofs.nonce`",
    ] {
        let logged = |line: &String| line.contains("the configuration is refused") && line.contains(setting);
        assert!(vm.log().iter().any(logged), "{setting}: {:?}", vm.log());
    }
}

#[test]
fn what_works_otherwise_in_this_host_is_logged_at_start_and_nowhere_else() {
    let mut document = fetched_keys();
    document["providers"]["okta"]["introspection"] = json!({
        "client_id": "0oaGateway", "client_secret": { "env": "CLIENT_SECRET" }, "requests_per_minute": 60 });
    document["rules"] = json!([
        { "match": { "path": "/a" }, "require": { "condition": "source.port == 1 && request.method == 'GET'" } },
        { "match": { "path": "/b" }, "require": { "condition": "ip_in(source.address, ['10.0.0.0/8'])" } },
    ]);
    document["default_rule"] = json!({ "require": { "condition": "connection.mtls || destination.port == 443" } });
    let warnings = |behavior: HostBehavior, document: &serde_json::Value| -> Vec<String> {
        let behavior = HostBehavior { environment: &["CLIENT_SECRET=hunter2"], ..behavior };
        let (vm, _) = configured(behavior, document);
        assert!(!vm.log().iter().any(|line| line.starts_with("error")), "{:?}", vm.log());
        vm.log().iter().filter(|line| line.starts_with("warn: ")).cloned().collect()
    };
    let reads = |path: &str, attribute: &str| {
        format!(
            "warn: {path}: this host does not provide `{attribute}`, and a condition that reads it denies the request"
        )
    };
    let expected = [
        reads("$.rules[0]", "source.port"),
        reads("$.default_rule", "destination.port"),
        reads("$.default_rule", "connection.mtls"),
        String::from(
            "warn: $.providers.okta.introspection.requests_per_minute: each worker of this host makes up to 60 calls a minute, because workers share nothing",
        ),
        String::from(
            "warn: the upstream \"okta\" is not a name of DNS, and this host has no clusters: write `host:port`",
        ),
    ];
    let all = warnings(HostBehavior::nginx(), &document);
    let own: Vec<_> = all.iter().filter(|line| line.contains("this host") || line.contains("attribute")).collect();
    assert_eq!(own, expected.iter().collect::<Vec<_>>());
    let on_envoy = warnings(HostBehavior::newest_envoy(), &document);
    assert!(!on_envoy.iter().any(|line| line.contains("this host")), "{on_envoy:?}");
    let mut plain = fetched_keys();
    plain["providers"]["okta"]["upstream"] = json!("acme.okta.com:443");
    let quiet = warnings(HostBehavior::nginx(), &plain);
    assert!(!quiet.iter().any(|line| line.contains("this host")), "{quiet:?}");
}

/// A rejected configuration would end the worker, with the port still open.
#[test]
fn a_rejected_configuration_is_accepted_and_rejects_every_request() {
    let mut from_params = inline_keys();
    from_params["token"] = json!({ "from_params": ["access_token"] });
    for document in [String::from("{}"), from_params.to_string()] {
        let mut vm = Vm::start(HostBehavior::nginx());
        let (root, accepted) = vm.configure(document.as_bytes());
        assert!(accepted);
        assert!(vm.log().iter().any(|line| line.contains("the configuration is refused")), "{:?}", vm.log());
        for head in [fields(&[]), with_token(&good_token())] {
            let stream = vm.request(root, head);
            assert_eq!(status(&vm, stream), 503);
        }
    }
    let mut forwarding = from_params;
    forwarding["token"]["forward"] = json!(true);
    let (mut vm, root) = configured(HostBehavior::nginx(), &forwarding);
    let stream = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
}

/// Keys of two providers, introspection and a revocation list, none of which is held.
fn started_cold() -> (Vm, RootId) {
    let behavior = HostBehavior { environment: &["SECRET=hunter2"], ..HostBehavior::nginx() };
    let mut document = fetched_keys();
    document["providers"]["other"] = json!({ "issuer": "https://other.example", "audiences": ["api"],
        "upstream": "other.example:443", "jwks": { "uri": "https://other.example/keys" } });
    document["providers"]["okta"]["introspection"] = json!({ "client_id": "gateway", "client_secret": { "env": "SECRET" }, "uri": "https://acme.okta.com/introspect" });
    document["revocations"] = json!({ "uri": "https://lists.example/revoked", "upstream": "lists.example:443" });
    configured(behavior, &document)
}

fn callouts(vm: &mut Vm) -> Vec<Callout> {
    std::iter::from_fn(|| vm.take_callout()).collect()
}

fn path(callout: &Callout) -> &str {
    let path = callout.headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.as_slice());
    std::str::from_utf8(path.unwrap_or_default()).unwrap()
}

/// A local response cancels all callouts of its request, and the worker dies if the host is resolving one of them.
#[test]
fn a_request_sends_only_the_callout_that_it_waits_for() {
    let (mut vm, root) = started_cold();
    let stream = vm.request(root, with_token("an-opaque-token"));
    let own = callouts(&mut vm);
    assert_eq!(own.iter().map(path).collect::<Vec<_>>(), ["/introspect"]);
    assert_eq!(own[0].owner, stream.0);
    // Nobody waits for the others: the root sends them.
    vm.pass(Duration::from_millis(100));
    vm.tick(root);
    let others = callouts(&mut vm);
    assert!(others.iter().all(|callout| callout.owner == root.0), "{others:?}");
    let mut paths: Vec<&str> = others.iter().map(path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/keys", "/oauth2/default/v1/keys", "/revoked"]);
    vm.answer(&own[0], CalloutResponse::new(200, br#"{"active":false}"#));
    assert_eq!(status(&vm, stream), 401);
    for callout in &others {
        vm.answer(callout, if path(callout) == "/revoked" { revoked_nobody() } else { published() });
    }
    let next = vm.request(root, with_token(&good_token()));
    assert_eq!(forwarded(&vm, next, "x-user-id"), ["alice@acme.com"]);
}

#[test]
fn a_request_sends_one_callout_after_the_other() {
    let (mut vm, root) = started_cold();
    let stream = vm.request(root, with_token(&good_token()));
    let keys = callouts(&mut vm);
    assert_eq!(keys.iter().map(path).collect::<Vec<_>>(), ["/oauth2/default/v1/keys"]);
    // A request that needs what was left to the root sends it itself.
    let other =
        SigningKey::a("k1").token(&with(&payload(NOW), json!({ "iss": "https://other.example", "aud": "api" })));
    let second = vm.request(root, with_token(&other));
    let other_keys = callouts(&mut vm);
    assert_eq!(other_keys.iter().map(|one| (path(one), one.owner)).collect::<Vec<_>>(), [("/keys", second.0)]);
    vm.answer(&keys[0], published());
    let list = callouts(&mut vm);
    assert_eq!(list.iter().map(|one| (path(one), one.owner)).collect::<Vec<_>>(), [("/revoked", stream.0)]);
    assert_eq!(vm.outcome(stream), Outcome::Waiting);
    vm.answer(&list[0], revoked_nobody());
    assert_eq!(forwarded(&vm, stream, "x-user-id"), ["alice@acme.com"]);
    vm.answer(&other_keys[0], published());
    assert_eq!(forwarded(&vm, second, "x-user-id"), ["alice@acme.com"]);
    // Nothing is left to send.
    vm.pass(Duration::from_millis(100));
    vm.tick(root);
    assert_eq!(callouts(&mut vm), []);
}

fn revoked_nobody() -> CalloutResponse {
    CalloutResponse::new(200, br#"{"revoked":[]}"#)
}
