//! Reserved headers: no claim, token or debug secret is written or read in these of a request, and no custom response has
//! these of the filter.

use crate::http::{HeaderName, without_gateway_prefix};
use crate::policy::target_headers::{PROTECTED_HEADERS, is_target};

/// The use of a reserved header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// The connection or the frame of the message.
    Framing,
    Credential,
    /// Written by Envoy or another proxy.
    Proxy,
    /// Read by backends as the target of the request.
    Target,
    /// Sent by clients for the backend.
    Client,
}

impl Reserved {
    /// Why no claim is forwarded there.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Framing => {
                "reserved: it frames the message or belongs to the connection; choose a header of your own"
            }
            Self::Credential => "reserved: it carries credentials; choose a header of your own",
            Self::Proxy => "reserved: Envoy and other proxies write it; choose a header of your own",
            Self::Target => {
                "reserved: backends read the target of the request from it (docs/security.md); choose a header of your own"
            }
            Self::Client => "reserved: clients send it to the backend; choose a header of your own",
        }
    }
}

/// Names of the `x-forwarded-` family that hold an identity or a token, as oauth2-proxy sets them.
const FORWARDED_IDENTITY: [&str; 5] = [
    "x-forwarded-access-token",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-user",
];

/// What the header is reserved for, in any spelling that a backend folds to it.
pub(super) fn reserved(name: &HeaderName) -> Option<Reserved> {
    let bare = without_gateway_prefix(name.as_str());
    let folded: String =
        bare.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' }).collect();
    let folded = folded.as_str();
    if FORWARDED_IDENTITY.contains(&folded) {
        return None;
    }
    if is_target(bare) {
        return Some(Reserved::Target);
    }
    match folded {
        // Nothing follows the prefix of grpc-gateway.
        "" => Some(Reserved::Framing),
        "connection" | "content-encoding" | "content-length" | "content-range" | "content-type" | "expect" | "host"
        | "http2-settings" | "keep-alive" | "max-forwards" | "proxy-connection" | "te" | "trailer"
        | "transfer-encoding" | "upgrade" => Some(Reserved::Framing),
        "authorization" | "cookie" | "cookie2" | "proxy-authorization" => Some(Reserved::Credential),
        "client-ip" | "true-client-ip" | "via" | "x-client-ip" | "x-cluster-client-ip" | "x-real-ip" => {
            Some(Reserved::Proxy)
        }
        "access-control-request-headers"
        | "access-control-request-method"
        | "cache-control"
        | "date"
        | "destination"
        | "dpop"
        | "from"
        | "last-event-id"
        | "origin"
        | "pragma"
        | "range"
        | "referer"
        | "traceparent"
        | "tracestate"
        | "user-agent" => Some(Reserved::Client),
        _ if PROTECTED_HEADERS.contains(&folded) => Some(Reserved::Proxy),
        _ if ["x-envoy-", "x-forwarded-"].iter().any(|family| folded.starts_with(family)) => Some(Reserved::Proxy),
        _ if folded.starts_with("grpc-") => Some(Reserved::Framing),
        _ if ["accept", "if-", "sec-"].iter().any(|family| folded.starts_with(family)) => Some(Reserved::Client),
        _ => None,
    }
}

/// Why a custom response does not have this field.
pub(super) fn response_field_reason(name: &str) -> Option<&'static str> {
    match name {
        "content-type" => Some("write `content_type` beside `body`"),
        "cache-control" | "expires" | "pragma" | "age" => {
            Some("no refusal is ever stored (`no-store`): a cache would give it to somebody who may pass")
        }
        "www-authenticate" | "retry-after" | "proxy-authenticate" | "authentication-info" => {
            Some("the filter says what would help; two of them would contradict each other")
        }
        "location" | "refresh" => Some("browsers are sent to `responses.login` by rules with `redirect_browsers`"),
        "vary" => Some("the filter writes it"),
        "set-cookie" | "set-cookie2" => {
            Some("anybody can cause a refusal, other sites' pages too, and would set or end users' sessions by it")
        }
        "connection" | "content-encoding" | "content-length" | "content-location" | "content-range" | "date"
        | "etag" | "keep-alive" | "last-modified" | "proxy-connection" | "te" | "trailer" | "transfer-encoding"
        | "upgrade" => Some("HTTP itself writes it"),
        _ if name.starts_with("access-control-") => Some("write `responses.cors`"),
        _ if name.starts_with("grpc-") => {
            Some("the host writes the gRPC status: another one could say that all went well")
        }
        _ if name.starts_with("x-envoy-") => Some("Envoy takes orders from fields of this name"),
        _ => None,
    }
}

#[cfg(test)]
#[path = "reserved_headers/tests.rs"]
mod tests;
