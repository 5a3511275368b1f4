//! A client that has only the address of a resource discovers how to get a token, as MCP clients do (RFC 9728; MCP
//! authorization 2025-06-18 and 2025-11-25), in a real Envoy.

use crate::gateway::{Gateway, Setup, minimal_configuration};
use serde_json::json;
use testbed::authorization_server::DNS_NAME;
use testbed::{Mode, Request, Response};

const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";

fn start() -> Gateway {
    let mut configuration = minimal_configuration();
    configuration["rules"] = json!([
        { "name": "mcp-admin", "match": { "path_prefix": "/mcp/admin" }, "require": { "scopes": ["mcp:admin"] } },
        { "name": "mcp", "match": { "path_prefix": "/mcp" }, "require": { "scopes": ["read:accounts"] } },
    ]);
    configuration["protected_resources"] =
        json!([{ "resource": "https://api.acme.com/mcp", "resource_name": "Accounts for agents" }]);
    Setup { configuration, workers: 1, ..Setup::default() }.start()
}

/// A parameter of the challenge.
fn parameter(response: &Response, name: &str) -> Option<String> {
    let challenge = response.header("www-authenticate")?;
    let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

#[test]
fn client_without_a_token_discovers_its_authorization_server() {
    let gateway = start();
    let port = gateway.port();
    // It asks, and is told where to look.
    let refused = Request::post("/mcp").body(b"{}").send(port);
    assert_eq!(refused.status, 401);
    assert_eq!(parameter(&refused, "scope").as_deref(), Some("read:accounts"));
    assert_eq!(parameter(&refused, "error"), None);
    let address = parameter(&refused, "resource_metadata").expect("a pointer");
    assert_eq!(address, format!("https://api.acme.com{METADATA}"));
    // It looks. RFC 9728 section 3.3: `resource` must be what it used.
    let answer = Request::get(address.trim_start_matches("https://api.acme.com")).send(port);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(answer.header("cache-control").as_deref(), Some("public, max-age=3600"));
    assert_eq!(answer.header("access-control-allow-origin").as_deref(), Some("*"));
    let metadata = answer.json();
    assert_eq!(
        metadata,
        json!({
            "resource": "https://api.acme.com/mcp", "resource_name": "Accounts for agents",
            "authorization_servers": [format!("https://{DNS_NAME}/oauth2/default")],
            "bearer_methods_supported": ["header"], "scopes_supported": ["mcp:admin", "read:accounts"],
        })
    );
    assert_eq!(
        metadata["authorization_servers"][0],
        gateway.bent_payload(json!({}))["iss"],
        "an issuer of good tokens"
    );
    // With a token it is let in, and told what is lacking where something is.
    let alice = gateway.alice();
    assert_eq!(Request::post("/mcp").bearer(&alice).body(b"{}").send(port).status, 200);
    let lacking = Request::get("/mcp/admin/1").bearer(&alice).send(port);
    assert_eq!((lacking.status, parameter(&lacking, "scope").as_deref()), (403, Some("mcp:admin")));
    assert_eq!(parameter(&lacking, "error").as_deref(), Some("insufficient_scope"));
    assert_eq!(parameter(&lacking, "resource_metadata"), Some(address.clone()));
    let bad = Request::get("/mcp").bearer("x.y.z").send(port);
    assert_eq!((bad.status, parameter(&bad, "resource_metadata")), (401, Some(address)));
    gateway.assert_no_trap();
}

#[test]
fn resource_metadata_are_public_and_their_address_is_never_chosen_by_the_client() {
    let gateway = start();
    let port = gateway.port();
    // While no keys are to be had, too.
    gateway.gate.set(Mode::Hold);
    let head = Request::new("HEAD", METADATA).send(port);
    assert_eq!((head.status, head.text()), (200, String::new()));
    // With a token, a bad one, or several: it is not looked at.
    for request in [Request::get(METADATA).bearer("x"), Request::get(METADATA).bearer("x").bearer("y")] {
        assert_eq!(request.send(port).status, 200);
    }
    // A page of another origin: MCP clients in a browser send a field of their own.
    let preflight = Request::new("OPTIONS", METADATA)
        .header("origin", "http://localhost:6274")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version")
        .send(port);
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin").as_deref(), Some("*"));
    assert_eq!(preflight.header("access-control-allow-headers").as_deref(), Some("*"));
    assert_eq!(preflight.header("access-control-allow-methods").as_deref(), Some("GET, HEAD, OPTIONS"));
    let post = Request::post(METADATA).body(b"{}").send(port);
    assert_eq!((post.status, post.header("allow").as_deref()), (405, Some("GET, HEAD, OPTIONS")));

    // Whatever host a client makes up, it is not sent there.
    for (host, told) in [
        ("api.acme.com", true),
        ("API.acme.com.:443", true),
        ("api.acme.com:10000", true),
        ("evil.example", false),
        ("api.acme.com.evil.example", false),
        ("api.acme.com@evil.example", false),
    ] {
        let request = || Request::get("/mcp").header("host", host).header("x-forwarded-host", "evil.example");
        let Ok(refused) = request().try_send(port) else { panic!("{host}") };
        assert!([400, 401].contains(&refused.status), "{host}: {}", refused.status);
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(!challenge.contains("evil"), "{challenge}");
        assert_eq!(challenge.contains(&format!("\"https://api.acme.com{METADATA}\"")), told, "{host}: {challenge}");
        let metadata = Request::get(METADATA).header("host", host).send(port);
        assert_eq!(metadata.status == 200, told, "{host}");
        assert!(!metadata.text().contains("evil"), "{host}");
    }
    assert_eq!(gateway.backend.count(), 0);
    gateway.assert_no_trap();
}
