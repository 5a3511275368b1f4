//! What the VMs of one process share: versioned values and queues.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::abi::Status;

/// Shared data and shared queues of one process; clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct SharedStore(Rc<RefCell<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    next_version: u32,
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    queues: Vec<Queue>,
    next_vm: u32,
}

#[derive(Debug)]
struct Queue {
    name: Vec<u8>,
    /// The VM and root that registered it last; only they are woken.
    owner: (u32, u32),
    items: VecDeque<Vec<u8>>,
    wake_ups: usize,
}

impl SharedStore {
    /// A value and its version.
    pub fn get(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().values.get(key).cloned()
    }

    /// Every key that is there, for a test that fails.
    pub fn keys(&self) -> Vec<String> {
        self.0.borrow().values.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }

    /// Somebody else in the process puts this there.
    pub fn overwrite(&self, key: &[u8], value: &[u8]) {
        self.set(key, value, 0);
    }

    pub(crate) fn new_vm(&self) -> u32 {
        let mut inner = self.0.borrow_mut();
        inner.next_vm += 1;
        inner.next_vm
    }

    /// Version 0 writes without a condition.
    pub(crate) fn set(&self, key: &[u8], value: &[u8], version: u32) -> Status {
        let mut inner = self.0.borrow_mut();
        let held = inner.values.get(key).map(|(_, version)| *version);
        if version != 0 && held.is_some_and(|held| held != version) {
            return Status::CasMismatch;
        }
        inner.next_version += 1;
        let version = inner.next_version;
        inner.values.insert(key.to_vec(), (value.to_vec(), version));
        Status::Ok
    }

    pub(crate) fn register(&self, name: &[u8], owner: (u32, u32)) -> u32 {
        let mut inner = self.0.borrow_mut();
        let at = inner.queues.iter().position(|queue| queue.name == name).unwrap_or_else(|| {
            inner.queues.push(Queue { name: name.to_vec(), owner, items: VecDeque::new(), wake_ups: 0 });
            inner.queues.len() - 1
        });
        inner.queues[at].owner = owner;
        u32::try_from(at).expect("a queue id") + 1
    }

    pub(crate) fn resolve(&self, name: &[u8]) -> Option<u32> {
        let at = self.0.borrow().queues.iter().position(|queue| queue.name == name)?;
        u32::try_from(at + 1).ok()
    }

    pub(crate) fn enqueue(&self, id: u32, item: Vec<u8>) -> Status {
        self.with(id, |queue| {
            queue.items.push_back(item);
            queue.wake_ups += 1;
        })
        .map_or(Status::NotFound, |()| Status::Ok)
    }

    pub(crate) fn dequeue(&self, id: u32) -> Result<Vec<u8>, Status> {
        self.with(id, |queue| queue.items.pop_front()).ok_or(Status::NotFound)?.ok_or(Status::Empty)
    }

    pub(crate) fn next_wake_up(&self, vm: u32) -> Option<(u32, u32)> {
        let mut inner = self.0.borrow_mut();
        let at = inner.queues.iter().position(|queue| queue.owner.0 == vm && queue.wake_ups > 0)?;
        inner.queues[at].wake_ups -= 1;
        Some((inner.queues[at].owner.1, u32::try_from(at).expect("a queue id") + 1))
    }

    fn with<T>(&self, id: u32, act: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.0.borrow_mut().queues.get_mut((id as usize).checked_sub(1)?).map(act)
    }
}
