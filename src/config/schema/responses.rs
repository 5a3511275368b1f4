//! The schema of `responses`: the responses to denied requests.

use std::collections::BTreeMap;

use super::introspection::Secret;
use crate::config::decode::{document, string_enum};
use crate::policy::{BodyFormat, Detail};

document! {
    /// The responses to denied requests.
    ResponsesDocument {
        /// The `realm` of challenges. Default: `okta-proxy-wasm`.
        realm: String,
        /// The format of bodies: `json` (`error`, `error_description`), `problem` (RFC 9457) or `text`. Default: `json`.
        format: BodyFormat,
        /// `terse`: bodies name the kind of credential that is required. `reason`: the filter's own bodies also have the exact
        /// reason, as the log has it. It shows attackers which check failed, so this logs a warning. Default: `terse`.
        detail: Detail,
        /// Sends the exact reason to callers that you trust. Logs a warning. Default: none.
        debug: DebugDocument,
        /// Your own bodies and headers.
        custom: CustomDocument,
        /// Allows pages of other origins to read these responses. Default: their scripts see a network error.
        cors: CorsDocument,
        /// The login page for rules with `redirect_browsers`.
        login: LoginDocument,
    }
}

document! {
    /// Debug responses: if a request has the secret in this header, its response has a field of the same name with the exact
    /// reason, the rule, the provider and the names of the claims that the rule requires, as JSON. It never has the value of a
    /// claim. The header is removed from the forwarded request.
    DebugDocument {
        /// The header. Default: `x-auth-debug`.
        header: String,
        /// The variable that holds the secret, 16 characters or more: `{"env": "NAME"}`.
        secret: Secret,
    }
}

document! {
    /// Your own responses, by status.
    CustomDocument {
        /// 400
        bad_request: CustomResponseDocument,
        /// 401
        unauthorized: CustomResponseDocument,
        /// 403
        forbidden: CustomResponseDocument,
        /// 503
        unavailable: CustomResponseDocument,
    }
}

document! {
    /// Your own response for one status. gRPC clients and redirected browsers receive the headers only.
    CustomResponseDocument {
        /// The body, at most 16 KiB. Default: the filter's own.
        body: String,
        /// The media type of the body. Default: `text/plain; charset=utf-8`.
        content_type: String,
        /// Further header fields; those that the filter or HTTP itself sets are reserved.
        headers: BTreeMap<String, String>,
    }
}

document! {
    /// Which pages of other origins may read responses to denied requests. For all other responses use Envoy's CORS filter.
    CorsDocument {
        /// Origins as browsers send them, `https://app.acme.com`; `https://*.acme.com` for all subdomains; or `*` alone.
        allow_origins: Vec<String>,
        /// Also allows requests with cookies. Not with `*`. Default: `false`.
        allow_credentials: bool,
        /// The header fields that scripts may read. Default: `www-authenticate` and `retry-after`, and
        /// `dpop-nonce` if a provider accepts proofs.
        expose_headers: Vec<String>,
    }
}

document! {
    /// The application's login page.
    LoginDocument {
        /// Its `https` URL. Query parameters in it are kept.
        url: String,
        /// The query parameter with the address that the browser requested. Default: `return_to`.
        return_to_parameter: String,
        /// The origin of that address, such as `https://shop.acme.com`. Default: none, path and query only.
        return_base: String,
    }
}

string_enum!(BodyFormat { "json" => Json, "problem" => Problem, "text" => Text });

string_enum!(Detail { "terse" => Terse, "reason" => Reason });
