//! The engine: a state machine that the host drives and that never calls the host.
//!
//! Inputs are requests, the results of callouts, ticks and closed streams, each with the time. Outputs are a
//! [`RequestOutcome`] for a request, and an [`Outbox`] of effects: callouts to make, parked requests that are decided, and
//! the time of the next tick. Every parked request is decided exactly once, *before* the host resumes it. The host may
//! implement two traits, which call nothing back: [`SignatureVerifier`] and [`SharedResponses`].

pub mod audit;
mod decision;
pub mod deny_reason;
mod effects;
mod filter_state;
mod log_limit;
mod parked;
mod pipeline;
mod resource_metadata;
pub mod response;
mod resume;
mod revocations;
mod sampling;
mod stats;
mod token_cache;
mod token_status;
pub mod trace;

use std::rc::Rc;
use std::time::Duration;

use crate::callout::CalloutResult;
use crate::http::{LocalResponse, RequestHead};
use crate::introspection::CallEnd;
use crate::keys::{CalloutEnd, ProviderKeys};
use crate::lookup::requester::Sender;
use crate::policy::{Policy, ProviderId};
use crate::unix_time::UnixTime;

use deny_reason::DenyReason;
use parked::Parked;
use pipeline::{Outcome, Resources};
use response::readiness_response;
use sampling::Sampler;
use token_cache::TokenCache;
use token_status::StatusSources;
use trace::Trace;

pub use crate::introspection::NoRequest;
pub use crate::introspection::call::{CALL_RESPONSE, CallFault, CallResult, Deferral, Purpose, TokenDigest};
pub use crate::introspection::request::{Entropy, HttpRequest, Message};
pub use crate::introspection::sharing::{
    CallLease, NothingShared, RecordNames, SharedResponse, SharedResponses, SharedSlot,
};
pub use crate::jose::private_key::NoRsaSigner;
pub use crate::jose::{
    Algorithm, HostCannotSign, NativeSigner, NativeVerifier, PortableVerifier, RsaSigner, SelfTestFailure,
    SignatureVerifier,
};
pub use crate::keys::fetch::{FetchCause, FetchFault, FetchResult, Jitter, KEY_RESPONSE, MAX_KEYS};
pub use crate::keys::sharing::{KeyLease, SharedOutcome};
pub use crate::lookup::lease::{Lease, LeaseRecord};
pub use crate::lookup::rate_limiter::{Acquire, BudgetClass, Caller, LimitReached, RateLimiter};
pub use crate::lookup::record::Record;
pub use crate::lookup::token_bucket::TokenBucket;
pub use crate::policy::{Attribute, AttributeValues, CalloutAddress};
pub use crate::revocation::feed::{POLL_RESPONSE, Poll, PollFault, PollNumber, PollResult};
pub use crate::revocation::sharing::{ListChange, ListDocument, ListNews, ListState};
pub use crate::sequence::Sequence;
pub use decision::{Decision, Verdict};
pub use effects::{CallId, CallNote, Fetch, FetchId, FetchNote, IntrospectionCall, Outbox, StreamId};
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
    /// It is decided.
    Decision(Box<Decision>),
    /// It is parked. Its decision comes in an [`Outbox`]; tick as soon as possible.
    Pending,
    /// It was a request to the filter itself, and this is the response.
    LocalResponse(LocalResponse),
    /// The engine needs these attributes: call [`Engine::on_request_with`] with them and those given before. This happens at
    /// most twice: for the attributes of its rule, and for the client's address.
    NeedAttributes(Rc<[Attribute]>),
}

/// Decides requests under one policy.
pub struct Engine {
    policy: Policy,
    verifier: Box<dyn SignatureVerifier>,
    keys: Vec<(ProviderId, ProviderKeys)>,
    token_cache: TokenCache,
    status: StatusSources,
    parked: Parked,
    sampler: Sampler,
    /// Whether the host provides client addresses.
    needs_client_addresses: bool,
    /// The trace that a request begins with.
    trace: Trace,
}

impl Engine {
    /// The only engine of its process, for tests: the sampling of the log is the same each time. It has no keys; the first
    /// tick fetches them.
    pub fn new(policy: Policy, verifier: Box<dyn SignatureVerifier>, room: ParkingLimits, now: UnixTime) -> Self {
        let others: Rc<dyn SharedResponses> = Rc::new(NothingShared);
        Self::with_sharing(&others, policy, verifier, room, &Entropy([0; 32]), now)
    }

    /// One of several engines, each in its own worker. `others` reads the responses that they share; `seed` is new randomness.
    pub fn with_sharing(
        others: &Rc<dyn SharedResponses>,
        policy: Policy,
        verifier: Box<dyn SignatureVerifier>,
        room: ParkingLimits,
        seed: &Entropy,
        now: UnixTime,
    ) -> Self {
        let keys = policy.providers.iter().map(|(id, provider)| (id, ProviderKeys::new(&provider.keys, now))).collect();
        let known = TokenCache::new(policy.cache);
        let inquiries = StatusSources::new(&policy, others, seed, now);
        let sampling = Sampler::new(policy.audit, seed);
        let parked = Parked::new(room, policy.providers.iter().count());
        Self {
            policy,
            verifier,
            keys,
            token_cache: known,
            status: inquiries,
            parked,
            sampler: sampling,
            needs_client_addresses: false,
            trace: Trace::default(),
        }
    }

    /// The same on a host that provides client addresses. The engine needs one ([`RequestOutcome::NeedAttributes`]) before it
    /// calls for an unknown token. On other hosts all clients share one part of the rate limit.
    #[must_use]
    pub fn with_client_addresses(self) -> Self {
        Self { needs_client_addresses: true, ..self }
    }

    /// The same with a trace in each decision.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn with_trace(self) -> Self {
        Self { trace: Trace::recording(), ..self }
    }

    /// A new request.
    pub fn on_request(&mut self, stream: StreamId, head: &RequestHead, now: UnixTime) -> RequestOutcome {
        let arrival = self.handle_request(stream, head, None, now);
        self.sample(arrival, now)
    }

    /// The request again, with the attributes that the engine needed. Some may be unknown to the host.
    pub fn on_request_with(
        &mut self,
        stream: StreamId,
        head: &RequestHead,
        attributes: AttributeValues,
        now: UnixTime,
    ) -> RequestOutcome {
        let arrival = self.handle_request(stream, head, Some(attributes), now);
        self.sample(arrival, now)
    }

    fn sample(&mut self, mut arrival: RequestOutcome, now: UnixTime) -> RequestOutcome {
        if let RequestOutcome::Decision(decision) = &mut arrival {
            decision.audit.set_sampling(self.sampler.sample(&decision.audit, now));
        }
        arrival
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
        let Self { policy, verifier, keys, token_cache, status, trace, .. } = self;
        Resources { policy, keys, token_cache, status, verifier: &**verifier, trace: trace.clone(), now }
    }

    /// Time has passed. `jitter` is new randomness.
    pub fn on_tick(&mut self, now: UnixTime, jitter: Jitter) -> Outbox {
        let mut outbox = Outbox { suppressed: self.sampler.take_suppressed(Some(now)), ..Outbox::default() };
        for (provider, keys) in &mut self.keys {
            if let Some(fetch) = keys.begin_fetch(now, jitter) {
                outbox.fetches.push(Fetch { id: FetchId { provider: *provider, number: fetch.number }, keys: fetch });
            }
        }
        for (provider, token) in self.status.begin(jitter, now, &mut outbox) {
            self.parked.resume_for_token(provider, token);
        }
        self.finish(outbox, now)
    }

    /// A callout has ended.
    pub fn on_fetched(&mut self, fetch: FetchId, outcome: CalloutResult, now: UnixTime) -> Outbox {
        let mut outbox = Outbox::default();
        if let Some(keys) = keys_of_mut(&mut self.keys, fetch.provider) {
            let CalloutEnd { result, next, share } = keys.finish_callout(fetch.number, outcome, now);
            outbox.follow_ups.extend(next.map(|keys| Fetch { id: fetch, keys }));
            outbox.share = share.map(|outcome| (fetch.provider, outcome));
            self.record_fetch(fetch.provider, result, &mut outbox);
        }
        self.finish(outbox, now)
    }

    /// Another worker shares the outcome of a key fetch.
    pub fn on_shared(&mut self, provider: ProviderId, outcome: SharedOutcome, now: UnixTime, jitter: Jitter) -> Outbox {
        let mut outbox = Outbox::default();
        if let Some(keys) = keys_of_mut(&mut self.keys, provider) {
            let result = keys.adopt(outcome, jitter, now);
            self.record_fetch(provider, result, &mut outbox);
        }
        self.finish(outbox, now)
    }

    /// Who makes a fetch: this worker, another one, or nobody now.
    pub fn on_lease(&mut self, fetch: FetchId, lease: Lease<TokenBucket>, now: UnixTime) -> Outbox {
        if let Some(keys) = keys_of_mut(&mut self.keys, fetch.provider) {
            keys.apply_lease(fetch.number, lease, now);
            if matches!(lease, Lease::Cooldown { .. }) {
                self.parked.resume_for_keys(fetch.provider);
            }
        }
        self.finish(Outbox::default(), now)
    }

    /// Whether that fetch is still needed.
    pub fn is_fetching(&self, fetch: FetchId) -> bool {
        keys_of(&self.keys, fetch.provider).is_some_and(|keys| keys.is_fetching(fetch.number))
    }

    /// The configured name of a provider.
    pub fn provider_name(&self, provider: ProviderId) -> Option<Rc<str>> {
        self.policy.providers.get(provider).map(|provider| Rc::clone(&provider.name))
    }

    /// The providers whose keys are fetched, with the names of their records in shared data.
    pub fn shared_records(&self) -> Vec<(ProviderId, String)> {
        self.keys.iter().filter_map(|(provider, keys)| Some((*provider, keys.record_name()?))).collect()
    }

    /// The request of an introspection call. `entropy` is new randomness, `signer` the host.
    ///
    /// # Errors
    /// If the call has ended, or cannot be signed.
    pub fn call_request(
        &self,
        call: CallId,
        entropy: &Entropy,
        signer: &dyn RsaSigner,
        now: UnixTime,
    ) -> Result<HttpRequest, NoRequest> {
        let introspection = self.status.of(call.provider).ok_or(NoRequest::Ended)?;
        introspection.request(call.number, entropy, signer, now)
    }

    /// An introspection call has ended. `sequence` is the number in its lease, where workers share responses; `jitter` is new
    /// randomness.
    pub fn on_call_ended(
        &mut self,
        call: CallId,
        sequence: Option<Sequence>,
        outcome: CalloutResult,
        now: UnixTime,
        jitter: Jitter,
    ) -> Outbox {
        let asked = (self.policy.providers.get(call.provider), self.status.of_mut(call.provider));
        let (Some(provider), Some(introspection)) = asked else { return self.finish(Outbox::default(), now) };
        let end = introspection.finish_call(call.number, sequence, outcome, provider, jitter, now);
        self.end_call(call, end, now)
    }

    /// An introspection call is not made because the host did not sign.
    pub fn on_call_unsigned(&mut self, call: CallId, now: UnixTime, jitter: Jitter) -> Outbox {
        let end = self.status.of_mut(call.provider).map(|known| known.fail_unsigned(call.number, jitter, now));
        match end {
            Some(end) => self.end_call(call, end, now),
            None => self.finish(Outbox::default(), now),
        }
    }

    /// Responses that other workers share in the slots of this call's token. One of them may make the call unnecessary.
    pub fn on_responses_shared(&mut self, call: CallId, responses: &[SharedResponse], now: UnixTime) -> Outbox {
        let asked = (self.policy.providers.get(call.provider), self.status.of_mut(call.provider));
        let (Some(provider), Some(introspection)) = asked else { return self.finish(Outbox::default(), now) };
        let end = introspection.adopt(call.number, responses, provider, now);
        self.end_call(call, end, now)
    }

    /// An introspection call is not made now: another worker makes it, or the rate limit is reached.
    pub fn on_call_deferred(&mut self, call: CallId, why: Deferral, now: UnixTime) -> Outbox {
        let introspection = self.status.of_mut(call.provider);
        for token in introspection.map(|known| known.defer(call.number, why, now)).unwrap_or_default() {
            self.parked.resume_for_token(call.provider, token);
        }
        self.finish(Outbox::default(), now)
    }

    /// The newest known sequence number of a response about the call's token. `None` if the call has ended.
    pub fn newest_sequence(&self, call: CallId) -> Option<Sequence> {
        self.status.of(call.provider)?.newest_sequence(call.number)
    }

    /// The names of the records in which the workers of the process share responses about a provider's token.
    pub fn record_names(&self, provider: ProviderId, token: &TokenDigest) -> Option<RecordNames> {
        self.status.of(provider).map(|introspection| introspection.record_names(token))
    }

    /// The name of the record of the shared rate limit, and the limit.
    pub fn rate_limiter(&self, provider: ProviderId) -> Option<(String, RateLimiter)> {
        self.status.of(provider).map(|introspection| (introspection.ledger_name(), introspection.rate_limiter()))
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

    /// Resumes the requests that were pending on a call, and has the host share its response.
    fn end_call(&mut self, call: CallId, end: CallEnd, now: UnixTime) -> Outbox {
        let mut outbox = Outbox::default();
        let CallEnd { result, resume, share, block, ceiling } = end;
        for token in resume {
            self.parked.resume_for_token(call.provider, token);
        }
        outbox.response = share.map(|response| (call.provider, response));
        outbox.block = block.map(|until| (call.provider, until));
        outbox.ceiling = ceiling.map(|limit| (call.provider, limit));
        let is_news = !matches!(result, CallResult::Late | CallResult::Continues);
        let provider = self.policy.providers.get(call.provider).filter(|_| is_news);
        outbox.call_note = provider.map(|provider| CallNote { provider: Rc::clone(&provider.name), result });
        self.finish(outbox, now)
    }

    /// Resumes the requests that were pending on the keys of a provider.
    fn record_fetch(&mut self, provider: ProviderId, result: FetchResult, outbox: &mut Outbox) {
        let is_news = !matches!(result, FetchResult::Late | FetchResult::Continues);
        if let Some(configured) = self.policy.providers.get(provider)
            && is_news
        {
            outbox.note = Some(FetchNote { provider: Rc::clone(&configured.name), result });
            self.parked.resume_for_keys(provider);
        }
    }

    fn finish(&mut self, mut outbox: Outbox, now: UnixTime) -> Outbox {
        self.resume_batch(now, &mut outbox);
        outbox.next_tick = Some(self.next_tick(now));
        outbox
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
