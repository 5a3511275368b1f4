use super::*;
use crate::policy::target_headers::TARGET_HEADERS;

fn of(name: &str) -> Option<Reserved> {
    reserved(&HeaderName::parse(name).unwrap())
}

#[test]
fn reserved_names_are_reserved_in_every_spelling() {
    for (name, expected) in [
        ("connection", Reserved::Framing),
        ("content-length", Reserved::Framing),
        ("transfer-encoding", Reserved::Framing),
        ("content-type", Reserved::Framing),
        ("host", Reserved::Framing),
        ("te", Reserved::Framing),
        ("trailer", Reserved::Framing),
        ("upgrade", Reserved::Framing),
        ("expect", Reserved::Framing),
        ("keep-alive", Reserved::Framing),
        ("grpc-timeout", Reserved::Framing),
        ("authorization", Reserved::Credential),
        ("proxy-authorization", Reserved::Credential),
        ("cookie", Reserved::Credential),
        ("via", Reserved::Proxy),
        ("x-forwarded-for", Reserved::Proxy),
        ("x-forwarded-proto", Reserved::Proxy),
        ("x-forwarded-client-cert", Reserved::Proxy),
        ("x-forwarded-ssl", Reserved::Proxy),
        ("x-real-ip", Reserved::Proxy),
        ("x-request-id", Reserved::Proxy),
        ("x-envoy-internal", Reserved::Proxy),
        ("accept-language", Reserved::Client),
        ("sec-websocket-key", Reserved::Client),
        ("user-agent", Reserved::Client),
    ] {
        for spelling in [
            name.to_owned(),
            name.to_uppercase(),
            name.replace('-', "_"),
            name.replace('-', "."),
            format!("Grpc-Metadata-{name}"),
        ] {
            assert_eq!(of(&spelling), Some(expected), "{spelling}");
        }
    }
    for header in TARGET_HEADERS {
        assert_eq!(of(header.name), Some(Reserved::Target), "{}", header.name);
        assert_eq!(of(&header.name.replace(['-', '_'], ".")), Some(Reserved::Target), "{}", header.name);
    }
    for empty in ["grpc-metadata-", "grpcgateway-", "Grpc_Metadata_"] {
        assert_eq!(of(empty), Some(Reserved::Framing), "{empty}");
    }
}

#[test]
fn names_for_an_identity_or_a_token_are_free() {
    for name in [
        "x-user-id",
        "x-client-id",
        "x-granted-scopes",
        "grpc-metadata-x-user-id",
        "kubeflow-userid",
        "remote-user",
        "x-forwarded-access-token",
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-preferred-username",
        "x-jwt-payload",
        "x-auth-debug",
        "x-tenant",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}
