//! `responses` as the operator writes it: how refused clients are answered.

use std::collections::BTreeMap;

use serde_json::Value;

use super::introspection::Secret;
use crate::config::fault::{ConfigFault, Path};
use crate::config::reading::{Read, Words, document, read_word};
use crate::policy::{BodyFormat, Detail};

document! {
    /// How refusals are written.
    ResponsesDocument {
        /// The `realm` of challenges. Left out: `okta-proxy-wasm`.
        realm: String,
        /// What bodies are: `json` (`error`, `error_description`), `problem` (RFC 9457) or `text`. Left out: `json`.
        format: BodyFormat,
        /// `terse`: what kind of credential would help. `reason`: also the exact reason, as the log has it, in bodies of
        /// ours; it tells attackers which check failed, so this prints a warning. Left out: `terse`.
        detail: Detail,
        /// Tells callers that you trust the exact reason. Prints a warning. Left out: nobody.
        debug: DebugDocument,
        /// Bodies and headers of your own.
        custom: CustomDocument,
        /// Lets pages of other origins read refusals. Left out: their scripts see a network error.
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
        /// The header. Left out: `x-auth-debug`.
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
        /// The body, at most 16 KiB. Left out: ours.
        body: String,
        /// What it is. Left out: `text/plain; charset=utf-8`.
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
        /// Also to requests with cookies. Not with `*`. Left out: no.
        allow_credentials: bool,
        /// The header fields that scripts may read. Left out: `www-authenticate` and `retry-after`.
        expose_headers: Vec<String>,
    }
}

document! {
    /// The application's login page.
    LoginDocument {
        /// Its address, `https`. Parameters of its own stay.
        url: String,
        /// The parameter that tells it where the browser was going. Left out: `return_to`.
        return_to_parameter: String,
        /// The origin before path and query there, such as `https://shop.acme.com`. Left out: a path and query only.
        return_base: String,
    }
}

impl Words for BodyFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("json", Self::Json), ("problem", Self::Problem), ("text", Self::Text)];
    const WANTED: &'static str = "one of \"json\", \"problem\", \"text\"";
}

impl Read for BodyFormat {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        read_word(value, at, faults)
    }
}

impl Words for Detail {
    const WORDS: &'static [(&'static str, Self)] = &[("terse", Self::Terse), ("reason", Self::Reason)];
    const WANTED: &'static str = "one of \"terse\", \"reason\"";
}

impl Read for Detail {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        read_word(value, at, faults)
    }
}
