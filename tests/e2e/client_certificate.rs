//! Tokens that are bound to a client certificate, behind another Envoy where TLS ends: a client's Envoy, the Envoy in front
//! (the hop) and the gateway, each with TLS to the next one. What the filter sees of `x-forwarded-client-cert` depends on
//! `forward_client_cert_details` of both.

use crate::gateway::{Gateway, Setup, minimal_configuration};
use crate::tls_clients::TlsClients;
use serde_json::{Value, json};
use testbed::{
    Certificate, CertificateAuthority, ClientCertificates, Cluster, DownstreamTls, Envoy, EnvoyBuilder,
    ListenerOptions, Request, TempDir,
};

const SERVER_NAME: &str = "api.acme.com";
const XFCC: &str = "x-forwarded-client-cert";
const DETAILS: [&str; 5] = ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"];
const HOP_URI: &str = "spiffe://acme/edge";

/// A gateway with the certificates of everybody, and the decisions so far.
struct Scene {
    gateway: Gateway,
    denied: usize,
    wrong: Vec<String>,
}

impl Scene {
    fn start(listeners: Vec<ListenerOptions>) -> Self {
        let gateway = Setup { more_listeners: listeners, workers: 2, ..Setup::default() }.start();
        Self { gateway, denied: 0, wrong: Vec::new() }
    }

    fn bound(&self, certificate: &Certificate) -> String {
        self.gateway.bent(json!({ "cnf": { "x5t#S256": certificate.thumbprint() } }))
    }

    fn cluster(&self, name: &str, to: &str, authority: &CertificateAuthority) -> Cluster {
        Cluster::identity_provider(name, self.gateway.envoy.port(to), SERVER_NAME, &authority.ca_pem_path())
    }

    /// Sends it three times: workers have the token in their caches, and TLS sessions are resumed.
    fn row(&mut self, name: &str, port: u16, token: &str, fields: &[(&str, &str)], expected: &str) {
        for _ in 0..3 {
            let request = Request::get("/accounts").bearer(token);
            let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
            let before = self.gateway.backend.count();
            let status = request.send(port).status;
            let reason = match status {
                200 => String::from("authorized"),
                _ => {
                    self.denied += 1;
                    self.gateway.record_number(self.denied)["reason"].as_str().unwrap_or_default().to_owned()
                }
            };
            if reason != expected || status != if expected == "authorized" { 200 } else { 401 } {
                self.wrong.push(format!("{name}: {status} {reason} instead of {expected}"));
            }
            for received in self.gateway.backend.requests().iter().skip(before) {
                if received.headers.0.iter().any(|(name, _)| String::from_utf8_lossy(name.as_ref()).contains("client"))
                {
                    self.wrong.push(format!("{name}: the backend received {:?}", received.headers));
                }
            }
        }
    }

    fn assert_right(&self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        self.gateway.assert_no_trap();
    }
}

fn configuration(header: &str, hops: Value) -> Value {
    let mut configuration = minimal_configuration();
    configuration["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "if_bound" });
    // The headers of the default contain `client`.
    configuration["claim_to_headers"] = json!([{ "header": "x-user", "claim": "sub" }]);
    configuration["client_certificate"] = json!({ "header": header, "hops": hops });
    configuration["audit"] = json!({ "denied_per_second": 0 });
    configuration
}

fn tls(server: &Certificate, clients: ClientCertificates) -> Option<DownstreamTls> {
    Some(DownstreamTls { tls_inspector: false, certificate: server.clone(), clients })
}

fn forwarding(details: &str) -> Value {
    json!({ "forward_client_cert_details": details,
        "set_current_client_cert_details": { "subject": true, "uri": true, "dns": true } })
}

#[test]
fn a_bound_token_is_compared_with_the_certificate_that_the_hop_forwards() {
    let directory = TempDir::with_prefix("hops-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let client = |name: &str| {
        authority.issue_to_client(name, &format!("spiffe://acme/{name}"), &format!("{name}.devices.acme.com"))
    };
    let (device, other, hop) = (client("d-7"), client("d-8"), client("edge"));
    let forger =
        authority.issue_to_client("d-9", &format!("spiffe://acme/d-9;Hash={}", device.sha256), "d-9.devices.acme.com");
    let self_signed = Certificate::self_signed("d-10,\"O=ACME\";x", directory.path());
    let server = authority.issue(SERVER_NAME);
    let from_ca = || ClientCertificates::FromCa(authority.ca_pem_path());

    let by_hash = configuration(XFCC, json!({ "certificate_hashes": [hop.sha256] }));
    let gateway_listener = |details: &&str| ListenerOptions {
        tls: tls(&server, from_ca()),
        connection_manager_fields: forwarding(details),
        ..ListenerOptions::filtered(details, &by_hash)
    };
    let mut scene = Scene::start(DETAILS.iter().map(gateway_listener).collect());
    let (of_device, of_hop) = (scene.bound(&device), scene.bound(&hop));
    let of_self_signed = scene.bound(&self_signed);
    let unbound = scene.gateway.alice();

    // One listener of the Envoy in front for each of its settings, and one for each setting of the gateway behind it.
    let edge_name = |details: &str| format!("edge {details}");
    let behind_name = |details: &str| format!("to {details}");
    let mut edge = EnvoyBuilder::new();
    for details in DETAILS {
        edge = edge
            .cluster(scene.cluster(&behind_name(details), details, &authority).with_certificate(&hop))
            .listener(ListenerOptions {
                tls: tls(&server, ClientCertificates::FromAnybody(authority.ca_pem_path())),
                backend: behind_name("FORWARD_ONLY"),
                connection_manager_fields: forwarding(details),
                ..ListenerOptions::unfiltered(&edge_name(details))
            })
            .listener(ListenerOptions {
                tls: tls(&server, from_ca()),
                backend: behind_name(details),
                connection_manager_fields: forwarding("SANITIZE_SET"),
                ..ListenerOptions::unfiltered(&behind_name(details))
            });
    }
    let edge: Envoy = edge.start();
    let to_edge = |name: &str, listener: &str| {
        Cluster::identity_provider(name, edge.port(listener), SERVER_NAME, &authority.ca_pem_path())
    };
    let set = edge_name("SANITIZE_SET");
    let mut clients: Vec<(String, Cluster)> = vec![
        (
            "TLS 1.3".into(),
            to_edge("TLS 1.3", &set).with_certificate(&device).tls_version("TLSv1_3").one_request_per_connection(),
        ),
        (
            "TLS 1.2".into(),
            to_edge("TLS 1.2", &set).with_certificate(&device).tls_version("TLSv1_2").one_request_per_connection(),
        ),
        ("HTTP/2".into(), to_edge("HTTP/2", &set).with_certificate(&device).http2()),
        ("other".into(), to_edge("other", &set).with_certificate(&other)),
        ("none".into(), to_edge("none", &set)),
        ("self-signed".into(), to_edge("self-signed", &set).with_certificate(&self_signed)),
        ("forger".into(), to_edge("forger", &set).with_certificate(&forger)),
        ("hop through hop".into(), to_edge("hop through hop", &set).with_certificate(&hop)),
        ("direct".into(), scene.cluster("direct", "FORWARD_ONLY", &authority).with_certificate(&device)),
        ("direct other".into(), scene.cluster("direct other", "FORWARD_ONLY", &authority).with_certificate(&other)),
        ("direct hop".into(), scene.cluster("direct hop", "FORWARD_ONLY", &authority).with_certificate(&hop)),
        ("direct none".into(), scene.cluster("direct none", "ALWAYS_FORWARD_ONLY", &authority)),
    ];
    for details in DETAILS {
        for listener in [edge_name(details), behind_name(details)] {
            let cluster = to_edge(&format!("client of {listener}"), &listener).with_certificate(&device);
            clients.push((format!("client of {listener}"), cluster));
        }
    }
    let clients = TlsClients::start(clients.iter().map(|(name, cluster)| (&**name, cluster.clone())).collect());

    let spoofed = format!("Hash={}", device.sha256);
    let spoof = [(XFCC, &*spoofed), ("client-cert", &device.client_cert())];
    for client in ["TLS 1.3", "TLS 1.2", "HTTP/2"] {
        scene.row(client, clients.port(client), &of_device, &[], "authorized");
        scene.row(client, clients.port(client), &of_hop, &[], "certificate_mismatch");
        scene.row(client, clients.port(client), &unbound, &spoof, "authorized");
    }
    scene.row("self-signed", clients.port("self-signed"), &of_self_signed, &[], "authorized");
    for fields in [&[][..], &spoof] {
        scene.row("other", clients.port("other"), &of_device, fields, "certificate_mismatch");
        scene.row("self-signed, other token", clients.port("self-signed"), &of_device, fields, "certificate_mismatch");
        scene.row("none", clients.port("none"), &of_device, fields, "certificate_missing");
        scene.row("hash in the URI", clients.port("forger"), &of_device, fields, "certificate_header_malformed");
        scene.row("hop through hop", clients.port("hop through hop"), &of_hop, fields, "certificate_header_malformed");
        scene.row("direct", clients.port("direct"), &of_device, fields, "authorized");
        scene.row("direct other", clients.port("direct other"), &of_device, fields, "certificate_mismatch");
        scene.row("direct none", clients.port("direct none"), &of_device, fields, "certificate_missing");
    }
    scene.row("the hop itself", clients.port("direct hop"), &of_hop, &[], "certificate_missing");
    // Each setting of the hop, with a header of the client. One that forwards it does not protect the gateway.
    for (details, alone, with_header) in [
        ("SANITIZE", "certificate_missing", "certificate_missing"),
        ("FORWARD_ONLY", "certificate_missing", "authorized"),
        ("APPEND_FORWARD", "authorized", "certificate_header_malformed"),
        ("SANITIZE_SET", "authorized", "authorized"),
        ("ALWAYS_FORWARD_ONLY", "certificate_missing", "authorized"),
    ] {
        let name = format!("client of {}", edge_name(details));
        scene.row(&name, clients.port(&name), &of_device, &[], alone);
        scene.row(&name, clients.port(&name), &of_device, &[(XFCC, &spoofed)], with_header);
    }
    // Each setting of the gateway, behind a hop that sets the header.
    for (details, expected) in [
        ("SANITIZE", "certificate_missing"),
        ("FORWARD_ONLY", "authorized"),
        ("APPEND_FORWARD", "certificate_header_malformed"),
        ("SANITIZE_SET", "certificate_header_malformed"),
        ("ALWAYS_FORWARD_ONLY", "authorized"),
    ] {
        let name = format!("client of {}", behind_name(details));
        scene.row(&name, clients.port(&name), &of_device, &[], expected);
    }
    // After all others, when every worker has the tokens in its cache.
    scene.row("other again", clients.port("other"), &of_device, &spoof, "certificate_mismatch");
    scene.row("TLS 1.3 again", clients.port("TLS 1.3"), &of_device, &spoof, "authorized");
    let reused: u64 = edge.stats("ssl.session_reused").values().sum();
    assert!(reused >= 4, "no session was resumed: {reused}");
    scene.assert_right();
}

#[test]
fn a_hop_is_recognized_by_a_name_that_the_listener_verifies_or_by_an_address_that_no_header_changes() {
    const PLAIN: &str = "plain";
    const FORWARDED_FOR: &str = "forwarded-for";
    let directory = TempDir::with_prefix("hops-").expect("a temporary directory");
    let authority = CertificateAuthority::create(directory.path());
    let foreign_directory = TempDir::with_prefix("hops-").expect("a temporary directory");
    let foreign = CertificateAuthority::create(foreign_directory.path());
    let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
    let hop = authority.issue_to_client("edge", HOP_URI, "edge.acme.com");
    let renewed = authority.issue_to_client("edge-2", HOP_URI, "edge.acme.com");
    let impostor = foreign.issue_to_client("edge", HOP_URI, "edge.acme.com");
    let server = authority.issue(SERVER_NAME);
    let over_tls = |name: &str, clients, hops: Value| ListenerOptions {
        tls: tls(&server, clients),
        ..ListenerOptions::filtered(name, &configuration("client-cert", hops))
    };
    let from_ca = || ClientCertificates::FromCa(authority.ca_pem_path());
    let from_anybody = || ClientCertificates::FromAnybody(authority.ca_pem_path());
    let by_address = |name: &str, addresses: Value, use_remote_address| ListenerOptions {
        use_remote_address,
        ..ListenerOptions::filtered(name, &configuration("client-cert", json!({ "insecure_addresses": addresses })))
    };
    let mut scene = Scene::start(vec![
        over_tls("uri", from_ca(), json!({ "uri_sans": [HOP_URI] })),
        over_tls("dns", from_ca(), json!({ "dns_sans": ["edge.acme.com"] })),
        over_tls("hash", from_anybody(), json!({ "certificate_hashes": [hop.sha256] })),
        by_address(PLAIN, json!(["127.0.0.1"]), true),
        // As Envoy does by default: the address is the client's own `x-forwarded-for`.
        by_address(FORWARDED_FOR, json!(["10.9.0.0/16"]), false),
    ]);
    let of_device = scene.bound(&device);
    let mut clusters = Vec::new();
    for listener in ["uri", "dns", "hash"] {
        for (name, certificate) in [
            ("hop", Some(&hop)),
            ("renewed", Some(&renewed)),
            ("device", Some(&device)),
            ("impostor", Some(&impostor)),
            ("none", None),
        ] {
            let name = format!("{name} of {listener}");
            let cluster = scene.cluster(&name, listener, &authority);
            clusters.push((name, certificate.map_or(cluster.clone(), |own| cluster.with_certificate(own))));
        }
    }
    let clients = TlsClients::start(clusters.iter().map(|(name, cluster)| (&**name, cluster.clone())).collect());
    let header = device.client_cert();
    let fields = [("client-cert", &*header)];
    for listener in ["uri", "dns", "hash"] {
        let port = |name: &str| clients.port(&format!("{name} of {listener}"));
        let renewed = if listener == "hash" { "certificate_mismatch" } else { "authorized" };
        scene.row("hop", port("hop"), &of_device, &fields, "authorized");
        scene.row("hop, no header", port("hop"), &of_device, &[], "certificate_missing");
        scene.row("hop, two headers", port("hop"), &of_device, &[fields[0], fields[0]], "certificate_header_malformed");
        scene.row("renewed hop", port("renewed"), &of_device, &fields, renewed);
        scene.row("device", port("device"), &of_device, &fields, "authorized");
        scene.row("none", port("none"), &of_device, &fields, "certificate_missing");
    }
    // A name is only as good as its verification; a digest needs none.
    scene.row("impostor", clients.port("impostor of hash"), &of_device, &fields, "certificate_mismatch");
    for listener in ["uri", "dns"] {
        let port = clients.port(&format!("impostor of {listener}"));
        let status = Request::get("/accounts").bearer(&of_device).header("client-cert", &header).send(port).status;
        assert_eq!(status, 503, "{listener}: the handshake fails");
    }
    let (plain, forwarded_for) = (scene.gateway.envoy.port(PLAIN), scene.gateway.envoy.port(FORWARDED_FOR));
    scene.row("address", plain, &of_device, &fields, "authorized");
    scene.row("address, no header", plain, &of_device, &[], "certificate_missing");
    for spoofed in ["10.9.0.1", "10.9.0.1:4711", "10.9.0.1, 10.9.0.1", "[::ffff:10.9.0.1]:4711"] {
        let fields = [fields[0], ("x-forwarded-for", spoofed)];
        scene.row(spoofed, forwarded_for, &of_device, &fields, "certificate_missing");
    }
    scene.assert_right();
}
