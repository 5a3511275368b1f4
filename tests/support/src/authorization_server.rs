//! The authorization server that stands for Okta: `authorization-server/server.mjs`, started and controlled.
//!
//! Envoy reaches it over TLS at [`AuthorizationServer::port`], trusting [`AuthorizationServer::ca_pem_path`];
//! tests take tokens from the same provider over plain HTTP, and change its behaviour through its control channel.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Request, percent_encoded};
use crate::dpop::ProofKey;
use crate::http1::Response;
use crate::polling;
use crate::process::Process;
use crate::tls::{self, Certificate, CertificateAuthority};

/// The host of [`ISSUER`].
pub const DNS_NAME: &str = "acme.okta.com";
/// The issuer of every token, unless it is started as another one.
pub const ISSUER: &str = "https://acme.okta.com/oauth2/default";
/// The audience of an Okta authorization server that nobody configured.
pub const DEFAULT_AUDIENCE: &str = "api://default";
/// Tokens for this audience, and for those below it (`api://opaque/…`), are opaque: only introspection tells what they are worth.
pub const OPAQUE_AUDIENCE: &str = "api://opaque";

const TIME_TO_START: Duration = Duration::from_secs(20);

/// A running authorization server. Dropping it ends the process.
pub struct AuthorizationServer {
    // Before the directory: the process is gone before its files are.
    _process: Process,
    directory: TempDir,
    issuer: String,
    ready: Value,
    is_shared: bool,
}

/// What a client asks for itself with the `client_credentials` grant.
#[derive(Clone, Debug)]
pub struct ClientTokenRequest<'a> {
    /// The scopes, space separated.
    pub scopes: &'a str,
    /// The audience, sent as `resource`.
    pub audience: &'a str,
}

/// What the application asks for one of its users with the `password` grant.
#[derive(Clone, Debug)]
pub struct UserTokenRequest<'a> {
    /// `alice@acme.com` (groups Everyone, engineering) or `bob@acme.com` (groups Everyone, finance_manager).
    pub login: &'a str,
    /// The scopes, space separated; with `groups` among them the token has a `groups` claim.
    pub scopes: &'a str,
    /// The audience, sent as `resource`.
    pub audience: &'a str,
    /// The `acr` of the token; `urn:okta:loa:1fa:pwd` unless asked for.
    pub acr: Option<&'a str>,
}

/// A key to sign with by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// The one that signs now.
    Active,
    /// The one that signed before the last rotation; still published unless retired.
    Previous,
    /// One that never was in the key set.
    Unpublished,
}

impl Default for ClientTokenRequest<'_> {
    fn default() -> Self {
        Self { scopes: "read:accounts", audience: DEFAULT_AUDIENCE }
    }
}

impl Default for UserTokenRequest<'_> {
    fn default() -> Self {
        Self { login: "alice@acme.com", scopes: "read:accounts", audience: DEFAULT_AUDIENCE, acr: None }
    }
}

impl AuthorizationServer {
    /// Whether it can be started; an error says what is missing and what to do.
    pub fn check_installed() -> Result<(), String> {
        let asked = Command::new("node").arg("--version").output();
        if !asked.is_ok_and(|output| output.status.success()) {
            return Err("the authorization server needs Node.js, and there is no `node`: install it".to_owned());
        }
        if !program().join("node_modules/oidc-provider").is_dir() {
            return Err("the authorization server's packages are not installed: run `make setup`".to_owned());
        }
        Ok(())
    }

    /// Starts it on free ports and waits until it serves.
    ///
    /// # Panics
    /// When Node or the server's packages are missing, or it does not come up.
    pub fn start() -> Self {
        Self::start_as(ISSUER)
    }

    /// The same for another issuer: `https`, a host and a path.
    ///
    /// # Panics
    /// When Node or the server's packages are missing, or it does not come up.
    pub fn start_as(issuer: &str) -> Self {
        if let Err(absence) = Self::check_installed() {
            panic!("{absence}");
        }
        let directory = TempDir::with_prefix("authorization-server-").expect("a temporary directory");
        let certificate = CertificateAuthority::create(directory.path()).issue(host_and_path(issuer).0);
        let mut command = Command::new("node");
        command.arg(program().join("server.mjs")).args(["--issuer", issuer]);
        command.arg("--cert").arg(&certificate.certificate).arg("--key").arg(&certificate.private_key);
        let log_path = directory.path().join("log");
        let mut process = Process::spawn("the authorization server", command, log_path).expect("node is installed");
        let ready = polling::until("the authorization server to start", TIME_TO_START, || {
            if let Some(status) = process.exit_status() {
                panic!("the authorization server ended with {status}");
            }
            process.log().lines().find_map(|line| serde_json::from_str(line).ok())
        });
        Self { _process: process, directory, issuer: issuer.to_owned(), ready, is_shared: false }
    }

    /// The server for this issuer that somebody in this process runs already, or a new one: for users that change
    /// nothing about it and count nothing. It ends with its last user.
    ///
    /// # Panics
    /// When Node or the server's packages are missing, or it does not come up.
    pub fn shared(issuer: &str) -> Arc<Self> {
        static RUNNING: Mutex<BTreeMap<String, Weak<AuthorizationServer>>> = Mutex::new(BTreeMap::new());
        let mut running = RUNNING.lock().expect("the server started last came up");
        running.get(issuer).and_then(Weak::upgrade).unwrap_or_else(|| {
            let server = Arc::new(Self { is_shared: true, ..Self::start_as(issuer) });
            running.insert(issuer.to_owned(), Arc::downgrade(&server));
            server
        })
    }

    /// The host Envoy's cluster must name in SNI and in the certificate check.
    pub fn host(&self) -> &str {
        host_and_path(&self.issuer).0
    }

    /// Where it serves HTTPS.
    pub fn port(&self) -> u16 {
        self.ready_port("https_port")
    }

    /// Where it serves the same over plain HTTP.
    pub fn plain_http_port(&self) -> u16 {
        self.ready_port("http_port")
    }

    /// Where it serves HTTPS and requests a client certificate.
    pub fn mtls_port(&self) -> u16 {
        self.ready_port("mtls_port")
    }

    /// Where its control channel serves: what `authorization-server/control.mjs` lists.
    pub fn control_port(&self) -> u16 {
        self.ready_port("control_port")
    }

    /// The certificate of the CA that signed the server's own.
    pub fn ca_pem_path(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The id and secret of a client: `service` gets tokens for itself, `application` for users, `gateway` introspects.
    pub fn client_credentials(&self, client: &str) -> (String, String) {
        let member = |name| self.ready["clients"][client][name].as_str().expect("a known client").to_owned();
        (member("client_id"), member("client_secret"))
    }

    /// A token of the client `service`.
    pub fn client_token(&self, request: &ClientTokenRequest) -> String {
        self.token("service", &client_credentials_form(request))
    }

    /// A token of the client `service` that is bound to this key (RFC 9449).
    pub fn dpop_token(&self, request: &ClientTokenRequest, key: &ProofKey) -> String {
        self.dpop_token_of("service", request, key)
    }

    /// The same of another client: `service`, or `nonce_service`, whose proofs need a nonce of this server.
    pub fn dpop_token_of(&self, client: &str, request: &ClientTokenRequest, key: &ProofKey) -> String {
        let send = |nonce: Option<String>| {
            let mut claims = key.claims("POST", &format!("{}/v1/token", self.issuer), None);
            nonce.into_iter().for_each(|nonce| claims["nonce"] = json!(nonce));
            self.request_dpop_token(client, request, &key.sign(&claims))
        };
        let response = send(None);
        let response = if response.status == 400 { send(response.header("dpop-nonce")) } else { response };
        issued(&response, "DPoP")
    }

    /// The response of the token endpoint to a request with this proof.
    pub fn request_dpop_token(&self, client: &str, request: &ClientTokenRequest, proof: &str) -> Response {
        let request = self.form_request("/v1/token", client, &client_credentials_form(request));
        request.header("dpop", proof).send(self.plain_http_port())
    }

    /// A token of the client `mtls_service` that is bound to the certificate which it shows (RFC 8705).
    pub fn certificate_bound_token(&self, request: &ClientTokenRequest, certificate: &Certificate) -> String {
        let request = self.form_request("/v1/token", "mtls_service", &client_credentials_form(request));
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.mtls_port())).expect("it listens");
        let response = tls::send(&request, stream, self.host(), &self.ca_pem_path(), Some(certificate));
        issued(&response.expect("a response"), "Bearer")
    }

    /// A token of a user of the client `application`.
    pub fn user_token(&self, request: &UserTokenRequest) -> String {
        let password = request.login.replace("@acme.com", "-password");
        let mut form = vec![
            ("grant_type", "password"),
            ("username", request.login),
            ("password", &password),
            ("scope", request.scopes),
            ("resource", request.audience),
        ];
        form.extend(request.acr.map(|acr| ("acr_values", acr)));
        self.token("application", &form)
    }

    /// Posts a form to an endpoint of the issuer, such as `/v1/introspect`, authenticated as `client`.
    pub fn post_form(&self, endpoint: &str, client: &str, form: &[(&str, &str)]) -> Response {
        self.form_request(endpoint, client, form).send(self.plain_http_port())
    }

    fn form_request(&self, endpoint: &str, client: &str, form: &[(&str, &str)]) -> Request {
        let (id, secret) = self.client_credentials(client);
        let pairs: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        Request::post(format!("{}{endpoint}", self.issuer_path()))
            .header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(pairs.join("&"))
    }

    /// Signs a JWT by hand, RS256. `header` is merged over the usual `alg` and `kid`. A JSON *string* in place of
    /// either object is signed as it is, for JSON that no serializer would write.
    pub fn sign(&self, header: &Value, payload: &Value, key: SigningKey) -> String {
        let key = match key {
            SigningKey::Active => "active",
            SigningKey::Previous => "previous",
            SigningKey::Unpublished => "unpublished",
        };
        let signed = self.control("POST", "/sign", &json!({"header": header, "payload": payload, "key": key}));
        text(&signed["token"])
    }

    /// From now on a JWT with this payload is as if it had been issued: its issuer calls it active until it is revoked.
    pub fn know(&self, payload: &Value) {
        self.control("POST", "/know", &json!({ "payload": payload }));
    }

    /// The payload of a good user token issued at `now` (Unix seconds) for an hour: for a test to bend and [`Self::sign`].
    pub fn base_claims(&self, now: u64) -> Value {
        json!({
            "ver": 1,
            "jti": "AT.testbed0000000000000000000000000000000000",
            "iss": self.issuer,
            "aud": DEFAULT_AUDIENCE,
            "iat": now,
            "exp": now + 3600,
            "cid": self.client_credentials("application").0,
            "uid": "00u1alice000000000d7",
            "scp": ["read:accounts"],
            "auth_time": now,
            "sub": "alice@acme.com",
        })
    }

    /// A new key is published and signs from now on; the oldest one is dropped.
    pub fn rotate(&self) {
        self.assert_has_one_user();
        self.control("POST", "/rotate", &json!({}));
    }

    /// Tokens that are issued from now on live so long.
    pub fn issue_for(&self, lifetime: Duration) {
        self.assert_has_one_user();
        self.control("POST", "/lifetime", &json!({"seconds": lifetime.as_secs()}));
    }

    /// Revokes a token (RFC 7009) as the client that it was issued to: `service` or `application`.
    ///
    /// # Panics
    /// When the revocation endpoint refuses.
    pub fn revoke(&self, client: &str, token: &str) {
        let response = self.post_form("/v1/revoke", client, &[("token", token)]);
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// How many introspection calls came over HTTPS, which is to say from Envoy.
    pub fn introspections(&self) -> u64 {
        self.requests_for(&format!("{}/v1/introspect", self.issuer_path()))
    }

    /// The key is no longer published.
    pub fn retire(&self, kid: &str) {
        self.assert_has_one_user();
        self.control("POST", "/retire", &json!({"kid": kid}));
    }

    /// The `kid` of a key.
    pub fn kid(&self, key: SigningKey) -> String {
        let kids = self.control("GET", "/kids", &json!({}));
        text(match key {
            SigningKey::Active => &kids["active"],
            SigningKey::Previous => &kids["previous"],
            SigningKey::Unpublished => &kids["unpublished"],
        })
    }

    /// The published key set.
    pub fn jwks(&self) -> Value {
        Request::get(format!("{}/v1/keys", self.issuer_path())).send(self.plain_http_port()).json()
    }

    /// How many requests came to `path` over HTTPS, which is to say from Envoy.
    pub fn requests_for(&self, path: &str) -> u64 {
        self.assert_has_one_user();
        self.control("GET", "/counts", &json!({}))[path].as_u64().unwrap_or(0)
    }

    /// How many times the key set was fetched over HTTPS.
    pub fn key_fetches(&self) -> u64 {
        self.requests_for(&format!("{}/v1/keys", self.issuer_path()))
    }

    fn assert_has_one_user(&self) {
        assert!(!self.is_shared, "others use this server too: start one of your own");
    }

    fn issuer_path(&self) -> &str {
        host_and_path(&self.issuer).1
    }

    fn token(&self, client: &str, form: &[(&str, &str)]) -> String {
        issued(&self.post_form("/v1/token", client, form), "Bearer")
    }

    fn control(&self, method: &str, operation: &str, body: &Value) -> Value {
        let request = Request::new(method, operation).body(body.to_string());
        let response = request.send(self.control_port());
        assert_eq!(response.status, 200, "{operation}: {}", response.text());
        response.json()
    }

    fn ready_port(&self, name: &str) -> u16 {
        let port = self.ready[name].as_u64().expect("the ready line has the port");
        port.try_into().expect("a port")
    }
}

fn client_credentials_form<'a>(request: &ClientTokenRequest<'a>) -> [(&'static str, &'a str); 3] {
    [("grant_type", "client_credentials"), ("scope", request.scopes), ("resource", request.audience)]
}

/// The token in a response, which must be of this type.
fn issued(response: &Response, token_type: &str) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.json()["token_type"], token_type);
    text(&response.json()["access_token"])
}

/// The host of an issuer and its path.
fn host_and_path(issuer: &str) -> (&str, &str) {
    let rest = issuer.strip_prefix("https://").unwrap_or_else(|| panic!("{issuer} is no https issuer"));
    rest.find('/').map(|at| rest.split_at(at)).unwrap_or_else(|| panic!("{issuer} has no path"))
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("authorization-server")
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}
