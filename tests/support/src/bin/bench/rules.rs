//! The cost of rules: the same request and the same token through as many rules as an operator may write, and through
//! one with a condition, beside a listener without the filter and one whose filter has no rules.

use serde_json::{Value, json};
use testbed::{Envoy, EnvoyBuilder, ListenerOptions, Request};

use crate::cpu::{Lane, interleaved};
use crate::signing::SigningKey;
use crate::statistics::{Quartiles, differences, median, quartiles};
use crate::subjects::{bare, document_with_keys};
use crate::tokens;

const WARM_UP_ROUNDS: usize = 2;
const CONDITION: &str =
    "claims.tenant == path_segment(request.url_path, 2) && ip_in(source.address, ['10.0.0.0/8', '127.0.0.0/8'])";
/// One rule of so many is a regular expression that begins with none of a path's text, and is tried for each request.
const OPEN_EXPRESSIONS: usize = 50;

/// What stands in the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleSet {
    /// No filter.
    NoFilter,
    /// The filter without rules.
    NoRules,
    /// The filter with so many, the last of which is for `/orgs`.
    Rules(usize),
    /// The filter with that one alone, and a condition in it.
    Condition,
}

impl RuleSet {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::NoFilter, Self::NoRules, Self::Rules(1), Self::Rules(100), Self::Rules(1000), Self::Condition];

    /// Its listener, and its name in the results.
    pub fn name(self) -> String {
        match self {
            Self::NoFilter => "none".to_owned(),
            Self::NoRules => "no_rules".to_owned(),
            Self::Rules(count) => format!("rules_{count}"),
            Self::Condition => "condition".to_owned(),
        }
    }

    /// What the table calls it.
    pub fn title(self) -> String {
        match self {
            Self::NoFilter => "no filter".to_owned(),
            Self::NoRules => "no rules".to_owned(),
            Self::Rules(1) => "1 rule".to_owned(),
            Self::Rules(count) => format!("{} rules", crate::table::with_thousands(count)),
            Self::Condition => "1 rule with a condition".to_owned(),
        }
    }

    fn rules(self) -> Vec<Value> {
        let mut last = json!({ "name": "orgs", "match": { "path_prefix": "/orgs", "methods": ["GET", "HEAD"] },
            "require": { "scopes": ["read:accounts"] } });
        match self {
            Self::NoFilter | Self::NoRules => Vec::new(),
            Self::Rules(count) => (1..count).map(other_rule).chain([last]).collect(),
            Self::Condition => {
                last["require"]["condition"] = json!(CONDITION);
                vec![last]
            }
        }
    }

    /// An Envoy listener with these rules.
    pub fn listener(self, keys: &[SigningKey]) -> ListenerOptions {
        let mut document = document_with_keys(keys);
        document["rules"] = json!(self.rules());
        let plugin = (self != Self::NoFilter).then(|| document.to_string());
        ListenerOptions { plugin_configuration: plugin, ..bare(&self.name()) }
    }
}

/// A rule for somebody else's requests, of each kind in turn.
fn other_rule(number: usize) -> Value {
    let service = format!("/service-{number}");
    let scopes = json!({ "scopes": [format!("service-{number}:read")] });
    let (matched, require) = match number % 5 {
        _ if number.is_multiple_of(OPEN_EXPRESSIONS) => {
            (json!({ "path_regex": format!("/[a-z]+/internal-{number}(/.*)?") }), json!({ "groups": ["staff"] }))
        }
        0 => (json!({ "path_prefix": service }), scopes),
        1 => (json!({ "path": format!("{service}/status") }), scopes),
        2 => (json!({ "path_prefix": format!("{service}/v1"), "methods": ["GET", "HEAD"] }), scopes),
        3 => (json!({ "path_regex": format!("{service}/[0-9]{{4}}/[a-z]+") }), json!({ "groups": ["staff"] })),
        _ => (json!({ "hosts": [format!("team-{number}.acme.com")], "path_prefix": "/orgs" }), scopes),
    };
    json!({ "name": format!("rule-{number}"), "match": matched, "require": require })
}

/// Which requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTraffic {
    /// Those for the last rule.
    Last,
    /// Those for none of them.
    None,
}

impl RuleTraffic {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Last, Self::None];

    /// In the results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::None => "none",
        }
    }

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Last => "under the last rule",
            Self::None => "under no rule",
        }
    }

    /// With this token.
    pub fn request(self, token: &str) -> Request {
        let path = match self {
            Self::Last => "/orgs/acme/accounts/1234567?limit=50",
            Self::None => "/elsewhere/acme/accounts/1234567?limit=50",
        };
        Request::get(path).bearer(token)
    }
}

/// What it costs, in microseconds of CPU time per request.
pub struct RulesFinding {
    /// For each kind of request, what each set of rules costs, in their order.
    pub costs: Vec<(RuleTraffic, Vec<RuleCost>)>,
}

/// What one set of rules costs.
pub struct RuleCost {
    /// The rules.
    pub rules: RuleSet,
    /// All that Envoy does for a request: the median.
    pub total: f64,
    /// What of it is more than without a filter, compared round by round.
    pub added: Quartiles,
    /// What of it is more than with the filter and no rules.
    pub added_to_no_rules: Quartiles,
}

impl RulesFinding {
    fn costs(spent: &[Vec<f64>]) -> Vec<RuleCost> {
        let cost = |(rules, spent_with): (RuleSet, &Vec<f64>)| RuleCost {
            rules,
            total: median(spent_with),
            added: quartiles(&differences(spent_with, &spent[0])),
            added_to_no_rules: quartiles(&differences(spent_with, &spent[1])),
        };
        RuleSet::ALL.into_iter().zip(spent).map(cost).collect()
    }
}

/// Measures all sets of rules with both kinds of requests, in one Envoy with one worker.
///
/// # Panics
/// When a request is not answered with 200.
pub fn measure(keys: &[SigningKey], rounds: usize) -> RulesFinding {
    let builder = RuleSet::ALL
        .iter()
        .fold(EnvoyBuilder::new().concurrency(1), |builder, rules| builder.listener(rules.listener(keys)));
    let envoy: Envoy = builder.start();
    let token = token(&keys[0]);
    let lanes: Vec<Lane> =
        RuleSet::ALL.iter().map(|rules| Lane { port: envoy.port(&rules.name()), expected_status: 200 }).collect();
    let costs = RuleTraffic::ALL.map(|traffic| {
        let request = traffic.request(&token);
        let spent = interleaved(envoy.pid(), &lanes, traffic.title(), WARM_UP_ROUNDS, rounds, |_, _| {
            vec![request.clone(); crate::workloads::REQUESTS_PER_ROUND]
        });
        (traffic, RulesFinding::costs(&spent))
    });
    RulesFinding { costs: costs.into() }
}

/// A token that the condition allows too.
pub fn token(key: &SigningKey) -> String {
    let mut claims = tokens::claims(0);
    claims["tenant"] = json!("acme");
    key.token(&claims)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Without a filter 10 µs, with no rules 8 more, and so on.
    pub fn finding() -> RulesFinding {
        let spent = [0.0, 8.0, 9.0, 10.0, 12.0, 16.0].map(|added| vec![10.0 + added; 3]);
        RulesFinding { costs: RuleTraffic::ALL.map(|traffic| (traffic, RulesFinding::costs(&spent))).into() }
    }

    #[test]
    fn last_of_many_rules_matches_the_request() {
        for rules in RuleSet::ALL {
            let written = rules.rules();
            let expected = match rules {
                RuleSet::NoFilter | RuleSet::NoRules => 0,
                RuleSet::Rules(count) => count,
                RuleSet::Condition => 1,
            };
            assert_eq!(written.len(), expected);
            assert!(written.last().is_none_or(|last| last["name"] == "orgs"));
        }
        let thousand = RuleSet::Rules(1000).rules();
        let of_a_kind = |field: &str| thousand.iter().filter(|rule| !rule["match"][field].is_null()).count();
        assert!(["path", "path_prefix", "path_regex", "methods", "hosts"].iter().all(|field| of_a_kind(field) >= 100));
    }

    #[test]
    fn added_cost_is_compared_with_no_filter_and_with_no_rules() {
        let (_, costs) = &finding().costs[0];
        assert_eq!((costs[4].rules, costs[4].added.median), (RuleSet::Rules(1000), 12.0));
        assert_eq!(costs[4].added_to_no_rules.median, 4.0);
    }
}
