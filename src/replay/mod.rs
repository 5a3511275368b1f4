//! Which proofs were used (RFC 9449 section 11.1): each is accepted once.
//!
//! The memory is bounded: proofs are in buckets by their digest, and a bucket holds so many. What still counts is never
//! evicted: a proof that finds no space is rejected. One holder of tokens may use a quarter of a bucket, so that it cannot
//! take the space of others.

mod bucket;
mod worker_memory;

use sha2::{Digest as _, Sha256};

use crate::thumbprint::Thumbprint;
use crate::unix_time::UnixTime;

pub use bucket::{Bucket, bucket_capacity};
pub use worker_memory::WorkerMemory;

/// Fixed, so that a proof is in the same bucket after the configuration has changed.
const BUCKETS: u16 = 1024;

/// A proof that is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedProof {
    pub digest: ProofDigest,
    pub holder: Holder,
    /// The last moment at which it would be accepted again.
    pub until: UnixTime,
}

/// A digest of the key of a proof and its `jti`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofDigest([u8; 16]);

/// Whose share of the memory a proof takes: a digest that names no one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder([u8; 4]);

/// What came of recording a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is used now for the first time.
    First,
    /// It was used before.
    Again,
    /// There is no space for it.
    NoSpace,
}

/// The memory of used proofs. Recording calls nothing back.
pub trait ReplayMemory {
    /// Records a proof. `max_proofs` is the size of the whole memory.
    fn record(&self, proof: &UsedProof, max_proofs: u32, now: UnixTime) -> Recorded;
}

impl ProofDigest {
    pub fn new(key: Thumbprint, id: &str) -> Self {
        let digest = Sha256::new().chain_update(key.as_bytes()).chain_update(id.as_bytes()).finalize();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    /// The bucket that it belongs to.
    pub fn bucket(self) -> u16 {
        let [low, high, ..] = self.0;
        u16::from_le_bytes([low, high]) % BUCKETS
    }
}

impl Holder {
    /// By what identifies a holder. Parts are separated by a byte that no text has.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let hasher =
            parts.into_iter().fold(Sha256::new(), |hasher, part| hasher.chain_update(part).chain_update([0xff]));
        Self(hasher.finalize().first_chunk().copied().unwrap_or_default())
    }
}
