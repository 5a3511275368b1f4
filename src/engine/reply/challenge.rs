//! The challenge: which token would help (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9470 section 3). Every parameter
//! of it is written here.

use std::fmt::Write as _;

use super::Message;
use crate::http::HeaderValue;

/// The value of `WWW-Authenticate`; none where no other token is known to help.
pub(super) fn challenge(message: &Message<'_>, realm: &str) -> Option<HeaderValue> {
    let mut challenge = format!("Bearer realm={}", quoted(realm));
    match message {
        Message::Forbidden | Message::Unavailable(_) => return None,
        // Nothing was offered: nothing is said to be wrong with it.
        Message::NoCredential => {}
        Message::InvalidToken | Message::InvalidRequest => add(&mut challenge, "error", &quoted(message.error())),
        Message::ScopeMissing(scopes) => {
            add(&mut challenge, "error", &quoted(message.error()));
            add(&mut challenge, "scope", &list(scopes));
        }
        Message::LogInAnew { acr_values, max_age, scopes } => {
            add(&mut challenge, "error", &quoted(message.error()));
            if !acr_values.is_empty() {
                add(&mut challenge, "acr_values", &list(acr_values));
            }
            if let Some(age) = max_age {
                add(&mut challenge, "max_age", &age.as_secs().to_string());
            }
            if !scopes.is_empty() {
                add(&mut challenge, "scope", &list(scopes));
            }
        }
    }
    // As it is: an encoded `%` would make another scope of `a%b`. The loader lets nothing through that is not safe.
    Some(HeaderValue::parse(&challenge).unwrap_or_else(|| HeaderValue::encode(&challenge, None)))
}

fn add(challenge: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(challenge, ", {name}={value}");
}

fn list(items: &[&str]) -> String {
    quoted(&items.join(" "))
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
