//! The limit on open files: a thousand connections at both ends do not fit the usual 1024. Code that opens many
//! sockets, or starts a process that will, raises it first.

use std::sync::Once;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises this process's soft limit to the hard limit, once.
pub(crate) fn raise_limit() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        // Where that is not allowed, the tests that need it say so themselves.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    });
}
