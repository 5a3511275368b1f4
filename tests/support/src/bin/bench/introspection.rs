//! The cost of introspection: cached responses, and a call for each request, beside a JWT without introspection and Envoy's
//! own external authorization for each request (`ext_authz`). The endpoint is a server of the bench that responds at once.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::authorization_server::{DEFAULT_AUDIENCE, ISSUER};
use testbed::load::Load;
use testbed::{Cluster, Envoy, EnvoyBuilder, ListenerOptions, Request, ScriptedResponse, ScriptedServer};

use crate::cpu::{Lane, interleaved};
use crate::latency::paced;
use crate::signing::SigningKey;
use crate::statistics::{Quartiles, differences, median, quartiles};
use crate::subjects::{bare, document_with_keys};
use crate::tokens::{EXPIRES_AT, ISSUED_AT, claims};
use crate::workloads::{REQUESTS_PER_ROUND, with};
use testbed::process::resident_mebibytes;

const WARM_UP_ROUNDS: usize = 2;
const ENDPOINT: &str = "endpoint";
const SECRET: &str = "BENCH_CLIENT_SECRET";
/// As many as are remembered unless the operator says otherwise.
pub const REMEMBERED: usize = 4096;
const CONNECTIONS: usize = 4;
/// Pieces of the latency come behind all rounds of the CPU time: no token of theirs came before.
const FIRST_PIECE: usize = 100_000;

/// What stands in the listener, and what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionWorkload {
    /// No filter.
    NoFilter,
    /// One JWT; nobody is asked.
    Jwt,
    /// One JWT, on a rule that has its issuer asked; the answer is remembered.
    JwtRemembered,
    /// One opaque token; the answer is remembered.
    OpaqueRemembered,
    /// A new opaque token with each request: a call each.
    OpaqueNew,
    /// The same tokens, and Envoy's `ext_authz` in place of ours: a call each.
    ExtAuthz,
}

impl IntrospectionWorkload {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::NoFilter, Self::Jwt, Self::JwtRemembered, Self::OpaqueRemembered, Self::OpaqueNew, Self::ExtAuthz];

    /// Its listener, and its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "none",
            Self::Jwt => "jwt",
            Self::JwtRemembered => "jwt_remembered",
            Self::OpaqueRemembered => "opaque_remembered",
            Self::OpaqueNew => "opaque_new",
            Self::ExtAuthz => "ext_authz",
        }
    }

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::Jwt => "a JWT, nobody is asked",
            Self::JwtRemembered => "a JWT with `introspect`, the answer remembered",
            Self::OpaqueRemembered => "an opaque token, the answer remembered",
            Self::OpaqueNew => "a new opaque token each time: a call each",
            Self::ExtAuthz => "the same with Envoy's ext_authz in place of ours",
        }
    }

    /// An Envoy listener for it.
    pub fn listener(self, keys: &[SigningKey]) -> ListenerOptions {
        let bare = bare(self.name());
        let asks = |rules: Value| {
            let mut document = document_with_keys(keys);
            document["rules"] = rules;
            document["providers"]["okta"]["upstream"] = json!(ENDPOINT);
            document["providers"]["okta"]["introspection"] = json!({
                "uri": "https://idp.example/introspect", "client_id": "bench", "client_secret": { "env": SECRET },
                "cache_ttl": "1h", "requests_per_minute": 100_000,
            });
            let host_env_keys = vec![SECRET.to_owned()];
            ListenerOptions { plugin_configuration: Some(document.to_string()), host_env_keys, ..bare.clone() }
        };
        match self {
            Self::NoFilter => bare,
            Self::Jwt | Self::OpaqueRemembered | Self::OpaqueNew => asks(json!([])),
            Self::JwtRemembered => asks(json!([{ "introspect": true }])),
            Self::ExtAuthz => ListenerOptions { filters_before: vec![ext_authz()], ..bare },
        }
    }

    /// What is sent in one round.
    pub fn requests(self, round: usize, jwt: &str) -> Vec<Request> {
        match self {
            Self::Jwt | Self::JwtRemembered => vec![with(jwt); REQUESTS_PER_ROUND],
            Self::OpaqueRemembered => vec![with(&opaque(0, 0)); REQUESTS_PER_ROUND],
            Self::NoFilter | Self::OpaqueNew | Self::ExtAuthz => {
                (0..REQUESTS_PER_ROUND).map(|number| with(&opaque(round + 1, number))).collect()
            }
        }
    }
}

/// As long as tokens of well-known servers are.
fn opaque(round: usize, number: usize) -> String {
    format!("opaque-{round:018}-{number:017}")
}

/// What it costs.
pub struct IntrospectionFinding {
    /// One for each, in their order.
    pub costs: Vec<IntrospectionCost>,
    /// Resident memory of an Envoy with one worker in MiB: with one answer, and with [`REMEMBERED`].
    pub memory: [f64; 2],
}

/// What one of them costs.
pub struct IntrospectionCost {
    /// Which.
    pub workload: IntrospectionWorkload,
    /// All CPU time that Envoy spends on a request, in microseconds: the median.
    pub total: f64,
    /// What of it is more than without a filter, compared round by round.
    pub added: Quartiles,
    /// Half of the requests took no longer.
    pub p50: Duration,
    /// One in a hundred took longer.
    pub p99: Duration,
}

/// Measures all of it, in one Envoy with one worker, and the memory in another.
///
/// # Panics
/// When a request is not answered with 200.
pub fn measure(keys: &[SigningKey], rounds: usize) -> IntrospectionFinding {
    let endpoint = endpoint();
    let envoy = start(&IntrospectionWorkload::ALL, keys, &endpoint);
    let jwt = keys[0].token(&claims(0));
    let lanes: Vec<Lane> = IntrospectionWorkload::ALL
        .iter()
        .map(|workload| Lane { port: envoy.port(workload.name()), expected_status: 200 })
        .collect();
    let requests = |round: usize, place: usize| IntrospectionWorkload::ALL[place].requests(round, &jwt);
    let spent = interleaved(envoy.pid(), &lanes, "introspection", WARM_UP_ROUNDS, rounds, requests);
    let requests = |piece: usize, place: usize| IntrospectionWorkload::ALL[place].requests(FIRST_PIECE + piece, &jwt);
    let latencies = paced(&lanes, "latency, introspection", requests);
    let costs = IntrospectionWorkload::ALL.into_iter().zip(&spent).zip(latencies);
    let cost =
        |((workload, spent_with), [p50, p99]): ((IntrospectionWorkload, &Vec<f64>), [Duration; 2])| IntrospectionCost {
            workload,
            total: median(spent_with),
            added: quartiles(&differences(spent_with, &spent[0])),
            p50,
            p99,
        };
    IntrospectionFinding { costs: costs.map(cost).collect(), memory: memory(keys, &endpoint) }
}

/// It answers alike whatever it is asked: to introspection about the token of the bench, to `ext_authz` with 200.
pub fn endpoint() -> ScriptedServer {
    let answer = json!({
        "active": true, "token_type": "Bearer", "iss": ISSUER, "aud": DEFAULT_AUDIENCE, "sub": "alice@acme.com",
        "username": "alice@acme.com", "uid": "00u1alice000000000d7", "client_id": "0oa1application000d7",
        "scope": "read:accounts", "iat": ISSUED_AT, "exp": EXPIRES_AT,
    });
    ScriptedServer::start(move |_, _| ScriptedResponse::json(200, &answer).into())
}

/// An Envoy with one worker that knows the endpoint and the client secret.
pub fn builder(endpoint: &ScriptedServer) -> EnvoyBuilder {
    let builder = EnvoyBuilder::new().concurrency(1).cluster(Cluster::plain(ENDPOINT, endpoint.port()));
    builder.env(SECRET, "a secret of the bench")
}

fn start(workloads: &[IntrospectionWorkload], keys: &[SigningKey], endpoint: &ScriptedServer) -> Envoy {
    workloads.iter().fold(builder(endpoint), |builder, workload| builder.listener(workload.listener(keys))).start()
}

fn memory(keys: &[SigningKey], endpoint: &ScriptedServer) -> [f64; 2] {
    let envoy = start(&[IntrospectionWorkload::OpaqueNew], keys, endpoint);
    let load = Load {
        port: envoy.port(IntrospectionWorkload::OpaqueNew.name()),
        connections: CONNECTIONS,
        expected_status: 200,
    };
    let remembered = |count: usize| {
        let requests: Vec<Request> = (0..count).map(|number| with(&opaque(0, number))).collect();
        load.send_all(&requests);
        resident_mebibytes(envoy.pid())
    };
    [1, REMEMBERED].map(remembered)
}

fn ext_authz() -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "http_service": {
                "server_uri": { "uri": "http://idp.example", "cluster": ENDPOINT, "timeout": "2s" },
                "path_prefix": "/authorize",
            },
        },
    })
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Without a filter 10 µs, a JWT 8 more, and so on.
    pub fn finding() -> IntrospectionFinding {
        let cost = |(workload, added): (IntrospectionWorkload, f64)| IntrospectionCost {
            workload,
            total: 10.0 + added,
            added: Quartiles { low: added, median: added, high: added },
            p50: Duration::from_micros(300 + added as u64),
            p99: Duration::from_micros(700 + added as u64),
        };
        let added = [0.0, 8.0, 11.0, 9.0, 90.0, 60.0];
        IntrospectionFinding {
            costs: IntrospectionWorkload::ALL.into_iter().zip(added).map(cost).collect(),
            memory: [61.0, 66.5],
        }
    }

    #[test]
    fn only_requests_meant_to_be_new_are_distinct() {
        let sent = |workload: IntrospectionWorkload| {
            let rounds = [0, 1, FIRST_PIECE].into_iter().flat_map(|round| workload.requests(round, "a.b.c"));
            rounds.map(|request| request.to_bytes()).collect::<BTreeSet<_>>().len()
        };
        let distinct = IntrospectionWorkload::ALL.map(sent);
        let new = 3 * REQUESTS_PER_ROUND;
        assert_eq!(distinct, [new, 1, 1, 1, new, new]);
    }

    #[test]
    fn opaque_tokens_are_introspected_and_the_baseline_has_no_plugin() {
        assert_eq!(opaque(0, 0).len(), 43);
        assert!(!opaque(0, 0).contains('.'));
        assert_eq!(IntrospectionWorkload::NoFilter.listener(&[]).plugin_configuration, None);
    }
}
