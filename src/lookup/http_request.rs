//! The HTTP request of a callout, as data. The host adds `Accept` and the headers of the address.

use crate::http::HeaderValue;
use crate::policy::CalloutAddress;
use crate::redacted::Redacted;

/// An HTTP request for JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub address: CalloutAddress,
    /// Its method and content.
    pub message: Message,
}

/// The method, and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Get {
        /// The value of `If-None-Match`, if there is to be one.
        if_none_match: Option<HeaderValue>,
    },
    PostForm {
        /// The value of `Authorization`, if there is to be one.
        authorization: Option<Redacted<String>>,
        body: Redacted<String>,
    },
}

impl HttpRequest {
    pub const fn get(address: CalloutAddress) -> Self {
        Self { address, message: Message::Get { if_none_match: None } }
    }
}
