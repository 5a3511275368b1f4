//! A list of revoked tokens, read strictly: `{"revoked": [{"iss"?, "jti"|"sub"|"client_id"|"sid", "issued_before"?}]}`.
//!
//! A list that cannot be read whole is not applied at all, and the last good one stays: of half a list it is not known
//! whom it lets through, and a member that is not known here may be what an entry is about. So an entry with no selector,
//! with two, or with a strange member refuses the document, loudly.
//!
//! Where a token does not let itself be compared it is taken for revoked: it has no readable `iat` and the entry says
//! `issued_before`, or its `jti` is no string and numbers are listed. A list can only refuse; nothing in it opens anything.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::jose::{Claim, Claims, JsonLimits, parse_object};
use crate::policy::ValidatedToken;
use crate::unix_time::UnixTime;

/// The longest document that is read.
pub const MAX_LIST_BYTES: usize = 2 * 1024 * 1024;
const MAX_ENTRIES: usize = 20_000;
const LIMITS: JsonLimits = JsonLimits { depth: 4, members: 8 };

/// Which tokens are revoked.
#[derive(Clone, Debug, Default)]
pub struct RevocationList {
    number: Selected,
    subject: Selected,
    client: Selected,
    session: Selected,
    entries: usize,
}

/// Why a document is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListFault {
    /// Longer than the limit.
    TooLarge,
    /// Not a JSON object with one member, a list `revoked`.
    Malformed,
    /// More entries than the limit.
    TooManyEntries,
    /// An entry that is no object, or has no selector, two of them, an unknown member, or a value of the wrong type.
    EntryMalformed {
        /// The how-many-eth, from 0.
        at: usize,
    },
}

/// The values that one selector has in the list.
#[derive(Clone, Debug, Default)]
struct Selected {
    by_value: HashMap<String, Cutoffs>,
    /// Whether a token whose own value does not read may be among them.
    any: Cutoffs,
}

/// Up to when a value's tokens are revoked.
#[derive(Clone, Debug, Default)]
struct Cutoffs {
    /// Of any issuer.
    of_any: Option<Cutoff>,
    of_issuer: HashMap<String, Cutoff>,
}

/// Which of a value's tokens are revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cutoff {
    /// Those issued before.
    Before(UnixTime),
    All,
}

impl RevocationList {
    /// Reads a document.
    ///
    /// # Errors
    /// When any part of it is not understood: then the list held before stays in force.
    pub fn parse(document: &[u8]) -> Result<Self, ListFault> {
        if document.len() > MAX_LIST_BYTES {
            return Err(ListFault::TooLarge);
        }
        let members = parse_object(document, LIMITS).map_err(|_| ListFault::Malformed)?;
        let Some(Value::Array(items)) = members.get("revoked").filter(|_| members.len() == 1) else {
            return Err(ListFault::Malformed);
        };
        if items.len() > MAX_ENTRIES {
            return Err(ListFault::TooManyEntries);
        }
        let mut list = Self { entries: items.len(), ..Self::default() };
        for (at, item) in items.iter().enumerate() {
            list.add(item).ok_or(ListFault::EntryMalformed { at })?;
        }
        Ok(list)
    }

    fn add(&mut self, item: &Value) -> Option<()> {
        let members: &Map<String, Value> = item.as_object()?;
        let mut selected = None;
        let (mut issuer, mut cutoff) = (None, Cutoff::All);
        for (name, value) in members {
            match name.as_str() {
                "iss" => issuer = Some(value.as_str()?.to_owned()),
                // Rounded up, as `iat` is rounded down: at the edge a token is revoked.
                "issued_before" => match Claims::new(members.clone()).start_time(name) {
                    Claim::Valid(time) => cutoff = Cutoff::Before(time),
                    Claim::Absent | Claim::Malformed => return None,
                },
                selector => {
                    let value = value.as_str().filter(|value| !value.is_empty())?;
                    if selected.replace((selector, value)).is_some() {
                        return None;
                    }
                }
            }
        }
        let (selector, value) = selected?;
        let selected = match selector {
            "jti" => &mut self.number,
            "sub" => &mut self.subject,
            "client_id" => &mut self.client,
            "sid" => &mut self.session,
            _ => return None,
        };
        selected.any.add(issuer.clone(), cutoff);
        selected.by_value.entry(value.to_owned()).or_default().add(issuer, cutoff);
        Some(())
    }

    /// Whether the token is revoked. Five look-ups at most, however long the list.
    pub fn revokes(&self, token: &ValidatedToken, issuer: &str) -> bool {
        let claims = token.claims();
        let issued_at = match claims.time("iat") {
            Claim::Valid(time) => Some(time),
            Claim::Absent | Claim::Malformed => None,
        };
        let revokes = |selected: &Selected, value: Claim<&str>| selected.revokes(value, issuer, issued_at);
        revokes(&self.number, claims.string("jti"))
            || revokes(&self.session, claims.string("sid"))
            || revokes(&self.client, token.client().map_or(Claim::Absent, Claim::Valid))
            // The name that lists go by, and the one that this provider's tokens do.
            || revokes(&self.subject, claims.string("sub"))
            || token.subject().is_some_and(|subject| revokes(&self.subject, Claim::Valid(subject)))
    }

    /// How many entries it has.
    pub const fn len(&self) -> usize {
        self.entries
    }

    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

impl Selected {
    fn revokes(&self, value: Claim<&str>, issuer: &str, issued_at: Option<UnixTime>) -> bool {
        match value {
            Claim::Absent => false,
            Claim::Valid(value) => self.by_value.get(value).is_some_and(|cutoffs| cutoffs.revoke(issuer, issued_at)),
            Claim::Malformed => self.any.revoke(issuer, issued_at),
        }
    }
}

impl Cutoffs {
    fn add(&mut self, issuer: Option<String>, cutoff: Cutoff) {
        match issuer {
            None => self.of_any = self.of_any.max(Some(cutoff)),
            Some(issuer) => {
                let known = self.of_issuer.entry(issuer).or_insert(cutoff);
                *known = cutoff.max(*known);
            }
        }
    }

    fn revoke(&self, issuer: &str, issued_at: Option<UnixTime>) -> bool {
        let cutoff = self.of_any.max(self.of_issuer.get(issuer).copied());
        match (cutoff, issued_at) {
            (None, _) => false,
            (Some(Cutoff::All), _) | (Some(Cutoff::Before(_)), None) => true,
            (Some(Cutoff::Before(end)), Some(issued_at)) => issued_at < end,
        }
    }
}

impl ListFault {
    /// The stable name of the fault, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Malformed => "not_a_revocation_list",
            Self::TooManyEntries => "too_many_entries",
            Self::EntryMalformed { .. } => "entry_malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::provider_fixture::{ISSUER, NOW, active, changed, provider};
    use serde_json::json;

    fn token(changes: &Value) -> ValidatedToken {
        let claims = json!({
            "iss": ISSUER, "aud": "api://default", "sub": "alice", "client_id": "0oa1", "jti": "AT.1", "sid": "s1",
            "iat": NOW.as_secs() - 100, "exp": NOW.as_secs() + 100,
        });
        ValidatedToken::validate_active(active(&changed(claims, changes)), &provider(), NOW, NOW).unwrap()
    }

    fn list(entries: &Value) -> RevocationList {
        RevocationList::parse(json!({ "revoked": entries }).to_string().as_bytes()).unwrap()
    }

    fn revokes(entry: &Value, changes: &Value) -> bool {
        list(&json!([entry])).revokes(&token(changes), ISSUER)
    }

    #[test]
    fn each_selector_finds_its_tokens_and_no_others() {
        for (name, value) in [("jti", "AT.1"), ("sub", "alice"), ("client_id", "0oa1"), ("sid", "s1")] {
            assert!(revokes(&json!({ name: value }), &json!({})), "{name}");
            assert!(revokes(&json!({ name: value, "iss": ISSUER }), &json!({})), "{name}");
            assert!(!revokes(&json!({ name: value, "iss": "https://other.example" }), &json!({})), "{name}");
            for other in ["at.1", "Alice", "0oa1 ", "s", "x"] {
                assert!(!revokes(&json!({ name: other }), &json!({})), "{name} {other}");
            }
        }
        assert!(!revokes(&json!({"jti": "alice"}), &json!({})), "a value under another name");
        assert!(
            revokes(&json!({"client_id": "0oa1"}), &json!({"client_id": null, "cid": "0oa1"})),
            "by any of its names"
        );
        assert!(!revokes(&json!({"sid": "s1"}), &json!({"sid": null})));
    }

    #[test]
    fn issued_before_is_exact_and_what_does_not_say_when_is_revoked() {
        let issued = NOW.as_secs() - 100;
        let entry = |before: Value| json!({"sub": "alice", "issued_before": before});
        assert!(!revokes(&entry(json!(issued)), &json!({})), "not before itself");
        assert!(revokes(&entry(json!(issued + 1)), &json!({})));
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let a_moment_later = issued as f64 + 0.25;
        assert!(revokes(&entry(json!(a_moment_later)), &json!({})));
        assert!(!revokes(&entry(json!(issued - 1)), &json!({})));
        assert!(revokes(&entry(json!(1)), &json!({"iat": null})));
    }

    #[test]
    fn of_several_entries_the_widest_counts() {
        let issued = NOW.as_secs() - 100;
        let narrow = json!({"sub": "alice", "issued_before": 5});
        for wide in [
            json!({"sub": "alice"}),
            json!({"sub": "alice", "issued_before": issued + 1}),
            json!({"sub": "alice", "iss": ISSUER}),
            json!({"sub": "alice", "iss": ISSUER, "issued_before": issued + 1}),
            json!({"client_id": "0oa1"}),
        ] {
            for entries in [json!([narrow, wide]), json!([wide, narrow])] {
                assert!(list(&entries).revokes(&token(&json!({})), ISSUER), "{entries}");
            }
        }
        assert!(!list(&json!([narrow, {"sub": "alice", "iss": "x"}])).revokes(&token(&json!({})), ISSUER));
    }

    #[test]
    fn a_token_that_cannot_be_compared_is_revoked_where_anything_is_listed_that_it_could_be() {
        for strange in [json!(5), json!(["s1"]), json!({})] {
            assert!(revokes(&json!({"sid": "other"}), &json!({ "sid": strange })), "{strange}");
            assert!(!revokes(&json!({"sid": "other", "iss": "x"}), &json!({ "sid": strange })), "{strange}");
            assert!(!revokes(&json!({"sub": "bob"}), &json!({ "sid": strange })), "{strange}");
        }
        assert!(!list(&json!([])).revokes(&token(&json!({"sid": 5})), ISSUER));
    }

    #[test]
    fn list_with_an_invalid_part_is_not_applied() {
        let good = json!({"sub": "alice"});
        for bad in [
            json!({}),
            json!({"iss": ISSUER}),
            json!({"issued_before": 5}),
            json!({"sub": "alice", "jti": "AT.1"}),
            json!({"sub": "alice", "reason": "x"}),
            json!({"sub": ""}),
            json!({"sub": 5}),
            json!({"sub": null}),
            json!({"sub": ["alice"]}),
            json!({"sub": "alice", "iss": 5}),
            json!({"sub": "alice", "issued_before": "5"}),
            json!({"sub": "alice", "issued_before": -5}),
            json!("alice"),
            json!(null),
        ] {
            let document = json!({"revoked": [good, bad]}).to_string();
            assert_eq!(
                RevocationList::parse(document.as_bytes()).err(),
                Some(ListFault::EntryMalformed { at: 1 }),
                "{bad}"
            );
        }
        for bad in [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"revoked":{}}"#,
            r#"{"revoked":null}"#,
            r#"{"revoked":[],"next":"/2"}"#,
            r#"{"revoked":[],"revoked":[{"sub":"alice"}]}"#,
            r#"{"revoked":[{"sub":"alice","sub":"bob"}]}"#,
            r#"{"revoked":["#,
        ] {
            assert_eq!(RevocationList::parse(bad.as_bytes()).err(), Some(ListFault::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let of = |entries: usize| {
            let entries = vec![r#"{"sub":"a"}"#; entries].join(",");
            RevocationList::parse(format!("{{\"revoked\":[{entries}]}}").as_bytes())
        };
        assert_eq!(of(MAX_ENTRIES).unwrap().len(), MAX_ENTRIES);
        assert_eq!(of(MAX_ENTRIES + 1).err(), Some(ListFault::TooManyEntries));
        assert_eq!(RevocationList::parse(&vec![b' '; MAX_LIST_BYTES + 1]).err(), Some(ListFault::TooLarge));
        assert!(of(0).unwrap().is_empty());
    }
}
