//! The state of one VM's host: contexts, streams, callouts, the clock and the log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::Fields;
use crate::faults::Fault;
use crate::host_behavior::HostBehavior;
use crate::shared::SharedStore;

/// The field of a test's head that says which host its request line names: `GET http://a/`.
pub const REQUEST_LINE_HOST: &str = "request-line-host";

/// What a client and a backend see of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Waiting,
    /// The backend got this head.
    Forwarded(Fields),
    /// The client got this.
    Responded(LocalResponse),
}

/// A reply in the backend's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// Its status.
    pub status: u32,
    /// What Envoy shows in access logs, and nginx in the status line.
    pub details: String,
    /// Its header fields.
    pub headers: Fields,
    /// Its body.
    pub body: Vec<u8>,
}

/// A response on its way to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedResponse {
    /// Its header fields, `:status` among them.
    pub headers: Fields,
    /// Its body.
    pub body: Vec<u8>,
}

/// A request that the module asked the host to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout {
    /// Its number, which comes back with the answer.
    pub token: u32,
    /// The context that made it: a root, or a stream.
    pub owner: u32,
    /// Where to.
    pub upstream: String,
    /// Its head.
    pub headers: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Callout {
    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(field, _)| field == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// A call of a host function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostCall {
    /// The function.
    pub function: String,
    /// The callback that made it.
    pub callback: String,
    /// What it is about: a property, a header, a foreign function, a kind of shared record.
    pub subject: String,
}

/// How a callout ends; without headers, there was no answer.
#[derive(Clone, Debug, Default)]
pub struct CalloutResponse {
    /// The header fields, `:status` among them.
    pub headers: Fields,
    /// The body.
    pub body: Vec<u8>,
}

impl CalloutResponse {
    /// An answer of a real server behind Envoy.
    pub fn new(status: u16, body: &[u8]) -> Self {
        let headers = [(":status", status.to_string()), ("x-envoy-upstream-service-time", String::from("3"))];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
        Self { headers, body: body.to_vec() }
    }

    /// What Envoy reports of an answer that broke off.
    pub fn none() -> Self {
        Self::default()
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) root: u32,
    pub(crate) headers: Fields,
    pub(crate) trailers: Fields,
    /// Filter state: what was written under each name, once.
    pub(crate) state: BTreeMap<String, String>,
    /// Whether the host is to choose its route again.
    pub(crate) is_route_cleared: bool,
    pub(crate) replies: Vec<LocalResponse>,
    forwarded: Option<Fields>,
    pub(crate) forwarded_trailers: Fields,
    pub(crate) resumed: usize,
    /// Whether its last callback began a callout of its own.
    pub(crate) has_begun_callout: bool,
    /// Its callouts that have not ended.
    pub(crate) open_callouts: BTreeSet<u32>,
    /// Whether its callout with a body has just ended without a response.
    pub(crate) has_lost_post: bool,
}

impl Stream {
    pub(crate) const fn new(root: u32, headers: Fields) -> Self {
        Self {
            root,
            headers,
            trailers: Vec::new(),
            state: BTreeMap::new(),
            is_route_cleared: false,
            replies: Vec::new(),
            forwarded: None,
            forwarded_trailers: Vec::new(),
            resumed: 0,
            has_begun_callout: false,
            open_callouts: BTreeSet::new(),
            has_lost_post: false,
        }
    }

    pub(crate) fn is_decided(&self) -> bool {
        self.forwarded.is_some() || !self.replies.is_empty()
    }

    /// nginx's `$host`: that of the request line, which a test gives as [`REQUEST_LINE_HOST`], before the field `Host`; in lower
    /// case, without port and without the dot at its end.
    pub(crate) fn host_of_nginx(&self) -> Option<Vec<u8>> {
        let value = |wanted: &str| self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let host = value(REQUEST_LINE_HOST).or_else(|| value("host"))?.to_ascii_lowercase();
        let behind_address = host.iter().position(|byte| *byte == b']').unwrap_or_default();
        let port = host[behind_address..].iter().position(|byte| *byte == b':');
        let name = port.map_or(&host[..], |at| &host[..behind_address + at]);
        Some(name.strip_suffix(b".").unwrap_or(name).to_vec())
    }

    /// The head as nginx shows it: its target is decoded and normalized, and its host is the server's.
    pub(crate) fn shown_by_nginx(&self) -> Fields {
        let shown = |(name, value): &(String, Vec<u8>)| {
            let value = match name.as_str() {
                ":path" => uri_of_nginx(value),
                ":authority" => b"internal.example:8080".to_vec(),
                _ => value.clone(),
            };
            (name.clone(), value)
        };
        self.headers.iter().filter(|(name, _)| name != REQUEST_LINE_HOST).map(shown).collect()
    }

    /// The head goes to the backend as it is now, and the trailers that have come.
    pub(crate) fn forward(&mut self) {
        if self.forwarded.is_none() {
            self.forwarded = Some(self.headers.clone());
        }
        self.forwarded_trailers.clone_from(&self.trailers);
    }

    pub(crate) fn outcome(&self, id: u32) -> Outcome {
        assert!(self.replies.len() <= 1, "stream {id} was answered {} times", self.replies.len());
        assert!(self.resumed <= 1, "stream {id} was resumed {} times", self.resumed);
        match (&self.forwarded, self.replies.first()) {
            (None, None) => Outcome::Waiting,
            (Some(head), None) => Outcome::Forwarded(head.clone()),
            (None, Some(reply)) => Outcome::Responded(reply.clone()),
            (Some(_), Some(_)) => panic!("stream {id} was forwarded and answered"),
        }
    }
}

pub(crate) struct World {
    pub(crate) behavior: HostBehavior,
    pub(crate) shared: SharedStore,
    /// Whose queues wake it.
    pub(crate) vm: u32,
    pub(crate) now: Duration,
    pub(crate) random: u64,
    /// The context that the module was called for: the SDK files callouts under it.
    pub(crate) active: u32,
    /// The context that host functions act on.
    pub(crate) effective: u32,
    /// The ids of contexts that were made and not deleted.
    pub(crate) contexts: BTreeSet<u32>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) closed: BTreeSet<u32>,
    pub(crate) configuration: Vec<u8>,
    /// What each root has declared, as it came.
    pub(crate) declared: BTreeSet<(u32, Vec<u8>)>,
    pub(crate) callouts: Vec<Callout>,
    pub(crate) callouts_made: u32,
    pub(crate) answer: Option<CalloutResponse>,
    pub(crate) response: PassedResponse,
    pub(crate) tick_periods: BTreeMap<u32, u32>,
    /// Metrics by their names, in the order of their ids, and how often something was told of each.
    pub(crate) metrics: Vec<(String, usize)>,
    pub(crate) log: Vec<String>,
    pub(crate) calls: BTreeMap<String, usize>,
    pub(crate) calls_of_all: usize,
    pub(crate) properties_asked: Vec<String>,
    pub(crate) entries: BTreeMap<String, usize>,
    /// The callback that runs, or ran last.
    pub(crate) callback: String,
    pub(crate) trace: Vec<HostCall>,
    /// Why the module trapped.
    pub(crate) trap: Option<String>,
}

impl World {
    pub(crate) fn new(behavior: HostBehavior, shared: SharedStore) -> Self {
        let vm = shared.new_vm();
        Self {
            vm,
            behavior,
            shared,
            now: Duration::from_secs(1_800_000_000),
            // The same in each run, and another in each VM.
            random: 0x9e37_79b9_7f4a_7c15 ^ u64::from(vm),
            active: 0,
            effective: 0,
            contexts: BTreeSet::new(),
            streams: BTreeMap::new(),
            closed: BTreeSet::new(),
            configuration: Vec::new(),
            declared: BTreeSet::new(),
            callouts: Vec::new(),
            callouts_made: 0,
            answer: None,
            response: PassedResponse::default(),
            tick_periods: BTreeMap::new(),
            metrics: Vec::new(),
            log: Vec::new(),
            calls: BTreeMap::new(),
            calls_of_all: 0,
            properties_asked: Vec::new(),
            entries: BTreeMap::new(),
            callback: String::new(),
            trace: Vec::new(),
            trap: None,
        }
    }

    /// The module is entered by one of its exports.
    pub(crate) fn count_entry(&mut self, export: &str) {
        *self.entries.entry(export.to_owned()).or_default() += 1;
    }

    /// Counts a call of a host function; with the status that it returns when the function is faulty.
    pub(crate) fn fault_of_next_call(&mut self, function: &str, subject: String) -> Option<i32> {
        let number = {
            let calls = self.calls.entry(function.to_owned()).or_default();
            *calls += 1;
            *calls
        };
        self.calls_of_all += 1;
        let (function, callback) = (function.to_owned(), self.callback.clone());
        let is_faulty = |fault: &Fault| fault.is_in(&function, number, self.calls_of_all);
        let status = self.behavior.fault.filter(is_faulty).map(|fault| fault.status);
        self.trace.push(HostCall { function, callback, subject });
        status
    }

    pub(crate) fn stream(&self, id: u32) -> &Stream {
        self.streams.get(&id).unwrap_or_else(|| panic!("there is no stream {id}"))
    }

    pub(crate) fn stream_mut(&mut self, id: u32) -> &mut Stream {
        self.streams.get_mut(&id).unwrap_or_else(|| panic!("there is no stream {id}"))
    }

    /// The stream whose context is in effect and that the host still has.
    pub(crate) fn effective_stream(&mut self) -> Option<&mut Stream> {
        let gone = self.closed.contains(&self.effective) && !self.contexts.contains(&self.effective);
        if gone { None } else { self.streams.get_mut(&self.effective) }
    }

    /// The root of the context in effect.
    pub(crate) fn effective_root(&self) -> u32 {
        self.streams.get(&self.effective).map_or(self.effective, |stream| stream.root)
    }

    pub(crate) fn register_queue(&self, name: &[u8]) -> u32 {
        self.shared.register(name, (self.vm, self.effective_root()))
    }

    pub(crate) fn next_wake_up(&self) -> Option<(u32, u32)> {
        self.shared.next_wake_up(self.vm)
    }
}

/// The fields that nginx takes: it drops a name with anything but letters, digits and hyphens.
pub(crate) fn received_by_nginx(mut fields: Fields) -> Fields {
    let is_valid = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fields.retain(|(name, _)| name.starts_with(':') || is_valid(name));
    fields
}

/// nginx's `$uri`: without query, decoded once, with slashes merged and dot segments resolved.
fn uri_of_nginx(target: &[u8]) -> Vec<u8> {
    let decoded = percent_decode(target.split(|byte| *byte == b'?').next().unwrap_or_default());
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut is_folder = false;
    for segment in decoded.split(|byte| *byte == b'/') {
        is_folder = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let path = [b"/", &segments.join(&b'/')[..]].concat();
    if is_folder && path.len() > 1 { [&path[..], b"/"].concat() } else { path }
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [first, others @ ..] = rest {
        let escape = others.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => (rest, _) = (&others[2..], decoded.push(byte)),
            None => (rest, _) = (others, decoded.push(*first)),
        }
    }
    decoded
}
