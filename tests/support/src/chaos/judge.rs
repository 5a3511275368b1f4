//! The allowed outcomes of a request, by what was valid while it was in flight; and the check of the actual outcome.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::clock::Moment;
use super::plan::{Endpoint, Via};
use super::report::HEALTHY;
use super::tokens::{Credential, Jwt, Opaque};
use super::traffic::{Attempt, MARKER, Operation};
use super::world::World;
use crate::http1::{Headers, Received};

/// A rotated key works within this time, while the key set can be fetched.
pub const TIME_TO_LEARN_A_KEY: Duration = Duration::from_secs(5);
/// A revocation counts within this time, while the list can be fetched: `refresh`, a poll, and scheduling.
const TIME_TO_APPLY_A_LIST: Duration = Duration::from_secs(4);
/// A key that is no longer published verifies nothing after this: the shortest freshness, and a fetch.
const TIME_TO_FORGET_A_KEY: Duration = Duration::from_secs(75);
/// `clock_skew`, and what is rounded.
const CLOCK_SKEW: Duration = Duration::from_millis(1100);
/// `cache_ttl`, and scheduling.
const TIME_TO_END: Duration = Duration::from_millis(super::gateway::CACHE_TTL_MILLIS + 500);
/// A filter that was replaced decides no request that is sent later.
const TIME_TO_REPLACE: Duration = Duration::from_secs(3);
/// The introspection calls of a flood count against the limit for a minute.
const FLOOD_RECOVERY: Duration = Duration::from_secs(60);
/// The id of requests before the run.
pub const WARM_UP: &str = "warm-up";
/// Headers that only the filter may write, and where tokens are taken from.
const IDENTITY_HEADERS: [&str; 3] = ["x-user-id", "x-client-id", "x-granted-scopes"];
const CREDENTIAL_HEADERS: [&str; 4] =
    ["authorization", "proxy-authorization", "x-forwarded-authorization", "x-forwarded-access-token"];

/// A response as both protocols give it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub status: u16,
    pub has_retry_after: bool,
    pub body: Vec<u8>,
}

impl Seen {
    /// Why the filter rejected the request; `None` when the response is not the filter's.
    fn reason(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body["reason"].as_str()?.to_owned())
    }
}

/// What is possible for a token while a request is under way.
#[derive(Clone, Debug, Default)]
struct Possible {
    valid: bool,
    invalid: bool,
    undecidable: bool,
    /// What is at fault of all that is needed to decide.
    conditions: Vec<String>,
}

impl World {
    fn list_was_applied(&self, revoked: Moment, by: Moment) -> bool {
        self.endpoint(Endpoint::List).faults.has_quiet(revoked, by, TIME_TO_APPLY_A_LIST)
    }

    fn possible_for_jwt(&self, token: &Jwt, from: Moment, to: Moment) -> Possible {
        let mut possible = Possible { valid: true, ..Possible::default() };
        for revoked in [token.revoked.get(), token.user.revoked.get()].into_iter().flatten() {
            possible.invalid |= *revoked <= to;
            possible.valid &= !self.list_was_applied(*revoked, from);
        }
        possible.invalid |= token.expires <= to;
        possible.valid &= from < token.expires + CLOCK_SKEW;
        let keys = &self.endpoint(Endpoint::Keys).faults;
        if let Some(retired) = token.key.retired.get().filter(|retired| **retired <= to) {
            possible.invalid = true;
            possible.undecidable = true;
            possible.valid &= !keys.has_quiet(*retired, from, TIME_TO_FORGET_A_KEY);
        }
        let first_used = token.key.first_used.get().copied().unwrap_or(from);
        let published = token.key.published.get().copied();
        let is_initial = published.is_some_and(|published| published.is_zero());
        let is_learnt =
            published.is_some_and(|published| keys.has_quiet(published.max(first_used), from, TIME_TO_LEARN_A_KEY));
        if !is_initial && !is_learnt {
            possible.undecidable = true;
            possible.conditions.push("key rotation, first 5 s".to_owned());
            possible.conditions.extend(keys.overlapping(from, to).iter().map(|fault| format!("keys: {fault}")));
            possible.valid &= published.is_some_and(|published| published <= to);
        }
        possible
    }

    fn possible_for_opaque(&self, token: &Opaque, from: Moment, to: Moment) -> Possible {
        let mut possible = Possible { valid: true, ..Possible::default() };
        if let Some(ended) = token.ended.get() {
            possible.invalid = *ended <= to;
            possible.valid = from < *ended + TIME_TO_END;
        }
        // An answer that is used now may have been asked for during a fault a moment ago.
        let faults = self.endpoint(Endpoint::Introspection).faults.overlapping(from, to);
        possible.conditions = faults.iter().map(|fault| format!("introspection: {fault}")).collect();
        if !token.is_established {
            let floods = self.floods.overlapping(from.saturating_sub(FLOOD_RECOVERY), to);
            let is_flooded = floods.iter().any(|name| name.contains("opaque") || name.contains("streams"));
            if is_flooded {
                possible.conditions.push("new opaque token within a minute of a flood of opaque tokens".to_owned());
            }
        }
        possible.undecidable = !possible.conditions.is_empty();
        possible
    }

    fn possible(&self, credential: &Credential, from: Moment, to: Moment) -> Possible {
        match credential {
            Credential::Missing => Possible { invalid: true, ..Possible::default() },
            Credential::NeverValid | Credential::Multiple => {
                Possible { invalid: true, undecidable: true, ..Possible::default() }
            }
            Credential::Jwt(token) => self.possible_for_jwt(token, from, to),
            Credential::Opaque(token) => self.possible_for_opaque(token, from, to),
        }
    }

    /// Whether the configurations that may decide the attempt allow `/flip`.
    fn flips(&self, attempt: &Attempt, to: Moment) -> Vec<bool> {
        let generations = self.generations(attempt.via).lock().expect("no panic");
        // A connection keeps the listener that accepted it; a filter is replaced for open connections too.
        let (since, grace) = match attempt.via {
            Via::Listener => (attempt.opened, Duration::from_millis(500)),
            Via::Extension => (attempt.sent, TIME_TO_REPLACE),
        };
        let may_decide = |place: &usize| {
            let is_replaced = generations.get(place + 1).is_some_and(|next| next.accepted + grace < since);
            generations[*place].begun <= to && !is_replaced
        };
        (0..generations.len()).filter(may_decide).map(|place| generations[place].flip_is_open).collect()
    }

    /// Whether a token that is valid may do it; both may be possible.
    fn may_be_allowed(&self, attempt: &Attempt, to: Moment) -> (bool, bool) {
        match attempt.operation {
            Operation::Public => (true, false),
            Operation::Closed => (false, true),
            Operation::Flip => {
                let flips = self.flips(attempt, to);
                (flips.contains(&true), flips.contains(&false))
            }
            Operation::Read | Operation::Write => {
                let scope = attempt.operation.scope().expect("these have one");
                let has = attempt.credential.user().is_some_and(|user| user.scopes.contains(&scope));
                (has, !has)
            }
        }
    }

    /// Judges the response to a request.
    pub fn check_response(&self, attempt: &Attempt, seen: &Seen) {
        let (from, to) = (attempt.sent, self.now());
        let reason = seen.reason();
        let outcome = match &reason {
            Some(reason) => format!("{} {reason}", seen.status),
            None => seen.status.to_string(),
        };
        self.report.count(attempt.kind, outcome.clone());
        let possible = self.possible(&attempt.credential, from, to);
        let (may_allow, may_deny) = self.may_be_allowed(attempt, to);
        let reached = attempt.reached.load(Ordering::SeqCst);
        let backend = self.endpoint(Endpoint::Backend).faults.overlapping(from, to);

        let is_expected = if attempt.is_oversized {
            seen.status == 431
        } else if attempt.operation == Operation::Public {
            seen.status == 200
        } else {
            match seen.status {
                200 => possible.valid && may_allow,
                403 => may_deny,
                401 => possible.invalid,
                400 => matches!(attempt.credential, Credential::Multiple),
                503 => possible.undecidable && reason.is_some() && seen.has_retry_after,
                _ => false,
            }
        };
        let is_of_backend = reason.is_none() && reached > 0 && !backend.is_empty() && seen.status >= 500;
        if !is_expected && !is_of_backend {
            let detail = format!(
                "{}\n      response {outcome}, Retry-After: {}, at {to:.3?}; possible: {possible:?}, allowed {may_allow}, denied {may_deny}, received by the backend {reached} times",
                attempt.described(),
                seen.has_retry_after,
            );
            self.report.violate(
                format!("{} for {}: {outcome}", what(attempt.operation), attempt.kind),
                &attempt.id,
                detail,
            );
        }
        if seen.status == 200 && (reached != 1 || !echoes(seen, &attempt.id)) {
            let detail = format!(
                "{}\n      {reached} times, body {:?}",
                attempt.described(),
                String::from_utf8_lossy(&seen.body)
            );
            self.report.violate("a 200 that is not this request's".to_owned(), &attempt.id, detail);
        }
        let is_public = attempt.operation == Operation::Public || attempt.is_oversized;
        if possible.valid && !possible.invalid && may_allow && !may_deny && !is_public {
            let mut conditions = possible.conditions;
            conditions.extend(backend.iter().map(|fault| format!("backend: {fault}")));
            if conditions.is_empty() {
                conditions.push(HEALTHY.to_owned());
                // None of these may matter.
                let list = self.endpoint(Endpoint::List).faults.overlapping(from, to);
                conditions.extend(list.iter().map(|fault| format!("healthy, and list: {fault}")));
                let reloads = self.reloads.overlapping(from.saturating_sub(TIME_TO_REPLACE), to);
                conditions.extend(reloads.iter().map(|reload| format!("healthy, and {reload}")));
                conditions
                    .extend(self.floods.overlapping(from, to).iter().map(|flood| format!("healthy, and {flood}")));
            }
            conditions.sort();
            conditions.dedup();
            self.report.available(&conditions, seen.status == 200);
        }
    }

    /// Judges a request head that the backend has received.
    pub fn check_head(&self, head: &Received) {
        let now = self.now();
        let id = head.headers.text("x-request-id").unwrap_or_default();
        let violate = |kind: &str, detail: String| {
            let detail = format!(
                "{detail}\n      the backend received at {now:.3?}: {} {} {:?}",
                head.method,
                head.path,
                texts(&head.headers)
            );
            self.report.violate(kind.to_owned(), &id, detail);
        };
        if id == WARM_UP {
            return;
        }
        let Some(attempt) = self.attempt(&id) else {
            return violate("the backend received a request that no client sent, or was told is over", String::new());
        };
        if attempt.reached.fetch_add(1, Ordering::SeqCst) > 0 {
            violate("the backend received a request twice", attempt.described());
        }
        let possible = self.possible(&attempt.credential, attempt.sent, now);
        let is_public = attempt.operation == Operation::Public;
        let is_allowed = is_public || (possible.valid && self.may_be_allowed(&attempt, now).0);
        if !is_allowed || attempt.is_oversized {
            violate(
                "the backend received a request that is not allowed",
                format!("{}\n      {possible:?}", attempt.described()),
            );
        }
        if head.method != attempt.draft.method || head.path != attempt.draft.target {
            violate("the backend received another target", attempt.described());
        }
        let user = attempt.credential.user().filter(|_| !is_public);
        let expected = |name: &str| -> Option<String> {
            let user = user?;
            Some(match name {
                "x-user-id" => user.name.clone(),
                "x-client-id" => user.client.clone(),
                _ => user.scopes.join(" "),
            })
        };
        for name in IDENTITY_HEADERS {
            let values = folded(&head.headers, name);
            if values != expected(name).into_iter().collect::<Vec<_>>() {
                violate(
                    "the backend received a wrong identity",
                    format!("{name}: {values:?}, {}", attempt.described()),
                );
            }
        }
        for name in CREDENTIAL_HEADERS {
            if !folded(&head.headers, name).is_empty() {
                violate("the backend received a credential", format!("{name}, {}", attempt.described()));
            }
        }
        if head.headers.0.iter().any(|(_, value)| value == MARKER.as_bytes()) {
            violate("the backend received what the client made up", attempt.described());
        }
    }

    /// Judges the trailers of a request whose body is complete.
    pub fn check_trailers(&self, received: &Received) {
        for name in IDENTITY_HEADERS.iter().chain(&CREDENTIAL_HEADERS) {
            if !folded(&received.trailers, name).is_empty() {
                let id = received.headers.text("x-request-id").unwrap_or_default();
                self.report.violate(
                    "the backend received an identity in trailers".to_owned(),
                    &id,
                    format!("{received:?}"),
                );
            }
        }
    }

    /// The connection ended before the request was read, as HTTP has it: the backend must not have received it.
    pub fn check_unread(&self, attempt: &Attempt) {
        self.report.count(attempt.kind, "after the end of the connection".to_owned());
        if attempt.reached.load(Ordering::SeqCst) > 0 {
            self.report.violate(
                "a request without a response reached the backend".to_owned(),
                &attempt.id,
                attempt.described(),
            );
        }
    }

    /// No response came.
    pub fn check_silence(&self, attempt: &Attempt, why: &str) {
        self.report.count(attempt.kind, "no response".to_owned());
        let detail = format!("{}\n      at {:.3?}: {why}", attempt.described(), self.now());
        self.report.violate("a request without a response".to_owned(), &attempt.id, detail);
    }
}

const fn what(operation: Operation) -> &'static str {
    match operation {
        Operation::Public => "public",
        Operation::Read | Operation::Write => "API",
        Operation::Flip => "flip",
        Operation::Closed => "closed",
    }
}

fn echoes(seen: &Seen, id: &str) -> bool {
    seen.body == id.as_bytes()
}

/// The values of all fields that a backend may read as `name`.
fn folded(headers: &Headers, name: &str) -> Vec<String> {
    let fold = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let same = headers.0.iter().filter(|(field, _)| fold(field) == name);
    same.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
}

fn texts(headers: &Headers) -> Vec<String> {
    headers.0.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
}
