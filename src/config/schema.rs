//! The document as the operator writes it. The doc comments are the reference manual; every field may
//! be left out here, and `compile` says which ones are needed together.

pub mod audit;
pub mod handover;
pub mod introspection;
pub mod require;
pub mod responses;
pub mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::NativeCrypto;
use super::fault::{ConfigFault, ConfigProblem, Path};
use super::reading::{Read, Words, document, read_word};
use crate::jose::Algorithm;
use crate::policy::ClaimFormat;
use audit::AuditDocument;
use handover::{FilterStateDocument, ProtectedResourceDocument};
use introspection::{CalloutHeaderValue, IntrospectionDocument, RevocationsDocument};
use responses::ResponsesDocument;
use rules::{DefaultRuleDocument, RuleDocument};

document! {
    /// The whole configuration.
    Document {
        /// The token issuers, under names of your choice.
        providers: BTreeMap<String, ProviderDocument>,
        /// A list of revoked tokens: a token on it is rejected at once, whatever its issuer. Until a first list was
        /// read, requests with a token wait for it, and are answered 503 when it cannot be read. Left out: none.
        revocations: RevocationsDocument,
        /// Where the token is looked for and what becomes of it.
        token: TokenDocument,
        /// Who may do what: the first rule counts whose `match` holds. A refusal for a path that two servers may read
        /// differently comes before.
        rules: Vec<RuleDocument>,
        /// What counts where no rule does. Left out: `{"access": "token"}`.
        default_rule: DefaultRuleDocument,
        /// Lets CORS preflights (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) pass without a token, to the
        /// backend or a CORS filter that answers them: only without a body, and without credentials and cookies, which are
        /// removed. Not where `access` is `deny`. Many backends run the handler of a path for `OPTIONS` too: better have
        /// Envoy's CORS filter in front of this one answer preflights. Left out: no.
        bypass_cors_preflight: bool,
        /// Takes paths as they are that two servers may read differently (`%2f`, `\`, `..;`), instead of refusing
        /// them: a rule may then be met by a path that the backend reads as another. Left out: no.
        insecure_ambiguous_paths: bool,
        /// Rejects a request with 400 (`path_ambiguous`) when its path, compared as the client wrote it, matches another
        /// rule than its normal form. For rules that were written for a filter that does not normalize paths. Left out: no.
        strict_path_spelling: bool,
        /// Applies a rule or condition for `api.acme.com` also to `api.acme.com:8443` and `api.acme.com.`, which Envoy compares
        /// as other hosts unless it strips port and trailing dot before the filter. Left out: no, such a request is rejected
        /// with 400 if the host as written comes under another rule, and a condition whose value depends on it rejects. An
        /// empty port (`api.acme.com:`) is always rejected with 400.
        insecure_ambiguous_hosts: bool,
        /// Headers that change the target of a request (`x-forwarded-host`, `x-original-url`) and that the backend still
        /// receives, as clients send them: names of the list in `docs/security.md`, each weakens the rules. For a trusted
        /// proxy in front that sets and overwrites them. Left out: none.
        insecure_keep_target_headers: Vec<String>,
        /// How refused clients are answered.
        responses: ResponsesDocument,
        /// Which claims the backend receives in which headers. Left out: `x-user-id` (subject),
        /// `x-client-id` (client) and `x-granted-scopes` (scopes, blank between).
        claim_to_headers: Vec<ClaimToHeaderDocument>,
        /// A header in which the backend receives the token's whole payload as it was signed: base64url of JSON, without
        /// padding. What a client sends under this name, in any spelling, is removed. Left out: none.
        forward_payload_header: String,
        /// Headers that are removed from every request, in any spelling, and from its trailers: headers that tell the backend
        /// who the user is and that only another part of the system may write. The headers of `claim_to_headers` and
        /// `forward_payload_header` are removed without being listed here. Left out: none.
        request_headers_to_remove: Vec<String>,
        /// What other filters and the access log are told of each request, in Envoy's filter state: of the decision
        /// (`decision`, `reason`, `rule`, `would_deny`, `provider`, `issuer`, `required_scopes`, `source`, `proof`,
        /// `introspection`), of a token that was proved (`subject`, `client`, `token_id`, `scopes`, `acr`) and of claims of
        /// your choice: as in the record that is logged, where `token_id` is called `jti`. `decision` is always among them.
        /// Envoy only. Left out: nothing.
        filter_state: Vec<FilterStateDocument>,
        /// Has Envoy choose the route of an admitted request anew: for routes that match on `filter_state`. A change of
        /// headers does so by itself. Envoy only. Left out: no.
        clear_route_cache: bool,
        /// Which decisions are logged, one JSON object a line.
        audit: AuditDocument,
        /// The resources behind this filter, each with the metadata that tell a client who would give it a token (RFC
        /// 9728; MCP). Served by the filter, and named in its challenges.
        protected_resources: Vec<ProtectedResourceDocument>,
        /// Who verifies signatures. `auto`: the host, where it has a faster function for it that answers
        /// a test at start rightly (Envoy has one for RS256, RS384, RS512, ES256, ES384 and ES512), and
        /// the module itself otherwise. `off`: the module, always. Both are equally strict. Left out:
        /// `auto`.
        native_crypto: NativeCrypto,
        /// What is remembered of tokens, so that their signatures are verified once.
        cache: CacheDocument,
        /// A path that the filter answers itself, for health checks: 200 when this worker holds keys of
        /// every provider and, with `revocations`, a list, otherwise 503. Left out: none.
        readiness_path: String,
    }
}

document! {
    /// What each worker remembers of verified tokens: until they expire, their key is withdrawn or others take their
    /// place, those unused the longest first.
    CacheDocument {
        /// How many tokens. `0`: every token is verified with every request. Left out: 4096.
        max_tokens: u32,
        /// How many bytes they may take, about; a token takes some four times its length. Left out: 16777216.
        max_bytes: u32,
    }
}

document! {
    /// One token issuer.
    ProviderDocument {
        /// The Okta preset: gives issuer, key address, RS256 and a clock skew of 120 seconds.
        okta: OktaDocument,
        /// The exact `iss` of the tokens. An `https` URL when its metadata is needed: without `jwks.uri` and
        /// `jwks.inline`, or with `introspection` without `uri`. Otherwise any string without control characters and
        /// without spaces at its ends, such as `accounts.google.com`. Not together with `okta`. Several providers may have
        /// the same issuer: then `audiences` select the provider of a token.
        issuer: String,
        /// Further values of `iss`, for tokens that are signed with the same keys and validated alike. No address is derived
        /// from them. At most 256 issuers, with `tenants`. Left out: none.
        additional_issuers: Vec<String>,
        /// What may stand in the place of `{tenant}` in `issuer` and `additional_issuers`: each tenant makes one issuer, and
        /// tokens of other tenants are rejected. Left out: none.
        tenants: Vec<String>,
        /// The token's `aud` must name one of these. Providers that have an issuer in common, `additional_issuers` and
        /// `tenants` included, must not have an audience in common. A token of that issuer is validated by the provider that
        /// has its audience; one with audiences of several of these providers is rejected.
        audiences: Vec<String>,
        /// Accepts tokens for any audience: those made for other APIs too. Not where another provider has the same issuer.
        insecure_any_audience: bool,
        /// Allows `http` in `jwks.uri`, `introspection.uri` and an `issuer` from which addresses are derived.
        insecure_http: bool,
        /// The host's name for the connection to the issuer: on Envoy a cluster.
        upstream: String,
        /// Header fields of every callout to the issuer (keys, metadata, introspection), such as the key that a web
        /// application firewall asks for: `{"x-waf-key": {"env": "WAF_KEY"}}`. `user-agent` replaces the filter's own,
        /// `okta-proxy-wasm/` and its version. Left out: none.
        callout_headers: BTreeMap<String, CalloutHeaderValue>,
        /// The algorithms tokens may be signed with; `EdDSA` and `Ed25519` (RFC 9864) are the same. Left out: `["RS256"]`.
        algorithms: Vec<Algorithm>,
        /// How far the issuer's clock and ours may differ, at most `"300s"`. Left out: `"60s"`.
        clock_skew: Duration,
        /// When given, the only clients (`cid`, `client_id` or `azp`) whose tokens are accepted.
        client_ids: Vec<String>,
        /// The longest `exp - iat` that is accepted. Left out: no limit.
        max_token_lifetime: Duration,
        /// Accepts a `nonce` in tokens that a claim calls access tokens (`typ: "Bearer"`, `token_use: "access"`), as Keycloak
        /// before 25 issues them after a sign-in in a browser. Without it `nonce` marks an ID token, unless the `typ` of the
        /// header is `at+jwt`. Left out: no.
        accept_nonce: bool,
        /// The claim that names whom the token speaks for. Left out: `sub`.
        subject_claim: String,
        /// The claim that names the client. Left out: the first present of `cid`, `client_id`, `azp`.
        client_claim: String,
        /// The claim that holds the scopes. Left out: the first present of `scp`, `scope`.
        scope_claim: String,
        /// The claim that holds the user's groups: a name, or a list of names that leads to a nested one. Left out:
        /// `groups`.
        groups_claim: ClaimPath,
        /// The issuer's keys.
        jwks: JwksDocument,
        /// How the issuer is asked about tokens: opaque ones, and JWTs where a rule says `introspect`. Left out: never.
        introspection: IntrospectionDocument,
    }
}

document! {
    /// An authorization server of Okta.
    OktaDocument {
        /// The organisation's domain, `acme.okta.com`, or its custom domain, without a port; in any case of letters.
        domain: String,
        /// The id of a custom authorization server, or `org` for the organisation's own, whose tokens only Okta can judge:
        /// it needs `introspection`. Left out: `default`.
        authorization_server: String,
    }
}

document! {
    /// Where the keys come from and how they are kept.
    JwksDocument {
        /// The address of the key set. Left out: Okta's, with the preset; otherwise what the issuer's metadata
        /// (OpenID Connect Discovery, RFC 8414) names, which must be on the issuer's own host.
        uri: String,
        /// The key set itself, `{"keys": [...]}`; nothing is fetched then.
        inline: Map<String, Value>,
        /// How long a fetched set is fresh; `Cache-Control` may shorten that, to a minute at least.
        /// Left out: `"1h"`.
        refresh: Duration,
        /// How long the last good set stays in use when fetching fails. Left out: `"24h"`.
        max_stale: Duration,
        /// How long a fetch may take, and a request wait for it. Left out: `"5s"`.
        timeout: Duration,
        /// How often unknown key ids and failed signatures may cause a fetch: three at once, then one in this time. So
        /// long after its first token an unknown key id is answered with 503 and not with 401, 30 s at most. Left
        /// out: `"4s"`.
        unknown_kid_cooldown: Duration,
    }
}

document! {
    /// The credential.
    TokenDocument {
        /// The headers that may carry the token. Left out: `authorization` with the scheme `Bearer`; what
        /// is written replaces that.
        from_headers: Vec<FromHeaderDocument>,
        /// The cookies that may carry the token, case-sensitive. A cookie that common frameworks read under one of these
        /// names (`Access_Token`, `access.token`, `access_token[]`) is rejected and removed. Left out: none.
        from_cookies: Vec<String>,
        /// The query parameters that may carry the token, case-sensitive; other spellings are rejected and removed like
        /// those of cookies. Left out: none. Such tokens end up in access logs (RFC 6750 section 5.3), so this prints a
        /// warning.
        from_params: Vec<String>,
        /// Whether the backend receives the credential. Left out: no, every header, cookie and parameter
        /// above is taken out.
        forward: bool,
        /// Compares the names of cookies and query parameters exactly: another spelling is neither rejected nor removed, and
        /// a backend may read an unchecked token there. Left out: no.
        insecure_exact_names: bool,
        /// The longest token that is looked at, in bytes. Left out: 8192.
        max_bytes: u32,
    }
}

document! {
    /// A header that may carry the token.
    FromHeaderDocument {
        /// The header.
        name: String,
        /// The scheme before the token, case-insensitive. Left out: the whole value is the token.
        scheme: String,
        /// What stands before the token, compared byte for byte, as in Envoy's `jwt_authn`: `"Bearer "`. A value that has it
        /// elsewhere, or in other letters, is rejected. Not together with `scheme`. Left out: nothing.
        value_prefix: String,
    }
}

document! {
    /// One claim in one header.
    ClaimToHeaderDocument {
        /// The header. What a client sends under this name, in any spelling, is removed.
        header: String,
        /// The claim: a name, or a list of names that leads to a nested one. Names are literal.
        claim: ClaimPath,
        /// `string`, `space`, `comma` or `json`. Left out: `string`.
        format: ClaimFormat,
    }
}

/// A claim's name, or the names on the way to it.
#[derive(Debug)]
pub struct ClaimPath(pub Vec<String>);

impl Read for ClaimPath {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let names = match value {
            Value::String(name) => Some(vec![name.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        let names = names.filter(|names: &Vec<String>| !names.is_empty() && names.iter().all(|name| !name.is_empty()));
        super::reading::expect(
            names.map(Self),
            "a claim name, or a list of names that leads to a nested claim",
            at,
            faults,
        )
    }
}

impl Read for Algorithm {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        let algorithm = value.as_str().and_then(Self::parse);
        if algorithm.is_none() {
            faults.push(at.fault(ConfigProblem::Unusable(
                "not an algorithm that can be allowed; there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA and Ed25519 (`none` and HS* are never accepted)",
            )));
        }
        algorithm
    }
}

impl Words for NativeCrypto {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("off", Self::Off)];
    const WANTED: &'static str = "one of \"auto\", \"off\"";
}

impl Read for NativeCrypto {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        read_word(value, at, faults)
    }
}

impl Words for ClaimFormat {
    const WORDS: &'static [(&'static str, Self)] =
        &[("string", Self::String), ("space", Self::Space), ("comma", Self::Comma), ("json", Self::Json)];
    const WANTED: &'static str = "one of \"string\", \"space\", \"comma\", \"json\"";
}

impl Read for ClaimFormat {
    fn read(value: &Value, at: &Path, faults: &mut Vec<ConfigFault>) -> Option<Self> {
        read_word(value, at, faults)
    }
}
