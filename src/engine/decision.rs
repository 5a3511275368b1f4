//! The decision about one request.

use crate::engine::audit::AuditRecord;
use crate::engine::filter_state::FilterStateValues;
use crate::http::{HeadEdits, LocalResponse};

/// What is to be done with one request, and what is to be logged of it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What the host does.
    pub verdict: Verdict,
    /// What later filters and the access log are told; nothing unless the operator wants it.
    pub filter_state: FilterStateValues,
    /// What is logged.
    pub audit: AuditRecord,
}

/// What the host does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the backend with these edits.
    Allow(HeadEdits),
    /// It ends here with this reply.
    Deny(LocalResponse),
}
