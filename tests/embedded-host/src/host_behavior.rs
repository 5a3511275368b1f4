//! How a host behaves where hosts differ. The facts behind these are measured: nginx with ngx_wasm_module traps on
//! foreign functions that it does not know and on shared data without a zone; others answer with an error.

use crate::abi::Status;
use crate::faults::Fault;

/// How a host takes a call that not every host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As Envoy does.
    Served,
    /// With this status.
    Fails(Status),
    /// It traps the VM: whoever calls it takes the worker down.
    Traps,
}

/// What a host says of properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// Envoy's `xds.node` and nothing else.
    Envoy,
    /// The same and these, each by its path with dots.
    EnvoyAnd(&'static [(&'static str, &'static [u8])]),
    /// The same status for everything.
    Status(Status),
    /// Everything is there and empty.
    Empty,
}

/// The behaviour of one host.
#[derive(Clone, Debug)]
pub struct HostBehavior {
    /// `proxy_get_property`
    pub properties: Property,
    /// `proxy_call_foreign_function`; `declare_property`, `clear_route_cache` and `verify_signature` are served.
    pub foreign_functions: Support,
    /// Whether `sign` is served too.
    pub signs: bool,
    /// Shared data and shared queues.
    pub shared_data: Support,
    /// `proxy_http_call`
    pub callouts: Support,
    /// Defining, incrementing and recording metrics.
    pub metrics: Support,
    /// `proxy_set_property`: filter state, on Envoy.
    pub filter_state: Support,
    /// Environment variables that the module sees, as `NAME=value`.
    pub environment: &'static [&'static str],
    /// Functions that the host does not have at all.
    pub missing: &'static [&'static str],
    /// What the first callout is called.
    pub first_callout_token: u32,
    /// A host function that fails.
    pub fault: Option<Fault>,
    /// What a trap of the module leads to.
    pub on_trap: OnTrap,
    /// Whether it is nginx with ngx_wasm_module: how it shows and edits heads, ticks, and resumes requests.
    pub is_nginx: bool,
}

/// What a trap of the module leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrap {
    /// The test fails.
    FailTest,
    /// As in Envoy: the VM is not called any more, and nothing that was not forwarded before is forwarded.
    FailClosed,
}

impl HostBehavior {
    /// Envoy 1.36.2, the oldest that is supported. What the filter uses of it differs from the newest in one thing: the
    /// foreign function `sign` is missing.
    pub const fn oldest_envoy() -> Self {
        Self { foreign_functions: Support::Served, ..Self::envoy() }
    }

    /// Envoy 1.40.0.
    pub const fn newest_envoy() -> Self {
        Self { signs: true, ..Self::oldest_envoy() }
    }

    /// Every kind of host that the filter supports, by its name.
    pub const fn profiles() -> [(&'static str, Self); 3] {
        [("oldest Envoy", Self::oldest_envoy()), ("newest Envoy", Self::newest_envoy()), ("nginx", Self::nginx())]
    }

    /// The same host where calls may fail ([`Vm::fail_call`](crate::Vm::fail_call)): a trap ends the VM and not the test.
    #[must_use]
    pub const fn hostile(self) -> Self {
        Self { on_trap: OnTrap::FailClosed, ..self }
    }

    /// Envoy without foreign functions, as far as this host goes.
    pub const fn envoy() -> Self {
        Self {
            properties: Property::Envoy,
            foreign_functions: Support::Fails(Status::NotFound),
            signs: false,
            shared_data: Support::Served,
            callouts: Support::Served,
            metrics: Support::Served,
            filter_state: Support::Served,
            environment: &[],
            missing: &[],
            first_callout_token: 1,
            fault: None,
            on_trap: OnTrap::FailTest,
            is_nginx: false,
        }
    }

    /// nginx with ngx_wasm_module, without a zone for shared data.
    pub const fn nginx() -> Self {
        Self {
            is_nginx: true,
            properties: Property::Status(Status::InternalFailure),
            foreign_functions: Support::Traps,
            shared_data: Support::Traps,
            filter_state: Support::Traps,
            metrics: Support::Traps,
            missing: &["proxy_get_log_level"],
            first_callout_token: 0,
            ..Self::envoy()
        }
    }
}
