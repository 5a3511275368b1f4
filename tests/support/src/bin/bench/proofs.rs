//! The cost of tokens that are bound to their sender: to a key, with a proof for each request (DPoP, RFC 9449), and to a
//! client certificate (RFC 8705). Each is measured beside `Bearer` in the same Envoy with the same configuration.

use std::net::{Ipv4Addr, TcpStream};

use serde_json::{Value, json};
use testbed::{
    Certificate, CertificateAuthority, ClientCertificates, Cluster, DownstreamTls, Envoy, EnvoyBuilder,
    ListenerOptions, Request, TempDir, tls,
};

use crate::cpu::{Lane, interleaved};
use crate::proof_clients::{BoundClient, ORIGIN, now};
use crate::signing::SigningKey;
use crate::statistics::{Quartiles, differences, median, quartiles};
use crate::subjects::{bare, document_with_keys};
use crate::tokens::{claims, in_parallel};
use crate::workloads::{REQUESTS_PER_ROUND, with};

/// After five rounds of a thousand new ones, the caches of 4,096 tokens and of 4,096 keys are full.
const WARM_UP_ROUNDS: usize = 5;
const SERVER_NAME: &str = "api.acme.com";

/// The filter of the listener and the requests that are sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofWorkload {
    /// No filter.
    NoFilter,
    /// One token that is bound to nothing.
    Bearer,
    /// One token that is bound to a key, and a new proof with each request.
    KnownKey,
    /// The same; the module verifies signatures.
    KnownKeyPortable,
    /// A new token with each request, bound to nothing.
    NewBearer,
    /// A new token that is bound to a new key, with a proof, with each request.
    NewKey,
    /// No filter, over TLS with a client certificate.
    NoFilterTls,
    /// One token that is bound to nothing, over the same TLS.
    BearerTls,
    /// One token that is bound to the certificate, over the same TLS.
    Certificate,
}

impl ProofWorkload {
    /// In the order of the table.
    pub const ALL: [Self; 9] = [
        Self::NoFilter,
        Self::Bearer,
        Self::KnownKey,
        Self::KnownKeyPortable,
        Self::NewBearer,
        Self::NewKey,
        Self::NoFilterTls,
        Self::BearerTls,
        Self::Certificate,
    ];

    /// Its listener, and its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoFilter => "none",
            Self::Bearer => "bearer",
            Self::KnownKey => "dpop_known_key",
            Self::KnownKeyPortable => "dpop_known_key_portable",
            Self::NewBearer => "bearer_new",
            Self::NewKey => "dpop_new_key",
            Self::NoFilterTls => "none_tls",
            Self::BearerTls => "bearer_tls",
            Self::Certificate => "certificate",
        }
    }

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::Bearer => "Bearer, one token",
            Self::KnownKey => "DPoP, one token, a new proof each time",
            Self::KnownKeyPortable => "the same, portable",
            Self::NewBearer => "Bearer, a new token each time",
            Self::NewKey => "DPoP, a new token, key and proof each time",
            Self::NoFilterTls => "mutual TLS: no filter",
            Self::BearerTls => "mutual TLS: Bearer, one token",
            Self::Certificate => "mutual TLS: one token, bound to the certificate",
        }
    }

    /// The same connections without a filter.
    fn without_filter(self) -> Self {
        if self.is_over_tls() { Self::NoFilterTls } else { Self::NoFilter }
    }

    /// The same tokens, bound to nothing.
    fn unbound(self) -> Option<Self> {
        match self {
            Self::KnownKey | Self::KnownKeyPortable => Some(Self::Bearer),
            Self::NewKey => Some(Self::NewBearer),
            Self::Certificate => Some(Self::BearerTls),
            Self::NoFilter | Self::Bearer | Self::NewBearer | Self::NoFilterTls | Self::BearerTls => None,
        }
    }

    fn is_over_tls(self) -> bool {
        match self {
            Self::NoFilterTls | Self::BearerTls | Self::Certificate => true,
            Self::NoFilter | Self::Bearer | Self::KnownKey => false,
            Self::KnownKeyPortable | Self::NewBearer | Self::NewKey => false,
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).expect("all of them are there")
    }

    /// An Envoy listener for it, without TLS.
    fn listener(self, keys: &[SigningKey]) -> ListenerOptions {
        let document = match self {
            Self::NoFilter | Self::NoFilterTls => return bare(self.name()),
            Self::Bearer | Self::KnownKey | Self::NewBearer | Self::NewKey => checks_proofs(keys),
            Self::KnownKeyPortable => {
                let mut document = checks_proofs(keys);
                document["native_crypto"] = json!("off");
                document
            }
            Self::BearerTls | Self::Certificate => {
                let mut document = document_with_keys(keys);
                document["providers"]["okta"]["sender_constraint"] = json!({ "mtls": "if_bound" });
                document
            }
        };
        ListenerOptions { plugin_configuration: Some(document.to_string()), ..bare(self.name()) }
    }
}

/// The memory of used proofs has space for those of the whole run.
fn checks_proofs(keys: &[SigningKey]) -> Value {
    let mut document = document_with_keys(keys);
    document["providers"]["okta"]["sender_constraint"] =
        json!({ "dpop": "if_bound", "proofs": { "origins": [ORIGIN], "max_age": "300s" } });
    document["replay_detection"] = json!({ "max_proofs": 1_048_576 });
    document
}

/// What it costs, in microseconds of CPU time per request.
pub struct ProofsFinding {
    /// One for each, in their order.
    pub costs: Vec<ProofCost>,
}

/// What one of them costs.
pub struct ProofCost {
    /// Which.
    pub workload: ProofWorkload,
    /// All CPU time that Envoy spends on a request: the median.
    pub total: f64,
    /// What of it is more than without a filter, compared round by round.
    pub added: Quartiles,
    /// What of it is more than for tokens that are bound to nothing, and the ratio of the added times. No ratio where the
    /// reference cannot be told from zero.
    pub added_to_bearer: Option<(Quartiles, Option<f64>)>,
}

impl ProofsFinding {
    fn of(spent: &[Vec<f64>]) -> Self {
        let more_than = |with: ProofWorkload, without: ProofWorkload| {
            quartiles(&differences(&spent[with.place()], &spent[without.place()]))
        };
        let added = |workload: ProofWorkload| more_than(workload, workload.without_filter());
        let cost = |workload: ProofWorkload| ProofCost {
            workload,
            total: median(&spent[workload.place()]),
            added: added(workload),
            added_to_bearer: workload.unbound().map(|unbound| {
                let reference = added(unbound);
                let ratio = (reference.low > 0.0).then(|| added(workload).median / reference.median);
                (more_than(workload, unbound), ratio)
            }),
        };
        Self { costs: ProofWorkload::ALL.into_iter().map(cost).collect() }
    }
}

/// Measures all of it, in one Envoy with one worker.
///
/// # Panics
/// When a request is not answered with 200.
pub fn measure(keys: &[SigningKey], rounds: usize) -> ProofsFinding {
    let stand = Stand::start(keys);
    let clients = Clients::new(&keys[0], &stand.device, (WARM_UP_ROUNDS + rounds) * REQUESTS_PER_ROUND);
    stand.assert_constraints_apply(&clients);
    let lane = |workload: ProofWorkload| Lane { port: stand.port(workload), expected_status: 200 };
    let lanes = ProofWorkload::ALL.map(lane);
    // Requests of a round are made right before it, outside of the measured time: no proof gets old.
    let requests = |round: usize, place: usize| clients.requests(ProofWorkload::ALL[place], round);
    let spent = interleaved(stand.envoy.pid(), &lanes, "proofs", WARM_UP_ROUNDS, rounds, requests);
    ProofsFinding::of(&spent)
}

/// Who sends the requests.
struct Clients {
    unbound: String,
    with_certificate: String,
    /// One for each listener: each has a share of the memory of used proofs.
    known: [BoundClient; 2],
    new: Vec<(String, BoundClient)>,
}

impl Clients {
    /// `count` tokens are new.
    fn new(issuer: &SigningKey, device: &Certificate, count: usize) -> Self {
        let mut with_certificate = claims(0);
        with_certificate["cnf"] = json!({ "x5t#S256": device.thumbprint() });
        let new = in_parallel("signing two tokens for each new key", count, |number| {
            let bound = BoundClient::new(issuer, "new@acme.com", number);
            (issuer.token(&claims(number)), bound)
        });
        Self {
            unbound: issuer.token(&claims(0)),
            with_certificate: issuer.token(&with_certificate),
            known: ["known@acme.com", "portable@acme.com"].map(|subject| BoundClient::new(issuer, subject, 0)),
            new,
        }
    }

    /// What is sent in one round.
    fn requests(&self, workload: ProofWorkload, round: usize) -> Vec<Request> {
        let now = now();
        let first = round * REQUESTS_PER_ROUND;
        let new = || self.new[first..].iter().take(REQUESTS_PER_ROUND);
        let known = |client: &BoundClient| {
            let request = |number: usize| client.request(now, &proof_id(number));
            (first..first + REQUESTS_PER_ROUND).map(request).collect()
        };
        match workload {
            ProofWorkload::NoFilter | ProofWorkload::NoFilterTls | ProofWorkload::Bearer | ProofWorkload::BearerTls => {
                vec![with(&self.unbound); REQUESTS_PER_ROUND]
            }
            ProofWorkload::Certificate => vec![with(&self.with_certificate); REQUESTS_PER_ROUND],
            ProofWorkload::KnownKey => known(&self.known[0]),
            ProofWorkload::KnownKeyPortable => known(&self.known[1]),
            ProofWorkload::NewBearer => new().map(|(token, _)| with(token)).collect(),
            ProofWorkload::NewKey => new().map(|(_, client)| client.request(now, &proof_id(0))).collect(),
        }
    }
}

/// As long as a UUID.
fn proof_id(number: usize) -> String {
    format!("proof-{number:030}")
}

/// The Envoy that is measured, and another one, which sends it requests over TLS.
struct Stand {
    envoy: Envoy,
    sender: Envoy,
    authority: CertificateAuthority,
    device: Certificate,
    // Both read the certificates from here.
    _directory: TempDir,
}

impl Stand {
    fn start(keys: &[SigningKey]) -> Self {
        let directory = TempDir::with_prefix("bench-").expect("a temporary directory");
        let authority = CertificateAuthority::create(directory.path());
        let device = authority.issue_to_client("d-7", "spiffe://acme/d-7", "d-7.devices.acme.com");
        let certificate = authority.issue(SERVER_NAME);
        let listener = |workload: ProofWorkload| {
            let clients = ClientCertificates::FromCa(authority.ca_pem_path());
            let tls = DownstreamTls { certificate: certificate.clone(), clients, tls_inspector: false };
            ListenerOptions { tls: workload.is_over_tls().then_some(tls), ..workload.listener(keys) }
        };
        let builder = EnvoyBuilder::new().concurrency(1);
        let envoy =
            ProofWorkload::ALL.into_iter().fold(builder, |builder, workload| builder.listener(listener(workload)));
        let envoy = envoy.start();

        let over_tls = ProofWorkload::ALL.into_iter().filter(|workload| workload.is_over_tls());
        let sender = over_tls.fold(EnvoyBuilder::new().concurrency(1), |builder, workload| {
            let name = workload.name();
            let to = Cluster::identity_provider(name, envoy.port(name), SERVER_NAME, &authority.ca_pem_path());
            let from =
                ListenerOptions { access_log: false, backend: name.to_owned(), ..ListenerOptions::unfiltered(name) };
            builder.cluster(to.with_certificate(&device)).listener(from)
        });
        Self { sender: sender.start(), envoy, authority, device, _directory: directory }
    }

    /// The times mean nothing if the filter does not check: a proof is accepted once, and a token that is bound to the
    /// certificate only from its client.
    fn assert_constraints_apply(&self, clients: &Clients) {
        let [known, portable] = &clients.known;
        let bound = [
            (ProofWorkload::KnownKey, known),
            (ProofWorkload::KnownKeyPortable, portable),
            (ProofWorkload::NewKey, &clients.new[0].1),
        ];
        for (workload, client) in bound {
            let request = client.request(now(), "sent twice");
            let statuses = [(); 2].map(|()| request.send(self.port(workload)).status);
            assert_eq!(statuses, [200, 401], "{}", workload.name());
        }
        let request = with(&clients.with_certificate);
        assert_eq!(request.send(self.port(ProofWorkload::Certificate)).status, 200);
        let port = self.envoy.port(ProofWorkload::Certificate.name());
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection to Envoy");
        let response = tls::send(&request, stream, SERVER_NAME, &self.authority.ca_pem_path(), None);
        assert_eq!(response.expect("a response over TLS").status, 401);
    }

    /// Where its requests are sent, without TLS.
    fn port(&self, workload: ProofWorkload) -> u16 {
        if workload.is_over_tls() { self.sender.port(workload.name()) } else { self.envoy.port(workload.name()) }
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proof_clients::tests::header;
    use crate::signing::Kind;

    /// Without a filter 10 µs and over TLS 20; others add a fixed number of them.
    pub fn finding() -> ProofsFinding {
        let spent = [10.0, 18.0, 138.0, 700.0, 58.0, 258.0, 20.0, 29.0, 32.0].map(|spent| vec![spent; 3]);
        ProofsFinding::of(&spent)
    }

    fn clients(rounds: usize) -> Clients {
        let directory = TempDir::new().unwrap();
        let device =
            CertificateAuthority::create(directory.path()).issue_to_client("d", "spiffe://acme/d", "d.acme.com");
        Clients::new(&SigningKey::of(Kind::Es256), &device, rounds * REQUESTS_PER_ROUND)
    }

    #[test]
    fn no_proof_is_sent_twice_and_only_new_tokens_are_distinct() {
        let clients = clients(2);
        let distinct = |workload: ProofWorkload, name: &str| {
            let requests = [0, 1].into_iter().flat_map(|round| clients.requests(workload, round));
            let values: Vec<Option<String>> = requests.map(|request| header(&request, name)).collect();
            assert_eq!(values.len(), 2 * REQUESTS_PER_ROUND);
            values.into_iter().flatten().collect::<BTreeSet<_>>().len()
        };
        let new = 2 * REQUESTS_PER_ROUND;
        let tokens = ProofWorkload::ALL.map(|workload| distinct(workload, "authorization"));
        assert_eq!(tokens, [1, 1, 1, 1, new, new, 1, 1, 1]);
        let proofs = ProofWorkload::ALL.map(|workload| distinct(workload, "dpop"));
        assert_eq!(proofs, [0, 0, new, new, 0, new, 0, 0, 0]);
    }

    #[test]
    fn proofs_are_made_when_they_are_sent() {
        let (clients, before) = (clients(1), now());
        let request = clients.requests(ProofWorkload::NewKey, 0).pop().unwrap();
        let proof = header(&request, "dpop").unwrap();
        let payload =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, proof.split('.').nth(1).unwrap());
        let payload: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        assert!((before..=now()).contains(&payload["iat"].as_u64().unwrap()), "{payload}");
    }

    #[test]
    fn bound_tokens_are_compared_with_bearer_on_the_same_connections() {
        let finding = finding();
        let cost = |workload: ProofWorkload| &finding.costs[workload.place()];
        let compared = |workload: ProofWorkload| {
            let (added, ratio) = cost(workload).added_to_bearer.unwrap();
            (cost(workload).added.median, added.median, ratio)
        };
        assert_eq!(compared(ProofWorkload::KnownKey), (128.0, 120.0, Some(16.0)));
        assert_eq!(compared(ProofWorkload::NewKey), (248.0, 200.0, Some(248.0 / 48.0)));
        assert_eq!(compared(ProofWorkload::Certificate), (12.0, 3.0, Some(12.0 / 9.0)));
        assert_eq!(cost(ProofWorkload::BearerTls).added.median, 9.0);
        assert!(cost(ProofWorkload::BearerTls).added_to_bearer.is_none());
    }

    #[test]
    fn ratio_is_omitted_where_bearer_cannot_be_told_from_no_filter() {
        let mut spent = [10.0, 18.0, 138.0, 700.0, 58.0, 258.0, 20.0, 29.0, 32.0].map(|spent| vec![spent; 3]);
        spent[ProofWorkload::Bearer.place()] = vec![9.0, 9.0, 30.0];
        let finding = ProofsFinding::of(&spent);
        let (_, ratio) = finding.costs[ProofWorkload::KnownKey.place()].added_to_bearer.unwrap();
        assert_eq!(ratio, None);
    }
}
