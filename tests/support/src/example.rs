//! The folders under `examples/`, run as they are written: a real Envoy with the folder's `envoy.yaml`, an authorization
//! server for each issuer in it, the list of revoked tokens if it reads one, the rate-limit service if it asks one, a
//! backend for each cluster that its routes lead to, and its `requests.json` played against them. Tests and `make example` both come here.

mod folder;
mod outcome;
mod placement;
mod revocation_list;
mod row;
mod running;
mod tokens;

pub use folder::{Example, names};
pub use outcome::Outcome;
pub use row::Row;
pub use running::RunningExample;
