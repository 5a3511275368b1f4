//! What the workers of a process share to check proofs (DPoP): which ones were used, and a secret for nonces.

use std::rc::Rc;

use crate::engine::{Bucket, Entropy, Record as _, Recorded, ReplayMemory, UsedProof, bucket_capacity};
use crate::host::shared_data::{Change, update};
use crate::unix_time::UnixTime;

/// The buckets in the host's shared data.
#[derive(Debug)]
struct SharedMemory;

impl ReplayMemory for SharedMemory {
    fn record(&self, proof: &UsedProof, max_proofs: u32, now: UnixTime) -> Recorded {
        let recorded = update(&format!("proofs/{}", proof.digest.bucket()), |held| {
            let mut bucket = held.and_then(Bucket::from_bytes).unwrap_or_default();
            match bucket.record(proof, bucket_capacity(max_proofs), now) {
                Recorded::First => Change::Write(bucket.to_bytes(), Recorded::First),
                other @ (Recorded::Again | Recorded::NoSpace) => Change::Keep(other),
            }
        });
        // Other workers changed the bucket each time.
        recorded.unwrap_or(Recorded::NoSpace)
    }
}

pub(super) fn shared_replay_memory() -> Rc<dyn ReplayMemory> {
    Rc::new(SharedMemory)
}

/// The secret that the first worker made; `None`: it cannot be shared.
pub(super) fn shared_secret(new: &Entropy) -> Option<Entropy> {
    // Another number than those of the events.
    let new = new.derive(u64::MAX);
    update("nonce-secret", |held| match held.and_then(|bytes| bytes.try_into().ok()) {
        Some(held) => Change::Keep(Entropy(held)),
        None => Change::Write(new.0.to_vec(), new),
    })
}
