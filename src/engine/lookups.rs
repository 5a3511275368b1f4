//! What the engine does when an event comes: it begins the lookups that are due, takes their results, acquires and gives back
//! leases, and resumes the requests that were pending on them.

use std::time::Duration;

use super::effects::{Callout, CalloutId, Effect, Effects, Event, LeaseRequest, Report, SharedLimit, SharedRecord};
use super::pipeline::outcome::PendingOn;
use super::{Engine, StatusSources, StreamId, keys_of, keys_of_mut, leases};
use crate::callout::{CalloutResult, ResponseFormat};
use crate::introspection::call::{CALL_RESPONSE, Call, CallNumber, CallResult, Deferral, Purpose};
use crate::introspection::sharing::SharedResponse;
use crate::introspection::{Begun, CallEnd, NoRequest, ProviderIntrospection};
use crate::keys::fetch::{FetchResult, KEY_RESPONSE, KeyFetch};
use crate::keys::sharing::SharedOutcome;
use crate::keys::{CalloutEnd, ProviderKeys};
use crate::lookup::http_request::{HttpRequest, Message};
use crate::lookup::lease::LeaseOutcome;
use crate::lookup::requester::Caller;
use crate::policy::ProviderId;
use crate::randomness::{Entropy, Jitter};
use crate::revocation::feed::{POLL_RESPONSE, Poll, PollEnd, PollResult};
use crate::revocation::sharing::{ListDocument, ListState};
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

/// One event, and the effects that it has.
struct EventContext<'a> {
    now: UnixTime,
    entropy: Option<&'a Entropy>,
    effects: Effects,
    /// The effects that begin callouts: the last ones.
    callouts: Effects,
}

impl EventContext<'_> {
    fn jitter(&self) -> Jitter {
        Entropy::jitter(self.entropy)
    }

    fn share(&mut self, record: SharedRecord) {
        self.effects.push(Effect::Share(record));
    }

    fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(report));
    }

    fn call(&mut self, id: CalloutId, request: HttpRequest, timeout: Duration, format: &'static ResponseFormat) {
        self.callouts.push(Effect::Callout(Callout { id, request, timeout, format }));
    }
}

impl Engine {
    /// Handles an event. `entropy` is new randomness; `None` where the host has none.
    pub fn handle(&mut self, event: Event, now: UnixTime, entropy: Option<&Entropy>) -> Effects {
        let mut context = EventContext { now, entropy, effects: Vec::new(), callouts: Vec::new() };
        match event {
            Event::Tick => self.begin_due(&mut context),
            Event::CalloutDone(CalloutId::Keys(provider, number), result) => {
                if let Some(keys) = keys_of_mut(&mut self.keys, provider) {
                    let end = keys.finish_callout(number, result, now);
                    self.end_fetch_callout(provider, end, &mut context);
                }
            }
            Event::CalloutDone(id @ CalloutId::Introspection(provider, number), result) => {
                self.finish_call(id, provider, number, result, &mut context);
            }
            Event::CalloutDone(CalloutId::Revocations(number), result) => {
                let jitter = context.jitter();
                let end = self.status.revocations.as_mut().map(|feed| feed.finish_poll(number, result, jitter, now));
                end.into_iter().for_each(|end| self.end_poll(end, &mut context));
            }
            Event::LeaseDone(id, outcome) => self.apply_lease(id, outcome, &mut context),
            Event::KeysShared(provider, outcome) => self.adopt_keys(provider, outcome, &mut context),
            Event::ResponsesShared(id, responses) => self.adopt_responses(id, &responses, &mut context),
            Event::GiveUp(stream) => self.give_up(stream, now, &mut context.effects),
            Event::ListShared(state, document) => self.adopt_list(state, &document, &mut context),
        }
        self.finish(context)
    }

    /// Whether this callout, or the fetch that it belongs to, is still under way.
    pub fn is_under_way(&self, id: CalloutId) -> bool {
        is_under_way(&self.keys, &self.status, id)
    }

    /// Whether a parked request is pending on what this callout brings.
    pub fn is_pending_on(&self, stream: StreamId, id: CalloutId) -> bool {
        match (self.parked.pending_on(stream), id) {
            (Some(PendingOn::Keys(of) | PendingOn::NewerKeys(of)), CalloutId::Keys(provider, _)) => of == provider,
            (Some(PendingOn::Introspection { of, about, .. }), CalloutId::Introspection(provider, number)) => {
                of == provider && self.status.of(of).is_some_and(|introspection| introspection.serves(number, &about))
            }
            (Some(PendingOn::Revocations), CalloutId::Revocations(_)) => true,
            _ => false,
        }
    }

    /// The newest known sequence number of a response about the token of a call. `None` if the call has ended.
    pub fn newest_sequence(&self, id: CalloutId) -> Option<Sequence> {
        let CalloutId::Introspection(provider, number) = id else { return None };
        self.status.of(provider)?.newest_sequence(number)
    }

    fn finish(&mut self, context: EventContext<'_>) -> Effects {
        let EventContext { now, mut effects, mut callouts, .. } = context;
        let Self { keys, status, leases, .. } = self;
        let unneeded = leases.take_unneeded(|id| is_under_way(keys, status, id));
        effects.extend(unneeded.into_iter().map(Effect::ReleaseLease));
        self.resume_batch(now, &mut effects);
        effects.append(&mut callouts);
        effects.push(Effect::TickAt(self.next_tick(now)));
        effects
    }

    fn begin_due(&mut self, context: &mut EventContext<'_>) {
        let (now, jitter) = (context.now, context.jitter());
        let suppressed = self.sampler.take_suppressed(Some(now));
        suppressed.into_iter().for_each(|records| context.report(Report::Suppressed(records)));
        let due = |(provider, keys): &mut (ProviderId, ProviderKeys)| {
            keys.begin_fetch(now, jitter).map(|fetch| CalloutId::Keys(*provider, fetch.number))
        };
        let mut fetches: Vec<CalloutId> = self.keys.iter_mut().filter_map(due).collect();
        fetches.extend(self.leases.take_awaited());
        for id in fetches {
            if let CalloutId::Keys(provider, number) = id
                && let Some(keys) = keys_of(&self.keys, provider)
                && let Some(fetch) = keys.callout_of(number, now)
            {
                match keys.record_name().filter(|_| self.shares) {
                    Some(record) => {
                        let lease = LeaseRequest::Keys { provider, record, fetch };
                        context.callouts.push(Effect::AcquireLease(id, lease));
                    }
                    None => self.start_fetch(provider, fetch, context),
                }
            }
        }
        for (provider, Begun { calls, resume }) in self.status.begin_calls(jitter, now) {
            resume.into_iter().for_each(|token| self.parked.resume_for_token(provider, token));
            for call in calls {
                self.begin_call(provider, call, context);
            }
        }
        if let Some(poll) = self.status.revocations.as_mut().and_then(|feed| feed.begin_poll(jitter, now)) {
            let Poll { number, address, if_none_match, timeout } = poll;
            let request = HttpRequest { address, message: Message::Get { if_none_match } };
            context.call(CalloutId::Revocations(number), request, timeout, &POLL_RESPONSE);
        }
    }

    // Keys

    fn start_fetch(&self, provider: ProviderId, fetch: KeyFetch, context: &mut EventContext<'_>) {
        if let Some(name) = self.provider_name(provider) {
            context.report(Report::FetchStarted { provider: name, cause: fetch.cause });
        }
        send_fetch(provider, fetch, context);
    }

    fn end_fetch_callout(&mut self, provider: ProviderId, end: CalloutEnd, context: &mut EventContext<'_>) {
        let CalloutEnd { result, next, share } = end;
        if let Some(outcome) = share
            && let Some(record) = keys_of(&self.keys, provider).and_then(ProviderKeys::record_name)
        {
            context.share(SharedRecord::Keys { record, outcome });
        }
        self.end_fetch(provider, result, context);
        next.into_iter().for_each(|fetch| send_fetch(provider, fetch, context));
    }

    fn adopt_keys(&mut self, provider: ProviderId, outcome: SharedOutcome, context: &mut EventContext<'_>) {
        let jitter = context.jitter();
        if let Some(keys) = keys_of_mut(&mut self.keys, provider) {
            let result = keys.adopt(outcome, jitter, context.now);
            self.end_fetch(provider, result, context);
        }
    }

    /// Resumes the requests that were pending on the keys of a provider.
    fn end_fetch(&mut self, provider: ProviderId, result: FetchResult, context: &mut EventContext<'_>) {
        if matches!(result, FetchResult::Late | FetchResult::Continues) {
            return;
        }
        if let Some(name) = self.provider_name(provider) {
            context.report(Report::Fetch { provider: name, result });
            self.parked.resume_for_keys(provider);
        }
    }

    // Introspection

    fn begin_call(&mut self, provider: ProviderId, call: Call, context: &mut EventContext<'_>) {
        let Call { number, purpose, timeout } = call;
        match (purpose, self.status.of(provider)) {
            (Purpose::Token { digest: token, class, requester }, Some(introspection)) if self.shares => {
                let names = introspection.record_names(&token);
                let (limit, caller) = (limit_of(introspection), Caller { class, requester });
                let lease = LeaseRequest::Introspection { names, token, timeout, limit, caller };
                context.callouts.push(Effect::AcquireLease(CalloutId::Introspection(provider, number), lease));
            }
            // Metadata is fetched once in the life of a worker, and not rate limited.
            (Purpose::Token { .. } | Purpose::Metadata(_), _) => self.send_call(provider, number, context),
        }
    }

    fn send_call(&mut self, provider: ProviderId, number: CallNumber, context: &mut EventContext<'_>) {
        let Some(introspection) = self.status.of(provider) else { return };
        // The calls of two providers may have the same number.
        let entropy = context.entropy.map(|entropy| entropy.derive(provider.index()));
        match introspection.request(number, entropy.as_ref(), &*self.signer, context.now) {
            Ok(request) => {
                let id = CalloutId::Introspection(provider, number);
                context.call(id, request, introspection.longest_wait(), &CALL_RESPONSE);
            }
            Err(NoRequest::Ended) => {}
            Err(NoRequest::NotSigned) => {
                let (now, jitter) = (context.now, context.jitter());
                let end = self.status.of_mut(provider).map(|known| known.fail_unsigned(number, jitter, now));
                end.into_iter().for_each(|end| self.end_call(provider, end, context));
            }
        }
    }

    fn finish_call(
        &mut self,
        id: CalloutId,
        provider: ProviderId,
        number: CallNumber,
        result: CalloutResult,
        context: &mut EventContext<'_>,
    ) {
        let (now, jitter, sequence) = (context.now, context.jitter(), self.leases.sequence(id));
        if let (Some(configured), Some(introspection)) =
            (self.policy.providers.get(provider), self.status.of_mut(provider))
        {
            let end = introspection.finish_call(number, sequence, result, configured, jitter, now);
            self.end_call(provider, end, context);
        }
    }

    fn adopt_responses(&mut self, id: CalloutId, responses: &[SharedResponse], context: &mut EventContext<'_>) {
        if let CalloutId::Introspection(provider, number) = id
            && let (Some(configured), Some(introspection)) =
                (self.policy.providers.get(provider), self.status.of_mut(provider))
        {
            let end = introspection.adopt(number, responses, configured, context.now);
            self.end_call(provider, end, context);
        }
    }

    /// Resumes the requests that were pending on a call.
    fn end_call(&mut self, provider: ProviderId, end: CallEnd, context: &mut EventContext<'_>) {
        let CallEnd { result, resume, share, block, ceiling } = end;
        resume.into_iter().for_each(|token| self.parked.resume_for_token(provider, token));
        if let Some(introspection) = self.status.of(provider) {
            if let Some(response) = share {
                context.share(SharedRecord::Response { names: introspection.record_names(&response.token), response });
            }
            block.into_iter().for_each(|until| context.share(SharedRecord::Block(limit_of(introspection), until)));
            ceiling.into_iter().for_each(|limit| context.share(SharedRecord::Ceiling(limit_of(introspection), limit)));
        }
        if !matches!(result, CallResult::Late | CallResult::Continues)
            && let Some(name) = self.provider_name(provider)
        {
            context.report(Report::Call { provider: name, result });
        }
    }

    // The revocation list

    fn end_poll(&mut self, end: PollEnd, context: &mut EventContext<'_>) {
        let PollEnd { result, news } = end;
        if let (Some(news), Some(record)) = (news, self.list_record()) {
            context.share(SharedRecord::List { record, news });
        }
        self.report_poll(result, context);
    }

    fn adopt_list(&mut self, state: ListState, document: &ListDocument, context: &mut EventContext<'_>) {
        let feed = self.status.revocations.as_mut();
        let result = feed.and_then(|feed| feed.adopt(state, document, context.now));
        result.into_iter().for_each(|result| self.report_poll(result, context));
    }

    fn report_poll(&mut self, result: PollResult, context: &mut EventContext<'_>) {
        if result != PollResult::Late {
            context.report(Report::Poll(result));
            self.parked.resume_for_revocations();
        }
    }

    // Leases

    fn apply_lease(&mut self, id: CalloutId, outcome: LeaseOutcome, context: &mut EventContext<'_>) {
        if let LeaseOutcome::Acquired(sequence) = outcome {
            self.leases.hold(id, sequence);
        }
        match id {
            CalloutId::Keys(provider, number) => {
                let Some(keys) = keys_of_mut(&mut self.keys, provider) else { return };
                keys.apply_lease(number, outcome, context.now);
                match outcome {
                    LeaseOutcome::Acquired(_) => {
                        let fetch = keys.callout_of(number, context.now);
                        fetch.into_iter().for_each(|fetch| self.start_fetch(provider, fetch, context));
                    }
                    LeaseOutcome::HeldByOther(_) => self.leases.await_other(id),
                    LeaseOutcome::Cooldown { .. } => self.parked.resume_for_keys(provider),
                    LeaseOutcome::LimitReached(_) => {}
                }
            }
            CalloutId::Introspection(provider, number) => {
                let why = match outcome {
                    LeaseOutcome::Acquired(_) => return self.send_call(provider, number, context),
                    LeaseOutcome::HeldByOther(_) | LeaseOutcome::Cooldown { .. } => Deferral::HeldByOther,
                    LeaseOutcome::LimitReached(reached) => Deferral::LimitReached(reached),
                };
                let introspection = self.status.of_mut(provider);
                let resume = introspection.map(|known| known.defer(number, why, context.now)).unwrap_or_default();
                resume.into_iter().for_each(|token| self.parked.resume_for_token(provider, token));
            }
            CalloutId::Revocations(_) => {}
        }
    }

    /// The longest time until the leases that other workers hold are looked at again.
    pub(super) fn next_lease_check(&self, now: UnixTime) -> Option<UnixTime> {
        self.leases.is_awaiting().then(|| now.plus(leases::LOOK_AGAIN))
    }
}

fn send_fetch(provider: ProviderId, fetch: KeyFetch, context: &mut EventContext<'_>) {
    let KeyFetch { number, address, timeout, .. } = fetch;
    context.call(CalloutId::Keys(provider, number), HttpRequest::get(address), timeout, &KEY_RESPONSE);
}

fn limit_of(introspection: &ProviderIntrospection) -> SharedLimit {
    SharedLimit { record: introspection.ledger_name(), limiter: introspection.rate_limiter() }
}

fn is_under_way(keys: &[(ProviderId, ProviderKeys)], status: &StatusSources, id: CalloutId) -> bool {
    match id {
        CalloutId::Keys(provider, number) => keys_of(keys, provider).is_some_and(|keys| keys.is_fetching(number)),
        CalloutId::Introspection(provider, number) => {
            status.of(provider).is_some_and(|introspection| introspection.is_calling(number))
        }
        CalloutId::Revocations(_) => false,
    }
}
