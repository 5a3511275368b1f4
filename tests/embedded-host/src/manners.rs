//! How a host behaves where hosts differ. The facts behind these are measured: nginx with ngx_wasm_module traps on
//! foreign functions that it does not know and on shared data without a zone; others answer with an error.

use crate::abi::Status;

/// How a host takes a call that not every host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// As Envoy does.
    Serves,
    /// With this status.
    Refuses(Status),
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
pub struct Manners {
    /// `proxy_get_property`
    pub properties: Property,
    /// `proxy_call_foreign_function`; served are those that change what becomes of a request, none that verifies.
    pub foreign_functions: Asked,
    /// Shared data and shared queues.
    pub shared_data: Asked,
    /// `proxy_http_call`
    pub callouts: Asked,
    /// Making a metric.
    pub metrics: Asked,
    /// Counting with one, and setting it.
    pub counting: Asked,
    /// `proxy_get_header_map_pairs` of a request.
    pub request_headers: Asked,
    /// `proxy_set_property`: filter state, on Envoy.
    pub filter_state: Asked,
    /// Changing headers.
    pub header_edits: Asked,
    /// `proxy_send_local_response`
    pub replies: Asked,
    /// `random_get`
    pub random: Asked,
    /// Environment variables that the module sees, as `NAME=value`.
    pub environment: &'static [&'static str],
    /// Functions that the host does not have at all.
    pub missing: &'static [&'static str],
    /// What the first callout is called.
    pub first_callout_token: u32,
}

impl Manners {
    /// Envoy, as far as this host goes.
    pub const fn envoy() -> Self {
        Self {
            properties: Property::Envoy,
            foreign_functions: Asked::Refuses(Status::NotFound),
            shared_data: Asked::Serves,
            callouts: Asked::Serves,
            metrics: Asked::Serves,
            counting: Asked::Serves,
            request_headers: Asked::Serves,
            filter_state: Asked::Serves,
            header_edits: Asked::Serves,
            replies: Asked::Serves,
            random: Asked::Serves,
            environment: &[],
            missing: &[],
            first_callout_token: 1,
        }
    }

    /// A host that serves what the main job needs and takes everything else as badly as any known host does.
    pub const fn bare() -> Self {
        Self {
            properties: Property::Status(Status::InternalFailure),
            foreign_functions: Asked::Traps,
            shared_data: Asked::Traps,
            filter_state: Asked::Traps,
            metrics: Asked::Traps,
            counting: Asked::Traps,
            missing: &["proxy_get_log_level"],
            first_callout_token: 0,
            ..Self::envoy()
        }
    }
}
