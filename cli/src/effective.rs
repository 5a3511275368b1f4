//! The effective configuration: the operator's document with all defaults and with the Okta preset expanded. Loading it
//! again gives the same policy. It contains no secrets, because the document only names them.

use std::num::NonZeroU32;
use std::time::Duration;

use okta_proxy_wasm::config::{Loaded, NativeCrypto};
use okta_proxy_wasm::policy::{
    Access, Audiences, AuditTrail, BodyFormat, ClaimNames, ClientAuthentication, ConstraintMode, Detail,
    EndpointAddress, Introspection, KeyOrigin, Logged, NonceMode, OpaqueTokens, Policy, Provider, PublicOrigin,
    ResponseClass, Responses, Rule, SenderConstraint,
};
use serde_json::{Map, Value, json};

pub fn document(written: &Value, loaded: &Loaded) -> Value {
    let policy = &loaded.policy;
    let mut members = written.as_object().cloned().unwrap_or_default();
    members.remove("$schema");
    let mut providers = Map::new();
    for (_, provider) in policy.providers.iter() {
        let written = written.pointer("/providers").and_then(|all| all.get(provider.name.as_ref()));
        providers.insert(provider.name.to_string(), self::provider(written.unwrap_or(&Value::Null), provider));
    }
    members.insert(String::from("providers"), Value::Object(providers));
    if let (Some(source), Some(revocations)) = (&policy.revocations, members.get_mut("revocations")) {
        set(revocations, "refresh", duration(source.refresh));
        set(revocations, "timeout", duration(source.timeout));
        default(revocations, "callout_headers", Value::Null);
    }
    let token = member(&mut members, "token");
    default(token, "from_headers", json!([{ "name": "authorization", "scheme": "Bearer" }]));
    default(token, "from_cookies", json!([]));
    default(token, "from_params", json!([]));
    set(token, "forward", json!(policy.token_source.forward));
    set(token, "insecure_exact_names", json!(policy.token_source.exact_names));
    set(token, "max_bytes", json!(policy.token_source.max_bytes));
    if let Some(hops) = members.get_mut("client_certificate").and_then(|written| written.get_mut("hops")) {
        for name in ["certificate_hashes", "uri_sans", "dns_sans", "insecure_addresses"] {
            default(hops, name, Value::Null);
        }
    }
    rules(&mut members, policy);
    responses(member(&mut members, "responses"), &policy.responses);
    audit(member(&mut members, "audit"), policy.audit);
    let cache = member(&mut members, "cache");
    set(cache, "max_tokens", json!(policy.cache.tokens));
    set(cache, "max_bytes", json!(policy.cache.bytes));
    let replay_detection = member(&mut members, "replay_detection");
    set(replay_detection, "max_proofs", json!(policy.max_proofs));
    let native_crypto = match loaded.native_crypto {
        NativeCrypto::Auto => "auto",
        NativeCrypto::Off => "off",
    };
    members.insert(String::from("native_crypto"), json!(native_crypto));
    members.insert(String::from("clear_route_cache"), json!(policy.clear_route_cache));
    // No value expresses an absent member here: `null` means the default (for `claim_to_headers` its three headers), or
    // none.
    for name in [
        "claim_to_headers",
        "client_certificate",
        "forward_payload_header",
        "insecure_keep_target_headers",
        "readiness_path",
        "revocations",
    ] {
        members.entry(name).or_insert(Value::Null);
    }
    for name in ["allow_warnings", "filter_state", "protected_resources"] {
        let value = members.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = json!([]);
        }
    }
    for name in ["bypass_cors_preflight", "insecure_ambiguous_paths", "insecure_ambiguous_hosts"] {
        let value = members.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = json!(false);
        }
    }
    Value::Object(members)
}

fn provider(written: &Value, provider: &Provider) -> Value {
    let mut members = written.as_object().cloned().unwrap_or_default();
    // The issuer URL of a custom domain does not show that it is the org authorization server.
    let is_known_by_preset = matches!(provider.keys, KeyOrigin::IntrospectionOnly) && members.contains_key("okta");
    if !is_known_by_preset {
        members.remove("okta");
        // Keeps an issuer with `{tenant}` as written.
        if members.get("issuer").is_none_or(Value::is_null) {
            members.insert(String::from("issuer"), json!(provider.issuer.as_ref()));
        }
    }
    match &provider.audiences {
        Audiences::AnyOf(names) => members.insert(String::from("audiences"), json!(names)),
        Audiences::InsecureAny => members.insert(String::from("insecure_any_audience"), json!(true)),
    };
    let algorithms: Vec<&str> = provider.algorithms.iter().map(|algorithm| algorithm.name()).collect();
    members.insert(String::from("algorithms"), json!(algorithms));
    members.insert(String::from("clock_skew"), duration(provider.clock_skew));
    members.insert(String::from("accept_nonce"), json!(provider.accept_nonce));
    let nonce_key =
        members.get("sender_constraint").and_then(|constraint| constraint.pointer("/proofs/nonce_key")).cloned();
    let constraint = sender_constraint(&provider.sender_constraint, nonce_key.unwrap_or_default());
    members.insert(String::from("sender_constraint"), constraint);
    for name in [
        "additional_issuers",
        "tenants",
        "client_ids",
        "max_token_lifetime",
        "client_claim",
        "scope_claim",
        "callout_headers",
    ] {
        members.entry(name).or_insert(Value::Null);
    }
    let ClaimNames { subject, groups, .. } = &provider.claim_names;
    members.insert(String::from("subject_claim"), json!(subject));
    members.insert(String::from("groups_claim"), json!(groups.as_ref()));
    if let KeyOrigin::Remote(keys) = &provider.keys {
        let uri = match &keys.address {
            EndpointAddress::Known(address) => json!(address.to_string()),
            // The issuer's metadata contains it.
            EndpointAddress::Discovered(_) => Value::Null,
        };
        let jwks = member(&mut members, "jwks");
        set(jwks, "uri", uri);
        set(jwks, "refresh", duration(keys.refresh));
        set(jwks, "max_stale", duration(keys.max_stale));
        set(jwks, "timeout", duration(keys.timeout));
        set(jwks, "unknown_kid_cooldown", duration(keys.unknown_kid_cooldown));
    }
    if let Some(settings) = &provider.introspection {
        introspection(member(&mut members, "introspection"), settings);
    }
    Value::Object(members)
}

fn introspection(members: &mut Value, settings: &Introspection) {
    let uri = match &settings.address {
        EndpointAddress::Known(address) => json!(address.to_string()),
        EndpointAddress::Discovered(_) => Value::Null,
    };
    let method = match &settings.client {
        ClientAuthentication::SecretBasic { .. } => "client_secret_basic",
        ClientAuthentication::SecretPost { .. } => "client_secret_post",
        ClientAuthentication::PrivateKeyJwt { .. } => "private_key_jwt",
    };
    set(members, "uri", uri);
    set(members, "client_auth", json!(method));
    set(members, "cache_ttl", duration(settings.cache_ttl));
    set(members, "inactive_cache_ttl", duration(settings.inactive_cache_ttl));
    set(members, "timeout", duration(settings.timeout));
    set(members, "requests_per_minute", json!(settings.requests_per_minute.get()));
    set(members, "stale_if_error", duration(settings.stale_if_error));
    set(members, "opaque_tokens", json!(settings.opaque_tokens == OpaqueTokens::Accepted));
}

fn rules(members: &mut Map<String, Value>, policy: &Policy) {
    let written = members.entry("rules").or_insert(Value::Null);
    if !written.is_array() {
        *written = json!([]);
    }
    for (value, rule) in written.as_array_mut().into_iter().flatten().zip(policy.rules.rules()) {
        self::rule(value, rule);
    }
    rule(member(members, "default_rule"), policy.rules.default_rule());
}

fn rule(members: &mut Value, rule: &Rule) {
    let access = match rule.access {
        Access::Public => "public",
        Access::Optional => "optional",
        Access::Token => "token",
        Access::Deny => "deny",
    };
    set(members, "access", json!(access));
    set(members, "report_only", json!(rule.report_only));
    set(members, "redirect_browsers", json!(rule.redirect_browsers));
    set(members, "introspect", json!(rule.introspects));
}

fn responses(members: &mut Value, responses: &Responses) {
    let format = match responses.format {
        BodyFormat::Json => "json",
        BodyFormat::Problem => "problem",
        BodyFormat::Text => "text",
    };
    let detail = match responses.detail {
        Detail::Terse => "terse",
        Detail::Reason => "reason",
    };
    set(members, "realm", json!(responses.realm));
    set(members, "format", json!(format));
    set(members, "detail", json!(detail));
    if let (Some(debug), Some(written)) = (&responses.debug, members.get_mut("debug")) {
        set(written, "header", json!(debug.header().as_str()));
    }
    if let (Some(cors), Some(written)) = (&responses.cors, members.get_mut("cors")) {
        set(written, "allow_credentials", json!(cors.allow_credentials));
        default(written, "expose_headers", json!(["www-authenticate", "retry-after"]));
    }
    if let (Some(login), Some(written)) = (&responses.login, members.get_mut("login")) {
        set(written, "return_to_parameter", json!(login.return_to.as_str()));
    }
    let classes = [
        ("bad_request", ResponseClass::BadRequest),
        ("unauthorized", ResponseClass::Unauthorized),
        ("forbidden", ResponseClass::Forbidden),
        ("unavailable", ResponseClass::Unavailable),
    ];
    for (name, class) in classes {
        let response = responses.custom.of(class);
        if let (Some(body), Some(written)) = (&response.body, members.pointer_mut(&format!("/custom/{name}"))) {
            set(written, "content_type", json!(body.content_type.as_str()));
        }
    }
}

fn audit(members: &mut Value, trail: AuditTrail) {
    let word = |extent: Logged| match extent {
        Logged::All => "all",
        Logged::Sampled(_) => "sampled",
        Logged::None => "none",
    };
    set(members, "allowed", json!(word(trail.allowed)));
    set(members, "denied", json!(word(trail.denied)));
    set(members, "denied_per_second", json!(trail.denied_per_second.map_or(0, NonZeroU32::get)));
    // `sample` is a fault unless a decision is sampled.
    if let (Logged::Sampled(share), _) | (_, Logged::Sampled(share)) = (trail.allowed, trail.denied) {
        set(members, "sample", json!(share.as_f64()));
    }
}

fn duration(time: Duration) -> Value {
    json!(format!("{}s", time.as_secs_f64()))
}

fn member<'a>(members: &'a mut Map<String, Value>, name: &str) -> &'a mut Value {
    let value = members.entry(name).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

fn default(object: &mut Value, name: &str, value: Value) {
    if object.get(name).is_none_or(Value::is_null) {
        set(object, name, value);
    }
}

fn sender_constraint(constraint: &SenderConstraint, nonce_key: Value) -> Value {
    let mode = |mode| match mode {
        ConstraintMode::Off => "off",
        ConstraintMode::IfBound => "if_bound",
        ConstraintMode::Required => "required",
    };
    let proofs = constraint.dpop.as_ref().map(|dpop| {
        let origins: Vec<&str> = dpop.origins.iter().map(PublicOrigin::as_str).collect();
        let algorithms: Vec<&str> = dpop.algorithms.iter().map(|algorithm| algorithm.name()).collect();
        let nonce = if matches!(dpop.nonce, NonceMode::Off) { "off" } else { "required" };
        json!({ "origins": origins, "algorithms": algorithms, "max_age": duration(dpop.max_age), "nonce": nonce,
            "nonce_key": nonce_key })
    });
    json!({ "mtls": mode(constraint.mtls), "dpop": mode(constraint.dpop_mode()), "proofs": proofs })
}
