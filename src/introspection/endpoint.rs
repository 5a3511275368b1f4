//! The address of the endpoint: configured, or discovered in the issuer's metadata when it is first needed.

use std::time::Duration;

use crate::callout::HttpResponse;
use crate::introspection::call::{CallFault, CallNumber};
use crate::lookup::circuit_breaker::{CircuitBreaker, Permit};
use crate::lookup::order::Now;
use crate::policy::{CalloutAddress, Discovery, DiscoveryFault, DiscoveryStep, EndpointAddress};
use crate::randomness::Jitter;
use crate::unix_time::{MonotonicTime, UnixTime};

const NAME: &str = "introspection_endpoint";

#[derive(Debug)]
pub(super) struct Endpoint {
    address: Option<CalloutAddress>,
    /// How the address is discovered, where it is not configured.
    search: Option<Box<Search>>,
}

#[derive(Debug)]
struct Search {
    discovery: Discovery,
    /// The metadata document of the next call.
    step: usize,
    /// The call under way, and when it times out.
    in_flight: Option<(CallNumber, MonotonicTime)>,
    breaker: CircuitBreaker,
}

/// What the response to a metadata call leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Endpoint,
    NextDocument,
    Nothing(CallFault),
}

impl Endpoint {
    pub(super) fn new(address: &EndpointAddress) -> Self {
        match address {
            EndpointAddress::Known(address) => Self { address: Some(address.clone()), search: None },
            EndpointAddress::Discovered(discovery) => {
                let (discovery, breaker) = (discovery.clone(), CircuitBreaker::default());
                Self { address: None, search: Some(Box::new(Search { discovery, step: 0, in_flight: None, breaker })) }
            }
        }
    }

    pub(super) const fn address(&self) -> Option<&CalloutAddress> {
        self.address.as_ref()
    }

    fn in_flight(&self) -> Option<(CallNumber, MonotonicTime)> {
        self.search.as_ref()?.in_flight
    }

    /// The address of the metadata document of this call.
    pub(super) fn document(&self, number: CallNumber) -> Option<&CalloutAddress> {
        let search = self.search.as_ref()?;
        search.in_flight.filter(|(in_flight, _)| *in_flight == number)?;
        search.discovery.documents.get(search.step)
    }

    /// How long it is not discovered, after a failure.
    pub(super) fn pause(&self, now: UnixTime) -> Duration {
        let search = self.search.as_ref().filter(|_| self.address.is_none());
        search.map_or(Duration::ZERO, |search| search.breaker.pause(now))
    }

    /// The metadata call that is due: its number, and which document.
    pub(super) fn begin(
        &mut self,
        number: impl FnOnce() -> CallNumber,
        timeout: Duration,
        now: Now,
    ) -> Option<(CallNumber, usize)> {
        let search = self.search.as_mut().filter(|search| self.address.is_none() && search.in_flight.is_none())?;
        match search.breaker.permit(now.wall) {
            Permit::Granted | Permit::Probe => {}
            Permit::Wait(_) | Permit::Probing => return None,
        }
        search.breaker.begin(now.wall);
        let number = number();
        search.in_flight = Some((number, now.at.plus(timeout)));
        Some((number, search.step))
    }

    /// The metadata call that never ended.
    pub(super) fn timed_out(&self, now: MonotonicTime) -> Option<CallNumber> {
        self.in_flight().filter(|(_, until)| now >= *until).map(|(number, _)| number)
    }

    /// Takes the result of a metadata call; `None`: it is another call.
    pub(super) fn finish(
        &mut self,
        number: CallNumber,
        outcome: &Result<HttpResponse, CallFault>,
        jitter: Jitter,
        now: UnixTime,
    ) -> Option<Found> {
        let search = self.search.as_mut()?;
        search.in_flight.take_if(|(in_flight, _)| *in_flight == number)?;
        let step = std::mem::take(&mut search.step);
        match search.read(outcome, step) {
            Ok(DiscoveryStep::Address(address)) => {
                self.address = Some(address);
                search.breaker = CircuitBreaker::default();
                Some(Found::Endpoint)
            }
            Ok(DiscoveryStep::Document(next)) => {
                search.step = next;
                Some(Found::NextDocument)
            }
            Err(fault) => {
                search.breaker.fail_for_all(jitter, now);
                Some(Found::Nothing(fault))
            }
        }
    }

    /// The endpoint is not there any more: it is discovered again.
    pub(super) fn rediscover(&mut self) {
        self.address.take_if(|_| self.search.is_some());
    }

    /// Whether a metadata call is under way.
    pub(super) fn is_discovering(&self) -> bool {
        self.in_flight().is_some()
    }

    pub(super) fn next_due(&self) -> Option<MonotonicTime> {
        self.in_flight().map(|(_, until)| until)
    }
}

impl Search {
    fn read(&self, outcome: &Result<HttpResponse, CallFault>, step: usize) -> Result<DiscoveryStep, CallFault> {
        let response = outcome.as_ref().map_err(|fault| *fault)?;
        self.discovery.read(step, response, NAME).map_err(|fault| match fault {
            DiscoveryFault::Status(status) => CallFault::Status(status),
            DiscoveryFault::Metadata(fault) => CallFault::Metadata(fault),
        })
    }
}
