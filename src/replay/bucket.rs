//! One bucket of used proofs, as workers share it.

use std::time::Duration;

use super::{BUCKETS, Holder, ProofDigest, Recorded, UsedProof};
use crate::lookup::record::{Record, RecordReader, RecordWriter};
use crate::unix_time::UnixTime;

/// Where there is space, a proof is kept for so much longer, the greatest `max_age`: a new configuration may accept
/// older proofs.
const KEPT_AFTER: Duration = Duration::from_secs(300);

/// The used proofs whose digest belongs here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bucket(Vec<Entry>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    digest: ProofDigest,
    holder: Holder,
    /// In seconds, rounded up.
    until: u32,
}

/// How many proofs a bucket holds. Digests spread unevenly, so all buckets together hold more than `max_proofs`.
pub fn bucket_capacity(max_proofs: u32) -> usize {
    let share = usize::try_from(max_proofs / u32::from(BUCKETS)).unwrap_or(usize::MAX);
    share.saturating_mul(2).saturating_add(16)
}

impl Bucket {
    /// Records a proof.
    pub fn record(&mut self, proof: &UsedProof, capacity: usize, now: UnixTime) -> Recorded {
        let UsedProof { digest, holder, until } = *proof;
        if self.0.iter().any(|entry| entry.digest == digest) {
            return Recorded::Again;
        }
        let now = now.as_secs();
        self.0.retain(|entry| now <= u64::from(entry.until).saturating_add(KEPT_AFTER.as_secs()));
        let counts = |entry: &Entry| now <= u64::from(entry.until);
        if self.0.iter().filter(|entry| counts(entry) && entry.holder == holder).count() >= capacity / 4 {
            return Recorded::NoSpace;
        }
        if self.0.len() >= capacity {
            self.0.retain(counts);
        }
        if self.0.len() >= capacity {
            return Recorded::NoSpace;
        }
        let until = until.as_millis().div_ceil(1000);
        self.0.push(Entry { digest, holder, until: u32::try_from(until).unwrap_or(u32::MAX) });
        Recorded::First
    }
}

impl Record for Bucket {
    fn write(&self, to: &mut RecordWriter) {
        for Entry { digest, holder, until } in &self.0 {
            to.bytes(&digest.0);
            to.bytes(&holder.0);
            to.bytes(&until.to_le_bytes());
        }
    }

    fn read(from: &mut RecordReader<'_>) -> Option<Self> {
        let entry = |(digest, holder, until): &([u8; 16], [u8; 4], [u8; 4])| Entry {
            digest: ProofDigest(*digest),
            holder: Holder(*holder),
            until: u32::from_le_bytes(*until),
        };
        let mut entries = Vec::new();
        while !from.is_empty() {
            entries.push(entry(&(from.array()?, from.array()?, from.array()?)));
        }
        Some(Self(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thumbprint::Thumbprint;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn proof(id: usize, holder: &str, seconds: u64) -> UsedProof {
        UsedProof {
            digest: ProofDigest::new(Thumbprint::new([7; 32]), &id.to_string()),
            holder: Holder::new([holder.as_bytes()]),
            until: NOW.plus(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn a_proof_is_recorded_once_for_as_long_as_it_is_accepted() {
        let mut bucket = Bucket::default();
        let first = proof(1, "a", 60);
        assert_eq!(bucket.record(&first, 16, NOW), Recorded::First);
        assert_eq!(bucket.record(&first, 16, NOW), Recorded::Again);
        assert_eq!(bucket.record(&proof(2, "a", 60), 16, NOW), Recorded::First);
        assert_eq!(bucket.record(&first, 16, first.until), Recorded::Again);
        // Longer, because a new configuration may accept older proofs.
        assert_eq!(bucket.record(&first, 16, first.until.plus(KEPT_AFTER)), Recorded::Again);
        // When the clock goes back it still counts.
        assert_eq!(bucket.record(&first, 16, UnixTime::from_secs(0)), Recorded::Again);
        let later = first.until.plus(KEPT_AFTER + Duration::from_secs(1));
        assert_eq!(bucket.record(&proof(3, "a", 1000), 16, later), Recorded::First);
        assert_eq!(bucket.0.len(), 1);
    }

    #[test]
    fn another_key_or_id_is_another_proof() {
        let of = |key: u8, id: &str| ProofDigest::new(Thumbprint::new([key; 32]), id);
        assert_eq!(of(1, "x"), of(1, "x"));
        assert_ne!(of(1, "x"), of(2, "x"));
        assert_ne!(of(1, "x"), of(1, "y"));
    }

    #[test]
    fn a_full_bucket_rejects_and_evicts_only_what_is_not_accepted_any_more() {
        let capacity = 16;
        let mut bucket = Bucket::default();
        for id in 0..capacity {
            assert_eq!(bucket.record(&proof(id, &(id / 4).to_string(), 60), capacity, NOW), Recorded::First, "{id}");
        }
        assert_eq!(bucket.record(&proof(100, "new", 60), capacity, NOW), Recorded::NoSpace);
        let end = NOW.plus(Duration::from_secs(60));
        assert_eq!(bucket.record(&proof(100, "new", 120), capacity, end), Recorded::NoSpace);
        for id in 0..capacity {
            assert_eq!(bucket.record(&proof(id, "0", 60), capacity, end), Recorded::Again, "{id}");
        }
        let after = end.plus(Duration::from_secs(1));
        assert_eq!(bucket.record(&proof(100, "new", 120), capacity, after), Recorded::First);
        assert_eq!(bucket.0.len(), 1);
    }

    #[test]
    fn one_holder_takes_a_quarter_and_leaves_the_rest() {
        let capacity = 16;
        let mut bucket = Bucket::default();
        for id in 0..4 {
            assert_eq!(bucket.record(&proof(id, "greedy", 60), capacity, NOW), Recorded::First);
        }
        for id in 4..1000 {
            assert_eq!(bucket.record(&proof(id, "greedy", 60), capacity, NOW), Recorded::NoSpace);
        }
        for id in 1000..1012 {
            let holder = (id / 4).to_string();
            assert_eq!(bucket.record(&proof(id, &holder, 60), capacity, NOW), Recorded::First, "{id}");
        }
        // What is only kept for longer does not count against its holder.
        let after = NOW.plus(Duration::from_secs(61));
        assert_eq!(bucket.record(&proof(2000, "greedy", 120), capacity, after), Recorded::First);
    }

    #[test]
    fn a_bucket_comes_back_as_it_was_written_and_nothing_else_is_one() {
        let mut bucket = Bucket::default();
        for id in 0..3 {
            bucket.record(&proof(id, "a", 60), 100, NOW);
        }
        let bytes = bucket.to_bytes();
        assert_eq!(Bucket::from_bytes(&bytes), Some(bucket));
        for end in (0..bytes.len()).filter(|end| (end.wrapping_sub(1)) % 24 != 0) {
            assert_eq!(Bucket::from_bytes(&bytes[..end]), None, "{end}");
        }
    }

    #[test]
    fn all_buckets_together_hold_the_configured_number() {
        for max_proofs in [16_384, 131_072, 1_048_576] {
            let capacity = bucket_capacity(max_proofs);
            let mut lengths = vec![0_usize; usize::from(BUCKETS)];
            for id in 0..max_proofs {
                let bucket = ProofDigest::new(Thumbprint::new([1; 32]), &id.to_string()).bucket();
                lengths[usize::from(bucket)] += 1;
            }
            assert!(lengths.iter().all(|length| *length <= capacity), "{max_proofs}: {:?}", lengths.iter().max());
        }
    }
}
