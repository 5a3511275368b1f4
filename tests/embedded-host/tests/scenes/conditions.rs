//! Conditions on host attributes: only those that the matched rule uses are read from the host, and a missing one denies.

use embedded_host::{HostBehavior, Outcome, Property, RootId, Status, StreamId, Vm};
use serde_json::{Value, json};

use super::{configured, fetch_keys, fetched_keys, fields, good_token, inline_keys, status, tick_until};

const ADDRESS: (&str, &[u8]) = ("source.address", b"10.1.2.3:4567");
const PORT: (&str, &[u8]) = ("source.port", b"\xd7\x11\0\0\0\0\0\0");
const MTLS: (&str, &[u8]) = ("connection.mtls", b"\x01");
const PROTOCOL: (&str, &[u8]) = ("request.protocol", b"HTTP/2");

fn rules() -> Value {
    let rule = |name: &str, condition: &str| json!({ "name": name, "match": { "path": format!("/{name}") }, "require": { "condition": condition } });
    json!([
        { "name": "plain", "match": { "path": "/plain" } },
        rule("tenant", "claims.sub == 'alice@acme.com' && request.method == 'GET'"),
        rule("office", "ip_in(source.address, ['10.0.0.0/8']) && source.port == 4567"),
        rule("device", "connection.mtls && request.protocol == 'HTTP/2'"),
        rule("unlike", "!connection.mtls || request.protocol != 'HTTP/2'"),
    ])
}

fn with_rules(mut configuration: Value) -> Value {
    configuration["rules"] = rules();
    configuration
}

fn ask(vm: &mut Vm, root: RootId, path: &str, token: Option<&str>) -> StreamId {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut head = fields(&[]);
    head.retain(|(name, _)| name != ":path");
    head.push((String::from(":path"), path.as_bytes().to_vec()));
    head.extend(bearer.map(|bearer| (String::from("authorization"), bearer.into_bytes())));
    vm.request(root, head)
}

#[test]
fn only_attributes_used_by_the_matched_rule_are_read_and_each_only_once() {
    let behavior =
        HostBehavior { properties: Property::EnvoyAnd(&[ADDRESS, PORT, MTLS, PROTOCOL]), ..HostBehavior::envoy() };
    let (mut vm, root) = configured(behavior, &with_rules(inline_keys()));
    let token = good_token();
    // The second time the token is known: the same is asked.
    for _ in 0..2 {
        for (path, token, asked, passes) in [
            ("/plain", Some(&token), &[][..], true),
            ("/elsewhere", Some(&token), &[], true),
            ("/tenant", Some(&token), &[], true),
            ("/office", Some(&token), &["source.address", "source.port"], true),
            ("/device", Some(&token), &["connection.mtls", "request.protocol"], true),
            ("/unlike", Some(&token), &["connection.mtls", "request.protocol"], false),
            ("/office", None, &[], false),
            ("/..%2foffice", Some(&token), &[], false),
        ] {
            let before = vm.properties_read().len();
            let stream = ask(&mut vm, root, path, token.map(String::as_str));
            let mut found = vm.properties_read()[before..].to_vec();
            found.sort();
            assert_eq!(found, asked, "{path}");
            assert_eq!(matches!(vm.outcome(stream), Outcome::Forwarded(_)), passes, "{path}: {:?}", vm.log().last());
        }
    }
}

#[test]
fn missing_host_attribute_denies_and_later_requests_are_served() {
    let odd: [(&str, &[u8]); 4] = [
        ("source.address", b"nowhere"),
        ("source.port", b"4567"),
        ("connection.mtls", b"\x02"),
        ("request.protocol", b"\xff"),
    ];
    let strange: &'static [(&str, &[u8])] = Box::leak(Box::new(odd));
    for properties in [
        Property::Envoy,
        Property::Empty,
        Property::Status(Status::NotFound),
        Property::Status(Status::InternalFailure),
        Property::EnvoyAnd(strange),
    ] {
        // No other host than nginx says so.
        let is_nginx = properties == Property::Status(Status::InternalFailure);
        let host = if is_nginx { HostBehavior::nginx() } else { HostBehavior::envoy() };
        let behavior = HostBehavior { properties: properties.clone(), ..host };
        let (mut vm, root) = configured(behavior, &with_rules(inline_keys()));
        for path in ["/office", "/device", "/unlike"] {
            let stream = ask(&mut vm, root, path, Some(&good_token()));
            assert_eq!(status(&vm, stream), 403, "{path} with {properties:?}");
        }
        let stream = ask(&mut vm, root, "/plain", Some(&good_token()));
        assert!(matches!(vm.outcome(stream), Outcome::Forwarded(_)), "{properties:?}");
    }
}

#[test]
fn pending_request_keeps_the_attributes_of_its_arrival() {
    let behavior = HostBehavior { properties: Property::EnvoyAnd(&[ADDRESS, PORT, MTLS]), ..HostBehavior::envoy() };
    let (mut vm, root) = configured(behavior, &with_rules(fetched_keys()));
    let office = ask(&mut vm, root, "/office", Some(&good_token()));
    let device = ask(&mut vm, root, "/device", Some(&good_token()));
    assert_eq!([vm.outcome(office), vm.outcome(device)], [Outcome::Waiting, Outcome::Waiting]);
    let asked = vm.properties_read().len();
    fetch_keys(&mut vm, root);
    tick_until(&mut vm, root, |vm| vm.outcome(office) != Outcome::Waiting && vm.outcome(device) != Outcome::Waiting);
    // By then another stream may be the one that the host speaks of.
    assert_eq!(vm.properties_read().len(), asked, "asked again when it was decided");
    assert!(matches!(vm.outcome(office), Outcome::Forwarded(_)), "{:?}", vm.log().last());
    assert_eq!(status(&vm, device), 403);
}
