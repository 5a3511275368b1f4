//! The schema of the document. The doc comments are the reference. Every field is optional here; `compile` checks which
//! ones are required together.

pub mod audit;
pub mod claim_path;
pub mod forwarding;
pub mod introspection;
pub mod require;
pub mod responses;
pub mod rules;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::NativeCrypto;
use super::decode::{Decode, document, expect, string_enum};
use super::error::{ConfigError, ConfigErrorKind, Path};
use crate::analysis::WarningCode;
use crate::jose::Algorithm;
use crate::policy::CertificateHeader;
use crate::policy::ClaimFormat;
use crate::policy::ConstraintMode;
use crate::spelling::nearest;
use audit::AuditDocument;
use claim_path::ClaimPath;
use forwarding::{FilterStateDocument, ProtectedResourceDocument};
use introspection::{CalloutHeaderValue, IntrospectionDocument, RevocationsDocument, Secret};
use responses::ResponsesDocument;
use rules::{DefaultRuleDocument, RuleDocument};

document! {
    /// The whole configuration.
    Document {
        /// The token issuers, under names of your choice.
        providers: BTreeMap<String, ProviderDocument>,
        /// A list of revoked tokens: a token on it is rejected, whatever its issuer. Until the first list is read, requests with
        /// a token wait for it, and receive a 503 if it cannot be read. Default: none.
        revocations: RevocationsDocument,
        /// The credential: where it is read, and whether it is forwarded.
        token: TokenDocument,
        /// The proxies in front at which the TLS of clients ends, and their header with the client's certificate, for tokens that are
        /// bound to one (`sender_constraint.mtls`). Envoy only. Default: the certificate is that of the connection.
        client_certificate: ClientCertificateDocument,
        /// The rules; the first one whose `match` matches applies. A path that two servers may read differently is rejected
        /// before.
        rules: Vec<RuleDocument>,
        /// The rule for all other requests. Default: `{"access": "token"}`.
        default_rule: DefaultRuleDocument,
        /// Allows CORS preflights (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) without a token, for a backend or
        /// CORS filter that answers them: only without a body; credentials and cookies are removed. Not where `access` is
        /// `deny`. Many backends run the handler of a path for `OPTIONS` too: Envoy's CORS filter in front of this one is
        /// better. Default: `false`.
        bypass_cors_preflight: bool,
        /// Accepts paths that two servers may read differently (`%2f`, `\`, `..;`): a rule may then match a path that the
        /// backend reads as another. Default: `false`.
        insecure_ambiguous_paths: bool,
        /// Rejects a request with 400 (`path_ambiguous`) when its path, compared as the client wrote it, matches another
        /// rule than its normal form. For rules that were written for a filter that does not normalize paths. Default: `false`.
        strict_path_spelling: bool,
        /// Applies a rule or condition for `api.acme.com` also to `api.acme.com:8443` and `api.acme.com.`, which Envoy compares
        /// as other hosts unless it strips port and trailing dot before the filter. Without it such a request is rejected with
        /// 400 if the host as written comes under another rule, and a condition whose value depends on it rejects. An empty
        /// port (`api.acme.com:`) is always rejected with 400. Default: `false`.
        insecure_ambiguous_hosts: bool,
        /// Headers that change the target of a request (`x-forwarded-host`, `x-original-url`) and that the backend still
        /// receives, as clients send them: names of the list in `docs/security.md`. Each weakens the rules. For a trusted proxy
        /// in front that overwrites them. Default: none.
        insecure_keep_target_headers: Vec<String>,
        /// The responses to denied requests.
        responses: ResponsesDocument,
        /// Which claims the backend receives in which headers. Default: `x-user-id` (subject),
        /// `x-client-id` (client) and `x-granted-scopes` (scopes, separated by spaces).
        claim_to_headers: Vec<ClaimToHeaderDocument>,
        /// A header with the token's whole payload as it was signed, for the backend: base64url of JSON, without padding. Removed
        /// from client requests in any spelling. Default: none.
        forward_payload_header: String,
        /// Headers that are removed from every request, in any spelling, and from its trailers: headers that tell the backend
        /// who the user is and that only another part of the system may write. The headers of `claim_to_headers` and
        /// `forward_payload_header` are removed without being listed here. Default: none.
        request_headers_to_remove: Vec<String>,
        /// What other filters and the access log read from Envoy's filter state: of the decision
        /// (`decision`, `reason`, `rule`, `would_deny`, `provider`, `issuer`, `required_scopes`, `source`, `proof`,
        /// `introspection`), of a verified token (`subject`, `client`, `token_id`, `scopes`, `acr`, `sender_constraint`,
        /// `jkt`, `x5t_s256`) and of claims of your choice: as in the audit record, where `token_id` is `jti`. `decision` is always set. Envoy only. Default:
        /// none.
        filter_state: Vec<FilterStateDocument>,
        /// Clears Envoy's route cache for allowed requests, for routes that match on `filter_state`. A change of headers does so by
        /// itself. Envoy only. Default: `false`.
        clear_route_cache: bool,
        /// Which decisions are logged, one JSON object a line.
        audit: AuditDocument,
        /// The resources behind this filter with their metadata, by which clients find the authorization server (RFC 9728; MCP).
        /// The filter serves the metadata and names them in challenges.
        protected_resources: Vec<ProtectedResourceDocument>,
        /// Who verifies signatures. `auto`: the host, if it has a function for the algorithm that passes a self-test at start
        /// (Envoy has one for RS256, RS384, RS512, ES256, ES384 and ES512), otherwise the module. `off`: the module. Both are
        /// equally strict. Default:
        /// `auto`.
        native_crypto: NativeCrypto,
        /// The codes of warnings that are not reported, such as `["any_token_default"]`: `docs/policy-analysis.md` lists them.
        /// A code that no warning of this configuration has is a warning itself. Default: none.
        allow_warnings: Vec<WarningCode>,
        /// The cache of verified tokens, so that each signature is verified once.
        cache: CacheDocument,
        /// The memory for proofs that were used, so that each is accepted once.
        replay_detection: ReplayDetectionDocument,
        /// A path of the filter itself, for health checks: 200 if this worker has keys of every provider and, with
        /// `revocations`, a list, otherwise 503. Default: none.
        readiness_path: String,
    }
}

document! {
    /// The cache of verified tokens of each worker. A token leaves it when it expires, its key is withdrawn, or the cache is full
    /// and it is the least recently used.
    CacheDocument {
        /// The maximum number of tokens. `0`: no cache. Default: 4096.
        max_tokens: u32,
        /// The maximum size in bytes, approximately; a token takes some four times its length. Default: 16777216.
        max_bytes: u32,
    }
}

document! {
    /// The memory for proofs that were used. All workers of a process share it on Envoy; other hosts have one in each worker.
    ReplayDetectionDocument {
        /// How many proofs the memory holds, between 16384 and 1048576. Each takes up to 50 bytes of the
        /// process, until it is older than `max_age` of its provider. One client may use a quarter of them. A request whose proof has no space is a 503. Default: 131072.
        max_proofs: u32,
    }
}

document! {
    /// The client's certificate behind a proxy. In a request from such a proxy (a hop) only the header counts, never the hop's own
    /// certificate; in one from anybody else only the certificate of the connection. `header`, `client-cert` and
    /// `client-cert-chain` are removed from every request, in any spelling, and from its trailers.
    ClientCertificateDocument {
        /// `x-forwarded-client-cert`, as Envoy writes it with its member `Hash`, or `client-cert` (RFC 9440). It must describe one
        /// certificate.
        header: CertificateHeader,
        /// How a hop is recognized: one entry of one list is enough. A hop must overwrite the header that its clients send;
        /// otherwise every client can claim every certificate.
        hops: HopsDocument,
    }
}

document! {
    /// Properties of the connections of hops. At least one list must have an entry.
    HopsDocument {
        /// The SHA-256 digests of the hops' own certificates (DER), in hex: 64 digits. Default: none.
        certificate_hashes: Vec<String>,
        /// The first URI of the hop's certificate, such as `spiffe://acme/edge`. The listener must verify client certificates:
        /// with `ACCEPT_UNTRUSTED` anybody can have this URI. Default: none.
        uri_sans: Vec<String>,
        /// The first DNS name of the hop's certificate, in lower case. The same holds. Default: none.
        dns_sans: Vec<String>,
        /// The addresses of hops, as `10.0.0.7` or `10.0.0.0/8`, compared with `source.address`. Whatever runs at such an address
        /// is a hop. Envoy takes `source.address` from a header of the client unless the listener has `use_remote_address: true`
        /// without `xff_num_trusted_hops` and without `original_ip_detection_extensions`. Default: none.
        insecure_addresses: Vec<String>,
    }
}

document! {
    /// One token issuer.
    ProviderDocument {
        /// The Okta preset: sets issuer, key address, RS256 and a clock skew of 120 seconds.
        okta: OktaDocument,
        /// The exact `iss` of the tokens. An `https` URL where its metadata is required: without `jwks.uri` and
        /// `jwks.inline`, or with `introspection` without `uri`. Otherwise any string without control characters and
        /// without spaces at its ends, such as `accounts.google.com`. Not together with `okta`. Several providers may have
        /// the same issuer: then `audiences` select the provider of a token.
        issuer: String,
        /// Further values of `iss`, for tokens that are signed with the same keys and validated alike. No address is derived
        /// from them. At most 256 issuers, with `tenants`. Default: none.
        additional_issuers: Vec<String>,
        /// The values of `{tenant}` in `issuer` and `additional_issuers`: each tenant is one issuer, and tokens of other tenants
        /// are rejected. Default: none.
        tenants: Vec<String>,
        /// The token's `aud` must contain one of these. Providers that have an issuer in common, `additional_issuers` and
        /// `tenants` included, must not have an audience in common. A token of that issuer is validated by the provider that
        /// has its audience; one with audiences of several of these providers is rejected.
        audiences: Vec<String>,
        /// Accepts tokens for any audience, also those for other APIs. Not where another provider has the same issuer.
        insecure_any_audience: bool,
        /// Allows `http` in `jwks.uri`, `introspection.uri` and an `issuer` from which addresses are derived.
        insecure_http: bool,
        /// The upstream of the issuer: on Envoy the name of a cluster.
        upstream: String,
        /// Header fields of every callout to the issuer (keys, metadata, introspection), such as the key that a web
        /// application firewall asks for: `{"x-waf-key": {"env": "WAF_KEY"}}`. `user-agent` replaces the filter's own,
        /// `okta-proxy-wasm/` and its version. Default: none.
        callout_headers: BTreeMap<String, CalloutHeaderValue>,
        /// The accepted signature algorithms; `EdDSA` and `Ed25519` (RFC 9864) are the same. Default: `["RS256"]`.
        algorithms: Vec<Algorithm>,
        /// The accepted difference of clocks, at most `"300s"`. Default: `"60s"`, with the preset `"120s"`.
        clock_skew: Duration,
        /// The clients (`cid`, `client_id` or `azp`) whose tokens are accepted. Default: all.
        client_ids: Vec<String>,
        /// The maximum of `exp - iat`. Default: no limit.
        max_token_lifetime: Duration,
        /// Accepts a `nonce` in tokens that a claim calls access tokens (`typ: "Bearer"`, `token_use: "access"`), as Keycloak
        /// before 25 issues them after a sign-in in a browser. Without it `nonce` marks an ID token, unless the `typ` of the
        /// header is `at+jwt`. Default: `false`.
        accept_nonce: bool,
        /// Which tokens must be used by the client that they were issued to.
        sender_constraint: SenderConstraintDocument,
        /// The claim with the subject. Default: `sub`.
        subject_claim: String,
        /// The claim with the client. Default: the first present of `cid`, `client_id`, `azp`.
        client_claim: String,
        /// The claim with the scopes. Default: the first present of `scp`, `scope`.
        scope_claim: String,
        /// The claim with the user's groups: a name, or the list of names of the path to a nested claim. Default:
        /// `groups`.
        groups_claim: ClaimPath,
        /// The issuer's keys.
        jwks: JwksDocument,
        /// Introspection of opaque tokens, and of JWTs for rules with `introspect`. Default: none.
        introspection: IntrospectionDocument,
    }
}

document! {
    /// Which tokens must be used by the client that they were issued to. A token with another constraint (`cnf`) is always
    /// rejected; one with both constraints must meet both.
    SenderConstraintDocument {
        /// Tokens that are bound to a client certificate (RFC 8705): `off` rejects them; `if_bound` compares the certificate
        /// of the client, and accepts tokens without a constraint; `required` rejects those. The listener must request client
        /// certificates; for clients behind another proxy see `client_certificate`. Envoy only. Default: `off`.
        mtls: ConstraintMode,
        /// Tokens that are bound to a key (DPoP, RFC 9449): `off` rejects them; `if_bound` requires a proof with them, and accepts
        /// tokens without a constraint as `Bearer`; `required` rejects those. The header `DPoP` is removed before the backend.
        /// Default: `off`.
        dpop: ConstraintMode,
        /// The proofs of the clients. Required with `dpop`.
        proofs: ProofsDocument,
    }
}

document! {
    /// The proofs that clients send in the header `DPoP`.
    ProofsDocument {
        /// The origins of the URLs that clients use, such as `https://api.acme.com`: `htu` of a proof must begin with one. They are
        /// not taken from the request, because a proxy in front may have changed scheme and host. Of several origins, the one
        /// with the host of the request counts. `http` only with `insecure_http`.
        origins: Vec<String>,
        /// The accepted algorithms of proofs. Default: all that tokens may have.
        algorithms: Vec<Algorithm>,
        /// The greatest accepted difference between `iat` of a proof and the time here, between `"5s"` and `"300s"`. A proof is
        /// kept for that long. Default: `"60s"`.
        max_age: Duration,
        /// Whether a proof must have a nonce of the filter: `off` or `required`. A nonce is accepted for two to four minutes; a client
        /// gets the next one with a response before that. Default: `off`.
        nonce: NonceRequirement,
        /// The secret key of the nonces, of at least 32 bytes: gateways with the same key accept each other's nonces. Default: a
        /// random key of the process.
        nonce_key: Secret,
    }
}

document! {
    /// An authorization server of Okta.
    OktaDocument {
        /// The organisation's domain, `acme.okta.com`, or its custom domain, without a port; case-insensitive.
        domain: String,
        /// The id of a custom authorization server, or `org` for the org authorization server, whose tokens only Okta can verify:
        /// it requires `introspection`. Default: `default`.
        authorization_server: String,
    }
}

document! {
    /// The key set: its source and refresh.
    JwksDocument {
        /// The URL of the key set. Default: Okta's, with the preset; otherwise the one in the issuer's metadata (OpenID Connect
        /// Discovery, RFC 8414), which must be on the issuer's own host.
        uri: String,
        /// The key set itself, `{"keys": [...]}`, instead of a fetched one.
        inline: Map<String, Value>,
        /// How long a fetched set is fresh. `Cache-Control` may shorten it, to one minute at least.
        /// Default: `"1h"`.
        refresh: Duration,
        /// How long the last valid set is used while fetches fail. Default: `"24h"`.
        max_stale: Duration,
        /// The timeout of a fetch, and of a request that waits for it. Default: `"5s"`.
        timeout: Duration,
        /// The interval of fetches that unknown key ids and invalid signatures cause, after a burst of three. For that long after
        /// its first token, 30 s at most, an unknown key id is a 503 and not a 401. Default:
        /// `"4s"`.
        unknown_kid_cooldown: Duration,
    }
}

document! {
    /// The credential.
    TokenDocument {
        /// The headers that may carry the token; they replace the default. Default: `authorization` with the scheme `Bearer`.
        from_headers: Vec<FromHeaderDocument>,
        /// The cookies that may carry the token, case-sensitive. A cookie that common frameworks read under one of these
        /// names (`Access_Token`, `access.token`, `access_token[]`) is rejected and removed. Default: none.
        from_cookies: Vec<String>,
        /// The query parameters that may carry the token, case-sensitive; other spellings are rejected and removed like
        /// those of cookies. Such tokens are in access logs (RFC 6750 section 5.3), so this logs a warning. Default: none.
        from_params: Vec<String>,
        /// Whether the backend receives the credential. Without it every header, cookie and parameter above is removed.
        /// Default: `false`.
        forward: bool,
        /// Compares the names of cookies and query parameters exactly: another spelling is neither rejected nor removed, and
        /// a backend may read an unchecked token there. Default: `false`.
        insecure_exact_names: bool,
        /// The maximum length of a token in bytes. Default: 8192.
        max_bytes: u32,
    }
}

document! {
    /// A header that may carry the token.
    FromHeaderDocument {
        /// The header.
        name: String,
        /// The scheme before the token, case-insensitive. Default: the whole value is the token.
        scheme: String,
        /// The prefix of the token, compared byte for byte, as in Envoy's `jwt_authn`: `"Bearer "`. A value with the prefix at
        /// another position or in other case is rejected. Not together with `scheme`. Default: none.
        value_prefix: String,
    }
}

document! {
    /// One claim in one header.
    ClaimToHeaderDocument {
        /// The header. Removed from client requests in any spelling.
        header: String,
        /// The claim: a name, or the list of names of the path to a nested claim. Names are literal.
        claim: ClaimPath,
        /// `string`, `space`, `comma` or `json`. Default: `string`.
        format: ClaimFormat,
    }
}

impl Decode for WarningCode {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let name = expect(value.as_str(), "the code of a warning, such as \"method_gap\"", at, errors)?;
        let code = Self::parse(name);
        if code.is_none() {
            errors.push(at.error(ConfigErrorKind::UnknownWarning(nearest(name, Self::NAMES.iter().copied()))));
        }
        code
    }
}

impl Decode for Algorithm {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let algorithm = value.as_str().and_then(Self::parse);
        if algorithm.is_none() {
            errors.push(at.error(ConfigErrorKind::Invalid(
                "not an algorithm that can be allowed; there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA and Ed25519 (`none` and HS* are never accepted)",
            )));
        }
        algorithm
    }
}

/// Whether proofs must have a nonce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonceRequirement {
    #[default]
    Off,
    Required,
}

string_enum!(NonceRequirement { "off" => Off, "required" => Required });

string_enum!(ConstraintMode { "off" => Off, "if_bound" => IfBound, "required" => Required });

string_enum!(CertificateHeader { "x-forwarded-client-cert" => ForwardedClientCert, "client-cert" => ClientCert });

string_enum!(NativeCrypto { "auto" => Auto, "off" => Off });

string_enum!(ClaimFormat { "string" => String, "space" => Space, "comma" => Comma, "json" => Json });
