//! A child process with a log file, ended by its own pid. Envoy and the authorization server run as one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{open_files, polling};

const TIME_TO_EXIT: Duration = Duration::from_secs(5);
const LINES_SHOWN_ON_PANIC: usize = 200;

static SHIELDED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C in the terminal does not reach the children: for a program that notices it and ends them itself.
/// Without this they end with the program, as they should when a test run is broken off.
pub fn shield_children_from_the_terminal() {
    SHIELDED.store(true, Ordering::Relaxed);
}

/// A running child. Dropping it ends it, and prints the end of its log if the test is failing.
pub struct Process {
    name: String,
    child: Child,
    log_path: PathBuf,
}

impl Process {
    /// Starts `command` with both its outputs appended to the file at `log_path`.
    pub fn spawn(name: &str, mut command: Command, log_path: PathBuf) -> io::Result<Self> {
        open_files::raise_limit();
        let log = OpenOptions::new().create(true).append(true).open(&log_path)?;
        if SHIELDED.load(Ordering::Relaxed) {
            command.process_group(0);
        }
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        Ok(Self { name: name.to_owned(), child, log_path })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything written to stdout and stderr so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log_path).unwrap_or_default()).into_owned()
    }

    /// Where its outputs go.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// How it ended, or `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Asks it to end, waits, and kills it if it does not. Does nothing once it has ended.
    pub fn terminate(&mut self) {
        if self.exit_status().is_some() {
            return;
        }
        // Not reaped yet, so the pid is still this child's.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        if polling::within(TIME_TO_EXIT, || self.exit_status()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN_ON_PANIC)..];
            eprintln!("---- the log of {} ----\n{}\n---- end ----", self.name, shown.join("\n"));
        }
    }
}

/// The resident memory of a process, in MiB.
///
/// # Panics
/// When there is no such process, or this is not Linux.
pub fn resident_mebibytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs, on Linux");
    resident_kibibytes(&status).expect("the status of a process has VmRSS") / 1024.0
}

fn resident_kibibytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn is_gone_once_dropped_and_has_logged_both_outputs() {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exec sleep 600"]);
        let process = Process::spawn("sh", command, directory.path().join("log")).unwrap();
        let log =
            polling::until("both lines", TIME_TO_EXIT, || Some(process.log()).filter(|log| log.lines().count() == 2));
        assert_eq!(log, "out\nerr\n");
        let entry = format!("/proc/{}", process.id());
        assert!(Path::new(&entry).exists());

        drop(process);

        assert!(!Path::new(&entry).exists());
    }

    #[test]
    fn resident_size_is_parsed_from_proc_status() {
        let status = "Name:\tenvoy\nVmHWM:\t  70000 kB\nVmRSS:\t   61440 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(resident_kibibytes(status), Some(61440.0));
        assert_eq!(resident_kibibytes("Name:\tenvoy\n"), None);
    }
}
