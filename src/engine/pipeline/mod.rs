//! The order in which a request is decided, one step per file: extract, authenticate, sender constraint, token status,
//! authorize, decide.
//!
//! Every step either passes its result to the next one or stops the request. A request that is [`Suspension::Pending`] is parked
//! and later runs the same steps again from `authenticate`: until then a key may have been withdrawn. [`decide::decide`] is
//! the only place that can allow a request, and takes the proof.

mod authenticate;
mod authorize;
mod decide;
mod extract;
mod identify;
pub(super) mod outcome;
mod request;
mod sender_constraint;
mod token_status;

use std::rc::Rc;

use crate::engine::decision::Decision;
use crate::engine::deny_reason::DenyReason;
use crate::engine::proofs::Proofs;
use crate::engine::sampling::Sampler;
use crate::engine::token_cache::TokenCache;
use crate::engine::token_status::StatusSources;
use crate::engine::trace::{Trace, TraceEvent, TracedStep};
use crate::http::RequestHead;
use crate::jose::{SignatureVerifier, TokenFault};
use crate::keys::ProviderKeys;
use crate::lookup::requester::Sender;
use crate::policy::{Attribute, AttributeValues, Policy, ProviderId};
use crate::unix_time::UnixTime;

use extract::Extracted;
use outcome::{Conclusion, PendingOn, Stop, Suspension};
pub(super) use request::Request;
use request::RequestContext;

/// What the steps read and change.
pub(super) struct Resources<'e> {
    pub(super) policy: &'e Policy,
    pub(super) keys: &'e mut [(ProviderId, ProviderKeys)],
    pub(super) token_cache: &'e mut TokenCache,
    pub(super) status: &'e mut StatusSources,
    pub(super) proofs: &'e mut Proofs,
    pub(super) verifier: &'e dyn SignatureVerifier,
    pub(super) sampler: &'e mut Sampler,
    /// The trace of a new request.
    pub(super) trace: Trace,
    pub(super) now: UnixTime,
}

/// What came of a request that has just come.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    Decided(Decision),
    /// The request is to be parked.
    Pending(Request<'a>, PendingOn),
    NeedAttributes(Rc<[Attribute]>),
}

/// How far a request with a credential gets.
#[derive(Debug)]
pub(super) enum Progress<'a> {
    Decided(Decision),
    Suspended(Request<'a>, Suspension),
}

/// Runs all steps for a request that has just come. `attributes` are those the host provided, `None` before it was asked.
pub(super) fn start<'a>(
    head: &'a RequestHead,
    attributes: Option<AttributeValues>,
    sender: Sender,
    resources: &mut Resources<'_>,
) -> Outcome<'a> {
    let (policy, now) = (resources.policy, resources.now);
    let has_attributes = attributes.is_some();
    let trace = std::mem::take(&mut resources.trace);
    let mut context = RequestContext::new(head, attributes.unwrap_or_default(), sender, trace, now);
    let conclusion = match extract::extract(head, &mut context, has_attributes, policy, now) {
        Ok(Extracted::Token(text)) => {
            return match run(Request::new(context, text), resources) {
                Progress::Decided(decision) => Outcome::Decided(decision),
                Progress::Suspended(request, Suspension::Pending(pending_on)) => Outcome::Pending(request, pending_on),
                Progress::Suspended(_, Suspension::NeedAttributes(attributes)) => Outcome::NeedAttributes(attributes),
            };
        }
        Ok(Extracted::NeedAttributes(attributes)) => return Outcome::NeedAttributes(attributes),
        Ok(Extracted::Anonymous(access)) => Conclusion::Anonymous(access),
        Err(reason) => Conclusion::Denied(reason),
    };
    Outcome::Decided(decide::decide(context, resources, conclusion))
}

/// Runs the steps after `extract`, for the first time or for a request that was parked.
pub(super) fn run<'a>(mut request: Request<'a>, resources: &mut Resources<'_>) -> Progress<'a> {
    let (policy, now) = (resources.policy, resources.now);
    request.context.trace.restart(TracedStep::Authorize);
    let conclusion = match conclude(&mut request, resources) {
        Ok(conclusion) | Err(Stop::Concluded(conclusion)) => conclusion,
        // Its token may be parsed again: the verification used it up.
        Err(Stop::Suspended(suspension)) => match request.identify(policy, now) {
            Ok(()) => return Progress::Suspended(request, suspension),
            Err(reason) => Conclusion::Denied(reason),
        },
    };
    Progress::Decided(decide::decide(request.context, resources, conclusion))
}

fn conclude<'p>(request: &mut Request<'_>, resources: &mut Resources<'p>) -> Result<Conclusion<'p>, Stop<'p>> {
    let (token, mut verification) = authenticate::authenticate(request, resources)?;
    sender_constraint::check(request, &token, resources)?;
    verification.introspection = token_status::check(request, &token, verification, resources)?;
    sender_constraint::use_proof(request, resources)?;
    authorize::authorize(&mut request.context, token, verification, resources.policy, resources.now)
}

/// Denies a request without another step.
pub(super) fn deny(mut request: Request<'_>, reason: DenyReason, resources: &mut Resources<'_>) -> Decision {
    // The event of the signature says it where no newer key verifies it.
    if reason != DenyReason::Token(TokenFault::SignatureInvalid) {
        request.context.trace.record(|| TraceEvent::NotPending(reason));
    }
    decide::decide(request.context, resources, Conclusion::Denied(reason))
}
