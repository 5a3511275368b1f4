//! The tokens of an example's requests: valid ones, except for the claims that the request names.

use serde_json::{Map, Value, json};

use crate::authorization_server::{AuthorizationServer, SigningKey, now};

const TIMES: [&str; 4] = ["auth_time", "exp", "iat", "nbf"];

/// A token of this server with these claims. A time may be written as text: `now`, `now - 20m`, `now + 1h`.
pub fn signed(server: &AuthorizationServer, claims: &Map<String, Value>) -> String {
    let now = now();
    let mut payload = server.base_claims(now);
    let members = payload.as_object_mut().expect("claims are an object");
    for (name, value) in claims {
        match value {
            Value::Null => drop(members.remove(name)),
            Value::String(text) if TIMES.contains(&name.as_str()) => {
                let time =
                    time(text, now).unwrap_or_else(|| panic!("{name}: {text:?} is no time such as \"now - 20m\""));
                members.insert(name.clone(), json!(time));
            }
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
    server.know(&payload);
    server.sign(&json!({}), &payload, SigningKey::Active)
}

/// The time that is written as such a text.
///
/// # Panics
/// When it is none.
pub fn time_of(text: &str) -> u64 {
    time(text, now()).unwrap_or_else(|| panic!("{text:?} is no time such as \"now - 20m\""))
}

fn time(text: &str, now: u64) -> Option<u64> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["now"] => Some(now),
        ["now", "-", span] => Some(now - seconds(span)?),
        ["now", "+", span] => Some(now + seconds(span)?),
        _ => None,
    }
}

fn seconds(span: &str) -> Option<u64> {
    let (number, unit) = span.split_at_checked(span.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_to_now() {
        let told =
            ["now", "now - 20m", "now + 1h", "now - 5s", "soon", "now - 5", "now -5s"].map(|text| time(text, 10_000));
        assert_eq!(told, [Some(10_000), Some(8_800), Some(13_600), Some(9_995), None, None, None]);
    }
}
