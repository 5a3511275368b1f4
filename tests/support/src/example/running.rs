//! A running example: its Envoy, an authorization server for each provider, the revocation list, the rate-limit service, a
//! backend for each routed cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::folder::Example;
use super::outcome::Outcome;
use super::placement::{self, CalledServer, ListenerFiles, Machine};
use super::revocation_list::RevocationList;
use super::row::{Proof, Row};
use super::tokens;
use crate::authorization_server::{AuthorizationServer, UserTokenRequest};
use crate::backend::Backend;
use crate::client::{Connection, Request, connect_from};
use crate::dpop::ProofKey;
use crate::envoy::{Envoy, EnvoyBuilder};
use crate::http1::Response;
use crate::module::wasm_module;
use crate::polling;
use crate::rate_limit_service::RateLimitService;
use crate::tls::{self, Certificate, CertificateAuthority};

/// What the gateway's certificate says, and the `Host` of requests that bring none.
const GATEWAY_NAME: &str = "api.acme.com";
/// How long the log may take to tell of a request that was answered.
const TIME_TO_LOG: Duration = Duration::from_secs(3);
/// How long the filter may take to hold keys and lists, where the configuration has an address that tells.
const TIME_TO_BE_READY: Duration = Duration::from_secs(20);

/// Everything an example needs. Dropping it ends all of it.
pub struct RunningExample {
    /// The gateway.
    pub envoy: Envoy,
    ports: BTreeMap<String, u16>,
    /// Listeners that speak TLS.
    tls: BTreeSet<u16>,
    backends: BTreeMap<String, Backend>,
    providers: BTreeMap<String, Provider>,
    _revocations: Option<Revocations>,
    _rate_limits: Option<RateLimits>,
    certificates: Certificates,
    keys: ClientKeys,
    /// What was sent last, and the nonce that the gateway sent last.
    last: Mutex<Last>,
    /// Whether rows ask for lines of the access log; each row then waits for its own.
    reads_access_log: bool,
}

struct Provider {
    upstream: String,
    secret_variable: Option<String>,
    introspects: bool,
    server: Arc<AuthorizationServer>,
}

/// Who lists revoked tokens.
struct Revocations {
    upstream: String,
    host: String,
    list: RevocationList,
}

/// Who counts requests.
struct RateLimits {
    cluster: String,
    service: Arc<RateLimitService>,
}

/// The keys with which clients make proofs, by their names.
#[derive(Default)]
struct ClientKeys(Mutex<BTreeMap<String, Arc<ProofKey>>>);

#[derive(Default)]
struct Last {
    request: Option<Request>,
    nonce: Option<String>,
}

/// Whether the gateway trusts who signed a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    Trusted,
    Untrusted,
}

struct Certificates {
    trusted: CertificateAuthority,
    untrusted: CertificateAuthority,
    gateway: Certificate,
    /// Those of clients, by their names.
    issued: Mutex<BTreeMap<(Trust, String), Certificate>>,
    _directories: [TempDir; 2],
}

impl RunningExample {
    /// Starts it.
    ///
    /// # Panics
    /// When something of the bootstrap has no place on this machine, or does not start.
    pub fn start(example: &Example) -> Self {
        let service = example.limits.as_ref().map(|limits| {
            let (_, host) = placement::rate_limit_service(&example.bootstrap).expect("Envoy asks the service");
            Arc::new(RateLimitService::start(&host, limits))
        });
        Self::start_beside(example, service)
    }

    /// The same beside others, with a rate-limit service for all of them.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_beside(example: &Example, service: Option<Arc<RateLimitService>>) -> Self {
        let plugin = example.plugin_configuration();
        let providers = providers(&plugin);
        let clusters = placement::routed_clusters(&example.bootstrap);
        let backends: BTreeMap<_, _> = clusters.into_iter().map(|cluster| (cluster, Backend::start())).collect();
        let certificates = Certificates::create();
        let revocations = Revocations::start(example, &plugin["revocations"], &certificates.trusted);
        let rate_limits = RateLimits::of(example, service);
        let asked = asked(&providers, revocations.as_ref(), rate_limits.as_ref(), &certificates);
        let placed = placed(example, asked, &backends, &certificates);
        let secrets = providers.values().filter_map(Provider::secret);
        let builder = secrets.fold(EnvoyBuilder::new(), |builder, (name, secret)| builder.env(&name, &secret));
        let envoy = builder.start_as_written(&placed);
        let ports = envoy.listening_ports();
        let tls = placement::tls_listeners(&placed).iter().filter_map(|name| ports.get(name)).copied().collect();
        let reads_access_log = example.rows.iter().any(|row| !row.access_log.is_empty());
        let running = Self {
            envoy,
            ports,
            tls,
            backends,
            providers,
            _revocations: revocations,
            _rate_limits: rate_limits,
            certificates,
            keys: ClientKeys::default(),
            last: Mutex::default(),
            reads_access_log,
        };
        if let Some(path) = plugin["readiness_path"].as_str() {
            running.wait_until_ready(path);
        }
        running
    }

    /// Waits as a load balancer does, on every listener.
    fn wait_until_ready(&self, path: &str) {
        let request = Request::get(path);
        for port in self.ports.values() {
            polling::until("the filter to be ready", TIME_TO_BE_READY, || {
                request.try_send(*port).is_ok_and(|answer| answer.status == 200).then_some(())
            });
        }
    }

    /// Where a listener listens; the only one, if it is not named.
    ///
    /// # Panics
    /// When there is none of that name, or there are several to choose from.
    pub fn port(&self, listener: Option<&str>) -> u16 {
        let port = match listener {
            Some(name) => self.ports.get(name),
            None if self.ports.len() == 1 => self.ports.values().next(),
            None => None,
        };
        *port.unwrap_or_else(|| panic!("which listener? there are {:?}", self.ports.keys()))
    }

    /// A fresh token as a row wants it, if it is to have one.
    ///
    /// # Panics
    /// When no provider has the name of the one that is to issue it, or there are several and it has none.
    pub fn token(&self, row: &Row) -> Option<String> {
        let provider = match &row.signed_by {
            Some(name) => self.providers.get(name),
            None if self.providers.len() == 1 => self.providers.values().next(),
            None => None,
        };
        if row.token.is_none() && row.opaque_token.is_none() {
            return None;
        }
        let provider = provider.unwrap_or_else(|| panic!("signed by whom? there are {:?}", self.providers.keys()));
        let opaque = row.opaque_token.as_ref().map(|wanted| {
            let (login, scopes, audience) = (&wanted.user, &wanted.scopes, &wanted.audience);
            provider.server.user_token(&UserTokenRequest { login, scopes, audience, acr: None })
        });
        let signed = |claims: &Map<String, Value>| {
            let mut claims = claims.clone();
            if let Some(name) = &row.token_bound_to {
                let thumbprint = self.certificates.issued(name, Trust::Trusted).thumbprint();
                claims.insert(String::from("cnf"), json!({ "x5t#S256": thumbprint }));
            }
            if let Some(name) = &row.token_bound_to_key {
                claims.insert(String::from("cnf"), json!({ "jkt": self.keys.of(name).thumbprint() }));
            }
            tokens::signed(&provider.server, &claims)
        };
        let token = opaque.or_else(|| row.token.as_ref().map(signed));
        token.inspect(|token| {
            if row.revoked {
                provider.server.revoke("application", token);
            }
        })
    }

    /// Where curl finds the listener of a row, and what it needs for TLS; the path follows.
    pub fn curl_address(&self, row: &Row) -> String {
        let port = self.port(row.listener.as_deref());
        if !self.tls.contains(&port) {
            return format!("http://127.0.0.1:{port}");
        }
        let ca = self.certificates.trusted.ca_pem_path();
        let mut options = vec![format!("--cacert {} --resolve {GATEWAY_NAME}:{port}:127.0.0.1", ca.display())];
        options.extend(
            self.client_certificate(row)
                .iter()
                .map(|files| format!("--cert {} --key {}", files.certificate.display(), files.private_key.display())),
        );
        format!("{} https://{GATEWAY_NAME}:{port}", options.join(" "))
    }

    /// Sends the request of a row, as often as it says, and looks at what came of it everywhere.
    pub fn play(&self, row: &Row) -> Outcome {
        for backend in self.backends.values() {
            backend.clear();
            backend.behave(&row.backend_does);
        }
        let logged_before = self.notable_records().len();
        let access_logged_before = self.access_log().len();
        let introspected_before = self.introspections();
        let again = self.last.lock().expect("no panic").request.clone().filter(|_| row.again);
        let request = again.unwrap_or_else(|| self.request(row));
        let answers: Vec<_> = (0..row.times).map(|_| self.send(row, &request).ok()).collect();
        let nonce = answers.iter().flatten().filter_map(|answer| answer.header("dpop-nonce")).next_back();
        self.remember(request, nonce);
        let expected = if row.reason.is_some() || row.would_deny.is_some() { row.times } else { 0 };
        let told = || Some(self.notable_records()).filter(|records| records.len() >= logged_before + expected);
        let records = polling::within(TIME_TO_LOG, told).unwrap_or_else(|| self.notable_records());
        let access_logged =
            || Some(self.access_log()).filter(|lines| lines.len() >= access_logged_before + answers.len());
        let access_log = match self.reads_access_log {
            true => polling::within(TIME_TO_LOG, access_logged).unwrap_or_else(|| self.access_log()),
            false => Vec::new(),
        };
        let received = self.backends.iter().map(|(name, backend)| (name.clone(), backend.requests())).collect();
        Outcome {
            answers,
            received,
            records: records.into_iter().skip(logged_before).collect(),
            introspections: self.introspections() - introspected_before,
            access_log: access_log.into_iter().skip(access_logged_before).collect(),
        }
    }

    /// What Envoy has written: its log and the access log.
    pub fn log(&self) -> String {
        self.envoy.log()
    }

    /// Whether the filter's VM trapped, or Envoy failed a stream for it.
    pub fn has_trapped(&self) -> bool {
        let log = self.envoy.log();
        ["panicked", "wasm_fail_stream", "Uncaught", "VM failed"].iter().any(|sign| log.contains(sign))
    }

    fn request(&self, row: &Row) -> Request {
        let (method, target) = row.request.split_once(' ').unwrap_or_else(|| panic!("{:?} is no request", row.request));
        let mut request = Request::new(method, target);
        for (name, value) in &row.headers {
            request = value.values().iter().fold(request, |request, value| request.header(name, value));
        }
        if let Some(token) = self.token(row) {
            request = match (&row.token_cookie, &row.proof) {
                (Some(cookie), _) => request.header("cookie", format!("{cookie}={token}")),
                (None, Some(proof)) => {
                    let proof = self.proof(row, proof, method, &token);
                    request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
                }
                (None, None) => request.bearer(&token),
            };
        }
        if let Some(body) = &row.body {
            request = request.body(body);
        }
        request
    }

    fn proof(&self, row: &Row, wanted: &Proof, method: &str, token: &str) -> String {
        let name = wanted.key.as_ref().or(row.token_bound_to_key.as_ref());
        let key = self.keys.of(name.unwrap_or_else(|| panic!("{:?}: a proof of which key?", row.what)));
        let mut claims = key.claims(wanted.method.as_deref().unwrap_or(method), &wanted.url, Some(token));
        if let Some(time) = &wanted.iat {
            claims["iat"] = json!(tokens::time_of(time));
        }
        if wanted.nonce {
            let nonce = self.last.lock().expect("no panic").nonce.clone();
            claims["nonce"] = json!(nonce.unwrap_or_else(|| panic!("{:?}: no response had a nonce", row.what)));
        }
        key.sign(&claims)
    }

    fn remember(&self, request: Request, nonce: Option<String>) {
        let mut last = self.last.lock().expect("no panic");
        last.request = Some(request);
        last.nonce = nonce.or_else(|| last.nonce.take());
    }

    fn send(&self, row: &Row, request: &Request) -> io::Result<Response> {
        let port = self.port(row.listener.as_deref());
        let from = row.from.as_deref().unwrap_or("127.0.0.1");
        let stream = connect_from(from.parse::<Ipv4Addr>().expect("an IPv4 address"), port)?;
        if !self.tls.contains(&port) {
            return plainly(request, stream);
        }
        let ca = self.certificates.trusted.ca_pem_path();
        tls::send(request, stream, GATEWAY_NAME, &ca, self.client_certificate(row).as_ref())
    }

    fn client_certificate(&self, row: &Row) -> Option<Certificate> {
        let issued = |name: &Option<String>, trust| name.as_ref().map(|name| self.certificates.issued(name, trust));
        issued(&row.certificate, Trust::Trusted).or_else(|| issued(&row.untrusted_certificate, Trust::Untrusted))
    }

    fn introspections(&self) -> u64 {
        let introspecting = self.providers.values().filter(|provider| provider.introspects);
        introspecting.map(|provider| provider.server.introspections()).sum()
    }

    /// The lines of Envoy's access log that are JSON.
    fn access_log(&self) -> Vec<Value> {
        self.envoy
            .log()
            .lines()
            .filter(|line| line.starts_with('{'))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Decisions that the filter always logs: refusals, and what rules on trial would have refused.
    fn notable_records(&self) -> Vec<Value> {
        let is_notable = |record: &Value| record["decision"] == "deny" || record["would_deny"].is_string();
        self.envoy.audit_records().into_iter().filter(is_notable).collect()
    }
}

impl ClientKeys {
    fn of(&self, name: &str) -> Arc<ProofKey> {
        let mut keys = self.0.lock().expect("no panic");
        Arc::clone(keys.entry(name.to_owned()).or_insert_with(|| Arc::new(ProofKey::generate())))
    }
}

impl Provider {
    /// The environment variable that the gateway is to find its secret in, and the secret.
    fn secret(&self) -> Option<(String, String)> {
        let name = self.secret_variable.clone()?;
        Some((name, self.server.client_credentials("gateway").1))
    }
}

impl Revocations {
    fn start(example: &Example, written: &Value, authority: &CertificateAuthority) -> Option<Self> {
        let document = example.revoked.as_ref()?;
        let uri = text(&written["uri"]);
        let host = uri.split('/').nth(2).unwrap_or_default().to_owned();
        let list = RevocationList::start(document, &authority.issue(&host));
        Some(Self { upstream: text(&written["upstream"]), host, list })
    }
}

impl RateLimits {
    fn of(example: &Example, service: Option<Arc<RateLimitService>>) -> Option<Self> {
        let (cluster, _) = placement::rate_limit_service(&example.bootstrap)?;
        service.map(|service| Self { cluster, service })
    }
}

impl Certificates {
    fn create() -> Self {
        let directories = [(); 2].map(|()| TempDir::with_prefix("certificates-").expect("a temporary directory"));
        let [trusted, untrusted] =
            directories.each_ref().map(|directory| CertificateAuthority::create(directory.path()));
        let gateway = trusted.issue(GATEWAY_NAME);
        Self { trusted, untrusted, gateway, issued: Mutex::default(), _directories: directories }
    }

    /// The certificate of a client, always the same one.
    fn issued(&self, name: &str, trust: Trust) -> Certificate {
        let mut issued = self.issued.lock().expect("no panic");
        let authority = match trust {
            Trust::Trusted => &self.trusted,
            Trust::Untrusted => &self.untrusted,
        };
        issued.entry((trust, name.to_owned())).or_insert_with(|| authority.issue(name)).clone()
    }
}

fn plainly(request: &Request, stream: TcpStream) -> io::Result<Response> {
    let mut connection = Connection::over(stream)?;
    connection.send(request)?;
    connection.read_response()
}

/// An authorization server for each provider of the configuration.
fn providers(plugin: &Value) -> BTreeMap<String, Provider> {
    let start = |(name, written): (&String, &Value)| {
        // One whose introspection calls are counted has one user.
        let introspects = written["introspection"].is_object();
        let server = if introspects {
            Arc::new(AuthorizationServer::start_as(&issuer(written)))
        } else {
            AuthorizationServer::shared(&issuer(written))
        };
        let secret_variable = written["introspection"]["client_secret"]["env"].as_str().map(str::to_owned);
        (name.clone(), Provider { upstream: text(&written["upstream"]), secret_variable, introspects, server })
    };
    plugin["providers"].as_object().expect("providers").iter().map(start).collect()
}

fn issuer(provider: &Value) -> String {
    if let Some(domain) = provider["okta"]["domain"].as_str() {
        let id = provider["okta"]["authorization_server"].as_str().unwrap_or("default");
        return format!("https://{domain}/oauth2/{id}");
    }
    text(&provider["issuer"])
}

/// The servers that the gateway itself asks, by their clusters.
fn asked(
    providers: &BTreeMap<String, Provider>,
    revocations: Option<&Revocations>,
    rate_limits: Option<&RateLimits>,
    certificates: &Certificates,
) -> BTreeMap<String, CalledServer> {
    let provider = |Provider { upstream, server, .. }: &Provider| {
        let asked = CalledServer { host: server.host().to_owned(), port: server.port(), ca: server.ca_pem_path() };
        (upstream.clone(), asked)
    };
    let list = |Revocations { upstream, host, list }: &Revocations| {
        let ca = certificates.trusted.ca_pem_path();
        (upstream.clone(), CalledServer { host: host.clone(), port: list.port(), ca })
    };
    let counted = |RateLimits { cluster, service }: &RateLimits| {
        let asked =
            CalledServer { host: service.host().to_owned(), port: service.gate.port(), ca: service.ca_pem_path() };
        (cluster.clone(), asked)
    };
    providers.values().map(provider).chain(revocations.map(list)).chain(rate_limits.map(counted)).collect()
}

fn placed(
    example: &Example,
    asked: BTreeMap<String, CalledServer>,
    backends: &BTreeMap<String, Backend>,
    certificates: &Certificates,
) -> Value {
    let machine = Machine {
        module: &wasm_module(),
        asked,
        backends: backends.iter().map(|(cluster, backend)| (cluster.clone(), backend.port())).collect(),
        files: ListenerFiles {
            certificate_chain: &certificates.gateway.certificate,
            private_key: &certificates.gateway.private_key,
            trusted_ca: &certificates.trusted.ca_pem_path(),
        },
    };
    placement::place(&example.bootstrap, &machine).unwrap_or_else(|faults| {
        panic!("examples/{}/envoy.yaml cannot run on this machine:\n{}", example.name, faults.join("\n"))
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_owned()
}
