//! The requests of an attack: generators for each part of a request that two servers may read differently.

mod credentials;
mod headers;
mod hosts;
mod identity;
mod methods;
mod paths;

use super::credential::{Credential, MARKER};
use super::policy::{CLOSED, FORWARDING, MEMBERS, Policy, REMOVING};
use super::random::Random;

/// Where a request has the text of its token.
pub const TOKEN: &[u8] = b"{token}";

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    Http2,
}

/// A request, and what its sender may.
#[derive(Clone, Debug)]
pub struct Spelling {
    /// The generator that wrote it.
    pub family: &'static str,
    /// The policy of the listener that it is sent to.
    pub policy: &'static Policy,
    /// Whom it speaks for.
    pub credential: Credential,
    /// How it is sent.
    pub protocol: Protocol,
    /// The method.
    pub method: String,
    /// The request target.
    pub target: Vec<u8>,
    /// `Host` or `:authority`.
    pub host: Vec<u8>,
    /// Header fields besides.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// A body.
    pub body: Option<Vec<u8>>,
    /// Trailer fields.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Spelling {
    /// A request over HTTP/1.1 that shows its token in the usual place.
    pub fn new(
        family: &'static str,
        policy: &'static Policy,
        credential: Credential,
        method: &str,
        target: &str,
    ) -> Self {
        let request = Self {
            family,
            policy,
            credential,
            protocol: Protocol::Http1,
            method: method.to_owned(),
            target: target.as_bytes().to_vec(),
            host: b"api.acme.com".to_vec(),
            headers: Vec::new(),
            body: None,
            trailers: Vec::new(),
        };
        match credential {
            Credential::Anonymous => request,
            _ => request.header("authorization", [b"Bearer ", TOKEN].concat()),
        }
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds a trailer field, and a body if there is none.
    pub fn trailer(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self.body.get_or_insert_with(|| b"x".to_vec());
        self
    }

    /// Adds a form as the body.
    pub fn form(mut self, form: &str) -> Self {
        self.body = Some(form.as_bytes().to_vec());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// For another host.
    pub fn host(mut self, host: impl AsRef<[u8]>) -> Self {
        self.host = host.as_ref().to_vec();
        self
    }

    /// The same over HTTP/2.
    pub fn over_http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// With the text of the token in its place.
    pub fn with_token(&self, token: Option<&str>) -> Self {
        let Some(token) = token else { return self.clone() };
        let filled = |text: &[u8]| replaced(text, TOKEN, token.as_bytes());
        let all =
            |fields: &[(Vec<u8>, Vec<u8>)]| fields.iter().map(|(name, value)| (filled(name), filled(value))).collect();
        Self {
            target: filled(&self.target),
            headers: all(&self.headers),
            trailers: all(&self.trailers),
            ..self.clone()
        }
    }
}

fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match text.windows(from.len()).position(|window| window == from) {
        Some(at) => [&text[..at], to, &text[at + from.len()..]].concat(),
        None => text.to_vec(),
    }
}

/// Both protocols for each request.
fn over_both(requests: Vec<Spelling>) -> Vec<Spelling> {
    requests.into_iter().flat_map(|request| [request.clone(), request.over_http2()]).collect()
}

/// Every spelling that is written down, and `random` more from random combinations.
pub fn all(random: &mut Random, count: usize) -> Vec<Spelling> {
    let mut requests = paths::all();
    requests.extend(paths::every_byte());
    requests.extend(paths::random(random, count));
    requests.extend(hosts::all());
    requests.extend(methods::all());
    requests.extend(headers::all());
    requests.extend(credentials::all());
    requests.extend(identity::all());
    requests.extend(paths::other_paths());
    requests.extend(known_attacks());
    requests
}

/// A sample for a short run: all of the small families, and of the large ones so many.
pub fn short(random: &mut Random, count: usize) -> Vec<Spelling> {
    let mut requests = random.sample(paths::all(), count);
    requests.extend(paths::random(random, count / 4));
    for family in [hosts::all(), methods::all(), headers::all(), credentials::all(), identity::all()] {
        requests.extend(random.sample(family, count / 4));
    }
    requests.extend(random.sample(paths::other_paths(), count / 2));
    requests.extend(known_attacks());
    requests
}

/// The attacks that have succeeded, one for each: they are part of every run.
pub fn known_attacks() -> Vec<Spelling> {
    let closed = |credential, method, target| Spelling::new("known", &CLOSED, credential, method, target);
    let anonymous = Credential::Anonymous;
    let alice = Credential::Alice;
    vec![
        closed(anonymous, "GET", "/admin;/x.css"),
        closed(alice, "DELETE", "/accounts/7;/x.css"),
        closed(anonymous, "GET", "/public/admin").header("SCRIPT_NAME", "/public"),
        Spelling::new("known", &MEMBERS, alice, "delete", "/accounts/7").over_http2(),
        Spelling::new("known", &MEMBERS, Credential::Eve, "GET", "/orgs/acme%20inc/data"),
        Spelling::new("known", &super::policy::HOSTS, anonymous, "GET", "/admin").host("static.acme.com:81"),
        Spelling::new("known", &super::policy::HOSTS, anonymous, "GET", "/admin").host("static.acme.com."),
        Spelling::new("known", &FORWARDING, anonymous, "GET", &format!("/optional?access_token[]={MARKER}")),
        Spelling::new("known", &REMOVING, alice, "GET", "/accounts/7").header("x_user_id", MARKER),
        closed(alice, "POST", "/optional").trailer("x-user-id", MARKER).trailer("x-groups", "admin"),
    ]
}

/// Honest requests, each of which every backend executes: without them, a run in which nothing arrives would pass.
pub fn honest() -> Vec<Spelling> {
    let request = |policy, credential, method, target| Spelling::new("honest", policy, credential, method, target);
    vec![
        request(&CLOSED, Credential::Anonymous, "GET", "/public/x"),
        request(&CLOSED, Credential::Alice, "GET", "/accounts/7"),
        request(&CLOSED, Credential::Admin, "DELETE", "/accounts/7"),
        request(&MEMBERS, Credential::Admin, "GET", "/admin"),
        request(&MEMBERS, Credential::Alice, "GET", "/orgs/acme%20inc/data"),
    ]
}
