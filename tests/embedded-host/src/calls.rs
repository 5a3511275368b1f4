//! The host functions that the module calls, each counted, each behaving as the host's [`HostBehavior`] say.

use wasmi::{Caller, Error, Memory, Val};

use crate::abi::{Status, deserialize, serialize};
use crate::host_behavior::{Property, Support};
use crate::signatures::{sign, verify_signature};
use crate::world::{Callout, LocalResponse, World};
use std::time::Duration;

/// The functions of the ABI that this host has, in the shape that the published SDKs import. `proxy_get_log_level` is
/// not among them: ngx_wasm_module declares it otherwise, so a module that imports it does not start there.
const ENV: [&str; 37] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_get_metric",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_record_metric",
    "proxy_register_shared_queue",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_resolve_shared_queue",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_header_map_size",
];
const WASI: [&str; 5] = ["environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"];

const ALLOCATE: &str = "proxy_on_memory_allocate";
const CONFIGURATION: u32 = 7;
const CALLOUT_BODY: u32 = 4;
const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_BODY: u32 = 1;
const CALLOUT_HEADERS: u32 = 6;

const MAX_PAIRS_OF_NGINX: usize = 100;

pub(crate) fn is_known(module: &str, name: &str) -> bool {
    match module {
        "env" => ENV.contains(&name),
        "wasi_snapshot_preview1" => WASI.contains(&name),
        _ => false,
    }
}

/// Serves one call.
pub(crate) fn call(
    module: &str,
    name: &str,
    caller: Caller<'_, World>,
    arguments: &[Val],
    results: &mut [Val],
) -> Result<(), Error> {
    let arguments = arguments.iter().map(|value| match value {
        Val::I32(value) => u64::from(value.cast_unsigned()),
        Val::I64(value) => value.cast_unsigned(),
        other => panic!("{name} has an argument of another kind: {other:?}"),
    });
    let memory = caller.get_export("memory").and_then(|export| export.into_memory()).expect("a memory");
    let mut served = Call { caller, memory, arguments: arguments.collect() };
    let subject = served.subject(name);
    let status = match served.world().fault_of_next_call(name, subject) {
        Some(status) => status,
        None if module == "env" => served.env(name)? as i32,
        None => served.wasi(name)? as i32,
    };
    if let Some(result) = results.first_mut() {
        *result = Val::I32(status);
    }
    Ok(())
}

struct Call<'a> {
    caller: Caller<'a, World>,
    memory: Memory,
    arguments: Vec<u64>,
}

impl Call<'_> {
    fn env(&mut self, name: &str) -> Result<Status, Error> {
        let behavior = &self.world().behavior;
        let asked = match name {
            "proxy_call_foreign_function" => behavior.foreign_functions,
            "proxy_set_property" => behavior.filter_state,
            "proxy_http_call" => behavior.callouts,
            _ if name.ends_with("_metric") => behavior.metrics,
            _ if name.contains("_shared_") => behavior.shared_data,
            _ => Support::Served,
        };
        match asked {
            Support::Served => self.serve(name),
            Support::Fails(status) => Ok(status),
            Support::Traps => Err(Error::new(format!("this host traps on {name}"))),
        }
    }

    /// What the call is about, where it names something: without the parts of a name that differ from one configuration
    /// or token to another.
    fn subject(&self, function: &str) -> String {
        let name = match function {
            "proxy_get_property" | "proxy_set_property" | "proxy_call_foreign_function" => self.bytes(0),
            "proxy_get_shared_data" | "proxy_set_shared_data" => {
                let key = self.bytes(0);
                let kind = key.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
                if kind.iter().all(u8::is_ascii_digit) { b"slot".to_vec() } else { kind.to_vec() }
            }
            "proxy_get_header_map_value" | "proxy_remove_header_map_value" | "proxy_replace_header_map_value" => {
                self.bytes(1)
            }
            "proxy_set_effective_context" if self.number(0) == self.caller.data().active => b"root".to_vec(),
            "proxy_set_effective_context" => b"stream".to_vec(),
            _ => Vec::new(),
        };
        String::from_utf8_lossy(&name).replace('\0', ".")
    }

    fn serve(&mut self, name: &str) -> Result<Status, Error> {
        match name {
            "proxy_log" => {
                let line = String::from_utf8_lossy(&self.bytes(1)).into_owned();
                let level = ["trace", "debug", "info", "warn", "error", "critical"][self.number(0) as usize];
                self.world().log.push(format!("{level}: {line}"));
                Ok(Status::Ok)
            }
            "proxy_get_current_time_nanoseconds" => {
                let nanoseconds = u64::try_from(self.world().now.as_nanos()).expect("a time");
                self.write(self.number(0), &nanoseconds.to_le_bytes());
                Ok(Status::Ok)
            }
            "proxy_set_tick_period_milliseconds" => {
                let (root, period) = (self.world().effective_root(), self.number(0));
                let is_first = self.world().tick_periods.insert(root, period).is_none();
                if self.world().behavior.is_nginx && (!is_first || self.world().active != root) {
                    return Err(Error::new("tick_period already set"));
                }
                Ok(Status::Ok)
            }
            "proxy_set_effective_context" => {
                let id = self.number(0);
                let known = self.world().contexts.contains(&id);
                // On nginx it does nothing.
                if known && !self.world().behavior.is_nginx {
                    self.world().effective = id;
                }
                Ok(if known { Status::Ok } else { Status::BadArgument })
            }
            "proxy_get_buffer_bytes" => self.get_buffer(),
            "proxy_get_header_map_pairs" => match self.map() {
                Some(fields) if self.number(0) == REQUEST_HEADERS && self.world().behavior.is_nginx => {
                    // Four of the pairs are pseudo-headers, whichever of them a test leaves out.
                    let count = fields.iter().filter(|(name, _)| !name.starts_with(':')).count();
                    if count > MAX_PAIRS_OF_NGINX {
                        return Err(Error::new("more than 100 fields: the host writes past its buffer"));
                    }
                    let hidden = (count + 4).saturating_sub(MAX_PAIRS_OF_NGINX);
                    self.give(1, &serialize(&fields[..fields.len() - hidden].to_vec()))
                }
                Some(fields) => self.give(1, &serialize(&fields)),
                None => Ok(Status::BadArgument),
            },
            "proxy_get_header_map_value" => {
                let name = self.bytes(1);
                match self.map() {
                    None => Ok(Status::BadArgument),
                    Some(fields) => match fields.into_iter().find(|(field, _)| field.as_bytes() == name) {
                        Some((_, value)) => self.give(3, &value),
                        None => Ok(Status::NotFound),
                    },
                }
            }
            "proxy_remove_header_map_value" | "proxy_replace_header_map_value" | "proxy_add_header_map_value" => {
                Ok(self.edit(name))
            }
            "proxy_send_local_response" | "proxy_continue_stream" if self.is_root_of_nginx() => {
                Err(Error::new("the worker ends: a root releases a request"))
            }
            "proxy_send_local_response" if self.cancels_callouts_of_nginx() => {
                Err(Error::new("the worker may end: a local response cancels a callout that the host is resolving"))
            }
            "proxy_send_local_response" if self.loses_response_of_nginx() => {
                Err(Error::new("the connection closes: the response reuses the buffer of a callout without a response"))
            }
            "proxy_send_local_response" => Ok(self.reply()),
            "proxy_continue_stream" => Ok(self.world().effective_stream().map_or(Status::BadArgument, |stream| {
                stream.resumed += 1;
                stream.forward();
                Status::Ok
            })),
            "proxy_set_buffer_bytes" => Ok(self.set_buffer()),
            "proxy_http_call" if self.is_configuring_nginx() => Err(Error::new("no callout while it configures")),
            "proxy_http_call" => Ok(self.callout()),
            "proxy_get_property" => self.property(),
            "proxy_set_property" => Ok(self.write_state()),
            "proxy_call_foreign_function" => self.foreign_function(),
            "proxy_get_shared_data" => {
                let key = self.bytes(0);
                let held = self.world().shared.get(&key);
                match held {
                    None => Ok(Status::NotFound),
                    Some((value, version)) => {
                        self.write(self.number(4), &version.to_le_bytes());
                        self.give(2, &value)
                    }
                }
            }
            "proxy_set_shared_data" => {
                let (key, value, version) = (self.bytes(0), self.bytes(2), self.number(4));
                Ok(self.world().shared.set(&key, &value, version))
            }
            "proxy_register_shared_queue" => {
                let name = self.bytes(0);
                let id = self.world().register_queue(&name);
                self.write(self.number(2), &id.to_le_bytes());
                Ok(Status::Ok)
            }
            "proxy_resolve_shared_queue" => {
                let name = self.bytes(2);
                let found = self.world().shared.resolve(&name);
                let Some(id) = found else { return Ok(Status::NotFound) };
                self.write(self.number(4), &id.to_le_bytes());
                Ok(Status::Ok)
            }
            "proxy_enqueue_shared_queue" => {
                let (id, item) = (self.number(0), self.bytes(1));
                Ok(self.world().shared.enqueue(id, item))
            }
            "proxy_dequeue_shared_queue" => {
                let id = self.number(0);
                let item = self.world().shared.dequeue(id);
                match item {
                    Ok(item) => self.give(1, &item),
                    Err(status) => Ok(status),
                }
            }
            "proxy_define_metric" => {
                let name = String::from_utf8_lossy(&self.bytes(1)).into_owned();
                self.world().metrics.push((name, 0));
                let id = u32::try_from(self.world().metrics.len()).expect("an id");
                self.write(self.number(3), &id.to_le_bytes());
                Ok(Status::Ok)
            }
            "proxy_increment_metric" | "proxy_record_metric" => {
                let id = self.number(0) as usize;
                let Some((_, told)) = self.world().metrics.get_mut(id.wrapping_sub(1)) else {
                    return Ok(Status::BadArgument);
                };
                *told += 1;
                Ok(Status::Ok)
            }
            "proxy_done" => Ok(Status::Ok),
            _ => Err(Error::new(format!("no test expects a call of {name}"))),
        }
    }

    fn wasi(&mut self, name: &str) -> Result<Status, Error> {
        match name {
            "environ_get" => {
                let (mut pointer, mut text) = (self.number(0), self.number(1));
                for variable in self.world().behavior.environment {
                    self.write(pointer, &text.to_le_bytes());
                    self.write(text, format!("{variable}\0").as_bytes());
                    pointer += 4;
                    text += u32::try_from(variable.len() + 1).expect("a size");
                }
                Ok(Status::Ok)
            }
            "environ_sizes_get" => {
                let variables = self.world().behavior.environment;
                let count = u32::try_from(variables.len()).expect("a count");
                let size = u32::try_from(variables.iter().map(|text| text.len() + 1).sum::<usize>()).expect("a size");
                self.write(self.number(0), &count.to_le_bytes());
                self.write(self.number(1), &size.to_le_bytes());
                Ok(Status::Ok)
            }
            "random_get" => {
                let bytes: Vec<u8> = (0..self.number(1)).map(|_| self.random()).collect();
                self.write(self.number(0), &bytes);
                Ok(Status::Ok)
            }
            _ => Err(Error::new(format!("the module calls {name}: it prints or exits"))),
        }
    }

    /// Whether a root is active on nginx: there is no effective context, and no request in hand.
    fn is_root_of_nginx(&mut self) -> bool {
        let active = self.world().active;
        self.world().behavior.is_nginx && !self.world().streams.contains_key(&active)
    }

    fn is_configuring_nginx(&mut self) -> bool {
        let world = self.world();
        world.behavior.is_nginx && matches!(&*world.callback, "proxy_on_vm_start" | "proxy_on_configure")
    }

    fn random(&mut self) -> u8 {
        let state = &mut self.world().random;
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[4]
    }

    fn get_buffer(&mut self) -> Result<Status, Error> {
        let (start, longest) = (self.number(1) as usize, self.number(2) as usize);
        let buffer = match self.number(0) {
            CONFIGURATION => Some(self.world().configuration.clone()),
            CALLOUT_BODY => self.world().answer.as_ref().map(|answer| answer.body.clone()),
            _ => None,
        };
        match buffer {
            None => Ok(Status::NotFound),
            Some(bytes) => {
                let part: Vec<u8> = bytes.into_iter().skip(start).take(longest).collect();
                self.give(3, &part)
            }
        }
    }

    /// The map that the first argument means.
    fn map(&mut self) -> Option<Vec<(String, Vec<u8>)>> {
        match self.number(0) {
            REQUEST_HEADERS if self.world().behavior.is_nginx => {
                self.world().effective_stream().map(|stream| stream.shown_by_nginx())
            }
            REQUEST_HEADERS => self.world().effective_stream().map(|stream| stream.headers.clone()),
            REQUEST_TRAILERS => self.world().effective_stream().map(|stream| stream.trailers.clone()),
            RESPONSE_HEADERS => Some(self.world().response.headers.clone()),
            CALLOUT_HEADERS => self.world().answer.as_ref().map(|answer| answer.headers.clone()),
            _ => None,
        }
    }

    fn edit(&mut self, name: &str) -> Status {
        let (map, field) = (self.number(0), String::from_utf8(self.bytes(1)).expect("a header name"));
        let value = (name != "proxy_remove_header_map_value").then(|| self.bytes(3));
        let is_nginx = self.world().behavior.is_nginx;
        if map == RESPONSE_HEADERS {
            return self.edit_response(&field, value);
        }
        let Some(stream) = self.world().effective_stream() else { return Status::BadArgument };
        if is_nginx && map == REQUEST_HEADERS {
            // What is removed still reaches the backend, and one copy is replaced.
            let held = stream.headers.iter_mut().find(|(held, _)| held.eq_ignore_ascii_case(&field));
            match (value, held) {
                (Some(value), Some((_, held))) => *held = value,
                (Some(value), None) => stream.headers.push((field, value)),
                (None, _) => {}
            }
            return Status::Ok;
        }
        let fields = match map {
            REQUEST_HEADERS => &mut stream.headers,
            REQUEST_TRAILERS => &mut stream.trailers,
            _ => return Status::BadArgument,
        };
        if name != "proxy_add_header_map_value" {
            fields.retain(|(held, _)| !held.eq_ignore_ascii_case(&field));
        }
        fields.extend(value.map(|value| (field, value)));
        Status::Ok
    }

    fn edit_response(&mut self, field: &str, value: Option<Vec<u8>>) -> Status {
        // nginx makes these itself: to remove one ends the worker.
        let is_own = ["connection", "date", "server"].iter().any(|own| field.eq_ignore_ascii_case(own));
        assert!(!is_own || value.is_some(), "the worker ends: {field} of a response is removed");
        let fields = &mut self.world().response.headers;
        fields.retain(|(held, _)| !held.eq_ignore_ascii_case(field));
        fields.extend(value.map(|value| (field.to_owned(), value)));
        Status::Ok
    }

    fn set_buffer(&mut self) -> Status {
        if self.number(0) != RESPONSE_BODY {
            return Status::BadArgument;
        }
        let bytes = self.bytes(3);
        assert!(!bytes.is_empty(), "the response never ends: its last part is empty");
        self.world().response.body = bytes;
        Status::Ok
    }

    fn reply(&mut self) -> Status {
        let reply = LocalResponse {
            status: self.number(0),
            details: String::from_utf8(self.bytes(1)).expect("details in UTF-8"),
            body: self.bytes(3),
            headers: deserialize(&self.bytes(5)),
        };
        let Some(stream) = self.world().effective_stream() else { return Status::BadArgument };
        stream.replies.push(reply);
        Status::Ok
    }

    /// nginx cancels the callouts of a request that gets a local response, and frees what it resolves their names with.
    fn cancels_callouts_of_nginx(&mut self) -> bool {
        let world = self.world();
        world.behavior.is_nginx && world.effective_stream().is_some_and(|stream| !stream.open_callouts.is_empty())
    }

    /// In nginx a body of a local response takes the buffer of a callout's body, which is released when its callback ends.
    fn loses_response_of_nginx(&mut self) -> bool {
        let has_body = !self.bytes(3).is_empty();
        let world = self.world();
        world.behavior.is_nginx && has_body && world.effective_stream().is_some_and(|stream| stream.has_lost_post)
    }

    fn callout(&mut self) -> Status {
        let (upstream, headers, body) = (self.bytes(0), deserialize(&self.bytes(2)), self.bytes(4));
        for needed in [":method", ":path", ":authority"] {
            if !headers.iter().any(|(name, _)| name == needed) {
                return Status::BadArgument;
            }
        }
        let timeout = Duration::from_millis(u64::from(self.number(8)));
        let (root, owner) = (self.world().effective_root(), self.world().active);
        let behavior = &self.world().behavior;
        // A failing property makes Envoy look like another host.
        let may_wait_in_streams =
            behavior.is_nginx || behavior.fault.is_some() || behavior.properties != Property::Envoy;
        assert!(
            may_wait_in_streams || root == owner,
            "a request owns a callout: its response is lost when the client leaves"
        );
        if let Some(stream) = self.world().streams.get_mut(&owner) {
            stream.has_begun_callout = true;
        }
        let token = self.world().behavior.first_callout_token + self.world().callouts_made;
        self.world().callouts_made += 1;
        if let Some(stream) = self.world().streams.get_mut(&owner) {
            stream.open_callouts.insert(token);
        }
        let upstream = String::from_utf8(upstream).expect("a name");
        self.world().callouts.push(Callout { token, owner, upstream, headers, body, timeout });
        self.write(self.number(9), &token.to_le_bytes());
        Status::Ok
    }

    /// As Envoy has it for a name that was declared read-only: a second value is refused.
    fn write_state(&mut self) -> Status {
        let name = String::from_utf8(self.bytes(0)).expect("a name");
        let value = String::from_utf8(self.bytes(2)).expect("a string, as declared");
        let Some(stream) = self.world().effective_stream() else { return Status::NotFound };
        if stream.state.contains_key(&name) {
            return Status::BadArgument;
        }
        stream.state.insert(name, value);
        Status::Ok
    }

    fn foreign_function(&mut self) -> Result<Status, Error> {
        let (name, argument) = (self.bytes(0), self.bytes(2));
        match name.as_slice() {
            b"declare_property" => {
                let root = self.world().effective_root();
                Ok(if self.world().declared.insert((root, argument)) { Status::Ok } else { Status::BadArgument })
            }
            b"clear_route_cache" => {
                let Some(stream) = self.world().effective_stream() else { return Ok(Status::BadArgument) };
                stream.is_route_cleared = true;
                Ok(Status::Ok)
            }
            b"verify_signature" => self.give(4, &verify_signature(&argument)),
            b"sign" if self.world().behavior.signs => self.give(4, &sign(&argument)),
            _ => Ok(Status::NotFound),
        }
    }

    fn property(&mut self) -> Result<Status, Error> {
        let path = String::from_utf8(self.bytes(0)).expect("names").replace('\0', ".");
        self.world().properties_asked.push(path.clone());
        if path == "request.path" && self.world().behavior.is_nginx {
            let target = self.world().effective_stream().and_then(|stream| {
                stream.headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.clone())
            });
            return target.map_or(Ok(Status::NotFound), |target| self.give(2, &target));
        }
        if path == "ngx.host" && self.world().behavior.is_nginx {
            let host = self.world().effective_stream().and_then(|stream| stream.host_of_nginx());
            return host.map_or(Ok(Status::NotFound), |host| self.give(2, &host));
        }
        let more = match self.world().behavior.properties {
            Property::Status(status) => return Ok(status),
            Property::Empty => return self.give(2, b""),
            Property::Envoy => &[],
            Property::EnvoyAnd(more) => more,
        };
        let known: [(&str, &[u8]); 3] =
            [("xds.node", b"\x0a\x07gateway"), ("xds.node.id", b"gateway"), ("xds.node.user_agent_name", b"envoy")];
        if let Some((_, value)) = known.iter().chain(more).find(|(name, _)| *name == path) {
            return self.give(2, value);
        }
        let written = self.world().effective_stream().and_then(|stream| stream.state.get(&path).cloned());
        written.map_or(Ok(Status::NotFound), |value| self.give(2, value.as_bytes()))
    }

    fn world(&mut self) -> &mut World {
        self.caller.data_mut()
    }

    fn number(&self, at: usize) -> u32 {
        u32::try_from(self.arguments[at]).expect("a number of 32 bits")
    }

    /// The bytes that two arguments, address and size, mean.
    fn bytes(&self, at: usize) -> Vec<u8> {
        let (start, size) = (self.number(at) as usize, self.number(at + 1) as usize);
        if size == 0 {
            return Vec::new();
        }
        self.memory.data(&self.caller)[start..start + size].to_vec()
    }

    fn write(&mut self, address: u32, bytes: &[u8]) {
        self.memory.write(&mut self.caller, address as usize, bytes).expect("an address of the module");
    }

    /// Hands bytes to the module in memory of its own; two arguments say where address and size go.
    fn give(&mut self, at: usize, bytes: &[u8]) -> Result<Status, Error> {
        let size = u32::try_from(bytes.len()).expect("a size");
        let address = if bytes.is_empty() { 0 } else { self.allocate(size)? };
        self.write(address, bytes);
        self.write(self.number(at), &address.to_le_bytes());
        self.write(self.number(at + 1), &size.to_le_bytes());
        Ok(Status::Ok)
    }

    fn allocate(&mut self, size: u32) -> Result<u32, Error> {
        self.world().count_entry(ALLOCATE);
        let allocate =
            self.caller.get_export(ALLOCATE).and_then(|export| export.into_func()).expect("the module allocates");
        let mut address = [Val::I32(0)];
        allocate.call(&mut self.caller, &[Val::I32(size.cast_signed())], &mut address)?;
        Ok(address[0].i32().expect("an address").cast_unsigned())
    }
}
