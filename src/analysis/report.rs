//! What all parts of the analysis read and add to.

use crate::analysis::warning::{Warning, WarningCode};
use crate::json_path::Path;
use crate::policy::{Access, Policy, Route, RouteIndex, RoutePart, Rule, RuleId, WorkLimit};

/// The most warnings of one code. More are counted.
const MAX_PER_CODE: usize = 10;

/// The work for the matches of all rules: less than half a second natively, and enough for some thousand rules of the usual
/// kind.
const MAX_VISITS: usize = 2_000_000;
const MAX_REGEX_RUNS: usize = 20_000;

/// The policy, and the warnings so far.
pub(super) struct Report<'a> {
    pub(super) policy: &'a Policy,
    pub(super) routes: &'a [Route],
    pub(super) limit: WorkLimit,
    /// For each rule whether no request matches it.
    pub(super) unreachable: Vec<bool>,
    /// Whether some request matches no rule.
    pub(super) has_reachable_default: bool,
    at: &'a Path,
    warnings: Vec<Warning>,
    /// How many more warnings there are of a code.
    more: Vec<(WarningCode, usize)>,
}

impl<'a> Report<'a> {
    pub(super) const fn new(policy: &'a Policy, routes: &'a [Route], at: &'a Path) -> Self {
        Self {
            policy,
            routes,
            limit: WorkLimit::new(MAX_VISITS, MAX_REGEX_RUNS),
            unreachable: Vec::new(),
            has_reachable_default: true,
            at,
            warnings: Vec::new(),
            more: Vec::new(),
        }
    }

    /// Each reachable rule with its index and match.
    pub(super) fn reachable_rules(&self) -> Vec<(usize, &'a Rule, &'a Route)> {
        let rules = self.policy.rules.rules().iter().zip(self.routes).enumerate();
        let is_reachable = |index: usize| self.unreachable.get(index) != Some(&true);
        rules.filter(|(index, _)| is_reachable(*index)).map(|(index, (rule, route))| (index, rule, route)).collect()
    }

    /// The default rule, if some request comes under it.
    pub(super) fn reachable_default(&self) -> Option<&'a Rule> {
        self.has_reachable_default.then(|| self.policy.rules.default_rule())
    }

    /// The rule that applies to a request for this path, with the host and method of the part. `None` if the limit is
    /// exceeded.
    pub(super) fn rule_at(&mut self, part: &RoutePart<'_>, path: &str) -> Option<RuleId> {
        let found = self.policy.rules.router().cover_at(part, path, usize::MAX, &mut self.limit);
        (!self.limit.is_exceeded()).then(|| found.map_or(RuleId::Default, RuleId::Index))
    }

    pub(super) fn rule(&self, id: RuleId) -> &'a Rule {
        self.policy.rules.rule(id)
    }

    /// The path of a rule in the document.
    pub(super) fn path(&self, id: RuleId) -> Path {
        match id {
            RuleId::Index(index) => self.at.member("rules").item(index.index()),
            RuleId::Default => self.at.member("default_rule"),
        }
    }

    /// The path of a provider in the document.
    pub(super) fn provider_path(&self, name: &str) -> Path {
        self.at.member("providers").member(name)
    }

    /// The path of a member of the document.
    pub(super) fn member(&self, name: &str) -> Path {
        self.at.member(name)
    }

    /// The rules as a part of a sentence, with their names.
    pub(super) fn list(&self, rules: &[RouteIndex]) -> String {
        const SHOWN: usize = 4;
        let label = |index: &RouteIndex| {
            let id = RuleId::Index(*index);
            let name = self.rule(id).name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}{name}", self.path(id).as_str())
        };
        let mut labels: Vec<String> = rules.iter().take(SHOWN).map(label).collect();
        if let Some(more) = rules.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            labels.push(format!("{more} more"));
        }
        joined(&labels)
    }

    pub(super) fn add(
        &mut self,
        code: WarningCode,
        path: Path,
        caused_by: Vec<Path>,
        message: String,
        fix: &'static str,
    ) {
        if self.warnings.iter().filter(|warning| warning.code == code).count() < MAX_PER_CODE {
            self.warnings.push(Warning { code, path, caused_by, message: message.into(), fix });
        } else if let Some((_, more)) = self.more.iter_mut().find(|(other, _)| *other == code) {
            *more = more.saturating_add(1);
        } else {
            self.more.push((code, 1));
        }
    }

    /// All warnings in the order of the documentation.
    pub(super) fn finish(mut self) -> Vec<Warning> {
        if self.limit.is_exceeded() {
            self.add(
                WarningCode::AnalysisIncomplete,
                self.member("rules"),
                Vec::new(),
                String::from("There are too many rules, hosts or regular expressions for a complete analysis: warnings may be missing."),
                "Use `path` or `path_prefix` instead of `path_regex`, and fewer entries in `hosts`.",
            );
        }
        let mut ordered = Vec::new();
        for code in WarningCode::ALL {
            ordered.extend(self.warnings.iter().filter(|warning| warning.code == code).cloned());
            if let Some((_, more)) = self.more.iter().find(|(other, _)| *other == code) {
                ordered.push(Warning {
                    code,
                    path: self.member("rules"),
                    caused_by: Vec::new(),
                    message: format!("{more} more warnings have this code.").into(),
                    fix: "Fix those that are listed first.",
                });
            }
        }
        ordered
    }
}

/// Adds a value to a list in order, unless it has it.
pub(super) fn insert<T: Ord>(list: &mut Vec<T>, value: T) {
    if let Err(place) = list.binary_search(&value) {
        list.insert(place, value);
    }
}

/// A list as a part of a sentence.
pub(super) fn joined(items: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (place, item) in items.iter().enumerate() {
        let is_last = place.saturating_add(1) == items.len();
        text.push_str(match (place, is_last) {
            (0, _) => "",
            (_, false) => ", ",
            (_, true) => " and ",
        });
        text.push_str(item.as_ref());
    }
    text
}

/// Orders rules by what they require: an enforced requirement is more than none, and two requirements are not compared.
pub(super) const fn strictness(rule: &Rule) -> (u8, bool) {
    let access = match rule.access {
        Access::Public => 0,
        Access::Optional => 1,
        Access::Token => 2,
        Access::Deny => 3,
    };
    (access, enforces(rule))
}

/// Whether the rule has a requirement and enforces it.
pub(super) const fn enforces(rule: &Rule) -> bool {
    rule.requirement.is_some() && !rule.report_only
}
