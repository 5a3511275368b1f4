//! The engine: a state machine that the host drives and that never calls the host.
//!
//! Inputs are requests and [`Event`]s, each with the time. Outputs are a [`RequestOutcome`] for a request, and for an event an
//! ordered list of [`Effects`]: callouts to make, parked requests that are decided, and the time of the next tick. Every
//! parked request is decided exactly once, *before* the host resumes it. The host may implement three traits, which call
//! nothing back: [`SignatureVerifier`], [`RsaSigner`] and [`SharedResponses`].

pub mod audit;
mod bounded_text;
mod decision;
pub mod deny_reason;
mod effects;
mod filter_state;
mod leases;
mod log_limit;
mod lookups;
mod parked;
mod pipeline;
mod proofs;
mod request_summary;
mod resource_metadata;
pub mod response;
mod resume;
mod sampling;
mod stats;
mod token_cache;
mod token_status;
pub mod trace;

use std::rc::Rc;
use std::time::Duration;

use crate::http::{LocalResponse, RequestHead};
use crate::keys::ProviderKeys;
use crate::lookup::requester::Sender;
use crate::policy::Policy;
use crate::unix_time::UnixTime;

use deny_reason::DenyReason;
use leases::Leases;
use parked::Parked;
use pipeline::{Outcome, Resources};
use proofs::Proofs;
use response::readiness_response;
use sampling::Sampler;
use token_cache::TokenCache;
use token_status::StatusSources;
use trace::Trace;

pub use crate::introspection::call::{CallFault, CallResult, Deferral, TokenDigest};
pub use crate::introspection::sharing::{
    CallLease, NothingShared, RecordNames, SharedResponse, SharedResponses, SharedSlot,
};
pub use crate::jose::private_key::NoRsaSigner;
pub use crate::jose::{
    Algorithm, HostCannotSign, NativeSigner, NativeVerifier, PortableVerifier, RsaSigner, SelfTestFailure,
    SignatureVerifier,
};
pub use crate::keys::fetch::{FetchCause, FetchFault, FetchResult, KeyFetch, MAX_KEYS};
pub use crate::keys::sharing::{KeyLease, SharedOutcome};
pub use crate::lookup::http_request::{HttpRequest, Message};
pub use crate::lookup::lease::{Lease, LeaseOutcome, LeaseRecord};
pub use crate::lookup::rate_limiter::{Acquire, LimitReached, RateLimiter};
pub use crate::lookup::record::Record;
pub use crate::lookup::requester::{BudgetClass, Caller};
pub use crate::lookup::token_bucket::TokenBucket;
pub use crate::policy::{Attribute, AttributeValues, CalloutAddress, ProviderId};
pub use crate::randomness::{Entropy, Jitter};
pub use crate::replay::{Bucket, Recorded, ReplayMemory, UsedProof, WorkerMemory, bucket_capacity};
pub use crate::revocation::feed::{PollFault, PollResult};
pub use crate::revocation::sharing::{ListChange, ListDocument, ListNews, ListState};
pub use crate::sequence::Sequence;
pub use decision::{Decision, Verdict};
pub use effects::{
    Callout, CalloutId, Effect, Effects, Event, LeaseRequest, Report, SharedLimit, SharedRecord, StreamId,
};
pub use filter_state::FilterStateValues;
pub use log_limit::SuppressedRecords;
pub use parked::ParkingLimits;
pub use resume::BATCH;

/// The time until the next batch of parked requests.
const NEXT_BATCH: Duration = Duration::from_millis(1);
/// The longest time between ticks: the clock may have jumped, and another worker may have shared something.
const IDLE_TICK: Duration = Duration::from_secs(10);

/// What came of a new request.
#[derive(Debug)]
pub enum RequestOutcome {
    Decision(Box<Decision>),
    /// It is parked. Its decision comes as an [`Effect::Decide`]; tick as soon as possible.
    Pending,
    /// It was a request to the filter itself, and this is the response.
    LocalResponse(LocalResponse),
    /// The engine needs these attributes: call [`Engine::on_request_with`] with them and those given before. This happens at
    /// most twice: for the attributes of its rule, and for the client's address.
    NeedAttributes(Rc<[Attribute]>),
}

/// What a host does for an engine when it is called.
pub struct HostServices {
    pub verifier: Box<dyn SignatureVerifier>,
    /// Signs with the RSA keys of the configuration.
    pub signer: Box<dyn RsaSigner>,
    /// Reads the introspection responses that workers share. `None`: the workers share nothing.
    pub shared_responses: Option<Rc<dyn SharedResponses>>,
    /// The memory of used proofs, if workers share it.
    pub replay_memory: Option<Rc<dyn ReplayMemory>>,
    /// A secret of the process, if workers share one.
    pub shared_secret: Option<Entropy>,
    /// Whether the host provides client addresses. Then the engine needs one ([`RequestOutcome::NeedAttributes`]) before it
    /// calls for an unknown token; on other hosts all clients share one part of the rate limit.
    pub has_client_addresses: bool,
}

impl HostServices {
    /// Those of a host that only verifies signatures.
    pub fn with_verifier(verifier: Box<dyn SignatureVerifier>) -> Self {
        Self {
            verifier,
            signer: Box::new(NoRsaSigner),
            shared_responses: None,
            replay_memory: None,
            shared_secret: None,
            has_client_addresses: false,
        }
    }
}

/// Decides requests under one policy.
pub struct Engine {
    policy: Policy,
    verifier: Box<dyn SignatureVerifier>,
    signer: Box<dyn RsaSigner>,
    keys: Vec<(ProviderId, ProviderKeys)>,
    token_cache: TokenCache,
    status: StatusSources,
    proofs: Proofs,
    parked: Parked,
    sampler: Sampler,
    leases: Leases,
    /// Whether workers share what they look up.
    shares: bool,
    needs_client_addresses: bool,
    /// The trace that a request begins with.
    trace: Trace,
}

impl Engine {
    /// An engine without keys; the first tick fetches them. `seed` is new randomness.
    pub fn new(policy: Policy, host: HostServices, limits: ParkingLimits, seed: &Entropy, now: UnixTime) -> Self {
        let shares = host.shared_responses.is_some();
        let shared = host.shared_responses.unwrap_or_else(|| Rc::new(NothingShared));
        Self {
            keys: policy.providers.iter().map(|(id, provider)| (id, ProviderKeys::new(&provider.keys, now))).collect(),
            token_cache: TokenCache::new(policy.cache),
            status: StatusSources::new(&policy, &shared, seed, now),
            proofs: Proofs::new(
                &policy,
                host.replay_memory.unwrap_or_else(|| Rc::new(WorkerMemory::default())),
                // Another number than those of the events.
                &host.shared_secret.unwrap_or_else(|| seed.derive(u64::MAX)),
            ),
            parked: Parked::new(limits, policy.providers.iter().count()),
            sampler: Sampler::new(policy.audit, seed),
            leases: Leases::default(),
            verifier: host.verifier,
            signer: host.signer,
            needs_client_addresses: host.has_client_addresses,
            shares,
            policy,
            trace: Trace::default(),
        }
    }

    /// The same with a trace in each decision.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn with_trace(self) -> Self {
        Self { trace: Trace::recording(), ..self }
    }

    pub fn on_request(&mut self, stream: StreamId, head: &RequestHead, now: UnixTime) -> RequestOutcome {
        self.handle_request(stream, head, None, now)
    }

    /// The request again, with the attributes that the engine needed. Some may be unknown to the host.
    pub fn on_request_with(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        attributes: AttributeValues,
        now: UnixTime,
    ) -> RequestOutcome {
        self.handle_request(stream, head, Some(attributes), now)
    }

    fn handle_request(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        attributes: Option<AttributeValues>,
        now: UnixTime,
    ) -> RequestOutcome {
        if self.policy.readiness_path.as_deref().is_some_and(|path| is_read_of(path, head)) {
            let has_keys = self.keys.iter().all(|(_, keys)| keys.generation_in_use(now).is_some());
            return RequestOutcome::LocalResponse(readiness_response(has_keys && self.status.has_list()));
        }
        if let Some(reply) = resource_metadata::metadata_response(&self.policy.resources, head) {
            return RequestOutcome::LocalResponse(reply);
        }
        let address = attributes.as_ref().and_then(|values| values.get(Attribute::SourceAddress));
        let sender = if self.needs_client_addresses { Sender::at_address(address) } else { Sender::Anonymous };
        match pipeline::start(head, attributes, sender, &mut self.resources(now)) {
            Outcome::Decided(decision) => RequestOutcome::Decision(Box::new(decision)),
            Outcome::Pending(request, pending_on) => self.park(stream, request, pending_on, now),
            Outcome::NeedAttributes(attributes) => RequestOutcome::NeedAttributes(attributes),
        }
    }

    fn resources(&mut self, now: UnixTime) -> Resources<'_> {
        let Self { policy, verifier, keys, token_cache, status, proofs, sampler, trace, .. } = self;
        Resources {
            policy,
            keys,
            token_cache,
            status,
            proofs,
            verifier: &**verifier,
            sampler,
            trace: trace.clone(),
            now,
        }
    }

    /// The configured name of a provider.
    pub fn provider_name(&self, provider: ProviderId) -> Option<Rc<str>> {
        self.policy.providers.get(provider).map(|provider| Rc::clone(&provider.name))
    }

    /// The providers whose keys are fetched, with the names of their records in shared data.
    pub fn shared_records(&self) -> Vec<(ProviderId, String)> {
        self.keys.iter().filter_map(|(provider, keys)| Some((*provider, keys.record_name()?))).collect()
    }

    /// The name under which workers share the revocation list, if one is configured.
    pub fn list_record(&self) -> Option<String> {
        self.status.revocations.as_ref().map(|feed| feed.record_name().to_owned())
    }

    /// Whether a revocation list is configured and none was read.
    pub fn lacks_list(&self) -> bool {
        !self.status.has_list()
    }

    /// The stream has ended, perhaps while its request was parked.
    pub fn on_stream_closed(&mut self, stream: StreamId) {
        if let Some((provider, token)) = self.parked.remove(stream) {
            self.status.abandon(provider, &token);
        }
    }

    /// Whether a trailer of that name is removed from requests.
    pub fn is_managed_trailer(&self, name: &str) -> bool {
        self.policy.is_managed_trailer(name)
    }

    /// The records of suppressed log lines, when the engine ends.
    pub fn take_suppressed(&mut self) -> Vec<SuppressedRecords> {
        self.sampler.take_suppressed(None)
    }

    /// The number of parked requests.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    fn next_tick(&self, now: UnixTime) -> UnixTime {
        if self.parked.has_resumable() {
            return now.plus(NEXT_BATCH);
        }
        let due = self.keys.iter().filter_map(|(_, keys)| keys.next_due()).min();
        let deadline = self.parked.earliest_deadline();
        let idle = now.plus(IDLE_TICK);
        due.into_iter()
            .chain(self.status.next_due(now))
            .chain(deadline)
            .chain(self.next_lease_check(now))
            .chain(self.sampler.next_due())
            .fold(idle, UnixTime::min)
            .max(now.plus(NEXT_BATCH))
    }
}

/// Whether it is a `GET` or `HEAD` of exactly this path, with any query.
fn is_read_of(path: &str, head: &RequestHead) -> bool {
    let reads = head.values(":method").any(|method| method == b"GET" || method == b"HEAD");
    reads && head.values(":path").any(|target| target.split(|byte| *byte == b'?').next() == Some(path.as_bytes()))
}

fn keys_of(keys: &[(ProviderId, ProviderKeys)], provider: ProviderId) -> Option<&ProviderKeys> {
    keys.iter().find(|(id, _)| *id == provider).map(|(_, keys)| keys)
}

fn keys_of_mut(keys: &mut [(ProviderId, ProviderKeys)], provider: ProviderId) -> Option<&mut ProviderKeys> {
    keys.iter_mut().find(|(id, _)| *id == provider).map(|(_, keys)| keys)
}
