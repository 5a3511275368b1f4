//! The host's shared data: versioned bytes that all workers of a process read and replace by compare-and-swap.
//!
//! Only on Envoy: other hosts trap where it is not set up. A host whose compare-and-swap fails each time ends in no lookup,
//! never in one too many.

use proxy_wasm::hostcalls;

use crate::lookup::lease::{Lease, LeaseRecord};
use crate::lookup::record::Record;
use crate::sequence::Sequence;

const PREFIX: &str = "okta-proxy-wasm";
/// "Only if there is no such entry": no entry of the host has this version.
const ABSENT: u32 = u32::MAX;
/// How often a compare-and-swap is tried again; each time another worker has succeeded.
const TRIES: usize = 64;

/// What becomes of a record.
pub(super) enum Change<T> {
    /// These bytes replace it.
    Write(Vec<u8>, T),
    /// It stays.
    Keep(T),
}

/// A lease that this worker holds, and where its record is.
#[derive(Debug)]
pub(super) struct HeldLease<D> {
    key: String,
    lease: LeaseRecord<D>,
}

impl<D: Record + Copy + PartialEq> HeldLease<D> {
    /// A lease that was acquired with [`acquire`].
    pub(super) const fn new(key: String, lease: LeaseRecord<D>) -> Self {
        Self { key, lease }
    }

    /// Gives the lease back. One that has run out and was replaced by another worker's stays.
    pub(super) fn give_back(self) {
        update(&self.key, |held| match held.and_then(LeaseRecord::from_bytes) {
            Some(held) if held == self.lease => Change::Write(held.given_back().to_bytes(), ()),
            Some(_) | None => Change::Keep(()),
        });
    }
}

/// The bytes of an entry, if there are any.
pub(super) fn read(key: &str) -> Option<Vec<u8>> {
    read_version(key).0
}

/// The record in an entry, if it has one of this form.
pub(super) fn read_record<R: Record>(key: &str) -> Option<R> {
    R::from_bytes(&read(key)?)
}

/// Changes an entry, and again when another worker changes it meanwhile; `None`: others changed it each time.
pub(super) fn update<T>(key: &str, mut change: impl FnMut(Option<&[u8]>) -> Change<T>) -> Option<T> {
    let mut result = None;
    let is_done = update_bytes(key, &mut |held| match change(held) {
        Change::Keep(value) => {
            result = Some(value);
            None
        }
        Change::Write(bytes, value) => {
            result = Some(value);
            Some(bytes)
        }
    });
    result.filter(|_| is_done)
}

/// The bytes that replace those of an entry; `None` keeps it.
type ChangeBytes<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

/// The loop of [`update`], compiled once.
fn update_bytes(key: &str, change: &mut ChangeBytes<'_>) -> bool {
    for _ in 0..TRIES {
        let (held, version) = read_version(key);
        match change(held.as_deref()) {
            Some(bytes) if !swap(key, &bytes, version) => {}
            Some(_) | None => return true,
        }
    }
    false
}

/// Replaces an entry, unless another worker changes it meanwhile.
pub(super) fn replace_once(key: &str, record: &impl Record) {
    let (_, version) = read_version(key);
    swap(key, &record.to_bytes(), version);
}

/// Writes a record, unless `is_newer` says so of the one that is there. `None`: others wrote theirs each time.
pub(super) fn write_unless<R: Record>(key: &str, record: &R, is_newer: impl Fn(&R) -> bool) -> Option<()> {
    update(key, |held| match held.and_then(R::from_bytes) {
        Some(held) if is_newer(&held) => Change::Keep(()),
        Some(_) | None => Change::Write(record.to_bytes(), ()),
    })
}

/// Takes a lease: it is acquired only once its record is written. `lease_after` decides by the record that is there; `None`:
/// no lease is needed any more. `next` is the number of the lookup, as far as this worker knows.
pub(super) fn acquire<D: Record + Copy>(
    key: &str,
    next: Sequence,
    mut lease_after: impl FnMut(Option<LeaseRecord<D>>) -> Option<Lease<D>>,
) -> Option<Lease<D>> {
    let acquired = update(key, |held| match lease_after(held.and_then(LeaseRecord::from_bytes)) {
        Some(Lease::Acquired(lease)) => Change::Write(lease.to_bytes(), Some(Lease::Acquired(lease))),
        other @ (Some(Lease::HeldByOther(_) | Lease::Cooldown { .. }) | None) => Change::Keep(other),
    });
    // Another worker has taken it each time.
    acquired.unwrap_or_else(|| {
        let held = read_record::<LeaseRecord<D>>(key);
        Some(Lease::HeldByOther(held.map_or(next, |held| held.sequence)))
    })
}

/// A name as it stands in the host, which other plugins may share.
pub(super) fn prefixed(key: &str) -> String {
    format!("{PREFIX}/{key}")
}

fn swap(key: &str, bytes: &[u8], version: u32) -> bool {
    hostcalls::set_shared_data(&prefixed(key), Some(bytes), Some(version)).is_ok()
}

fn read_version(key: &str) -> (Option<Vec<u8>>, u32) {
    let (value, version) = hostcalls::get_shared_data(&prefixed(key)).unwrap_or_default();
    (value, version.unwrap_or(ABSENT))
}
