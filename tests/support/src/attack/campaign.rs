//! A campaign: honest requests first, then every spelling at every backend, and what was wrong with what they executed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use super::backend::{Absence, Kind, RunningBackend};
use super::client::{Client, Common, http1_bytes};
use super::execution::Execution;
use super::gateway::{AttackedGateway, VARIANTS, Variant, is_served};
use super::oracle::{Violation, violations};
use super::other_path::{OtherPath, Table, undocumented};
use super::spelling::{Spelling, honest};
use crate::module::project_root;
use crate::polling;

const BATCH: usize = 100;
/// Backends under attack at the same time.
const AT_ONCE: usize = 4;
const TIME_TO_REPORT: Duration = Duration::from_secs(3);
const TRIES: usize = 4;

/// What one backend executed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that were sent.
    pub sent: usize,
    /// Operations that were executed, requests for which the framework had no handler included.
    pub executed: usize,
    /// What must not have happened, by backend, family, policy and violation: how often, and one example.
    pub findings: BTreeMap<(String, String), (usize, String)>,
    /// Paths that are other paths to the rules, and the same to a backend.
    pub other_paths: Table,
    /// Backends for which the time was over before every request was sent.
    pub unfinished: Vec<String>,
    /// Backends that could not be run, or did not execute honest requests any more, and why.
    pub absent: Vec<Absence>,
}

struct Attempt {
    spelling: Spelling,
    variant: Variant,
    token: Option<String>,
}

/// Runs the spellings against each of the kinds, in every variant of Envoy, several backends at a time. No backend takes longer
/// than `most` seconds.
///
/// # Panics
/// When the filter traps.
pub fn run(kinds: &[&'static Kind], spellings: &[Spelling], most: Option<Duration>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut backends = Vec::new();
    for kind in kinds {
        match RunningBackend::start(kind) {
            Ok(backend) => backends.push(backend),
            Err(absence) => outcome.absent.push(absence),
        }
    }
    let gateway = AttackedGateway::start(&backends);
    let waiting = Mutex::new(backends);
    let outcome = Mutex::new(outcome);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no panic").pop();
                    let Some(backend) = next else { break };
                    let found = attack(&gateway, backend, spellings, most);
                    outcome.lock().expect("no panic").add(found);
                }
            });
        }
    });
    assert!(!gateway.has_trapped(), "the filter trapped");
    outcome.into_inner().expect("no panic")
}

fn attack(
    gateway: &AttackedGateway,
    mut backend: RunningBackend,
    spellings: &[Spelling],
    most: Option<Duration>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut side =
        Side { gateway, backend: &mut backend, client: Client::default(), attempts: HashMap::new(), next: 0 };
    if let Err(fault) = side.expect_honest() {
        outcome.absent.push(fault);
        return outcome;
    }
    let mut requests = Vec::new();
    for spelling in spellings {
        let chosen = |&&variant: &&Variant| is_served(spelling.policy, variant) && is_worth(spelling, variant);
        requests.extend(VARIANTS.iter().filter(chosen).map(|variant| (spelling, *variant)));
    }
    let deadline = most.map(|most| Instant::now() + most);
    for batch in requests.chunks(BATCH) {
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            outcome.unfinished.push(side.backend.kind.name.to_owned());
            break;
        }
        side.send(batch);
        if let Err(fault) = side.judge(&mut outcome) {
            outcome.absent.push(fault);
            break;
        }
        outcome.sent += batch.len();
    }
    outcome
}

/// Requests without anything that waiting could change are not sent to the listener on which they wait.
fn is_worth(spelling: &Spelling, variant: Variant) -> bool {
    variant != Variant::Waiting || spelling.body.is_some() || spelling.family == "identity"
}

struct Side<'a> {
    gateway: &'a AttackedGateway,
    backend: &'a mut RunningBackend,
    client: Client,
    attempts: HashMap<String, Attempt>,
    next: usize,
}

impl Side<'_> {
    fn send_one(&mut self, spelling: &Spelling, variant: Variant) -> (String, Option<u16>) {
        let id = format!("a{}", self.next);
        self.next += 1;
        let token = self.gateway.token(spelling.credential);
        let request = spelling.with_token(token.as_deref());
        let port = self.gateway.port(spelling.policy, variant);
        let status = self.client.send(port, &request, &Common { backend: self.backend.kind.name, attempt: &id });
        self.attempts.insert(id.clone(), Attempt { spelling: spelling.clone(), variant, token });
        (id, status)
    }

    /// Sends a request until the backend has executed it, and gives all that it executed meanwhile.
    fn until_executed(&mut self, spelling: &Spelling, variant: Variant) -> Result<Vec<Execution>, String> {
        let mut executions = Vec::new();
        let mut status = None;
        for _ in 0..TRIES {
            let id;
            (id, status) = self.send_one(spelling, variant);
            let found = polling::within(TIME_TO_REPORT, || {
                executions.extend(self.backend.new_executions());
                let is_it = |execution: &Execution| execution.attempt == id && execution.operation != "none";
                executions.iter().any(is_it).then_some(())
            });
            if found.is_some() {
                return Ok(executions);
            }
        }
        let (backend, request) = (self.backend.kind.name, name(spelling));
        Err(format!("{backend} does not execute the honest request {request} ({variant:?}): status {status:?}"))
    }

    /// Sends the honest requests, and waits until the backend has executed each.
    fn expect_honest(&mut self) -> Result<(), String> {
        for spelling in honest() {
            for variant in VARIANTS.into_iter().filter(|&variant| is_served(spelling.policy, variant)) {
                self.until_executed(&spelling, variant)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, batch: &[(&Spelling, Variant)]) {
        for (spelling, variant) in batch {
            self.send_one(spelling, *variant);
        }
    }

    /// Waits until the backend has executed one more honest request, and judges all that it executed until then.
    fn judge(&mut self, outcome: &mut Outcome) -> Result<(), String> {
        let executions = self.until_executed(&honest()[0], Variant::Shipped)?;
        outcome.executed += executions.len();
        for execution in &executions {
            let Some(attempt) = self.attempts.get(&execution.attempt) else {
                self.note(outcome, &Violation::NotSent.to_string(), format!("{execution:?}"));
                continue;
            };
            let spelling = &attempt.spelling;
            let found = violations(spelling.policy, spelling.credential, attempt.token.as_deref(), execution);
            for violation in found {
                let path = execution.path.as_deref().unwrap_or_default();
                let other = OtherPath::between(&spelling.target, path);
                if let (Violation::NotAllowed { .. }, Some(other)) = (&violation, other) {
                    let example = format!("{} executed {} {path}", name(spelling), execution.method);
                    let examples = outcome.other_paths.entry(other).or_default();
                    examples.entry(self.backend.kind.name.to_owned()).or_insert(example);
                    continue;
                }
                let case = format!("{} {} {:?}: {violation}", spelling.family, spelling.policy.name, attempt.variant);
                let bytes = http1_bytes(spelling, &Common { backend: self.backend.kind.name, attempt: "1" });
                let request = String::from_utf8_lossy(&bytes).escape_debug().to_string();
                let example =
                    format!("{:?} {:?} {request} executed {execution:?}", spelling.protocol, spelling.credential);
                self.note(outcome, &case, example);
            }
        }
        Ok(())
    }

    fn note(&self, outcome: &mut Outcome, case: &str, example: String) {
        let key = (self.backend.kind.name.to_owned(), case.to_owned());
        outcome.findings.entry(key).or_insert((0, example)).0 += 1;
    }
}

fn name(spelling: &Spelling) -> String {
    format!("{} {}", spelling.method, String::from_utf8_lossy(&spelling.target))
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.executed += other.executed;
        for (key, (count, example)) in other.findings {
            self.findings.entry(key).or_insert((0, example)).0 += count;
        }
        for (kind, backends) in other.other_paths {
            self.other_paths.entry(kind).or_default().extend(backends);
        }
        self.unfinished.extend(other.unfinished);
        self.absent.extend(other.absent);
    }

    /// What was seen that is neither allowed nor in the documentation's table of other paths; empty: the filter held.
    pub fn failures(&self) -> String {
        let page = fs::read_to_string(project_root().join("docs/security.md")).expect("docs/security.md");
        let undocumented = undocumented(&self.other_paths, &page);
        let mut text = self.report();
        for line in undocumented {
            let _ = writeln!(text, "not in the table of docs/security.md: {}", line.escape_debug());
        }
        text
    }

    /// The findings as text.
    fn report(&self) -> String {
        let mut text = String::new();
        for ((backend, case), (count, example)) in &self.findings {
            let _ = writeln!(text, "{backend}: {case} ({count} times)\n    {example}");
        }
        text
    }
}
