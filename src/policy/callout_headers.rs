//! The header fields of every callout: `user-agent` and the operator's fields.
//!
//! AWS WAF and Cloudflare respond with 403 to a request without `user-agent`.

use std::fmt;
use std::rc::Rc;

use crate::http::HeaderName;
use crate::redacted::Redacted;

/// The default `user-agent` of callouts.
pub const USER_AGENT: &str = concat!("okta-proxy-wasm/", env!("CARGO_PKG_VERSION"));
const USER_AGENT_NAME: &str = "user-agent";

/// The operator's header fields for callouts. Their values may be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CalloutHeaders(Rc<[(HeaderName, Redacted<String>)]>);

impl CalloutHeaders {
    /// Takes the fields. The loader has validated names and values.
    pub fn new(fields: Vec<(HeaderName, Redacted<String>)>) -> Self {
        Self(fields.into())
    }

    /// All fields, `user-agent` first.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let sets_user_agent = self.0.iter().any(|(name, _)| name.as_str() == USER_AGENT_NAME);
        let user_agent = (!sets_user_agent).then_some((USER_AGENT_NAME, USER_AGENT));
        user_agent.into_iter().chain(self.configured())
    }

    /// The operator's fields. The response may depend on them, so workers share documents by them.
    pub fn configured(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.reveal().as_str()))
    }
}

impl fmt::Debug for CalloutHeaders {
    /// Prints names only.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(name, _)| name.as_str())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> CalloutHeaders {
        let field =
            |(name, value): &(&str, &str)| (HeaderName::parse(name).unwrap(), Redacted::new((*value).to_owned()));
        CalloutHeaders::new(fields.iter().map(field).collect())
    }

    #[test]
    fn user_agent_is_always_sent_and_can_be_replaced() {
        let version = env!("CARGO_PKG_VERSION");
        let own = format!("okta-proxy-wasm/{version}");
        assert_eq!(CalloutHeaders::default().fields().collect::<Vec<_>>(), [("user-agent", own.as_str())]);
        let more = headers(&[("x-waf-key", "s3cret")]);
        assert_eq!(more.fields().collect::<Vec<_>>(), [("user-agent", own.as_str()), ("x-waf-key", "s3cret")]);
        let other = headers(&[("User-Agent", "acme/1")]);
        assert_eq!(other.fields().collect::<Vec<_>>(), [("user-agent", "acme/1")]);
        assert_eq!(format!("{more:?}"), r#"["x-waf-key"]"#);
    }
}
