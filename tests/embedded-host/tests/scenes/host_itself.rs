//! The embedded host itself, with a module that does nothing: each way in which hosts were measured to differ.

use embedded_host::{Action, CalloutResponse, Fields, HostBehavior, Outcome, RootId, Status, StreamId, Vm};

const OK: u32 = Status::Ok as u32;
const NOT_FOUND: u32 = Status::NotFound as u32;

/// A module that pauses every request, with an export for each host function that only calls it.
fn probe_text(accepts: bool) -> String {
    let functions = [
        ("proxy_set_tick_period_milliseconds", 1),
        ("proxy_set_effective_context", 1),
        ("proxy_continue_stream", 1),
        ("proxy_get_header_map_pairs", 3),
        ("proxy_remove_header_map_value", 3),
        ("proxy_replace_header_map_value", 5),
        ("proxy_send_local_response", 8),
        ("proxy_http_call", 10),
        ("proxy_get_property", 4),
        ("proxy_call_foreign_function", 6),
        ("proxy_get_shared_data", 5),
    ];
    let import = |(name, parameters): (&str, usize)| {
        let parameters = "i32 ".repeat(parameters);
        format!("(import \"env\" \"{name}\" (func ${name} (param {parameters}) (result i32)))")
    };
    let export = |(name, parameters): (&str, usize)| {
        let arguments: String = (0..parameters).map(|at| format!("local.get {at} ")).collect();
        let parameters = "i32 ".repeat(parameters);
        format!("(func (export \"{name}\") (param {parameters}) (result i32) {arguments} call ${name})")
    };
    let callback = |name: &str, parameters: usize, result: &str| {
        let parameters = "i32 ".repeat(parameters);
        format!("(func (export \"{name}\") (param {parameters}) {result})")
    };
    let (accept, pause) = (format!("(result i32) i32.const {}", i32::from(accepts)), "(result i32) i32.const 1");
    let callbacks = [
        callback("proxy_on_context_create", 2, ""),
        callback("proxy_on_vm_start", 2, "(result i32) i32.const 1"),
        callback("proxy_on_configure", 2, &accept),
        callback("proxy_on_tick", 1, ""),
        callback("proxy_on_request_headers", 3, pause),
        callback("proxy_on_http_call_response", 5, ""),
        callback("proxy_on_delete", 1, ""),
    ];
    format!(
        "(module {} (memory (export \"memory\") 2) (func (export \"_initialize\")) {} {}
           (global $free (mut i32) (i32.const 65536))
           (func (export \"proxy_on_memory_allocate\") (param i32) (result i32)
             global.get $free
             (global.set $free (i32.add (global.get $free) (local.get 0)))))",
        functions.map(import).concat(),
        functions.map(export).concat(),
        callbacks.concat(),
    )
}

/// The probe, configured, with a request in hand.
struct Probe {
    vm: Vm,
    root: RootId,
    stream: StreamId,
}

impl Probe {
    fn on(behavior: HostBehavior, more: &[(&str, &str)]) -> Self {
        let mut vm = Vm::start_other(&wat::parse_str(probe_text(true)).unwrap(), behavior);
        let (root, accepted) = vm.configure(b"");
        assert!(accepted);
        let head = [(":method", "GET"), (":path", "/a%20b/..%2f//c/./?q=%41"), (":authority", "client.example")];
        let head = head.iter().chain(more).map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let stream = vm.request(root, head.collect());
        Self { vm, root, stream }
    }

    /// The status of a host function; the bytes of each argument are at an address of their own.
    fn call(&mut self, function: &str, before: &[u32], texts: &[&[u8]], after: &[u32]) -> Result<u32, String> {
        let (mut arguments, mut address) = (before.to_vec(), 1024);
        for text in texts {
            self.vm.write_memory(address, text);
            arguments.extend([address, u32::try_from(text.len()).unwrap()]);
            address += 1024;
        }
        arguments.extend(after);
        self.vm.call_host(function, &arguments)
    }

    /// What the host returned through a pointer at 16 and a size at 20.
    fn returned(&self) -> Vec<u8> {
        let number = |at| u32::from_le_bytes(self.vm.read_memory(at, 4).try_into().unwrap());
        self.vm.read_memory(number(16), number(20) as usize)
    }

    fn edit(&mut self, function: &str, texts: &[&[u8]]) {
        assert_eq!(self.call(function, &[0], texts, &[]), Ok(OK));
    }

    fn shown(&mut self) -> Vec<String> {
        assert_eq!(self.call("proxy_get_header_map_pairs", &[0], &[], &[16, 20]), Ok(OK));
        let pairs = String::from_utf8_lossy(&self.returned()).into_owned();
        let count = u32::from_le_bytes(self.returned()[..4].try_into().unwrap()) as usize;
        let bytes = pairs.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        bytes[bytes.len() - 2 * count..].chunks(2).map(|pair| pair.join("=")).collect()
    }

    fn property(&mut self, path: &[u8]) -> Result<u32, String> {
        self.call("proxy_get_property", &[], &[path], &[16, 20])
    }

    fn foreign_function(&mut self, name: &[u8]) -> Result<u32, String> {
        self.call("proxy_call_foreign_function", &[], &[name, b""], &[16, 20])
    }

    fn respond(&mut self) -> Result<u32, String> {
        self.call("proxy_send_local_response", &[401], &[b"", b"", b""], &[0])
    }

    fn dispatch(&mut self) -> Result<u32, String> {
        let pairs: Vec<u8> = pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
        self.call("proxy_http_call", &[], &[b"upstream", &pairs, b"", b""], &[1000, 24])
    }

    fn forwarded(&self, name: &str) -> Vec<String> {
        let Outcome::Forwarded(head) = self.vm.outcome(self.stream) else { panic!("not forwarded") };
        let of_name = head.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

/// A header map as a module gives it to a host.
fn pairs(fields: &[(&str, &str)]) -> Vec<u8> {
    let size = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes();
    let mut map = u32::try_from(fields.len()).unwrap().to_le_bytes().to_vec();
    fields.iter().for_each(|(name, value)| map.extend([size(name), size(value)].concat()));
    fields.iter().for_each(|(name, value)| map.extend(format!("{name}\0{value}\0").into_bytes()));
    map
}

fn envoys() -> [HostBehavior; 2] {
    [HostBehavior::oldest_envoy(), HostBehavior::newest_envoy()]
}

#[test]
fn nginx_traps_on_a_second_tick_period_and_on_one_from_a_request() {
    let set = |probe: &mut Probe| probe.vm.call_host("proxy_set_tick_period_milliseconds", &[100]);
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    assert!(set(&mut probe).is_err(), "from a request");
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    probe.vm.tick(probe.root);
    assert_eq!(set(&mut probe), Ok(OK));
    assert!(set(&mut probe).is_err(), "a second one");
    for behavior in envoys() {
        let mut probe = Probe::on(behavior, &[]);
        assert_eq!([set(&mut probe), set(&mut probe)], [Ok(OK), Ok(OK)]);
    }
}

#[test]
fn nginx_forwards_a_removed_field_and_replaces_one_copy() {
    let fields = [("x-a", "1"), ("x-a", "2"), ("x-b", "3")];
    for (behavior, a, b) in [
        (HostBehavior::nginx(), &["new", "2"][..], &["3"][..]),
        (HostBehavior::oldest_envoy(), &["new"], &[]),
        (HostBehavior::newest_envoy(), &["new"], &[]),
    ] {
        let mut probe = Probe::on(behavior, &fields);
        probe.edit("proxy_replace_header_map_value", &[b"x-a", b"new"]);
        probe.edit("proxy_remove_header_map_value", &[b"x-b"]);
        assert_eq!(probe.vm.call_host("proxy_continue_stream", &[0]), Ok(OK));
        assert_eq!(
            (probe.forwarded("x-a"), probe.forwarded("x-b")),
            (a.iter().map(ToString::to_string).collect(), b.iter().map(ToString::to_string).collect())
        );
    }
}

#[test]
fn nginx_shows_its_own_path_and_host_and_forwards_the_clients() {
    let mut probe =
        Probe::on(HostBehavior::nginx(), &[("host", "client.example"), ("x_dropped", "1"), ("x.dropped", "1")]);
    let expected = [":method=GET", ":path=/c/", ":authority=internal.example:8080", "host=client.example"];
    assert_eq!(probe.shown(), expected);
    assert_eq!((probe.property(b"request\0path"), probe.returned()), (Ok(OK), b"/a%20b/..%2f//c/./?q=%41".to_vec()));
    assert_eq!((probe.property(b"ngx\0host"), probe.returned()), (Ok(OK), b"client.example".to_vec()));
    assert_eq!(probe.vm.call_host("proxy_continue_stream", &[0]), Ok(OK));
    assert_eq!(probe.forwarded(":path"), ["/a%20b/..%2f//c/./?q=%41"]);
    for behavior in envoys() {
        let mut probe = Probe::on(behavior, &[]);
        assert_eq!(probe.shown()[1..], [":path=/a%20b/..%2f//c/./?q=%41", ":authority=client.example"]);
    }
}

#[test]
fn nginx_hides_the_pairs_beyond_100_and_traps_beyond_100_fields() {
    let names: Vec<String> = (0..101).map(|number| format!("h{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
    // Three pseudo-headers are sent here, and four count.
    for (count, shown) in [(96, 99), (97, 99), (100, 99)] {
        let mut probe = Probe::on(HostBehavior::nginx(), &fields[..count]);
        assert_eq!(probe.shown().len(), shown, "{count}");
    }
    let mut probe = Probe::on(HostBehavior::nginx(), &fields);
    assert!(probe.call("proxy_get_header_map_pairs", &[0], &[], &[16, 20]).is_err());
    for behavior in envoys() {
        assert_eq!(Probe::on(behavior, &fields).shown().len(), 104);
    }
}

#[test]
fn nginx_has_no_effective_context_and_ends_when_the_root_releases_a_request() {
    for release in [Probe::respond, |probe: &mut Probe| probe.vm.call_host("proxy_continue_stream", &[0])] {
        let mut probe = Probe::on(HostBehavior::nginx(), &[]);
        probe.vm.tick(probe.root);
        let context = probe.stream.0;
        assert_eq!(probe.vm.call_host("proxy_set_effective_context", &[context]), Ok(OK));
        let read = probe.call("proxy_get_header_map_pairs", &[0], &[], &[16, 20]);
        assert_eq!(read, Ok(Status::BadArgument as u32), "no request is in hand");
        assert!(release(&mut probe).is_err());
        assert_eq!(probe.vm.outcome(probe.stream), Outcome::Waiting);
        for behavior in envoys() {
            let mut probe = Probe::on(behavior, &[]);
            probe.vm.tick(probe.root);
            assert_eq!(probe.vm.call_host("proxy_set_effective_context", &[probe.stream.0]), Ok(OK));
            assert_eq!(release(&mut probe), Ok(OK));
            assert_ne!(probe.vm.outcome(probe.stream), Outcome::Waiting);
        }
    }
}

#[test]
fn nginx_forwards_a_request_whose_callout_ends_without_an_action() {
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    assert_eq!(probe.dispatch(), Ok(OK));
    let callout = probe.vm.take_callout().unwrap();
    assert_eq!(probe.vm.outcome(probe.stream), Outcome::Waiting);
    probe.vm.answer(&callout, CalloutResponse::none());
    assert!(matches!(probe.vm.outcome(probe.stream), Outcome::Forwarded(_)));
    for behavior in envoys() {
        // This host does not let a request of Envoy own a callout: the root begins it.
        let mut probe = Probe::on(behavior, &[]);
        probe.vm.tick(probe.root);
        assert_eq!(probe.dispatch(), Ok(OK));
        let callout = probe.vm.take_callout().unwrap();
        probe.vm.answer(&callout, CalloutResponse::none());
        assert_eq!(probe.vm.outcome(probe.stream), Outcome::Waiting);
    }
}

#[test]
fn nginx_ends_when_a_request_with_a_callout_continues() {
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    assert_eq!(probe.dispatch(), Ok(OK));
    // The probe has no callback for a body, which is to continue.
    let continued = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| probe.vm.body(probe.stream, 1, true)));
    assert!(continued.is_err());
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    assert_eq!(probe.vm.body(probe.stream, 1, true), Action::Continue);
}

#[test]
fn nginx_traps_on_a_callout_while_it_configures() {
    let mut probe = Probe::on(HostBehavior::nginx(), &[]);
    assert!(probe.vm.reconfigure(probe.root, b""));
    assert!(probe.dispatch().is_err());
    for behavior in envoys() {
        let mut probe = Probe::on(behavior, &[]);
        assert!(probe.vm.reconfigure(probe.root, b""));
        assert_eq!(probe.dispatch(), Ok(OK));
    }
}

#[test]
fn unknown_foreign_function_traps_in_nginx_and_only_the_newest_envoy_signs() {
    assert!(Probe::on(HostBehavior::nginx(), &[]).foreign_function(b"unknown").is_err());
    for (behavior, signs) in [(HostBehavior::oldest_envoy(), false), (HostBehavior::newest_envoy(), true)] {
        let mut probe = Probe::on(behavior, &[]);
        assert_eq!(probe.foreign_function(b"unknown"), Ok(NOT_FOUND));
        assert_eq!(probe.foreign_function(b"sign"), Ok(if signs { OK } else { NOT_FOUND }));
        for name in [&b"verify_signature"[..], b"clear_route_cache", b"declare_property"] {
            assert_eq!(probe.foreign_function(name), Ok(OK));
        }
    }
}

#[test]
fn shared_data_without_a_zone_traps_in_nginx() {
    let read = |probe: &mut Probe| probe.call("proxy_get_shared_data", &[], &[b"key"], &[16, 20, 24]);
    assert!(read(&mut Probe::on(HostBehavior::nginx(), &[])).is_err());
    for behavior in envoys() {
        assert_eq!(read(&mut Probe::on(behavior, &[])), Ok(NOT_FOUND));
    }
}

/// The port stays open: requests hang.
#[test]
fn rejected_configuration_ends_the_worker_of_nginx_only() {
    let head: Fields = vec![(String::from(":method"), b"GET".to_vec())];
    let start = |behavior| Vm::start_other(&wat::parse_str(probe_text(false)).unwrap(), behavior);
    let mut vm = start(HostBehavior::nginx());
    let (root, accepted) = vm.configure(b"");
    let stream = vm.request(root, head.clone());
    assert_eq!((accepted, vm.outcome(stream)), (false, Outcome::Waiting));
    assert!(vm.trap().is_some_and(|trap| trap.contains("the worker ends")), "{:?}", vm.trap());
    assert!(!vm.entries().contains_key("proxy_on_request_headers"), "{:?}", vm.entries());
    for behavior in envoys() {
        let mut vm = start(behavior);
        let (root, accepted) = vm.configure(b"");
        vm.request(root, head.clone());
        assert_eq!((accepted, vm.trap()), (false, None));
    }
}
