//! The parts of the rules that Envoy's configuration must agree with.

use serde_json::Value;

pub(super) struct RuleSet<'a> {
    document: &'a Value,
}

impl<'a> RuleSet<'a> {
    pub(super) const fn of(document: &'a Value) -> Self {
        Self { document }
    }

    fn rules(&self) -> &'a [Value] {
        self.document.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Without rules, no path, method or host is compared.
    pub(super) fn is_empty(&self) -> bool {
        self.rules().is_empty()
    }

    /// All hosts of the rules with their paths in the configuration.
    pub(super) fn hosts(&self) -> Vec<(String, &'a str)> {
        let hosts = |(index, rule): (usize, &'a Value)| {
            let hosts = rule.pointer("/match/hosts").and_then(Value::as_array).into_iter().flatten();
            let location = move |number| format!("$.rules[{index}].match.hosts[{number}]");
            hosts.enumerate().filter_map(move |(number, host)| Some((location(number), host.as_str()?)))
        };
        self.rules().iter().enumerate().flat_map(hosts).collect()
    }

    /// Whether decisions depend on the host: by `hosts` of a rule, or by `request.host` in a condition.
    pub(super) fn compare_hosts(&self) -> bool {
        let is_in_conditions = self.document.to_string().contains("request.host");
        is_in_conditions || !self.hosts().is_empty()
    }

    /// Whether a request that no rule matches is denied.
    pub(super) fn deny_by_default(&self) -> bool {
        self.document.pointer("/default_rule/access").and_then(Value::as_str) == Some("deny")
    }

    /// The first rule that requires a token or denies, and has a case-sensitive path.
    pub(super) fn case_sensitive(&self) -> Option<String> {
        let is_sensitive = |rule: &&Value| {
            let conditions = rule.get("match");
            let has_path = ["path", "path_prefix", "path_regex"]
                .iter()
                .any(|name| conditions.is_some_and(|conditions| conditions.get(name).is_some()));
            let ignores_case = conditions.is_some_and(|it| it.get("ignore_case") == Some(&Value::Bool(true)));
            let access = rule.get("access").and_then(Value::as_str).unwrap_or("token");
            has_path && !ignores_case && !["public", "optional"].contains(&access)
        };
        let index = self.rules().iter().position(|rule| is_sensitive(&rule))?;
        Some(format!("$.rules[{index}].match"))
    }
}
