//! Envoy's JwtRequirement -> what a rule of ours asks for.

use serde_json::{Map, Value, json};

use super::provider::Imported;
use crate::import::Remarks;
use crate::import::draft::cel_text;
use crate::import::fields::Fields;
use crate::import::issuer::{equal_audiences, have_common_issuers};

const FAILED: &str = "allow_missing_or_failed: a bad token is refused";

/// What a requirement asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// No token, or a good one.
    TokenIfAny,
    /// A token that meets one of these demands; an empty one is met by every good token.
    Token(Vec<Map<String, Value>>),
    /// What no request here can meet, or what is not understood.
    Impossible,
}

/// All that requirements refer to.
pub struct Requirements<'a> {
    /// The providers.
    pub providers: &'a [Imported],
    /// `requirement_map`.
    pub map: &'a Value,
}

impl Requirements<'_> {
    /// The requirement of that name.
    pub fn named(&self, name: &str, place: &str, remarks: &mut Remarks) -> Needs {
        match self.map.get(name) {
            Some(value) => self.needs(value, &format!("$.requirement_map.{name}"), remarks),
            None => {
                remarks.stricter(place, format!("there is no requirement {name:?}: every request is denied"));
                Needs::Impossible
            }
        }
    }

    /// What it asks for. What is not understood is never met.
    pub fn needs(&self, value: &Value, place: &str, remarks: &mut Remarks) -> Needs {
        let fields = Fields::of(value, place);
        let needs = if let Some(name) = fields.text("provider_name") {
            self.token_of(name, None)
        } else if let Some(with) = fields.object("provider_and_audiences") {
            let audiences = equal_audiences(&with.texts("audiences"), place, remarks);
            let audiences = Some(audiences).filter(|names| !names.is_empty());
            let needs = with.text("provider_name").map(|name| self.token_of(name, audiences));
            needs.filter(|_| with.rest().is_empty()).unwrap_or(Needs::Impossible)
        } else if let Some(any) = fields.object("requires_any") {
            self.any(&any, remarks)
        } else if let Some(all) = fields.object("requires_all") {
            self.all(&all, remarks)
        } else if fields.get("allow_missing").is_some() {
            self.token_if_any(place, remarks)
        } else if fields.get("allow_missing_or_failed").is_some() {
            remarks.stricter(place, FAILED);
            self.token_if_any(place, remarks)
        } else if value.as_object().is_some_and(Map::is_empty) {
            // Envoy admits every request where a requirement is not set.
            Needs::Nothing
        } else {
            Needs::Impossible
        };
        let rest = fields.rest();
        if !rest.is_empty() || needs == Needs::Impossible {
            remarks.stricter(place, "this requirement cannot be converted: every request is denied");
            return Needs::Impossible;
        }
        needs
    }

    fn token_of(&self, name: &str, audiences: Option<Vec<String>>) -> Needs {
        let Some(provider) = self.providers.iter().find(|provider| provider.name == name) else {
            return Needs::Impossible;
        };
        let mut demand = Map::new();
        if self.providers.len() > 1 {
            demand.insert(String::from("condition"), json!(format!("token.provider == {}", cel_text(name))));
        }
        let audiences = audiences.unwrap_or_else(|| provider.audiences.clone());
        if !audiences.is_empty() && audiences != provider.all_audiences {
            demand.insert(String::from("audiences"), json!(audiences));
        }
        if !provider.demands.is_empty() {
            demand.insert(String::from("any_of"), json!(provider.demands));
        }
        Needs::Token(vec![demand])
    }

    /// No token, or one that is good for its provider: `optional` can demand no more than all rules do, so where a provider
    /// admits what only some rules want, or wants more, a token is needed.
    fn token_if_any(&self, place: &str, remarks: &mut Remarks) -> Needs {
        if have_common_issuers(self.providers.iter().map(|provider| provider.issuer.as_str())) {
            remarks.stricter(
                place,
                "allow_missing where several providers have one issuer: the original validates a token with one of them, and it is not known which; name the providers beside it in requires_any",
            );
            return Needs::Impossible;
        }
        if self.providers.iter().all(Imported::demands_nothing_more) {
            return Needs::TokenIfAny;
        }
        remarks.stricter(
            place,
            "a request without a token is denied: the requirements on tokens cannot be combined with it",
        );
        let mut demands = Vec::new();
        for provider in self.providers {
            if let Needs::Token(of_one) = self.token_of(&provider.name, None) {
                demands.extend(of_one);
            }
        }
        Needs::Token(demands)
    }

    fn any(&self, any: &Fields<'_>, remarks: &mut Remarks) -> Needs {
        let (mut alternatives, mut may_be_missing, mut others, mut impossible) = (Vec::new(), false, 0, 0);
        for (at, item) in any.list("requirements").iter().enumerate() {
            // Beside others these accept a missing token and validate none.
            let is_only = |name: &str| item.as_object().is_some_and(|item| item.len() == 1 && item.contains_key(name));
            if is_only("allow_missing") || is_only("allow_missing_or_failed") {
                may_be_missing = true;
                if is_only("allow_missing_or_failed") {
                    remarks.stricter(&any.place, FAILED);
                }
                continue;
            }
            match self.needs(item, &format!("{}.requirements[{at}]", any.place), remarks) {
                Needs::Nothing => return Needs::Nothing,
                Needs::TokenIfAny => may_be_missing = true,
                Needs::Token(demands) => {
                    others += 1;
                    alternatives.extend(demands);
                }
                // Another one may be met.
                Needs::Impossible => impossible += 1,
            }
        }
        match (may_be_missing, others) {
            (true, 0) if impossible > 0 => Needs::Impossible,
            (true, 0) => self.token_if_any(&any.place, remarks),
            (false, 0) => Needs::Impossible,
            (false, _) => Needs::Token(alternatives),
            (true, _) if self.any_token_will_do(&alternatives) => Needs::TokenIfAny,
            (true, _) => {
                remarks.stricter(
                    &any.place,
                    "allow_missing with a requirement that not every token meets: a request without a token is denied",
                );
                Needs::Token(alternatives)
            }
        }
    }

    /// All of them are about the one token of a request: several are refused here.
    fn all(&self, all: &Fields<'_>, remarks: &mut Remarks) -> Needs {
        let mut common = Needs::Nothing;
        for needs in self.each(all, remarks) {
            common = match (common, needs) {
                (Needs::Impossible, _) | (_, Needs::Impossible) => return Needs::Impossible,
                (Needs::Nothing, other) | (other, Needs::Nothing) => other,
                (Needs::TokenIfAny, Needs::TokenIfAny) => Needs::TokenIfAny,
                (Needs::TokenIfAny, Needs::Token(demands)) | (Needs::Token(demands), Needs::TokenIfAny) => {
                    Needs::Token(demands)
                }
                (Needs::Token(one), Needs::Token(two)) => {
                    let both = |one: &Map<String, Value>| {
                        let one = one.clone();
                        two.iter().filter_map(move |two| all_demands(&one, two))
                    };
                    let both: Vec<Map<String, Value>> = one.iter().flat_map(both).collect();
                    // Without `forward` the second finds the token removed by the first.
                    if both.is_empty() || !self.providers.iter().all(|provider| provider.forward) {
                        remarks.stricter(
                            &all.place,
                            "requires_all of two tokens: a request has one token here, and without `forward` the original removes it before the second requirement",
                        );
                        return Needs::Impossible;
                    }
                    Needs::Token(both)
                }
            };
        }
        common
    }

    fn each(&self, list: &Fields<'_>, remarks: &mut Remarks) -> Vec<Needs> {
        let items = list.list("requirements").iter().enumerate();
        items.map(|(at, item)| self.needs(item, &format!("{}.requirements[{at}]", list.place), remarks)).collect()
    }

    /// Whether these, any of which will do, are met by a good token of each provider.
    fn any_token_will_do(&self, alternatives: &[Map<String, Value>]) -> bool {
        let is_met = |needs: Needs| match needs {
            Needs::Token(demands) => demands.iter().all(|demand| alternatives.contains(demand)),
            Needs::Nothing | Needs::TokenIfAny | Needs::Impossible => false,
        };
        self.providers
            .iter()
            .all(|provider| provider.demands_nothing_more() && is_met(self.token_of(&provider.name, None)))
    }
}

/// What meets both; nothing where one is about another provider than the other.
fn all_demands(one: &Map<String, Value>, two: &Map<String, Value>) -> Option<Map<String, Value>> {
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
