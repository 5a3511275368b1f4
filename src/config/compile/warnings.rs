//! The warnings about single settings. `crate::analysis` has those about rules as a whole.

use crate::analysis::WarningCode;

/// A warning without its path.
pub(super) struct SettingWarning {
    pub(super) code: WarningCode,
    pub(super) message: &'static str,
    pub(super) fix: &'static str,
}

const fn warning(code: WarningCode, message: &'static str, fix: &'static str) -> SettingWarning {
    SettingWarning { code, message, fix }
}

pub(super) const ISSUER_WITHOUT_PRESET: SettingWarning = warning(
    WarningCode::IssuerWithoutPreset,
    "The issuer is an authorization server of Okta.",
    "Use the preset `okta` instead, which also sets the address of its keys and a clock skew of 120 s.",
);

pub(super) const ISSUER_PORT: SettingWarning = warning(
    WarningCode::IssuerPort,
    "The issuer has the port 443, which the `iss` of most tokens does not have.",
    "Compare it with the `iss` of a token.",
);

pub(super) const STALE_IF_ERROR: SettingWarning = warning(
    WarningCode::StaleIfError,
    "A token that is revoked while the endpoint fails is accepted for this time.",
    "Remove `stale_if_error` if a 503 is better than that.",
);

pub(super) const BOUND_TOKEN_FORWARDED: SettingWarning = warning(
    WarningCode::BoundTokenForwarded,
    "The backend receives tokens that are bound to a key of the client, which the backend cannot use.",
    "Set `forward` to false; the backend gets the identity in headers.",
);

pub(super) const ANY_OPAQUE_TOKEN: SettingWarning = warning(
    WarningCode::AnyOpaqueToken,
    "Every opaque token that the issuer reports as active is accepted, whatever its audience is.",
    "Write `audiences` instead of `insecure_any_audience`, or set `opaque_tokens` to false.",
);

pub(super) const WEAK_ACR: SettingWarning = warning(
    WarningCode::WeakAcr,
    "`urn:okta:loa:2fa:any:ifpossible` requires no second factor: tokens with one factor are accepted.",
    "Write `urn:okta:loa:2fa:any` to require two factors.",
);

pub(super) const METADATA_RULE: SettingWarning = warning(
    WarningCode::MetadataRule,
    "This rule is for the metadata of a protected resource, which the filter serves itself: no request matches it.",
    "Remove the rule.",
);

pub(super) const UNKNOWN_AUTHORIZATION_SERVER: SettingWarning = warning(
    WarningCode::UnknownAuthorizationServer,
    "This authorization server is not the issuer of a provider: its tokens may be rejected.",
    "Add a provider for it, or remove it.",
);

pub(super) const REASON_IN_RESPONSE: SettingWarning = warning(
    WarningCode::ReasonInResponse,
    "Every denied client, attackers included, learns which check failed.",
    "Set `detail` to \"terse\", and use `responses.debug` for callers that you trust.",
);

pub(super) const DEBUG_RESPONSES: SettingWarning = warning(
    WarningCode::DebugResponses,
    "A caller with the secret learns of each denial which check failed.",
    "Remove `debug` when it is no longer needed.",
);

pub(super) const DENIALS_SAMPLED: SettingWarning = warning(
    WarningCode::DenialsNotLogged,
    "A denied request that is not sampled is not logged: its reason is lost.",
    "Set `denied` to \"all\"; `denied_per_second` limits the log.",
);

pub(super) const DENIALS_NOT_LOGGED: SettingWarning = warning(
    WarningCode::DenialsNotLogged,
    "No denied request is logged: neither an attack nor why a client is rejected.",
    "Set `denied` to \"all\"; `denied_per_second` limits the log.",
);

pub(super) const UNLIMITED_DENIAL_LOG: SettingWarning = warning(
    WarningCode::UnlimitedDenialLog,
    "Clients with bad requests determine how much is logged.",
    "Set a limit greater than 0.",
);

pub(super) const TOKEN_IN_QUERY: SettingWarning = warning(
    WarningCode::TokenInQuery,
    "Tokens in query parameters are in access logs, browser histories and referrers (RFC 6750 section 5.3).",
    "Read the token from a header or a cookie instead.",
);

pub(super) const AUTHORIZATION_WITHOUT_SCHEME: SettingWarning = warning(
    WarningCode::AuthorizationWithoutScheme,
    "`authorization` is read without a scheme: `Bearer <token>` is malformed here.",
    "Add `\"scheme\": \"Bearer\"`.",
);

pub(super) const UNUSED_LOGIN: SettingWarning = warning(
    WarningCode::UnusedLogin,
    "No rule has `redirect_browsers`: no browser is redirected to this URL.",
    "Set `redirect_browsers` in the rules for pages, or remove `login`.",
);

pub(super) const REDIRECT_WITHOUT_COOKIE: SettingWarning = warning(
    WarningCode::RedirectWithoutCookie,
    "`redirect_browsers` is on and `token.from_cookies` is empty: a browser that navigates to a page sends no other credential, and is redirected forever.",
    "Name the cookie in `token.from_cookies`. Allow this warning if a proxy in front makes a header of the cookie.",
);

pub(super) const INSECURE_HTTP: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_http is on: keys may be fetched without TLS.",
    "Use `https`, and remove this setting.",
);

pub(super) const INSECURE_ANY_AUDIENCE: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_any_audience is on: tokens for other APIs are accepted.",
    "Write `audiences` instead.",
);

pub(super) const INSECURE_AMBIGUOUS_PATHS: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_ambiguous_paths is on: a rule may match a path that the backend reads as another path.",
    "Remove this setting unless the backend reads such paths as this filter does.",
);

pub(super) const INSECURE_AMBIGUOUS_HOSTS: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_ambiguous_hosts is on: a rule or condition for a host also applies to that host with a port or a trailing dot, which Envoy may route to another virtual host.",
    "Set `strip_any_host_port` and `strip_trailing_host_dot` in Envoy, and remove this setting.",
);

pub(super) const INSECURE_EXACT_NAMES: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_exact_names is on: a backend may read a cookie or query parameter that the filter neither validates nor removes.",
    "Remove this setting unless the backend compares these names exactly.",
);

pub(super) const INSECURE_HOP_ADDRESSES: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_addresses recognizes hops by their address: whatever runs there, and with some settings of the listener every client, can claim any client certificate.",
    "Have the hops show a certificate, and write `certificate_hashes`, `uri_sans` or `dns_sans` instead.",
);

pub(super) const INSECURE_TARGET_HEADER: SettingWarning = warning(
    WarningCode::InsecureSetting,
    "insecure_keep_target_headers keeps this header: the backend may serve another host, path, method or client address than the one that the rules decided for.",
    "Remove it unless a trusted proxy in front overwrites the header.",
);
