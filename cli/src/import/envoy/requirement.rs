//! Converts Envoy's JwtRequirement to `access` and `require` of a rule.

use serde_json::{Map, Value, json};

use super::provider::ImportedProvider;
use crate::import::Remarks;
use crate::import::draft::cel_string;
use crate::import::fields::Fields;
use crate::import::issuer::{equal_audiences, have_common_issuers};

const ALLOW_FAILED: &str = "allow_missing_or_failed: an invalid token is rejected";

/// A converted requirement.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// No token.
    Nothing,
    /// No token, or a valid one.
    TokenIfAny,
    /// A token that meets one of these requirements; every valid token meets an empty one.
    Token(Vec<Map<String, Value>>),
    /// A requirement that cannot be converted.
    Impossible,
}

/// The definitions that requirements refer to.
pub struct Requirements<'a> {
    pub providers: &'a [ImportedProvider],
    /// `requirement_map`.
    pub map: &'a Value,
}

impl Requirements<'_> {
    /// Converts the requirement of that name.
    pub fn named(&self, name: &str, location: &str, remarks: &mut Remarks) -> Need {
        match self.map.get(name) {
            Some(value) => self.needs(value, &format!("$.requirement_map.{name}"), remarks),
            None => {
                remarks.stricter(location, format!("there is no requirement {name:?}: every request is denied"));
                Need::Impossible
            }
        }
    }

    /// Converts a requirement. No request meets one that is not understood.
    pub fn needs(&self, value: &Value, location: &str, remarks: &mut Remarks) -> Need {
        let fields = Fields::of(value, location);
        let needs = if let Some(name) = fields.string("provider_name") {
            self.token_of(name, None)
        } else if let Some(with) = fields.object("provider_and_audiences") {
            let audiences = equal_audiences(&with.strings("audiences"), location, remarks);
            let audiences = Some(audiences).filter(|names| !names.is_empty());
            let needs = with.string("provider_name").map(|name| self.token_of(name, audiences));
            needs.filter(|_| with.unread().is_empty()).unwrap_or(Need::Impossible)
        } else if let Some(any) = fields.object("requires_any") {
            self.any(&any, remarks)
        } else if let Some(all) = fields.object("requires_all") {
            self.all(&all, remarks)
        } else if fields.get("allow_missing").is_some() {
            self.token_if_any(location, remarks)
        } else if fields.get("allow_missing_or_failed").is_some() {
            remarks.stricter(location, ALLOW_FAILED);
            self.token_if_any(location, remarks)
        } else if value.as_object().is_some_and(Map::is_empty) {
            // Envoy allows every request if the requirement is not set.
            Need::Nothing
        } else {
            Need::Impossible
        };
        let rest = fields.unread();
        if !rest.is_empty() || needs == Need::Impossible {
            remarks.stricter(location, "this requirement cannot be converted: every request is denied");
            return Need::Impossible;
        }
        needs
    }

    fn token_of(&self, name: &str, audiences: Option<Vec<String>>) -> Need {
        let Some(provider) = self.providers.iter().find(|provider| provider.name == name) else {
            return Need::Impossible;
        };
        let mut requirement = Map::new();
        if self.providers.len() > 1 {
            requirement.insert(String::from("condition"), json!(format!("token.provider == {}", cel_string(name))));
        }
        let audiences = audiences.unwrap_or_else(|| provider.audiences.clone());
        if !audiences.is_empty() && audiences != provider.all_audiences {
            requirement.insert(String::from("audiences"), json!(audiences));
        }
        if !provider.requirements.is_empty() {
            requirement.insert(String::from("any_of"), json!(provider.requirements));
        }
        Need::Token(vec![requirement])
    }

    /// No token, or one that is valid for its provider. `optional` cannot have requirements of its own. So a token is
    /// required if a provider has additional requirements or audiences of single rules.
    fn token_if_any(&self, location: &str, remarks: &mut Remarks) -> Need {
        if have_common_issuers(self.providers.iter().map(|provider| provider.issuer.as_str())) {
            remarks.stricter(
                location,
                "allow_missing where several providers have one issuer: the original validates a token with one of them, and it is not known which; list the providers next to it in requires_any",
            );
            return Need::Impossible;
        }
        if self.providers.iter().all(ImportedProvider::has_no_requirements) {
            return Need::TokenIfAny;
        }
        remarks.stricter(
            location,
            "a request without a token is denied: the requirements on tokens cannot be combined with it",
        );
        let mut requirements = Vec::new();
        for provider in self.providers {
            if let Need::Token(of_one) = self.token_of(&provider.name, None) {
                requirements.extend(of_one);
            }
        }
        Need::Token(requirements)
    }

    fn any(&self, any: &Fields<'_>, remarks: &mut Remarks) -> Need {
        let (mut alternatives, mut allows_missing, mut others, mut impossible) = (Vec::new(), false, 0, 0);
        for (at, item) in any.list("requirements").iter().enumerate() {
            // In a list with other requirements these accept a missing token and validate none.
            let is_only = |name: &str| item.as_object().is_some_and(|item| item.len() == 1 && item.contains_key(name));
            if is_only("allow_missing") || is_only("allow_missing_or_failed") {
                allows_missing = true;
                if is_only("allow_missing_or_failed") {
                    remarks.stricter(&any.location, ALLOW_FAILED);
                }
                continue;
            }
            match self.needs(item, &format!("{}.requirements[{at}]", any.location), remarks) {
                Need::Nothing => return Need::Nothing,
                Need::TokenIfAny => allows_missing = true,
                Need::Token(requirements) => {
                    others += 1;
                    alternatives.extend(requirements);
                }
                // A request may still meet another alternative.
                Need::Impossible => impossible += 1,
            }
        }
        match (allows_missing, others) {
            (true, 0) if impossible > 0 => Need::Impossible,
            (true, 0) => self.token_if_any(&any.location, remarks),
            (false, 0) => Need::Impossible,
            (false, _) => Need::Token(alternatives),
            (true, _) if self.accepts_any_token(&alternatives) => Need::TokenIfAny,
            (true, _) => {
                remarks.stricter(
                    &any.location,
                    "allow_missing with a requirement that not every token meets: a request without a token is denied",
                );
                Need::Token(alternatives)
            }
        }
    }

    /// All requirements apply to a single token: the filter rejects a request with several.
    fn all(&self, all: &Fields<'_>, remarks: &mut Remarks) -> Need {
        let mut common = Need::Nothing;
        for needs in self.each(all, remarks) {
            common = match (common, needs) {
                (Need::Impossible, _) | (_, Need::Impossible) => return Need::Impossible,
                (Need::Nothing, other) | (other, Need::Nothing) => other,
                (Need::TokenIfAny, Need::TokenIfAny) => Need::TokenIfAny,
                (Need::TokenIfAny, Need::Token(requirements)) | (Need::Token(requirements), Need::TokenIfAny) => {
                    Need::Token(requirements)
                }
                (Need::Token(one), Need::Token(two)) => {
                    let both = |one: &Map<String, Value>| {
                        let one = one.clone();
                        two.iter().filter_map(move |two| combine(&one, two))
                    };
                    let both: Vec<Map<String, Value>> = one.iter().flat_map(both).collect();
                    // Without `forward`, the first requirement removes the token before the second reads it.
                    if both.is_empty() || !self.providers.iter().all(|provider| provider.forward) {
                        remarks.stricter(
                            &all.location,
                            "requires_all of two tokens: a request has one token here, and without `forward` the original removes it before the second requirement",
                        );
                        return Need::Impossible;
                    }
                    Need::Token(both)
                }
            };
        }
        common
    }

    fn each(&self, list: &Fields<'_>, remarks: &mut Remarks) -> Vec<Need> {
        let items = list.list("requirements").iter().enumerate();
        items.map(|(at, item)| self.needs(item, &format!("{}.requirements[{at}]", list.location), remarks)).collect()
    }

    /// Whether a valid token of each provider meets one of the alternatives.
    fn accepts_any_token(&self, alternatives: &[Map<String, Value>]) -> bool {
        let is_met = |needs: Need| match needs {
            Need::Token(requirements) => requirements.iter().all(|requirement| alternatives.contains(requirement)),
            Need::Nothing | Need::TokenIfAny | Need::Impossible => false,
        };
        self.providers
            .iter()
            .all(|provider| provider.has_no_requirements() && is_met(self.token_of(&provider.name, None)))
    }
}

/// Combines two requirements; `None` if they are for different providers.
fn combine(one: &Map<String, Value>, two: &Map<String, Value>) -> Option<Map<String, Value>> {
    if one.get("condition") != two.get("condition") {
        return None;
    }
    if one == two || two.is_empty() {
        return Some(one.clone());
    }
    if one.is_empty() {
        return Some(two.clone());
    }
    Some(Map::from_iter([(String::from("all_of"), json!([one, two]))]))
}
