//! A request and a token for the tests of conditions.

use super::*;
use crate::http::RequestHead;
use crate::unix_time::UnixTime;
use serde_json::{Map, Value as Json, json};

/// A Saturday: 2026-10-31T23:59:58.250Z.
pub(super) const NOW: UnixTime = UnixTime::from_millis(1_793_491_198_250);

/// A request and a token, as the host and the engine hand them over.
pub(super) struct Scene {
    pub(super) head: RequestHead,
    pub(super) url_path: String,
    pub(super) attributes: AttributeValues,
    pub(super) claims: Map<String, Json>,
    pub(super) scopes: Vec<String>,
    pub(super) has_token: bool,
}

impl Scene {
    pub(super) fn new() -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut head = vec![
            field(":method", "GET"),
            field(":scheme", "https"),
            field(":authority", "API.acme.com"),
            field(":path", "//acme/./orders/7?page=2&x=%20"),
            field("user-agent", "curl/8"),
            field("referer", "https://acme.com/"),
            field("x-request-id", "b6e5c9"),
            field("x-device", "phone"),
            field("x-tag", "a"),
            field("x-tag", "b"),
            field("x-empty", ""),
        ];
        head.push(("x-bytes".to_owned(), b"\xff\xfe".to_vec()));
        let mut attributes = AttributeValues::default();
        for (attribute, property) in [
            (Attribute::RequestProtocol, b"HTTP/2".to_vec()),
            (Attribute::SourceAddress, b"10.1.2.3:4321".to_vec()),
            (Attribute::SourcePort, 4321_i64.to_le_bytes().to_vec()),
            (Attribute::DestinationAddress, b"[2001:db8::1]:443".to_vec()),
            (Attribute::DestinationPort, 443_i64.to_le_bytes().to_vec()),
            (Attribute::Mtls, vec![1]),
            (Attribute::RequestedServerName, b"api.acme.com".to_vec()),
            (Attribute::TlsVersion, b"TLSv1.3".to_vec()),
            (Attribute::PeerSubject, b"O=Org,CN=client1".to_vec()),
            (Attribute::PeerUri, b"spiffe://td/client1".to_vec()),
            (Attribute::PeerDns, b"client1.example".to_vec()),
            (Attribute::PeerDigest, b"ab01".to_vec()),
        ] {
            attributes.insert(attribute, property);
        }
        let claims = json!({
            "iss": "https://acme.okta.com", "sub": "alice", "tenant": "acme", "department": "finance", "level": 3,
            "ratio": 0.5, "whole": 3.0, "least": i64::MIN, "most": i64::MAX, "beyond": u64::MAX, "huge": 1e300,
            "flag": true, "nothing": null, "groups": ["ops", "dev", "ops"], "mixed": [1, "a", null, [2], {"b": 3}],
            "networks": ["10.0.0.0/8"], "auth_time": 1_793_491_000, "expires": "2026-11-01T00:00:00Z",
            "https://acme.com/claims": {"role": "admin", "teams": {"a": 1, "b": 2}}, "empty": [], "name": "Zoë",
        });
        Self {
            head: RequestHead::new(head),
            url_path: "/acme/orders/7".to_owned(),
            attributes,
            claims: claims.as_object().unwrap().clone(),
            scopes: vec!["orders:read".to_owned(), "openid".to_owned()],
            has_token: true,
        }
    }

    pub(super) fn with_claims(claims: &Json) -> Self {
        Self { claims: claims.as_object().unwrap().clone(), ..Self::new() }
    }

    /// Whether an expression on the request holds for a proxy that ignores the spelling of the host.
    pub(super) fn holds_with_any_host(&self, expression: &str) -> Result<bool, EvaluationError> {
        let activation = Activation::new(&self.head, None, NOW, &self.attributes, None).ignoring_host_spelling();
        Program::compile(expression).unwrap().evaluate(&activation)
    }

    pub(super) fn with_header(name: &str, value: Vec<u8>) -> Self {
        Self { head: RequestHead::new(vec![(name.to_owned(), value)]), ..Self::new() }
    }

    pub(super) fn with_headers(fields: &[(&str, &str)]) -> Self {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Self { head: RequestHead::new(fields.iter().map(field).collect()), ..Self::new() }
    }

    /// The cost of an expression.
    pub(super) fn charged(&self, expression: &str) -> usize {
        let activation = Activation::new(&self.head, Some(&self.url_path), NOW, &self.attributes, None);
        let mut cost = CostLimit::new(COST_LIMIT);
        let _ = Program::compile(expression).unwrap().evaluate_readings(&activation, &mut cost);
        COST_LIMIT - cost.left()
    }

    pub(super) fn with_cost_tracker(&self, evaluate: impl FnOnce(&Activation<'_>)) {
        let tracker = CostTracker::default();
        evaluate(&Activation::new(&self.head, Some(&self.url_path), NOW, &self.attributes, None).with_cost(&tracker));
    }

    pub(super) fn holds(&self, expression: &str) -> Result<bool, EvaluationError> {
        let program = Program::compile(expression).unwrap_or_else(|faults| panic!("{expression}: {faults:?}"));
        let token = TokenAttributes {
            claims: &self.claims,
            subject: Some("alice"),
            client_id: None,
            scopes: &self.scopes,
            provider: "okta",
        };
        let token = self.has_token.then_some(token);
        program.evaluate(&Activation::new(&self.head, Some(&self.url_path), NOW, &self.attributes, token))
    }
}
