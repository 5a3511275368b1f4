//! An example's `envoy.yaml` on a test machine. Only what must differ there is changed: ports, the paths of the module and the
//! certificates, and the endpoints of the clusters. A setting that cannot be placed is a fault, so that no part of the file is
//! dropped silently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Who stands for a server that the gateway itself asks: an identity provider, whoever lists revoked tokens, or counts requests.
pub struct CalledServer {
    /// Its host, as the configuration has it.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// Who signed its certificate.
    pub ca: PathBuf,
}

/// The files of a listener that speaks TLS.
pub struct ListenerFiles<'a> {
    /// The gateway's certificate.
    pub certificate_chain: &'a Path,
    /// Its key.
    pub private_key: &'a Path,
    /// Who signs the clients' certificates.
    pub trusted_ca: &'a Path,
}

/// What things are on this machine.
pub struct Machine<'a> {
    /// The built module.
    pub module: &'a Path,
    /// By cluster.
    pub asked: BTreeMap<String, CalledServer>,
    /// Ports by cluster.
    pub backends: BTreeMap<String, u16>,
    /// For every listener.
    pub files: ListenerFiles<'a>,
}

/// The clusters that the routes lead to.
pub fn routed_clusters(bootstrap: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    visit(&bootstrap["static_resources"]["listeners"], &mut |name, value| {
        if name == "cluster" {
            found.extend(value.as_str().map(str::to_owned));
        }
    });
    found
}

/// The cluster of the rate-limit service and its host, where Envoy asks one.
pub fn rate_limit_service(bootstrap: &Value) -> Option<(String, String)> {
    let mut named = None;
    visit(&bootstrap["static_resources"]["listeners"], &mut |name, value| {
        if name == "rate_limit_service" {
            named = value["grpc_service"]["envoy_grpc"]["cluster_name"].as_str().map(str::to_owned);
        }
    });
    let cluster = named?;
    let mut clusters = bootstrap["static_resources"]["clusters"].as_array()?.iter();
    let mut host = None;
    visit(clusters.find(|it| it["name"] == cluster)?, &mut |name, value| {
        if name == "socket_address" {
            host = value["address"].as_str().map(str::to_owned);
        }
    });
    Some((cluster, host?))
}

/// The listeners that speak TLS.
pub fn tls_listeners(bootstrap: &Value) -> Vec<String> {
    let listeners = bootstrap["static_resources"]["listeners"].as_array().into_iter().flatten();
    let speaks_tls = |listener: &&Value| {
        let chains = listener["filter_chains"].as_array().into_iter().flatten();
        chains.into_iter().any(|chain| chain["transport_socket"].is_object())
    };
    listeners.filter(speaks_tls).filter_map(|listener| listener["name"].as_str().map(str::to_owned)).collect()
}

/// The bootstrap for this machine, or what could not be placed.
pub fn place(bootstrap: &Value, machine: &Machine) -> Result<Value, Vec<String>> {
    let mut placed = bootstrap.clone();
    let mut faults = Vec::new();
    placed["admin"]["address"] = loopback(0);
    for listener in elements(&mut placed["static_resources"]["listeners"]) {
        place_listener(listener, machine, &mut faults);
    }
    for cluster in elements(&mut placed["static_resources"]["clusters"]) {
        if let Err(fault) = place_cluster(cluster, machine) {
            faults.push(format!("cluster {}: {fault}", cluster["name"]));
        }
    }
    visit(&placed, &mut |name, value| match name {
        "filename" if !value.as_str().is_some_and(|path| Path::new(path).is_file()) => {
            faults.push(format!("the file {value} is not on this machine and nothing stands for it"));
        }
        "socket_address" if value["address"] != "127.0.0.1" => {
            faults.push(format!("the address {value} is not on this machine and nothing stands for it"));
        }
        _ => {}
    });
    if faults.is_empty() { Ok(placed) } else { Err(faults) }
}

fn place_listener(listener: &mut Value, machine: &Machine, faults: &mut Vec<String>) {
    listener["address"] = loopback(0);
    let files = &machine.files;
    let mut modules = 0;
    change(listener, &mut |name, value| match name {
        // A text is a status.
        "code" if value.is_object() => {
            modules += 1;
            let written = value["local"]["filename"].as_str().unwrap_or_default();
            if written.ends_with("/okta_proxy_wasm.wasm") {
                value["local"]["filename"] = json!(machine.module);
            } else {
                faults.push(format!("{written:?} is not the module"));
            }
        }
        "certificate_chain" => value["filename"] = json!(files.certificate_chain),
        "private_key" => value["filename"] = json!(files.private_key),
        "trusted_ca" => value["filename"] = json!(files.trusted_ca),
        _ => {}
    });
    if modules == 0 {
        faults.push(format!("listener {}: the filter is not in it", listener["name"]));
    }
}

fn place_cluster(cluster: &mut Value, machine: &Machine) -> Result<(), String> {
    let name = cluster["name"].as_str().unwrap_or_default().to_owned();
    let port = match (machine.asked.get(&name), machine.backends.get(&name)) {
        (Some(asked), None) => {
            place_validated_tls(cluster, asked)?;
            asked.port
        }
        (None, Some(port)) => *port,
        (Some(_), Some(_)) => return Err("it is both asked by the gateway and a backend".to_owned()),
        (None, None) => return Err("neither the filter nor a rate limit names it, and no route leads to it".to_owned()),
    };
    let mut endpoints = 0;
    change(cluster, &mut |name, value| {
        if name == "endpoint" {
            endpoints += 1;
            value["address"] = loopback(port);
        }
    });
    cluster["type"] = json!("STATIC");
    if endpoints == 1 { Ok(()) } else { Err(format!("it has {endpoints} endpoints, and one is expected")) }
}

/// TLS stays validated: only who signed the certificate is another on this machine.
fn place_validated_tls(cluster: &mut Value, asked: &CalledServer) -> Result<(), String> {
    let context = &mut cluster["transport_socket"]["typed_config"];
    let validation = &mut context["common_tls_context"]["validation_context"];
    if !validation["trusted_ca"]["filename"].is_string() {
        return Err("its TLS is not validated: there is no trusted_ca".to_owned());
    }
    validation["trusted_ca"]["filename"] = json!(asked.ca);
    let name_is_checked = validation["match_typed_subject_alt_names"]
        == json!([{ "san_type": "DNS", "matcher": { "exact": asked.host } }]);
    if context["sni"] == *asked.host && name_is_checked {
        return Ok(());
    }
    Err(format!("its TLS does not ask for the host {}", asked.host))
}

fn loopback(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn elements(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_array_mut().into_iter().flatten()
}

/// Shows every member of every object, from the outside in.
fn visit(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                see(name, member);
                visit(member, see);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, see)),
        _ => {}
    }
}

/// The same for what may be changed.
fn change(value: &mut Value, see: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                see(name, member);
                change(member, see);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| change(element, see)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = env!("CARGO_MANIFEST_DIR");

    fn bootstrap() -> Value {
        let route = json!({ "route": { "cluster": "orders" } });
        let code = json!({ "local": { "filename": "./target/okta_proxy_wasm.wasm" } });
        let context = json!({ "sni": "acme.okta.com", "common_tls_context": { "validation_context": {
            "trusted_ca": { "filename": "/etc/ssl/certs/ca-certificates.crt" },
            "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": "acme.okta.com" } }] } } });
        let cluster = |name, address| {
            json!({ "name": name, "type": "STRICT_DNS", "load_assignment": { "endpoints": [{ "lb_endpoints": [
                { "endpoint": { "address": { "socket_address": { "address": address, "port_value": 443 } } } }] }] } })
        };
        let mut okta = cluster("okta", "acme.okta.com");
        okta["transport_socket"]["typed_config"] = context;
        json!({
            "admin": { "address": { "socket_address": { "address": "127.0.0.1", "port_value": 9901 } } },
            "static_resources": {
                "listeners": [{ "name": "api", "address": { "socket_address": { "address": "0.0.0.0", "port_value": 80 } },
                    "filter_chains": [{ "code": code, "routes": [route] }] }],
                "clusters": [okta, cluster("orders", "10.0.0.7")],
            },
        })
    }

    fn placed(bootstrap: &Value) -> Result<Value, Vec<String>> {
        let file = Path::new(HERE).join("Cargo.toml");
        let okta = CalledServer { host: "acme.okta.com".to_owned(), port: 1443, ca: file.clone() };
        let machine = Machine {
            module: &file,
            asked: BTreeMap::from([("okta".to_owned(), okta)]),
            backends: routed_clusters(bootstrap).into_iter().map(|cluster| (cluster, 1080)).collect(),
            files: ListenerFiles { certificate_chain: &file, private_key: &file, trusted_ca: &file },
        };
        place(bootstrap, &machine)
    }

    #[test]
    fn only_what_must_differ_is_changed() {
        let text = placed(&bootstrap()).unwrap().to_string();
        for gone in ["0.0.0.0", "10.0.0.7", "443}", "ca-certificates", "STRICT_DNS", "okta_proxy_wasm"] {
            assert!(!text.replace("1443}", "").contains(gone), "{gone} is still in {text}");
        }
        for kept in ["\"sni\":\"acme.okta.com\"", "\"exact\":\"acme.okta.com\"", "1443", "1080"] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
    }

    #[test]
    fn unplaceable_setting_is_reported() {
        let change = |pointer: &str, value: Value| {
            let mut changed = bootstrap();
            *changed.pointer_mut(pointer).unwrap() = value;
            placed(&changed).unwrap_err().join("; ")
        };
        let okta = "/static_resources/clusters/0";
        let validation = format!("{okta}/transport_socket/typed_config/common_tls_context/validation_context");
        let listener = "/static_resources/listeners/0";
        for (pointer, value, fault) in [
            (format!("{okta}/name"), json!("other"), "neither the filter nor a rate limit names it"),
            (
                format!("{listener}/filter_chains/0/routes/0/route/cluster"),
                json!("okta"),
                "both asked by the gateway and a backend",
            ),
            (format!("{okta}/transport_socket/typed_config/sni"), json!("evil.com"), "does not ask for the host"),
            (format!("{validation}/match_typed_subject_alt_names"), json!([]), "does not ask for the host"),
            (validation.clone(), json!({}), "TLS is not validated"),
            (format!("{okta}/load_assignment"), json!({}), "0 endpoints"),
            (
                format!("{listener}/filter_chains/0/code"),
                json!({ "local": { "filename": "other.wasm" } }),
                "not the module",
            ),
            (format!("{listener}/filter_chains"), json!([]), "the filter is not in it"),
            ("/admin".to_owned(), json!({ "access_log": { "filename": "/no/such/file" } }), "nothing stands for it"),
        ] {
            assert!(change(&pointer, value).contains(fault), "{pointer}: {fault}");
        }
    }
}
