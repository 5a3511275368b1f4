//! The used proofs of one worker, on hosts without shared data.

use std::cell::RefCell;
use std::collections::HashMap;

use super::{Bucket, Recorded, ReplayMemory, UsedProof, bucket_capacity};
use crate::unix_time::UnixTime;

/// Buckets in the memory of the module.
#[derive(Debug, Default)]
pub struct WorkerMemory(RefCell<HashMap<u16, Bucket>>);

impl ReplayMemory for WorkerMemory {
    fn record(&self, proof: &UsedProof, max_proofs: u32, now: UnixTime) -> Recorded {
        let mut buckets = self.0.borrow_mut();
        buckets.entry(proof.digest.bucket()).or_default().record(proof, bucket_capacity(max_proofs), now)
    }
}
