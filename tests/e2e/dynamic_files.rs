//! The gateway under `envoy/dynamic`, whose files may change while it runs: it equals the bootstrap of `envoy/envoy.yaml` and
//! runs unchanged. Changes under load are in `tests/e2e_load/reload.rs`.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::authorization_server::UserTokenRequest;
use testbed::module::{project_root, wasm_module};
use testbed::polling::until;
use testbed::{
    AuthorizationServer, Backend, ClientTokenRequest, Connection, Envoy, EnvoyBuilder, ProofKey, Request, TempDir,
};

const ISSUER: &str = "https://acme.okta.com/oauth2/default";
const FILES: [&str; 4] = ["envoy.yaml", "listeners.yaml", "clusters.yaml", "filter.yaml"];
const A_WHILE: Duration = Duration::from_secs(20);

fn text(path: &str) -> String {
    fs::read_to_string(project_root().join("envoy").join(path)).unwrap()
}

fn yaml(path: &str) -> Value {
    yaml_serde::from_str(&text(path)).unwrap()
}

/// A file's resources without their types.
fn resources(path: &str) -> Vec<Value> {
    let mut resources = yaml(path)["resources"].as_array().unwrap().clone();
    resources.iter_mut().for_each(|resource| drop(resource.as_object_mut().unwrap().remove("@type").unwrap()));
    resources
}

#[test]
fn dynamic_files_equal_the_static_bootstrap_in_parts() {
    let mut listeners = resources("dynamic/listeners.yaml");
    let place = "/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    let mut whole = json!(&mut listeners);
    let filter = whole.pointer_mut(place).unwrap();
    assert_eq!(filter["config_discovery"]["default_config"], Value::Null, "it would serve without our filter");
    assert_eq!(filter["name"], resources("dynamic/filter.yaml")[0]["name"]);
    *filter = resources("dynamic/filter.yaml").remove(0);
    let bootstrap = yaml("envoy.yaml");
    assert_eq!(whole, bootstrap["static_resources"]["listeners"]);
    assert_eq!(json!(resources("dynamic/clusters.yaml")), bootstrap["static_resources"]["clusters"]);
    assert_eq!(yaml("dynamic/envoy.yaml")["admin"], bootstrap["admin"]);
}

/// The files on this machine.
struct Site {
    directory: TempDir,
    backend: Backend,
    idp: Arc<AuthorizationServer>,
}

impl Site {
    /// Copies the files and changes nothing but where things are.
    fn new() -> Self {
        let directory = TempDir::with_prefix("dynamic-").unwrap();
        let (backend, idp) = (Backend::start(), AuthorizationServer::shared(ISSUER));
        let places = [
            ("./envoy/dynamic", directory.path().display().to_string()),
            ("./target/wasm32-wasip1/release/okta_proxy_wasm.wasm", wasm_module().display().to_string()),
            ("/etc/ssl/certs/ca-certificates.crt", idp.ca_pem_path().display().to_string()),
            ("address: acme.okta.com, port_value: 443", format!("address: 127.0.0.1, port_value: {}", idp.port())),
            ("port_value: 9000", format!("port_value: {}", backend.port())),
            ("port_value: 10000", "port_value: 0".to_owned()),
            ("port_value: 9901", "port_value: 0".to_owned()),
        ];
        let mut texts = FILES.map(|file| text(&format!("dynamic/{file}")));
        for (written, here) in places {
            let before = texts.clone();
            texts = texts.map(|text| text.replace(written, &here));
            assert_ne!(texts, before, "no file has {written:?}");
        }
        for (file, text) in FILES.iter().zip(texts) {
            fs::write(directory.path().join(file), text).unwrap();
        }
        Self { directory, backend, idp }
    }

    fn start(&self) -> Envoy {
        let bootstrap = fs::read_to_string(self.directory.path().join("envoy.yaml")).unwrap();
        EnvoyBuilder::new().start_as_written(&yaml_serde::from_str(&bootstrap).unwrap())
    }

    /// Moves a changed filter into place, as the bootstrap says.
    fn change_filter(&self, from: &str, to: &str) {
        let [path, new] = ["filter.yaml", "new.yaml"].map(|file| self.directory.path().join(file));
        let before = fs::read_to_string(&path).unwrap();
        let after = before.replace(from, to);
        assert_ne!(before, after, "the filter has no {from:?}");
        fs::write(&new, after).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn port(envoy: &Envoy) -> u16 {
    envoy.listening_ports()["api"]
}

fn wait_for_count(envoy: &Envoy, what: &str, count: u64) {
    until(what, A_WHILE, || {
        (envoy.stat(&format!("extension_config_discovery.http_filter.okta.{what}")) >= count).then_some(())
    });
}

#[test]
fn changed_filter_applies_to_open_connections_and_faulty_filter_is_ignored() {
    let site = Site::new();
    let envoy = site.start();
    let token = site.idp.user_token(&UserTokenRequest::default());
    let mut connection = Connection::open(port(&envoy)).unwrap();
    let mut get = || {
        connection.send(&Request::get("/accounts").bearer(&token)).unwrap();
        connection.read_response().unwrap().status
    };
    assert_eq!(get(), 200);

    site.change_filter("\"audiences\"", "\"audience\"");
    wait_for_count(&envoy, "update_rejected", 1);
    assert_eq!(get(), 200, "what is refused changes nothing");

    site.change_filter("\"audience\": [\"api://default\"]", "\"audiences\": [\"api://other\"]");
    wait_for_count(&envoy, "update_success", 2);
    until("the other audience", A_WHILE, || (get() == 401).then_some(()));
    assert_eq!(Request::get("/accounts").bearer(&token).send(port(&envoy)).status, 401);
}

#[test]
fn without_a_loadable_filter_every_request_is_rejected() {
    let site = Site::new();
    site.change_filter("\"audiences\"", "\"audience\"");
    let envoy = site.start();
    wait_for_count(&envoy, "update_rejected", 1);
    let token = site.idp.user_token(&UserTokenRequest::default());
    assert_eq!(Request::get("/accounts").bearer(&token).send(port(&envoy)).status, 500);
    assert_eq!(Request::get("/accounts").send(port(&envoy)).status, 500);

    site.change_filter("\"audience\"", "\"audiences\"");
    until("the filter", A_WHILE, || {
        (Request::get("/accounts").bearer(&token).send(port(&envoy)).status == 200).then_some(())
    });
    assert_eq!(site.backend.count(), 1);
}

/// The memory of used proofs (DPoP) is that of the process.
#[test]
fn used_proof_is_rejected_by_the_changed_filter_too() {
    const URL: &str = "https://api.acme.com/accounts";
    let site = Site::new();
    let constraint =
        r#""sender_constraint": { "dpop": "required", "proofs": { "origins": ["https://api.acme.com"] } }"#;
    site.change_filter("\"audiences\"", &format!("{constraint}, \"audiences\""));
    let envoy = site.start();
    let key = ProofKey::generate();
    let token = site.idp.dpop_token(&ClientTokenRequest::default(), &key);
    let mut connection = Connection::open(port(&envoy)).unwrap();
    let mut get = |proof: &str| {
        let request = Request::get("/accounts").header("authorization", format!("DPoP {token}")).header("dpop", proof);
        connection.send(&request).unwrap();
        let response = connection.read_response().unwrap();
        (response.status, response.header("www-authenticate").unwrap_or_default())
    };
    let used = key.proof("GET", URL, Some(&token));
    assert_eq!(get(&used).0, 200);
    assert_eq!(get(&used).0, 401);

    // Proofs may be older now, so that one must have been remembered for longer than the first filter accepted it.
    site.change_filter("\"origins\"", "\"max_age\": \"300s\", \"algorithms\": [\"ES256\"], \"origins\"");
    wait_for_count(&envoy, "update_success", 2);
    let challenge =
        until("the other filter", A_WHILE, || Some(get(&used).1).filter(|it| it.ends_with("algs=\"ES256\"")));
    assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
    for _ in 0..4 {
        assert_eq!(get(&used).0, 401);
        assert_eq!(get(&key.proof("GET", URL, Some(&token))).0, 200);
    }
    let reasons: HashSet<_> =
        envoy.audit_records().iter().filter_map(|it| Some(it["reason"].as_str()?.to_owned())).collect();
    assert!(reasons.contains("proof_replayed"), "{reasons:?}");
    assert_eq!(site.backend.count(), 5);
}
