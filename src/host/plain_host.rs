//! A host with the calls of Proxy-Wasm and nothing of Envoy's own: nginx with `ngx_wasm_module`, which Kong shares.
//!
//! Each worker is alone, and the module verifies the signatures. What was measured of this host, and what it is answered by:
//!
//! * A second tick period traps: the first one stays.
//! * `:path` is decoded and normalized, and `:authority` is the server's name, while the backend may receive what the client
//!   sent: target and host are read elsewhere, and dot segments are rejected. So is a request line with another host.
//! * A removed field still reaches the backend, and replacing one changes one copy: fields are replaced, by nothing where they
//!   would be removed, and a field that is edited and comes twice is rejected.
//! * The head has room for 100 fields, four of them of the host: a longer one is rejected unread.
//! * The root cannot resume a request: it would end the worker.
//! * `rewrite` without `break` leads a rejected request to another location, which serves it: a response to such a request is
//!   replaced, unless it has the mark of the filter's own.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

use crate::callout::{CalloutResult, ResponseFormat, TransportError};
use crate::config::Loaded;
use crate::encoding::{hex, percent_escape};
use crate::engine::{Entropy, FilterStateValues};
use crate::host::host_error::HostError;
use crate::host::host_interface::{Host, HostFunction, ResponseBody};
use crate::host::{callouts, clock, headers};
use crate::http::{HeadEdits, HeaderEdit, HeaderName, HeaderValue, LocalResponse, RequestHead};

/// How often the root looks for what is due.
const TICK_PERIOD: Duration = Duration::from_millis(100);
/// The fields that a head may have, with the four of the host.
const MAX_FIELDS: usize = 96;

/// The field that marks the filter's own responses until they leave.
const MARK: &str = "x-okta-proxy-wasm-response";

thread_local! {
    static MARK_VALUE: String = clock::entropy().map(|Entropy(bytes)| hex(&bytes)).unwrap_or_default();
}

/// A host other than Envoy.
pub(super) struct PlainHost {
    /// Whether it is nginx, where a rejected configuration ends the worker.
    pub(super) is_nginx: bool,
}

impl Host for PlainHost {
    fn shares_data(&self) -> bool {
        false
    }

    fn has_metrics(&self) -> bool {
        false
    }

    fn verify_signature(&self) -> Option<HostFunction> {
        None
    }

    fn sign(&self) -> Option<HostFunction> {
        None
    }

    fn declare_filter_state(&self, names: &[&str]) -> Result<(), Status> {
        if names.is_empty() { Ok(()) } else { Err(Status::NotFound) }
    }

    fn set_filter_state(&self, values: &FilterStateValues) -> Result<(), HostError> {
        if values.iter().next().is_none() { Ok(()) } else { Err(HostError::NotSupported("filter state")) }
    }

    fn clear_route_cache(&self) -> Result<(), HostError> {
        Err(HostError::NotSupported("clear_route_cache"))
    }

    fn resumes_from_root(&self) -> bool {
        false
    }

    /// nginx reuses the buffer of a callout's body for that of the response, and closes the connection without a response.
    fn body_after_failed_callout(&self) -> ResponseBody {
        if self.is_nginx { ResponseBody::Dropped } else { ResponseBody::Kept }
    }

    fn dies_of_rejected_configuration(&self) -> bool {
        self.is_nginx
    }

    fn unsupported(&self, loaded: &Loaded) -> Vec<&'static str> {
        let policy = &loaded.policy;
        let source = &policy.token_source;
        let mut introspections = policy.providers.iter().filter_map(|(_, provider)| provider.introspection.as_ref());
        let signs_with_rsa = introspections.any(|settings| settings.client.host_key().is_some());
        let removes_parameters = !source.params.is_empty() && !source.forward;
        let reasons = [
            (policy.filter_state.names().next().is_some(), "`filter_state`: this host has none, only Envoy does"),
            (policy.clear_route_cache, "`clear_route_cache`: this host chooses the route before the filter runs"),
            (
                policy.providers.reads_certificates(),
                "`sender_constraint.mtls`: this host does not show the certificate of the client, only Envoy does",
            ),
            (
                policy.providers.iter().any(|(_, provider)| provider.makes_nonces_of_process()),
                "`sender_constraint.proofs.nonce` without `nonce_key`: workers of this host share nothing, and each would reject the nonces of the others",
            ),
            (signs_with_rsa, "a `private_key` of RSA: this host does not sign; a key of P-256 needs no host"),
            (
                removes_parameters && self.is_nginx,
                "`token.from_params` without `token.forward`: this host cannot remove a query parameter from a request",
            ),
        ];
        reasons.into_iter().filter_map(|(applies, reason)| applies.then_some(reason)).collect()
    }

    fn limitations(&self, loaded: &Loaded) -> Vec<String> {
        let policy = &loaded.policy;
        let mut limitations = Vec::new();
        for (path, rule) in policy.rules.with_paths() {
            let attributes = rule.requirement.iter().flat_map(|requirement| requirement.attributes().iter());
            for attribute in attributes.filter(|attribute| attribute.is_of_envoy_only()) {
                limitations.push(format!(
                    "{path}: this host does not provide `{}`, and a condition that reads it denies the request",
                    attribute.path().join(".")
                ));
            }
        }
        if policy.providers.accepts_proofs() {
            limitations.push(String::from(
                "$.replay_detection: each worker of this host has a memory of its own, so that each may accept a proof once",
            ));
        }
        for (_, provider) in policy.providers.iter() {
            if let Some(introspection) = &provider.introspection {
                limitations.push(format!(
                    "$.providers.{}.introspection.requests_per_minute: each worker of this host makes up to {} calls a minute, because workers share nothing",
                    provider.name, introspection.requests_per_minute
                ));
            }
        }
        // An address without a port has colons or dots.
        let clusters = policy.upstreams().into_iter().filter(|upstream| !upstream.contains(['.', ':']));
        limitations.extend(clusters.map(|upstream| {
            format!("the upstream {upstream:?} is not a name of DNS, and this host has no clusters: write `host:port`")
        }));
        limitations
    }

    fn begin_ticks(&self) {
        // A host that refuses it begins no callout: requests that need one get 503.
        let _ = hostcalls::set_tick_period(TICK_PERIOD);
    }

    /// Without the reason: nginx shows details to the client, in the status line.
    fn send_response(&self, response: &LocalResponse, _reason: &str) {
        let mut marked = response.clone();
        let mark = HeaderName::parse(MARK).zip(MARK_VALUE.with(|value| HeaderValue::parse(value)));
        marked.headers.extend(mark);
        headers::send_response(&marked, "");
    }

    /// By a mark that nobody else knows: it is removed here.
    fn is_own_response(&self) -> bool {
        let mark = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, MARK).ok().flatten();
        let is_own = mark.is_some_and(|mark| MARK_VALUE.with(|value| !value.is_empty() && mark == value.as_bytes()));
        is_own && hostcalls::remove_map_value(MapType::HttpResponseHeaders, MARK).is_ok()
    }

    /// A local response in place of it would hang: the host has one already.
    fn withhold_response(&self) -> Result<(), HostError> {
        let failed = HostError::of("changing a response");
        let fields = hostcalls::get_map_bytes(MapType::HttpResponseHeaders).map_err(&failed)?;
        let keeps = [":status", "connection", "date", "server", "content-type"];
        for (name, _) in fields.iter().filter(|(name, _)| !keeps.contains(&name.to_ascii_lowercase().as_str())) {
            hostcalls::remove_map_value(MapType::HttpResponseHeaders, name).map_err(&failed)?;
        }
        hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, ":status", Some(b"500")).map_err(&failed)
    }

    fn withhold_body(&self, size: usize) -> Result<(), HostError> {
        let withheld = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, b"\n");
        withheld.map_err(HostError::of("changing a response"))
    }

    fn set_tick_period(&self, _: Duration) -> bool {
        true
    }

    fn request_head(&self, fields: usize, end_of_stream: bool) -> Result<RequestHead, HostError> {
        if fields > MAX_FIELDS {
            return Err(HostError::TooManyFields);
        }
        let mut fields = request_fields()?;
        let host = fields.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
        let target = self.property(["request", "path"])?.unwrap_or_default();
        // Without it the rules would see nginx's normalized path.
        if self.is_nginx && target.is_empty() {
            return Err(HostError::NotSupported("property `request.path`"));
        }
        // nginx takes the host of a request line `GET http://a/` before the field `Host`, and hands it to the backend.
        let named = host.as_deref().map(name_of).unwrap_or_default();
        match self.property(["ngx", "host"])? {
            Some(used) if !used.eq_ignore_ascii_case(named) => return Err(HostError::TargetAmbiguous),
            None if self.is_nginx && !named.is_empty() => return Err(HostError::NotSupported("property `ngx.host`")),
            Some(_) | None => {}
        }
        for (name, value) in &mut fields {
            match (name.as_str(), &host) {
                (":path", _) if !target.is_empty() => value.clone_from(&target),
                (":authority", Some(host)) => value.clone_from(host),
                _ => {}
            }
        }
        if fields.iter().any(|(name, value)| name == ":path" && has_dot_segment(value)) {
            return Err(HostError::TargetAmbiguous);
        }
        let head = RequestHead::new(fields);
        Ok(if end_of_stream { head } else { head.with_body_or_trailers() })
    }

    /// A failure has no headers, or those that came before it.
    fn read_response(&self, fields: usize, body_size: usize, format: &ResponseFormat) -> CalloutResult {
        match callouts::header(":dispatch_status").as_deref() {
            None | Some("ok") => callouts::read_response(fields, body_size, format, |_| None),
            Some("timeout") => Err(TransportError::TimedOut),
            Some("reader failure") => Err(TransportError::Incomplete),
            Some(failure) => {
                log::warn!("a callout failed: {failure}");
                Err(TransportError::ConnectionFailed)
            }
        }
    }

    fn edit_request(&self, edits: &HeadEdits) -> Result<(), HostError> {
        let fields = request_fields()?;
        let count = |edited: &str| fields.iter().filter(|(name, _)| name == edited).count();
        if edits.iter().any(|edit| count(field_of(edit)) > 1) {
            return Err(HostError::FieldRepeated);
        }
        let is_set = |removed: &str| {
            edits.iter().any(|edit| matches!(edit, HeaderEdit::Set(name, _) if name.as_str() == removed))
        };
        for edit in edits.iter() {
            if matches!(edit, HeaderEdit::Remove(name) if is_set(name)) {
                continue;
            }
            let value = match edit {
                HeaderEdit::Remove(_) => &b""[..],
                HeaderEdit::Set(_, value) => value.as_str().as_bytes(),
                HeaderEdit::Rewrite(rest) => rest.as_bytes(),
            };
            let is_replaced = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, field_of(edit), Some(value));
            let is_edited = is_replaced.and_then(|()| match edit {
                // Here the empty field stays; another host that is taken for this one removes it.
                HeaderEdit::Remove(name) => hostcalls::remove_map_value(MapType::HttpRequestHeaders, name),
                HeaderEdit::Set(..) | HeaderEdit::Rewrite(_) => Ok(()),
            });
            is_edited.map_err(HostError::of("changing a request header"))?;
        }
        Ok(())
    }
}

impl PlainHost {
    /// A property of the current request. nginx has those that are read here; on another host a failure is an absence.
    fn property(&self, path: [&str; 2]) -> Result<Option<Vec<u8>>, HostError> {
        match hostcalls::get_property(path.to_vec()) {
            Err(status) if self.is_nginx => Err(HostError::of("reading a property of the request")(status)),
            property => Ok(property.ok().flatten()),
        }
    }
}

/// The fields with names in lower case, as on Envoy; this host gives them as the client wrote them.
fn request_fields() -> Result<Vec<(String, Vec<u8>)>, HostError> {
    let fields = hostcalls::get_map_bytes(MapType::HttpRequestHeaders);
    let mut fields = fields.map_err(HostError::of("reading the request headers"))?;
    fields.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    Ok(fields)
}

fn field_of(edit: &HeaderEdit) -> &str {
    match edit {
        HeaderEdit::Remove(name) => name,
        HeaderEdit::Set(name, _) => name.as_str(),
        HeaderEdit::Rewrite(rest) => rest.field(),
    }
}

/// A host without its port and the dot at its end.
fn name_of(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let before = host.get(..host.len().saturating_sub(digits)).unwrap_or_default();
    let name = before.strip_suffix(b":").unwrap_or(host);
    name.strip_suffix(b".").unwrap_or(name)
}

/// Whether a segment of the path is `.` or `..` in some reading: with escapes, and with a backslash as separator.
fn has_dot_segment(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?' || *byte == b'#').next().unwrap_or_default();
    let (mut decoded, mut rest) = (Vec::new(), path);
    while let [first, others @ ..] = rest {
        (rest, _) = match percent_escape(others).filter(|_| *first == b'%') {
            Some((byte, behind)) => (behind, decoded.push(byte)),
            None => (others, decoded.push(*first)),
        };
    }
    decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
}
