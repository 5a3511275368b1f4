//! okta-proxy-wasm: a Proxy-Wasm filter that makes Envoy the enforcement point for access tokens issued
//! by Okta or any OAuth 2.0 / OpenID Connect authorization server.
//!
//! A request's way through the modules, which are declared in this order: the host's callbacks
//! (`host`, only in the wasm module) hand the request head to the [`engine`]; it asks [`policy`] where
//! the token stands and whose it is, has [`jose`] parse it, asks [`keys`] for the issuer's keys (and parks
//! the request while they are fetched), has `jose` prove the signature and `policy` admit the claims, and
//! answers with the header edits of `policy::forward` or the reply to a reason. What the operator wrote
//! became a policy in [`config`] before.
//!
//! The core is a function of policy, request, keys held and time. Nothing outside `host` calls a host,
//! reads a clock or performs an effect.

pub mod authority;
pub mod callout;
pub mod civil_date;
pub mod encoding;
pub mod http;
pub mod http_uri;
pub mod json_path;
pub mod memory;
pub mod randomness;
pub mod redacted;
pub mod sequence;
pub mod spelling;
pub mod thumbprint;
pub mod unix_time;
pub mod wake_slots;

pub mod analysis;
pub mod cel;
pub mod config;
pub mod engine;
pub mod introspection;
pub mod jose;
pub mod keys;
pub mod lookup;
pub mod policy;
pub mod replay;
pub mod revocation;
pub mod telemetry;

#[cfg(all(feature = "filter", target_arch = "wasm32", not(target_os = "unknown")))]
mod host;
