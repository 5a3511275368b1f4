//! The machine and the versions of a measurement.

use std::fs;
use std::num::NonZero;
use std::process::Command;
use std::thread;

use testbed::module::{project_root, wasm_module};

/// What a reader needs to judge the figures, and to repeat them.
pub struct Machine {
    /// The model of the processor.
    pub processor: String,
    /// How many of its cores there are for us.
    pub cores: usize,
    /// The version of Linux.
    pub kernel: String,
    /// The version of Envoy.
    pub envoy: String,
    /// The version of the compiler.
    pub rustc: String,
    /// The day, UTC.
    pub date: String,
    /// The commit; `-dirty` when there were changes besides.
    pub commit: String,
    /// The module in bytes: as it is, and compressed by `gzip -9`.
    pub module_bytes: [usize; 2],
}

impl Machine {
    /// This one.
    ///
    /// # Panics
    /// When Envoy, rustc, gzip or git is not there: `make bench` sees to that.
    pub fn here() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let module = wasm_module();
        let size = fs::metadata(&module).expect("the module can be read").len();
        let compressed = output_of(Command::new("gzip").args(["-9", "--stdout", "--no-name"]).arg(&module));
        Self {
            processor: processor(&processors).unwrap_or("unknown processor").to_owned(),
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            kernel: kernel.trim().to_owned(),
            envoy: testbed::envoy::version(),
            rustc: first_line(Command::new("rustc").arg("--version")),
            date: first_line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
            commit: first_line(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"])),
            module_bytes: [usize::try_from(size).expect("a module fits into memory"), compressed.len()],
        }
    }
}

fn processor(processors: &str) -> Option<&str> {
    processors.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1))
}

fn first_line(command: &mut Command) -> String {
    String::from_utf8_lossy(&output_of(command)).trim().lines().next().unwrap_or_default().to_owned()
}

fn output_of(command: &mut Command) -> Vec<u8> {
    let output = command.current_dir(project_root()).output().unwrap_or_else(|fault| panic!("{command:?}: {fault}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// One for the tests of what is written.
    pub fn machine() -> Machine {
        let text = |text: &str| text.to_owned();
        Machine {
            processor: text("Abacus 3000"),
            cores: 2,
            kernel: text("6.1"),
            envoy: text("1.40.0"),
            rustc: text("rustc 1.95.0"),
            date: text("2026-11-22"),
            commit: text("0123456"),
            module_bytes: [811_390, 285_000],
        }
    }

    #[test]
    fn versions_and_models_are_parsed_from_program_output() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Abacus: 3000\n"), Some("Abacus: 3000"));
    }
}
