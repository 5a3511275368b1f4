//! The requests of the clients, made from the seed: their tokens, their targets and their spellings.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::clock::Moment;
use super::plan::Via;
use super::tokens::{Credential, Jwt, Opaque, SigningKey, User, unsigned};
use super::world::World;
use crate::attack::random::Random;

/// What a client writes wherever an identity of its own could be believed.
pub const MARKER: &str = "mallory";

/// What is asked for; the rules of the configuration are about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Public,
    Read,
    Write,
    /// Allowed or denied, which changes with each reload.
    Flip,
    /// Denied to all.
    Closed,
}

impl Operation {
    pub const fn scope(self) -> Option<&'static str> {
        match self {
            Self::Read => Some("read"),
            Self::Write => Some("write"),
            Self::Public | Self::Flip | Self::Closed => None,
        }
    }
}

/// A request as it is written, over either protocol.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    pub trailers: Vec<(String, String)>,
}

/// A request that was sent, and what is known of it.
pub struct Attempt {
    pub id: String,
    pub kind: &'static str,
    pub operation: Operation,
    pub credential: Credential,
    pub draft: Draft,
    pub via: Via,
    /// When its connection was opened.
    pub opened: Moment,
    pub sent: Moment,
    /// How often the backend received its head.
    pub reached: AtomicUsize,
    /// Envoy itself rejects it and closes the connection.
    pub is_oversized: bool,
}

/// What is to become of the client in the middle of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientBehavior {
    /// It reads every response.
    Waits,
    /// It leaves before the last body is complete.
    LeavesEarly,
    /// It sends everything and leaves without a response.
    LeavesAtOnce,
}

/// Requests that are sent together.
pub struct Batch {
    pub attempts: Vec<Arc<Attempt>>,
    pub patience: ClientBehavior,
}

/// The generator of one client.
pub struct Traffic {
    client: String,
    next: usize,
    pub random: Random,
    forger: SigningKey,
    short_lived: Vec<Arc<Jwt>>,
}

impl Traffic {
    pub fn new(client: String, seed: u64) -> Self {
        Self { client, next: 0, random: Random::new(seed), forger: SigningKey::new("key-0"), short_lived: Vec::new() }
    }

    /// A batch for a connection that was opened at `opened`.
    pub fn batch(&mut self, world: &World, via: Via, opened: Moment, most: usize, may_be_oversized: bool) -> Batch {
        let count = 1 + self.random.below(most);
        let mut attempts: Vec<_> = (0..count).map(|_| self.attempt(world, via, opened)).collect();
        let patience = match self.random.below(24) {
            0 => ClientBehavior::LeavesEarly,
            1 => ClientBehavior::LeavesAtOnce,
            _ => ClientBehavior::Waits,
        };
        if may_be_oversized && patience == ClientBehavior::Waits && self.random.once_in(20) {
            // It ends the connection, so that it is the last one.
            let mut last = self.attempt(world, via, opened);
            last.kind = "head too large";
            last.is_oversized = true;
            last.draft.headers.push(("x-long".to_owned(), "a".repeat(70_000)));
            attempts.push(last);
        }
        let attempts: Vec<_> = attempts.into_iter().map(Arc::new).collect();
        attempts.iter().for_each(|attempt| world.register(attempt));
        Batch { attempts, patience }
    }

    fn attempt(&mut self, world: &World, via: Via, opened: Moment) -> Attempt {
        let (kind, credential, text) = self.credential(world);
        let operation = match self.random.below(20) {
            0..10 => Operation::Read,
            10..15 => Operation::Write,
            15..17 => Operation::Flip,
            17..19 => Operation::Public,
            _ => Operation::Closed,
        };
        let mut draft = self.draft(operation);
        match (&credential, text) {
            (_, None) => {}
            (Credential::Missing, Some(text)) => self.misplace(&mut draft, &text),
            (Credential::Multiple, Some(text)) => {
                draft.headers.push(("authorization".to_owned(), format!("Bearer {text}")));
                draft.headers.push(("authorization".to_owned(), format!("Bearer {text}")));
            }
            (_, Some(text)) => draft.headers.push(("authorization".to_owned(), format!("Bearer {text}"))),
        }
        let id = format!("{}.{}", self.client, self.next);
        self.next += 1;
        Attempt {
            id,
            kind,
            operation,
            credential,
            draft,
            via,
            opened,
            sent: world.now(),
            reached: AtomicUsize::new(0),
            is_oversized: false,
        }
    }

    /// The kind of a token, what is known of it, and its text.
    fn credential(&mut self, world: &World) -> (&'static str, Credential, Option<String>) {
        let user = &world.users[self.random.below(world.users.len())];
        let choice = self.random.below(1 << 20);
        let never = |kind, text: String| (kind, Credential::NeverValid, Some(text));
        let jwt = |kind, token: Arc<Jwt>| {
            let text = token.text.clone();
            (kind, Credential::Jwt(token), Some(text))
        };
        let opaque = |kind, token: Arc<Opaque>| {
            let text = token.text.clone();
            (kind, Credential::Opaque(token), Some(text))
        };
        match self.random.below(100) {
            0..30 => {
                let known = world.jwt_in_use(choice);
                jwt("JWT in use", known.unwrap_or_else(|| world.new_jwt_in_use(user)))
            }
            30..32 => jwt("new JWT", world.new_jwt_in_use(user)),
            32..35 => jwt("new JWT", world.new_jwt(user, Duration::from_secs(7200))),
            35..38 => match world.revoked_jwt(choice) {
                Some(token) => jwt("revoked JWT", token),
                None => jwt("new JWT", world.new_jwt(user, Duration::from_secs(7200))),
            },
            38..42 => jwt("JWT of a leaver", world.new_jwt(&world.leaver(choice), Duration::from_secs(7200))),
            42..45 => jwt("short-lived JWT", self.short_lived(world, user)),
            45..60 => {
                let established = world.established();
                opaque("opaque token, established", Arc::clone(&established[choice % established.len()]))
            }
            60..66 => opaque("opaque token, passing", world.passing(choice)),
            66..70 => never("opaque token, random", format!("random-{}-{choice:08x}-token", self.client)),
            70..74 => ("no token", Credential::Missing, None),
            74..77 => {
                let valid = world.new_jwt(user, Duration::from_secs(600)).text.clone();
                ("token in a wrong place", Credential::Missing, Some(valid))
            }
            77..79 => {
                let valid = world.new_jwt(user, Duration::from_secs(600)).text.clone();
                ("two tokens", Credential::Multiple, Some(valid))
            }
            79..82 => {
                let mut claims = world.claims(user, "expired", Duration::ZERO);
                claims["exp"] = json!(claims["exp"].as_u64().unwrap_or_default() - 300);
                claims["iat"] = json!(claims["iat"].as_u64().unwrap_or_default() - 900);
                let key = world.key_in_use();
                never("expired JWT", key.sign(&json!({ "alg": "ES256", "kid": key.kid }), &claims))
            }
            82..86 => {
                let header = json!({ "alg": "ES256", "kid": world.key_in_use().kid });
                never("JWT by a foreign key", self.forger.sign(&header, &self.mallory(world)))
            }
            86..88 => {
                let header = json!({ "alg": "none", "kid": world.key_in_use().kid });
                never("JWT without a signature", format!("{}.", unsigned(&header, &self.mallory(world))))
            }
            88..92 => {
                let valid = world.new_jwt(user, Duration::from_secs(600)).text.clone();
                let mut parts: Vec<&str> = valid.split('.').collect();
                let payload = URL_SAFE_NO_PAD.encode(self.mallory(world).to_string());
                parts[1] = &payload;
                never("JWT with a changed payload", parts.join("."))
            }
            92..96 => {
                let header = json!({ "alg": "ES256", "kid": format!("unknown-{choice}") });
                never("JWT with an unknown key id", self.forger.sign(&header, &self.mallory(world)))
            }
            96..98 => {
                let mut claims = self.mallory(world);
                claims["padding"] = json!("x".repeat(9000));
                let key = world.key_in_use();
                never("JWT that is too long", key.sign(&json!({ "alg": "ES256", "kid": key.kid }), &claims))
            }
            _ => {
                let mut claims = self.mallory(world);
                claims["aud"] = json!("api://other");
                let key = world.key_in_use();
                never("JWT for another audience", key.sign(&json!({ "alg": "ES256", "kid": key.kid }), &claims))
            }
        }
    }

    /// A token that expires soon, or did a moment ago.
    fn short_lived(&mut self, world: &World, user: &Arc<User>) -> Arc<Jwt> {
        if self.short_lived.is_empty() || self.random.once_in(3) {
            self.short_lived.truncate(5);
            let lifetime = Duration::from_millis(500 + self.random.below(3000) as u64);
            self.short_lived.insert(0, world.new_jwt(user, lifetime));
        }
        Arc::clone(&self.short_lived[self.random.below(self.short_lived.len())])
    }

    fn mallory(&self, world: &World) -> serde_json::Value {
        let mut claims = world.claims(&world.users[0], MARKER, Duration::from_secs(600));
        claims["sub"] = json!(MARKER);
        claims
    }

    /// Puts a valid token where the filter must not look for one.
    fn misplace(&mut self, draft: &mut Draft, text: &str) {
        match self.random.below(4) {
            0 => draft.target.push_str(&format!("?access_token={text}")),
            1 => draft.headers.push(("x-authorization".to_owned(), format!("Bearer {text}"))),
            2 => draft.headers.push(("proxy-authorization".to_owned(), format!("Bearer {text}"))),
            _ => draft.headers.push(("cookie".to_owned(), format!("access_token={text}"))),
        }
    }

    fn draft(&mut self, operation: Operation) -> Draft {
        let number = self.random.below(1000);
        let (method, target) = match operation {
            Operation::Public => ("GET", format!("/public/{number}")),
            Operation::Read => ("GET", format!("/api/{number}")),
            Operation::Write => ("POST", format!("/api/{number}")),
            Operation::Flip => ("GET", "/flip".to_owned()),
            Operation::Closed => ("GET", format!("/other/{number}")),
        };
        let mut headers = Vec::new();
        if self.random.once_in(5) {
            let name = ["x-user-id", "X-User-Id", "x-client-id", "x-granted-scopes", "x.user.id", "x_user_id"];
            headers.push((self.random.pick(&name).to_owned(), MARKER.to_owned()));
        }
        let mut trailers = Vec::new();
        let body = (method == "POST").then(|| vec![b'b'; self.random.below(20_000)]);
        if body.as_ref().is_some_and(|body| !body.is_empty()) && self.random.once_in(4) {
            trailers.push(("x-user-id".to_owned(), MARKER.to_owned()));
        }
        Draft { method, target, headers, body, trailers }
    }
}

impl Attempt {
    /// All header fields, the request's id included, names in lower case.
    pub fn fields(&self) -> Vec<(String, String)> {
        let id = ("x-request-id".to_owned(), self.id.clone());
        let own = self.draft.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        std::iter::once(id).chain(own).collect()
    }

    /// The bytes over HTTP/1.1.
    pub fn http1_bytes(&self) -> Vec<u8> {
        let draft = &self.draft;
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: api.test\r\nx-request-id: {}\r\n", draft.method, draft.target, self.id);
        for (name, value) in &draft.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes;
        match &draft.body {
            None => bytes = (head + "\r\n").into_bytes(),
            Some(body) if draft.trailers.is_empty() => {
                bytes = (head + &format!("content-length: {}\r\n\r\n", body.len())).into_bytes();
                bytes.extend_from_slice(body);
            }
            Some(body) => {
                bytes = (head + "transfer-encoding: chunked\r\n\r\n").into_bytes();
                bytes.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                bytes.extend_from_slice(body);
                bytes.extend_from_slice(b"\r\n0\r\n");
                for (name, value) in &draft.trailers {
                    bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes
    }

    /// For people, shortened.
    pub fn described(&self) -> String {
        let shorten =
            |(name, value): &(String, String)| format!("{name}: {}", value.chars().take(600).collect::<String>());
        let headers: Vec<_> = self.draft.headers.iter().map(shorten).collect();
        format!(
            "{} ({}, {:?} listener, connection of {:.3?}, sent at {:.3?}): {} {} [{}] body of {:?} bytes",
            self.id,
            self.kind,
            self.via,
            self.opened,
            self.sent,
            self.draft.method,
            self.draft.target,
            headers.join("; "),
            self.draft.body.as_ref().map(Vec::len),
        )
    }
}
