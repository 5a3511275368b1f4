//! Ctrl-C and similar signals, recorded and not obeyed at once, so that processes and directories are cleaned up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::process;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether the program was asked to end.
#[derive(Clone, Default)]
pub struct Interruption(Arc<State>);

#[derive(Default)]
struct State {
    has_come: AtomicBool,
    changing: Mutex<()>,
    changed: Condvar,
}

impl Interruption {
    /// Listens from now on. The program ends its processes itself, in order, so they are shielded.
    pub fn listen() -> Self {
        process::shield_children_from_the_terminal();
        let interruption = Self::default();
        let noticing = interruption.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).expect("signals can be listened for");
        thread::spawn(move || {
            for _ in signals.forever() {
                let _changing = noticing.0.changing.lock();
                noticing.0.has_come.store(true, Ordering::SeqCst);
                noticing.0.changed.notify_all();
            }
        });
        interruption
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        self.0.has_come.load(Ordering::SeqCst)
    }

    /// Waits until it comes.
    pub fn wait(&self) {
        let changing = self.0.changing.lock().expect("no panic");
        drop(self.0.changed.wait_while(changing, |()| !self.has_come()));
    }
}
