//! The model of a run: what is valid, published, revoked and faulty, and since when.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{Clock, Moment};
use super::plan::{Endpoint, Fault, Via};
use super::report::Report;
use super::timeline::Timeline;
use super::tokens::{AUDIENCE, JWT_ISSUER, Jwt, OPAQUE_ISSUER, Opaque, SigningKey, User};
use super::traffic::Attempt;

const USERS: usize = 6;
/// Tokens that are in use all the time.
const ESTABLISHED: usize = 8;
const SCOPES: [&[&str]; 3] = [&["read", "write"], &["read"], &["other"]];

/// A configuration of one of the listeners.
#[derive(Clone, Copy, Debug)]
pub struct Generation {
    pub flip_is_open: bool,
    /// When Envoy was given it.
    pub begun: Moment,
    /// When Envoy had accepted it.
    pub accepted: Moment,
}

/// An endpoint as the plan left it.
#[derive(Default)]
pub struct EndpointState {
    pub fault: Mutex<Option<Fault>>,
    pub faults: Timeline,
    pub calls: Mutex<Vec<Moment>>,
}

/// Everything that the clients, the servers and the judge share.
pub struct World {
    pub clock: Clock,
    pub report: Report,
    pub is_over: AtomicBool,
    pub floods: Timeline,
    pub reloads: Timeline,
    endpoints: [EndpointState; 4],
    keys: Mutex<Keys>,
    pub users: Vec<Arc<User>>,
    /// Users whose tokens are revoked, one after the other.
    leavers: Mutex<Vec<Arc<User>>>,
    jwts: Mutex<Vec<Arc<Jwt>>>,
    revoked_jwts: Mutex<Vec<Arc<Jwt>>>,
    opaque: Mutex<HashMap<String, Arc<Opaque>>>,
    /// Opaque tokens that come to an end, newest last.
    passing: Mutex<Vec<Arc<Opaque>>>,
    revoked: Mutex<Vec<Value>>,
    pub generations: [Mutex<Vec<Generation>>; 2],
    pub attempts: Mutex<HashMap<String, Arc<Attempt>>>,
    next_token: AtomicUsize,
}

struct Keys {
    by_rotation: HashMap<usize, Arc<SigningKey>>,
    in_use: usize,
}

impl World {
    pub fn new() -> Self {
        let first = Arc::new(SigningKey::new("key-0"));
        first.published.set(Duration::ZERO).expect("once");
        let users =
            (0..USERS).map(|number| User::new(format!("user-{number}"), SCOPES[number % SCOPES.len()])).collect();
        let world = Self {
            clock: Clock::start(),
            report: Report::default(),
            is_over: AtomicBool::new(false),
            floods: Timeline::default(),
            reloads: Timeline::default(),
            endpoints: Default::default(),
            keys: Mutex::new(Keys { by_rotation: HashMap::from([(0, first)]), in_use: 0 }),
            users,
            leavers: Mutex::default(),
            jwts: Mutex::default(),
            revoked_jwts: Mutex::default(),
            opaque: Mutex::default(),
            passing: Mutex::default(),
            revoked: Mutex::default(),
            generations: Default::default(),
            attempts: Mutex::default(),
            next_token: AtomicUsize::new(0),
        };
        for number in 0..ESTABLISHED {
            world.new_opaque(&world.users[number % USERS], true);
        }
        for _ in 0..3 {
            world.new_passing();
        }
        world.new_leaver();
        world
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    pub const fn endpoint(&self, endpoint: Endpoint) -> &EndpointState {
        &self.endpoints[endpoint as usize]
    }

    pub const fn generations(&self, via: Via) -> &Mutex<Vec<Generation>> {
        &self.generations[via as usize]
    }

    // --- keys and JWTs

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().expect("no panic")
    }

    /// The key of a rotation; it is made the first time.
    pub fn key(&self, rotation: usize) -> Arc<SigningKey> {
        let make = || Arc::new(SigningKey::new(&format!("key-{rotation}")));
        Arc::clone(self.keys().by_rotation.entry(rotation).or_insert_with(make))
    }

    pub fn use_key(&self, rotation: usize) {
        let _ = self.key(rotation);
        self.keys().in_use = rotation;
    }

    pub fn key_in_use(&self) -> Arc<SigningKey> {
        let keys = self.keys();
        Arc::clone(&keys.by_rotation[&keys.in_use])
    }

    /// The key set as it is published now.
    pub fn key_set(&self) -> Value {
        let keys = self.keys();
        let is_published = |key: &&Arc<SigningKey>| key.published.get().is_some() && key.retired.get().is_none();
        let mut published: Vec<_> = keys.by_rotation.values().filter(is_published).collect();
        published.sort_by(|one, other| one.kid.cmp(&other.kid));
        json!({ "keys": published.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
    }

    fn next_id(&self) -> String {
        format!("t{}", self.next_token.fetch_add(1, Ordering::Relaxed))
    }

    pub fn claims(&self, user: &User, id: &str, lifetime: Duration) -> Value {
        let now = self.now();
        json!({
            "iss": JWT_ISSUER, "aud": AUDIENCE, "iat": self.clock.unix(now), "exp": self.clock.unix(now + lifetime),
            "sub": user.name, "client_id": user.client, "scope": user.scopes.join(" "), "jti": id,
        })
    }

    /// A token by the key in use.
    pub fn new_jwt(&self, user: &Arc<User>, lifetime: Duration) -> Arc<Jwt> {
        let key = self.key_in_use();
        let id = self.next_id();
        let expires = self.now() + lifetime;
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": key.kid });
        let text = key.sign(&header, &self.claims(user, &id, lifetime));
        Arc::new(Jwt { text, id, user: Arc::clone(user), key, expires, revoked: Default::default() })
    }

    /// A token that may be revoked one day, with its own place among those in use.
    pub fn new_jwt_in_use(&self, user: &Arc<User>) -> Arc<Jwt> {
        let token = self.new_jwt(user, Duration::from_secs(7200));
        let mut jwts = self.jwts.lock().expect("no panic");
        if jwts.len() > 64 {
            jwts.remove(0);
        }
        jwts.push(Arc::clone(&token));
        token
    }

    /// One of the tokens in use.
    pub fn jwt_in_use(&self, choice: usize) -> Option<Arc<Jwt>> {
        let jwts = self.jwts.lock().expect("no panic");
        if jwts.is_empty() { None } else { Some(Arc::clone(&jwts[choice % jwts.len()])) }
    }

    // --- opaque tokens

    fn new_opaque(&self, user: &Arc<User>, is_established: bool) -> Arc<Opaque> {
        let text = format!("opaque-{}-{}-token-of-some-length", self.next_id(), user.name);
        let token = Opaque { text: text.clone(), user: Arc::clone(user), ended: Default::default(), is_established };
        let token = Arc::new(token);
        self.opaque.lock().expect("no panic").insert(text, Arc::clone(&token));
        token
    }

    fn new_passing(&self) {
        let number = self.next_token.load(Ordering::Relaxed);
        let token = self.new_opaque(&self.users[number % USERS], false);
        self.passing.lock().expect("no panic").push(token);
    }

    /// The tokens that every worker knows before the faults begin.
    pub fn established(&self) -> Vec<Arc<Opaque>> {
        let opaque = self.opaque.lock().expect("no panic");
        let mut found: Vec<_> = opaque.values().filter(|token| token.is_established).map(Arc::clone).collect();
        found.sort_by(|one, other| one.text.cmp(&other.text));
        found
    }

    /// One of the last tokens that come to an end, or came to one.
    pub fn passing(&self, choice: usize) -> Arc<Opaque> {
        let passing = self.passing.lock().expect("no panic");
        let newest = &passing[passing.len().saturating_sub(6)..];
        Arc::clone(&newest[choice % newest.len()])
    }

    /// Ends the oldest of those that are active, and adds one.
    pub fn end_opaque(&self) {
        let passing = self.passing.lock().expect("no panic").clone();
        if let Some(token) = passing.iter().find(|token| token.ended.get().is_none()) {
            let _ = token.ended.set(self.now());
        }
        self.new_passing();
    }

    /// What the issuer says of a token.
    pub fn introspect(&self, text: &str) -> Value {
        let token = self.opaque.lock().expect("no panic").get(text).map(Arc::clone);
        match token.filter(|token| token.ended.get().is_none()) {
            None => json!({ "active": false }),
            Some(token) => json!({
                "active": true, "token_type": "Bearer", "iss": OPAQUE_ISSUER, "aud": AUDIENCE,
                "sub": token.user.name, "client_id": token.user.client, "scope": token.user.scopes.join(" "),
                "iat": self.clock.unix(self.now()), "exp": self.clock.unix(self.now()) + 7200,
            }),
        }
    }

    // --- revocations

    pub fn revocation_list(&self) -> Value {
        json!({ "revoked": *self.revoked.lock().expect("no panic") })
    }

    /// Puts one of the tokens in use on the list.
    pub fn revoke_token(&self, choice: usize) {
        let Some(token) = self.jwt_in_use(choice) else { return };
        let _ = token.revoked.set(self.now());
        self.revoked.lock().expect("no panic").push(json!({ "jti": token.id, "iss": JWT_ISSUER }));
        self.revoked_jwts.lock().expect("no panic").push(token);
    }

    /// One of the tokens that were revoked last.
    pub fn revoked_jwt(&self, choice: usize) -> Option<Arc<Jwt>> {
        let revoked = self.revoked_jwts.lock().expect("no panic");
        let newest = &revoked[revoked.len().saturating_sub(8)..];
        if newest.is_empty() { None } else { Some(Arc::clone(&newest[choice % newest.len()])) }
    }

    fn new_leaver(&self) {
        let mut leavers = self.leavers.lock().expect("no panic");
        let name = format!("leaver-{}", leavers.len());
        leavers.push(User::new(name, &["read", "write"]));
    }

    /// A user who is about to be revoked, or was just now.
    pub fn leaver(&self, choice: usize) -> Arc<User> {
        let leavers = self.leavers.lock().expect("no panic");
        let newest = &leavers[leavers.len().saturating_sub(2)..];
        Arc::clone(&newest[choice % newest.len()])
    }

    /// Puts the last leaver on the list, and takes another.
    pub fn revoke_user(&self) {
        let user = Arc::clone(self.leavers.lock().expect("no panic").last().expect("there is one"));
        let _ = user.revoked.set(self.now());
        self.revoked.lock().expect("no panic").push(json!({ "sub": user.name, "iss": JWT_ISSUER }));
        self.new_leaver();
    }

    // --- attempts

    pub fn register(&self, attempt: &Arc<Attempt>) {
        if let super::tokens::Credential::Jwt(token) = &attempt.credential {
            let _ = token.key.first_used.set(attempt.sent);
        }
        self.attempts.lock().expect("no panic").insert(attempt.id.clone(), Arc::clone(attempt));
    }

    pub fn attempt(&self, id: &str) -> Option<Arc<Attempt>> {
        self.attempts.lock().expect("no panic").get(id).map(Arc::clone)
    }

    pub fn forget(&self, id: &str) {
        self.attempts.lock().expect("no panic").remove(id);
    }
}
