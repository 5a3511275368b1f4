//! Introspection calls and polls of the revocation list: sends them, and carries out what their ends lead to.
//!
//! Where the host shares data, one worker of the process makes the call about a token, within the rate limit of all. Where it
//! does not, each worker has the limit that its engine keeps.

use std::time::Duration;

use crate::callout::{CalloutResult, TransportError};
use crate::engine::{
    CallId, Caller, Deferral, HttpRequest, IntrospectionCall, Lease, Message, NoRequest, NoRsaSigner, Outbox, Poll,
    PollNumber, Purpose, RsaSigner, SharedResponses, TokenDigest,
};
use crate::host::callouts::{CalloutPurpose, CalloutRequest};
use crate::host::clock;
use crate::host::root_state::RootState;
use crate::host::shared_calls::{self, HeldLease, HeldResponses};
use crate::host::shared_list;

const FORM: &str = "application/x-www-form-urlencoded";

impl RootState {
    /// Makes an introspection call, unless another worker makes it or has the response, or none may; with what follows
    /// at once.
    pub(super) fn introspect(&self, call: &IntrospectionCall) -> Vec<Outbox> {
        let mut effects = Vec::new();
        let lease = match call.purpose {
            // Not rate limited, and needed once in the life of a worker.
            Purpose::Metadata(_) => None,
            Purpose::Token { .. } if !self.shares_data() => None,
            Purpose::Token { digest, class, requester } => {
                match self.acquire(call, digest, Caller { class, requester }, &mut effects) {
                    Some(lease) => Some(lease),
                    None => return effects,
                }
            }
        };
        effects.extend(self.send_call(call, lease));
        effects
    }

    fn shares_data(&self) -> bool {
        self.shared_keys.borrow().is_some()
    }

    /// The lease, when this worker may make the call within the rate limit of all.
    fn acquire(
        &self,
        call: &IntrospectionCall,
        token: TokenDigest,
        caller: Caller,
        effects: &mut Vec<Outbox>,
    ) -> Option<HeldLease> {
        let (id, provider) = (call.id, call.id.provider());
        let names = self.with_engine(|engine| engine.record_names(provider, &token)).flatten()?;
        let (record, limiter) = self.with_engine(|engine| engine.rate_limiter(provider)).flatten()?;
        let lease = shared_calls::acquire_lease(&names, token, call.timeout, || {
            let responses = HeldResponses.read(&names);
            if !responses.is_empty() {
                effects.extend(self.with_engine(|engine| engine.on_responses_shared(id, &responses, clock::now())));
            }
            let known = self.with_engine(|engine| engine.newest_sequence(id)).flatten()?;
            Some(responses.iter().fold(known, |newest, response| newest.newer(response.sequence)))
        });
        // Without one the call is not needed: another worker has the response.
        let why = match lease? {
            Lease::HeldByOther(_) | Lease::Cooldown { .. } => Deferral::HeldByOther,
            Lease::Acquired(lease) => {
                let lease = HeldLease::new(names.lease, lease);
                match shared_calls::try_acquire(&record, limiter, caller) {
                    Ok(()) => return Some(lease),
                    Err(why) => {
                        lease.give_back();
                        why
                    }
                }
            }
        };
        effects.extend(self.with_engine(|engine| engine.on_call_deferred(id, why, clock::now())));
        None
    }

    /// Sends a call; with what follows when it ended at once.
    fn send_call(&self, call: &IntrospectionCall, mut lease: Option<HeldLease>) -> Option<Outbox> {
        let signer = self.signer.borrow().clone();
        let signer: &dyn RsaSigner = signer.as_deref().unwrap_or(&NoRsaSigner);
        let request = match clock::entropy() {
            Some(entropy) => self.with_engine(|engine| engine.call_request(call.id, &entropy, signer, clock::now()))?,
            // Without random bytes an assertion would not be unique (`jti`).
            None => Err(NoRequest::NotSigned),
        };
        let purpose = || CalloutPurpose::Introspection(call.id, lease.take());
        match request.map(|request| self.send(&request, call.timeout, purpose)) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => self.end_call(call.id, lease, Err(error)),
            Err(no_request) => {
                lease.into_iter().for_each(HeldLease::give_back);
                let (now, jitter) = (clock::now(), clock::jitter());
                match no_request {
                    NoRequest::NotSigned => self.with_engine(|engine| engine.on_call_unsigned(call.id, now, jitter)),
                    NoRequest::Ended => None,
                }
            }
        }
    }

    fn send(
        &self,
        request: &HttpRequest,
        timeout: Duration,
        purpose: impl FnOnce() -> CalloutPurpose,
    ) -> Result<(), TransportError> {
        let address = &request.address;
        match &request.message {
            Message::Get => {
                let request = CalloutRequest { address, timeout, method: "GET", headers: &[], body: None };
                self.callouts.send(request, purpose)
            }
            Message::PostForm { authorization, body } => {
                let mut headers = vec![("content-type", FORM)];
                headers.extend(authorization.as_ref().map(|value| ("authorization", value.reveal().as_str())));
                let body = Some(body.reveal().as_bytes());
                self.callouts
                    .send(CalloutRequest { address, timeout, method: "POST", headers: &headers, body }, purpose)
            }
        }
    }

    /// A call has ended: its response is shared before other workers may call themselves.
    pub(super) fn end_call(&self, call: CallId, lease: Option<HeldLease>, outcome: CalloutResult) -> Option<Outbox> {
        let (now, jitter) = (clock::now(), clock::jitter());
        let sequence = lease.as_ref().map(HeldLease::sequence);
        let outbox = self.with_engine(|engine| engine.on_call_ended(call, sequence, outcome, now, jitter));
        if let Some(outbox) = &outbox
            && self.shares_data()
        {
            self.share(outbox);
        }
        lease.into_iter().for_each(HeldLease::give_back);
        outbox
    }

    fn share(&self, outbox: &Outbox) {
        if let Some((provider, response)) = &outbox.response
            && let Some(names) = self.with_engine(|engine| engine.record_names(*provider, &response.token)).flatten()
        {
            shared_calls::publish(&names, response);
        }
        if let Some((provider, until)) = outbox.block
            && let Some((record, limiter)) = self.with_engine(|engine| engine.rate_limiter(provider)).flatten()
        {
            shared_calls::block(&record, limiter, until);
        }
        if let Some((provider, ceiling)) = outbox.ceiling
            && let Some((record, limiter)) = self.with_engine(|engine| engine.rate_limiter(provider)).flatten()
        {
            shared_calls::lower(&record, limiter, ceiling);
        }
    }

    /// Polls the revocation list; with what follows when that ended at once.
    pub(super) fn poll(&self, poll: &Poll) -> Option<Outbox> {
        let headers: Vec<(&str, &str)> =
            poll.if_none_match.iter().map(|etag| ("if-none-match", etag.as_str())).collect();
        let (address, timeout) = (&poll.address, poll.timeout);
        let request = CalloutRequest { address, timeout, method: "GET", headers: &headers, body: None };
        match self.callouts.send(request, || CalloutPurpose::Revocations(poll.number)) {
            Ok(()) => None,
            Err(error) => self.end_poll(poll.number, Err(error)),
        }
    }

    /// A poll has ended.
    pub(super) fn end_poll(&self, poll: PollNumber, outcome: CalloutResult) -> Option<Outbox> {
        let (now, jitter) = (clock::now(), clock::jitter());
        let outbox = self.with_engine(|engine| engine.on_polled(poll, outcome, now, jitter));
        if self.shares_data()
            && let Some(news) = outbox.as_ref().and_then(|outbox| outbox.list_news.as_ref())
            && let Some(record) = self.with_engine(|engine| engine.list_record()).flatten()
            && shared_list::publish(&record, news)
        {
            self.wake_ups.wake_others();
        }
        outbox
    }

    /// Adopts the revocation list that other workers hold, where there is none here.
    pub(super) fn learn_list(&self) -> Option<Outbox> {
        let record =
            self.with_engine(|engine| if engine.lacks_list() { engine.list_record() } else { None }).flatten()?;
        let (state, document) = shared_list::held(&record)?;
        self.with_engine(|engine| engine.on_list_shared(state, &document, clock::now()))
    }
}
