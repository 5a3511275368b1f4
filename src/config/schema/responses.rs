//! `responses` as the operator writes it: how refused clients are answered.

use std::collections::BTreeMap;

use serde_json::Value;

use super::introspection::Secret;
use crate::config::decode::{Decode, StringEnum, decode_enum, document};
use crate::config::error::{ConfigError, Path};
use crate::policy::{BodyFormat, Detail};

document! {
    /// How refusals are written.
    ResponsesDocument {
        /// The `realm` of challenges. Default: `okta-proxy-wasm`.
        realm: String,
        /// What bodies are: `json` (`error`, `error_description`), `problem` (RFC 9457) or `text`. Default: `json`.
        format: BodyFormat,
        /// `terse`: what kind of credential would help. `reason`: also the exact reason, as the log has it, in bodies of
        /// ours; it tells attackers which check failed, so this prints a warning. Default: `terse`.
        detail: Detail,
        /// Tells callers that you trust the exact reason. Prints a warning. Default: nobody.
        debug: DebugDocument,
        /// Bodies and headers of your own.
        custom: CustomDocument,
        /// Lets pages of other origins read refusals. Default: their scripts see a network error.
        cors: CorsDocument,
        /// Where browsers are sent by rules with `redirect_browsers`.
        login: LoginDocument,
    }
}

document! {
    /// Callers that are told why they are refused: in the answer to a request that shows the secret in this header, a field of
    /// the same name has the exact reason, the rule, the provider and the claims that its demands are about, as JSON. Never
    /// what a claim says. The header is taken out of what goes on to the backend.
    DebugDocument {
        /// The header. Default: `x-auth-debug`.
        header: String,
        /// Where the secret is found, 16 characters or more: `{"env": "NAME"}`.
        secret: Secret,
    }
}

document! {
    /// What is answered instead, by status.
    CustomDocument {
        /// 400
        bad_request: CustomAnswerDocument,
        /// 401
        unauthorized: CustomAnswerDocument,
        /// 403
        forbidden: CustomAnswerDocument,
        /// 503
        unavailable: CustomAnswerDocument,
    }
}

document! {
    /// What is answered instead with one status. gRPC clients and redirected browsers have the headers only.
    CustomAnswerDocument {
        /// The body, at most 16 KiB. Default: ours.
        body: String,
        /// What it is. Default: `text/plain; charset=utf-8`.
        content_type: String,
        /// More header fields, none that the filter or HTTP itself writes.
        headers: BTreeMap<String, String>,
    }
}

document! {
    /// Which pages of other origins may read a refusal. Nothing else is answered for: let Envoy's CORS filter do that.
    CorsDocument {
        /// Origins as browsers send them, `https://app.acme.com`; `https://*.acme.com` for all below; or `*` alone.
        allow_origins: Vec<String>,
        /// Also to requests with cookies. Not with `*`. Default: `false`.
        allow_credentials: bool,
        /// The header fields that scripts may read. Default: `www-authenticate` and `retry-after`.
        expose_headers: Vec<String>,
    }
}

document! {
    /// The application's login page.
    LoginDocument {
        /// Its address, `https`. Parameters of its own stay.
        url: String,
        /// The parameter that tells it where the browser was going. Default: `return_to`.
        return_to_parameter: String,
        /// The origin before path and query there, such as `https://shop.acme.com`. Default: a path and query only.
        return_base: String,
    }
}

impl StringEnum for BodyFormat {
    const VARIANTS: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("problem", Self::Problem), ("text", Self::Text)];
    const EXPECTED: &'static str = "one of \"json\", \"problem\", \"text\"";
}

impl Decode for BodyFormat {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        decode_enum(value, at, errors)
    }
}

impl StringEnum for Detail {
    const VARIANTS: &'static [(&'static str, Self)] = &[("terse", Self::Terse), ("reason", Self::Reason)];
    const EXPECTED: &'static str = "one of \"terse\", \"reason\"";
}

impl Decode for Detail {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        decode_enum(value, at, errors)
    }
}
