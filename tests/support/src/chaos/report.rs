//! The report of a run: counts, violations and the last events.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Mutex;

const EVENTS_KEPT: usize = 200;
const EVENTS_SHOWN: usize = 16;
const SHOWN_OF_A_KIND: usize = 2;

/// Something that must not have happened.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What it is, the same for all of its kind.
    pub kind: String,
    /// The request, the response and what surrounded them.
    pub detail: String,
    /// The request's id, to look for in Envoy's log.
    pub id: String,
}

/// How requests fared under a condition.
#[derive(Clone, Copy, Debug, Default)]
pub struct Availability {
    pub served: usize,
    pub unavailable: usize,
}

#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<(&'static str, String), usize>,
    availability: BTreeMap<String, Availability>,
    violations: Vec<Violation>,
    violation_counts: BTreeMap<String, usize>,
    events: VecDeque<String>,
    actions: BTreeMap<String, usize>,
}

/// Collects from all threads.
#[derive(Default)]
pub struct Report(Mutex<Seen>);

impl Report {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().expect("no panic")
    }

    pub fn count(&self, kind: &'static str, outcome: String) {
        *self.seen().outcomes.entry((kind, outcome)).or_default() += 1;
    }

    /// A request with a sufficient token was served, or was not, under each of these conditions.
    pub fn available(&self, conditions: &[String], is_served: bool) {
        let mut seen = self.seen();
        for condition in conditions {
            let fared = seen.availability.entry(condition.clone()).or_default();
            if is_served { fared.served += 1 } else { fared.unavailable += 1 }
        }
    }

    /// An action of the plan, done at that moment.
    pub fn action(&self, name: String, moment: std::time::Duration, detail: &str) {
        let mut seen = self.seen();
        seen.events.push_back(format!("{moment:.3?} {name} {detail}"));
        if seen.events.len() > EVENTS_KEPT {
            seen.events.pop_front();
        }
        *seen.actions.entry(name).or_default() += 1;
    }

    pub fn violate(&self, kind: String, id: &str, detail: String) {
        let mut seen = self.seen();
        let count = seen.violation_counts.entry(kind.clone()).or_default();
        *count += 1;
        if *count <= SHOWN_OF_A_KIND {
            let events: Vec<_> =
                seen.events.iter().rev().take(EVENTS_SHOWN).map(|event| format!("        {event}")).collect();
            let detail = format!("{detail}\n      the last actions, newest first:\n{}", events.join("\n"));
            seen.violations.push(Violation { kind, detail, id: id.to_owned() });
        }
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    pub fn violation_counts(&self) -> BTreeMap<String, usize> {
        self.seen().violation_counts.clone()
    }

    pub fn requests(&self) -> usize {
        self.seen().outcomes.values().sum()
    }

    /// How requests with a sufficient token fared while nothing that they need was at fault.
    pub fn healthy(&self) -> Availability {
        self.seen().availability.get(HEALTHY).copied().unwrap_or_default()
    }

    /// The tables at the end of a run.
    pub fn tables(&self) -> String {
        let seen = self.seen();
        let mut text = String::from("Requests by kind:\n");
        let mut by_kind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((kind, outcome), count) in &seen.outcomes {
            by_kind.entry(kind).or_default().push(format!("{outcome}: {count}"));
        }
        for (kind, outcomes) in by_kind {
            let _ = writeln!(text, "  {kind:<32} {}", outcomes.join(", "));
        }
        text.push_str("\nActions:\n");
        for (action, count) in &seen.actions {
            let _ = writeln!(text, "  {action:<44} {count:>6}");
        }
        text.push_str("\nRequests with a sufficient token (a request counts under each condition that held):\n");
        for (condition, Availability { served, unavailable }) in &seen.availability {
            let share = 100.0 * *served as f64 / (served + unavailable).max(1) as f64;
            let _ = writeln!(text, "  {condition:<52} {served:>7} served {unavailable:>6} not: {share:.2} %");
        }
        text
    }
}

/// The condition that nothing is at fault.
pub const HEALTHY: &str = "all that the request needs is healthy";
