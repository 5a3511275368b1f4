//! Writes the seeds into `tests/data/fuzz`, one folder a target.

#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::fs;
use std::path::Path;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/fuzz");
    for (target, _) in fuzz_targets::TARGETS {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).unwrap();
        for (name, input) in fuzz_targets::seeds(target) {
            fs::write(folder.join(format!("seed-{name}")), input).unwrap();
        }
    }
}
