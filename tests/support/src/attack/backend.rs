//! The backends: web servers and frameworks from the registries, each with the same small application
//! (`tests/attack/backends`). A backend is a process that appends what it executed to a file.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::execution::Execution;
use crate::envoy::free_ports;
use crate::module::project_root;
use crate::polling;
use crate::process::Process;

const TIME_TO_START: Duration = Duration::from_secs(30);

/// What runs a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// `backends/node/serve.mjs FRAMEWORK PORT`.
    Node(&'static str),
    /// `backends/python/serve.py APPLICATION SERVER PORT`.
    Python(&'static str, &'static str),
    /// `backends/debian/serve NAME PORT`, with packages of Debian in `.tools/attack-debian`.
    Debian(&'static str),
}

/// One backend of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, as `BACKENDS` has it.
    pub name: &'static str,
    /// What runs it.
    pub runtime: Runtime,
    /// Environment variables that set it up.
    pub environment: &'static [(&'static str, &'static str)],
}

const fn kind(name: &'static str, runtime: Runtime) -> Kind {
    Kind { name, runtime, environment: &[] }
}

/// Every backend.
pub const KINDS: &[Kind] = &[
    kind("express4", Runtime::Node("express4")),
    kind("express5", Runtime::Node("express5")),
    Kind { environment: &[("OVERRIDE", "1")], ..kind("express4-override", Runtime::Node("express4")) },
    kind("fastify3", Runtime::Node("fastify3")),
    kind("fastify4", Runtime::Node("fastify4")),
    kind("fastify5", Runtime::Node("fastify5")),
    Kind { environment: &[("SEMICOLON", "1")], ..kind("fastify5-semicolon", Runtime::Node("fastify5")) },
    kind("koa", Runtime::Node("koa")),
    kind("restify", Runtime::Node("restify")),
    kind("hono", Runtime::Node("hono")),
    kind("polka", Runtime::Node("polka")),
    kind("hapi", Runtime::Node("hapi")),
    kind("node-url", Runtime::Node("plain")),
    Kind { environment: &[("SPLIT", "1")], ..kind("node-split", Runtime::Node("plain")) },
    kind("flask-werkzeug", Runtime::Python("flask", "werkzeug")),
    kind("flask-gunicorn", Runtime::Python("flask", "gunicorn")),
    kind("flask-uwsgi", Runtime::Python("flask", "uwsgi")),
    kind("flask-waitress", Runtime::Python("flask", "waitress")),
    kind("flask-cheroot", Runtime::Python("flask", "cheroot")),
    kind("flask-hypercorn", Runtime::Python("flask", "hypercorn")),
    kind("bottle-wsgiref", Runtime::Python("bottle", "wsgiref")),
    kind("bottle-cheroot", Runtime::Python("bottle", "cheroot")),
    kind("django-wsgiref", Runtime::Python("django", "wsgiref")),
    kind("django-gunicorn", Runtime::Python("django", "gunicorn")),
    kind("django-uwsgi", Runtime::Python("django", "uwsgi")),
    kind("django-httptools", Runtime::Python("django-asgi", "uvicorn-httptools")),
    Kind {
        environment: &[("TRUST_FORWARDED", "1")],
        ..kind("django-forwarded", Runtime::Python("django", "waitress"))
    },
    kind("fastapi-h11", Runtime::Python("fastapi", "uvicorn-h11")),
    kind("fastapi-httptools", Runtime::Python("fastapi", "uvicorn-httptools")),
    kind("fastapi-hypercorn", Runtime::Python("fastapi", "hypercorn")),
    kind("cherrypy", Runtime::Python("cherrypy", "own")),
    kind("tornado", Runtime::Python("tornado", "own")),
    kind("aiohttp", Runtime::Python("aiohttp", "own")),
    kind("sinatra-webrick", Runtime::Debian("sinatra-webrick")),
    kind("sinatra-puma", Runtime::Debian("sinatra-puma")),
    kind("sinatra-thin", Runtime::Debian("sinatra-thin")),
    kind("sinatra-unicorn", Runtime::Debian("sinatra-unicorn")),
    kind("rack-webrick", Runtime::Debian("rack-webrick")),
    kind("php-cli-server", Runtime::Debian("php-cli-server")),
    kind("apache-php-cgi", Runtime::Debian("apache-php-cgi")),
    kind("apache-wsgi", Runtime::Debian("apache-wsgi")),
    kind("lighttpd-php", Runtime::Debian("lighttpd-php")),
    kind("nginx-node", Runtime::Debian("nginx-node")),
    kind("tomcat", Runtime::Debian("tomcat")),
];

/// The backends of `make test`: from PyPI and npm only, and those through which most attacks came.
pub const SHORT: &[&str] = &["express4", "fastify4", "restify", "flask-uwsgi", "flask-gunicorn", "django-httptools"];

/// Why a backend cannot be run.
pub type Absence = String;

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    fn command(&self, port: u16) -> Result<Command, Absence> {
        let backends = project_root().join("tests/attack/backends");
        let tools = project_root().join(".tools");
        let installed = |path: PathBuf| {
            let missing = format!("{} is not there: run `make attack-backends`", path.display());
            if path.exists() { Ok(path) } else { Err(missing) }
        };
        let mut command = match self.runtime {
            Runtime::Node(framework) => {
                installed(project_root().join("tests/attack/node_modules/.installed"))?;
                let mut command = Command::new("node");
                command.arg(backends.join("node/serve.mjs")).arg(framework);
                command
            }
            Runtime::Python(application, server) => {
                let mut command = Command::new(installed(tools.join("attack-venv/bin/python"))?);
                command.arg(backends.join("python/serve.py")).args([application, server]);
                command
            }
            Runtime::Debian(name) => {
                installed(tools.join("attack-debian/.installed"))?;
                let mut command = Command::new(backends.join("debian/serve"));
                command.arg(name).env("DEBIAN", tools.join("attack-debian")).env("TOOLS", &tools);
                command
            }
        };
        command.arg(port.to_string()).envs(self.environment.iter().copied());
        Ok(command)
    }
}

/// A running backend. Dropping it ends it.
pub struct RunningBackend {
    /// Which one.
    pub kind: &'static Kind,
    /// Where it listens.
    pub port: u16,
    executions: PathBuf,
    read: u64,
    _process: Process,
    _directory: TempDir,
}

impl RunningBackend {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When its packages are missing, or it does not come up: the end of its log.
    pub fn start(kind: &'static Kind) -> Result<Self, Absence> {
        let directory = TempDir::with_prefix("attack-").map_err(|fault| fault.to_string())?;
        let executions = directory.path().join("executions");
        fs::write(&executions, "").map_err(|fault| fault.to_string())?;
        let port = free_ports(1)[0];
        let mut command = kind.command(port)?;
        command.env("EXECUTIONS", &executions).env("HOME", directory.path()).env("FOLDER", directory.path());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Process::spawn(kind.name, command, directory.path().join("log"));
        let mut process = process.map_err(|fault| format!("{}: {fault}", kind.name))?;
        let listens = polling::within(TIME_TO_START, || {
            let listens = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
            (listens || process.exit_status().is_some()).then_some(listens)
        });
        if listens != Some(true) {
            return Err(format!("{} did not start: {}", kind.name, last_lines(&process.log())));
        }
        Ok(Self { kind, port, executions, read: 0, _process: process, _directory: directory })
    }

    /// What it executed since this was called last.
    ///
    /// # Panics
    /// When its file is gone.
    pub fn new_executions(&mut self) -> Vec<Execution> {
        let (executions, read) = read_from(&self.executions, self.read);
        self.read = read;
        executions
    }
}

/// The whole lines of a file from a position on, and the position behind them.
fn read_from(path: &Path, position: u64) -> (Vec<Execution>, u64) {
    let bytes = fs::read(path).expect("the backend's file");
    let from = usize::try_from(position).expect("a file in memory");
    let unread = &bytes[from..];
    let whole = unread.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(&unread[..whole]);
    let executions = text.lines().map(|line| Execution::parse(line).unwrap_or_else(|| panic!("{line}"))).collect();
    (executions, position + whole as u64)
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
