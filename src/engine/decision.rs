//! The decision about one request.

use crate::engine::audit::AuditRecord;
use crate::engine::filter_state::FilterStateValues;
use crate::engine::trace::Trace;
use crate::http::{HeadEdits, HeaderName, HeaderValue, LocalResponse};

#[derive(Clone, Debug)]
pub struct Decision {
    /// What the host does with the request.
    pub verdict: Verdict,
    /// Fields of the response to a request that is forwarded.
    pub response_headers: Vec<(HeaderName, HeaderValue)>,
    /// The filter state; empty unless configured.
    pub filter_state: FilterStateValues,
    pub audit: AuditRecord,
    /// What the steps found, if the engine records traces.
    pub trace: Trace,
}

/// What the host does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it with these edits.
    Allow(HeadEdits),
    Deny(LocalResponse),
}
