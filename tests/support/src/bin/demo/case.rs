//! One request of the demo: the request, the expected and the actual outcome, and their differences.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::faults::Faults;
use testbed::{Request, Response, polling};

use crate::stage::{Gateway, Stage};

/// How long the log may take to tell of a request that was answered.
const TIME_TO_LOG: Duration = Duration::from_secs(3);
const NOBODY_EVER: &str = "mallory";
/// What a backend might take for the identity of the caller.
const IDENTITY_HEADERS: [&str; 4] = ["x-user-id", "x-client-id", "x-granted-scopes", "authorization"];

/// A request and what is expected of it.
pub struct Case {
    title: &'static str,
    request: Request,
    path: String,
    expected: Expected,
}

/// What is to happen.
#[derive(Clone, Copy)]
pub enum Expected {
    /// The backend gets it with this identity.
    Admitted {
        /// `x-user-id`.
        user: &'static str,
        /// `x-client-id`.
        client: &'static str,
        /// How long its body is when it arrives.
        body_length: u64,
    },
    /// The backend does not get it.
    Refused {
        /// The status.
        status: u16,
        /// The `error` of the challenge (RFC 6750).
        error: Option<&'static str>,
        /// The reason in the log.
        reason: &'static str,
    },
}

/// What happened.
pub struct Outcome {
    response: Response,
    took: Duration,
    forwarded: usize,
    reason: Option<String>,
}

impl Case {
    /// A request to a path of its own; `with` adds what the case is about.
    pub fn new(stage: &Stage, method: &str, title: &'static str, with: impl FnOnce(Request) -> Request) -> Self {
        let path = stage.new_path();
        let request = with(Request::new(method, &path));
        Self { title, request, path, expected: Expected::allowed_alice() }
    }

    /// Says what is to happen, when it is not that alice is let in.
    pub fn expecting(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    /// Sends it and looks at what came of it everywhere.
    pub fn play(&self, stage: &Stage, gateway: &Gateway) -> io::Result<Outcome> {
        let forwarded_before = stage.backend.count();
        let began = Instant::now();
        let response = self.request.try_send(gateway.port())?;
        let took = began.elapsed();
        let reason = if response.status == 200 { None } else { self.reason_in_log(gateway) };
        Ok(Outcome { response, took, forwarded: stage.backend.count() - forwarded_before, reason })
    }

    /// The reason in the audit line of the request. The access log joins it: there the path has the request id.
    fn reason_in_log(&self, gateway: &Gateway) -> Option<String> {
        polling::within(TIME_TO_LOG, || {
            let log = gateway.envoy.log();
            let id = log.lines().find_map(|line| request_id(line, &self.path))?;
            let record = gateway.envoy.audit_records().into_iter().find(|record| record["request_id"] == id)?;
            record["reason"].as_str().map(str::to_owned)
        })
    }

    /// The cells of its row. `waited` is said beside the answer when it is the point.
    pub fn cells(&self, outcome: &Outcome, waited: Option<String>) -> [String; 4] {
        let mut answer = outcome.answer();
        answer.extend(waited);
        let saw = if outcome.forwarded == 0 { vec!["nothing".to_owned()] } else { outcome.seen() };
        let reason = outcome.reason.clone().unwrap_or_else(|| "-".to_owned());
        [self.title.to_owned(), answer.join("\n"), saw.join("\n"), reason]
    }

    /// What is not as expected.
    pub fn faults(&self, outcome: &Outcome) -> Vec<String> {
        match self.expected {
            Expected::Admitted { user, client, body_length } => outcome.faults_if_allowed(user, client, body_length),
            Expected::Refused { status, error, reason } => outcome.faults_if_rejected(status, error, reason),
        }
    }
}

impl Expected {
    /// Alice is let in.
    pub const fn allowed_alice() -> Self {
        Self::Admitted { user: "alice@acme.com", client: "0oa1application000d7", body_length: 0 }
    }

    /// Alice is let in with a body.
    pub const fn allowed_alice_with(body: &'static str) -> Self {
        Self::Admitted { user: "alice@acme.com", client: "0oa1application000d7", body_length: body.len() as u64 }
    }

    /// The client `service` is let in, in nobody's name but its own.
    pub const fn allowed_service() -> Self {
        Self::Admitted { user: "0oa1service0000000d7", client: "0oa1service0000000d7", body_length: 0 }
    }

    /// 401: a token is needed.
    pub const fn no_token() -> Self {
        Self::Refused { status: 401, error: None, reason: "token_missing" }
    }

    /// 401: this token is not good.
    pub const fn invalid_token(reason: &'static str) -> Self {
        Self::Refused { status: 401, error: Some("invalid_token"), reason }
    }

    /// 503: it cannot be known.
    pub const fn unavailable(reason: &'static str) -> Self {
        Self::Refused { status: 503, error: None, reason }
    }
}

impl Outcome {
    /// How long the answer took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// The status of the answer.
    pub fn status(&self) -> u16 {
        self.response.status
    }

    fn answer(&self) -> Vec<String> {
        let status = self.response.status;
        if let Some(seconds) = self.response.header("retry-after") {
            return vec![format!("{status} Retry-After: {seconds}")];
        }
        let error = self.challenge_error().or_else(|| self.body_member("error"));
        vec![error.map_or_else(|| status.to_string(), |error| format!("{status} {error}"))]
    }

    /// The `error` parameter of the challenge.
    fn challenge_error(&self) -> Option<String> {
        let challenge = self.response.header("www-authenticate")?;
        let (_, rest) = challenge.split_once("error=\"")?;
        rest.split_once('"').map(|(error, _)| error.to_owned())
    }

    fn body_member(&self, name: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.response.body).ok()?;
        body[name].as_str().map(str::to_owned)
    }

    /// The request as the backend echoed it.
    fn echo(&self) -> Value {
        serde_json::from_slice(&self.response.body).unwrap_or_default()
    }

    fn seen_headers(&self) -> Vec<(String, String)> {
        let echo = self.echo();
        let fields = echo["headers"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        fields.iter().map(|field| (text(&field[0]), text(&field[1]))).collect()
    }

    fn seen(&self) -> Vec<String> {
        let headers = self.seen_headers();
        let shown = headers.iter().filter(|(name, value)| {
            let name = folded(name);
            IDENTITY_HEADERS.contains(&name.as_str()) || value.contains(NOBODY_EVER)
        });
        let mut lines: Vec<String> = shown.map(|(name, value)| format!("{name}: {value}")).collect();
        if let Some(length @ 1..) = self.echo()["body_length"].as_u64() {
            lines.push(format!("and a body of {length} bytes"));
        }
        lines
    }

    fn faults_if_allowed(&self, user: &str, client: &str, body_length: u64) -> Vec<String> {
        let mut faults = Faults::default();
        faults.expect("the status", &200, &self.response.status);
        faults.expect("how often the backend was asked", &1, &self.forwarded);
        let headers = self.seen_headers();
        let values = |wanted: &str| -> Vec<String> {
            let named = headers.iter().filter(|(name, _)| folded(name) == wanted);
            named.map(|(_, value)| value.clone()).collect()
        };
        faults.expect("x-user-id at the backend", &vec![user.to_owned()], &values("x-user-id"));
        faults.expect("x-client-id at the backend", &vec![client.to_owned()], &values("x-client-id"));
        faults.expect(
            "x-granted-scopes at the backend",
            &vec!["read:accounts".to_owned()],
            &values("x-granted-scopes"),
        );
        faults.expect("authorization at the backend", &Vec::new(), &values("authorization"));
        let spoofed = headers.iter().filter(|(_, value)| value.contains(NOBODY_EVER)).count();
        faults.expect("headers with a spoofed identity", &0, &spoofed);
        faults.expect("the body's length", &Some(body_length), &self.echo()["body_length"].as_u64());
        faults.0
    }

    fn faults_if_rejected(&self, status: u16, error: Option<&str>, reason: &str) -> Vec<String> {
        let mut faults = Faults::default();
        faults.expect("the status", &status, &self.response.status);
        faults.expect("how often the backend was asked", &0, &self.forwarded);
        let found = self.challenge_error();
        faults.expect("the challenge's error", &error.unwrap_or("none"), &found.as_deref().unwrap_or("none"));
        let challenged = self.response.header("www-authenticate").is_some();
        faults.expect("whether there is a challenge", &(status != 503), &challenged);
        let may_retry = self.response.header("retry-after").is_some();
        faults.expect("whether there is Retry-After", &(status == 503), &may_retry);
        faults.expect("the reason", &reason, &self.reason.as_deref().unwrap_or("not in the log"));
        faults.0
    }
}

/// A header's name as a CGI program would see it.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The id in the access log's line of the request with this path.
fn request_id(line: &str, path: &str) -> Option<String> {
    let rest = line.strip_prefix("access ")?;
    let mut words = rest.split(' ').skip_while(|word| !word.starts_with("request="));
    let id = words.next()?.strip_prefix("request=")?;
    (words.nth(1)? == path).then(|| id.to_owned())
}
