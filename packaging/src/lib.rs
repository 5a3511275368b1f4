//! What `make package` does once the module is built: it fills `dist/` with what a release consists of.
//!
//! Everything here is a function of its inputs. Whoever builds the same commit gets the same bytes and so the same
//! digests, which is how a release is checked by people who did not make it: no clock is read, nothing is random,
//! and every list is sorted.

pub mod crates;
pub mod digest;
pub mod dist;
pub mod kong;
pub mod licences;
pub mod manifests;
pub mod oci_image;
pub mod release;
pub mod sbom;
