//! Where the endpoint is: known from the start, or found by the issuer's metadata when somebody first needs it.

use std::time::Duration;

use crate::callout::HttpResponse;
use crate::introspection::call::{CallFault, CallNumber};
use crate::jitter::Jitter;
use crate::lookup::circuit_breaker::{CircuitBreaker, Permit};
use crate::lookup::order::Now;
use crate::policy::{CalloutAddress, Discovery, IntrospectionAddress, MetadataFault, address_in_metadata};
use crate::unix_time::{MonotonicTime, UnixTime};

const NAME: &str = "introspection_endpoint";

#[derive(Debug)]
pub(super) enum Endpoint {
    Known(CalloutAddress),
    Discovered(Box<Search>),
}

#[derive(Debug)]
pub(super) struct Search {
    discovery: Discovery,
    found: Option<CalloutAddress>,
    /// The document that is asked for next.
    step: usize,
    /// The call under way, and until when it is waited for.
    asking: Option<(CallNumber, MonotonicTime)>,
    breaker: CircuitBreaker,
}

/// What the answer to a metadata call leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Endpoint,
    NextDocument,
    Nothing(CallFault),
}

impl Endpoint {
    pub(super) fn new(address: &IntrospectionAddress) -> Self {
        match address {
            IntrospectionAddress::Known(address) => Self::Known(address.clone()),
            IntrospectionAddress::Discovered(discovery) => Self::Discovered(Box::new(Search {
                discovery: discovery.clone(),
                found: None,
                step: 0,
                asking: None,
                breaker: CircuitBreaker::default(),
            })),
        }
    }

    pub(super) const fn address(&self) -> Option<&CalloutAddress> {
        match self {
            Self::Known(address) => Some(address),
            Self::Discovered(search) => search.found.as_ref(),
        }
    }

    /// The address of the metadata document that this call asks for.
    pub(super) fn document(&self, number: CallNumber) -> Option<&CalloutAddress> {
        match self {
            Self::Known(_) => None,
            Self::Discovered(search) => {
                search.asking.filter(|(asking, _)| *asking == number)?;
                search.discovery.documents.get(search.step)
            }
        }
    }

    /// How long it will not be looked for, having not been found.
    pub(super) fn pause(&self, now: UnixTime) -> Duration {
        match self {
            Self::Discovered(search) if search.found.is_none() => search.breaker.pause(now),
            Self::Known(_) | Self::Discovered(_) => Duration::ZERO,
        }
    }

    /// Whether to ask for a document now; which one.
    pub(super) fn begin(
        &mut self,
        number: impl FnOnce() -> CallNumber,
        patience: Duration,
        now: Now,
    ) -> Option<(CallNumber, usize)> {
        let Self::Discovered(search) = self else { return None };
        if search.found.is_some() || search.asking.is_some() {
            return None;
        }
        match search.breaker.permit(now.wall) {
            Permit::Granted | Permit::Probe => {}
            Permit::Wait(_) | Permit::Probing => return None,
        }
        search.breaker.begin(now.wall);
        let number = number();
        search.asking = Some((number, now.at.plus(patience)));
        Some((number, search.step))
    }

    /// The call for a document that was never answered.
    pub(super) fn given_up(&self, now: MonotonicTime) -> Option<CallNumber> {
        match self {
            Self::Known(_) => None,
            Self::Discovered(search) => search.asking.filter(|(_, until)| now >= *until).map(|(number, _)| number),
        }
    }

    /// Takes the answer to a call of ours.
    pub(super) fn finish(
        &mut self,
        number: CallNumber,
        outcome: &Result<HttpResponse, CallFault>,
        jitter: Jitter,
        now: UnixTime,
    ) -> Option<Found> {
        let Self::Discovered(search) = self else { return None };
        search.asking.take_if(|(asking, _)| *asking == number)?;
        match search.read(outcome) {
            Ok(address) => {
                search.found = Some(address);
                search.step = 0;
                search.breaker = CircuitBreaker::default();
                Some(Found::Endpoint)
            }
            // Somebody else's document, or one that leads away, is no reason to look further.
            Err(CallFault::Metadata(MetadataFault::Malformed))
                if search.step.saturating_add(1) < search.discovery.documents.len() =>
            {
                search.step = search.step.saturating_add(1);
                Some(Found::NextDocument)
            }
            Err(fault) => {
                search.step = 0;
                search.breaker.fail_for_all(jitter, now);
                Some(Found::Nothing(fault))
            }
        }
    }

    /// The endpoint is not where it was: it is looked for anew.
    pub(super) fn lose(&mut self) {
        if let Self::Discovered(search) = self {
            search.found = None;
        }
    }

    /// Whether the answer of a metadata call is waited for.
    pub(super) const fn is_asking(&self) -> bool {
        match self {
            Self::Known(_) => false,
            Self::Discovered(search) => search.asking.is_some(),
        }
    }

    pub(super) fn next_due(&self) -> Option<MonotonicTime> {
        match self {
            Self::Known(_) => None,
            Self::Discovered(search) => search.asking.map(|(_, until)| until),
        }
    }
}

impl Search {
    fn read(&self, outcome: &Result<HttpResponse, CallFault>) -> Result<CalloutAddress, CallFault> {
        let response = outcome.as_ref().map_err(|fault| *fault)?;
        match response.status {
            200 => address_in_metadata(&response.body, &self.discovery, NAME).map_err(CallFault::Metadata),
            400..=499 => Err(CallFault::Metadata(MetadataFault::Malformed)),
            status => Err(CallFault::Status(status)),
        }
    }
}
