//! The folders under `examples/`, run unchanged: a real Envoy with the folder's `envoy.yaml`, an authorization server for each
//! issuer in it, the revocation list and the rate-limit service if it uses them, a backend for each cluster of its routes, and
//! its `requests.json` played against them. Tests and `make example` share this.

mod folder;
mod outcome;
mod placement;
mod revocation_list;
mod row;
mod running;
mod tokens;

pub use folder::{Example, names};
pub use outcome::Outcome;
pub use row::{Proof, Row};
pub use running::RunningExample;
