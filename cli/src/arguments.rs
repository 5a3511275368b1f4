//! The command line: subcommands, options and their help texts. The `///` comments are the help output.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit_status;
use crate::formats::MachineFormat;

/// Checks, explains, tests and imports configurations of okta-proxy-wasm, with the filter's own code.
#[derive(Debug, Parser)]
#[command(
    name = "okta-proxy-wasm",
    version = concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("OKTA_PROXY_WASM_COMMIT"), ")")
)]
pub struct CommandLine {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report every fault of a configuration, and what weakens it
    Check(Check),
    /// Write a first configuration with policy tests that pass
    Init(Init),
    /// Show step by step what the filter does with a request, and the response
    Explain(Box<Explain>),
    /// Show who may send which requests
    Matrix(Matrix),
    /// Show the requests that two configurations decide differently
    Diff(Diff),
    /// Compare the decisions of a policy with the expected ones
    Test(Test),
    /// Convert another filter's configuration, and report what cannot be converted
    Import(Import),
    /// Write the JSON Schema of configurations, for editors and other tools
    #[command(
        after_help = "Examples:\n  okta-proxy-wasm schema > okta-proxy-wasm.schema.json\n  okta-proxy-wasm schema --draft 04"
    )]
    Schema {
        /// The draft of JSON Schema
        #[arg(long, value_enum, default_value_t)]
        draft: Draft,
    },
    /// Write the script that completes this command in a shell
    #[command(after_help = "Example:\n  okta-proxy-wasm completions bash > /etc/bash_completion.d/okta-proxy-wasm")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    #[command(
        after_help = "Examples:\n  okta-proxy-wasm man | man -l -\n  okta-proxy-wasm man /usr/local/share/man/man1"
    )]
    Man(ManPages),
    /// Show what this tool was built from, and whether a file is the filter's module
    Version(Version),
}

impl CommandLine {
    /// The definition of the command line, with the exit statuses in each help text.
    pub fn definition() -> clap::Command {
        let mut definition = with_exit_statuses(Self::command());
        let names: Vec<String> = definition.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in names {
            definition = definition.mut_subcommand(name, with_exit_statuses);
        }
        definition
    }
}

fn with_exit_statuses(command: clap::Command) -> clap::Command {
    let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    let statuses = exit_status::of_command(command.get_name()).iter();
    let lines: Vec<String> = statuses.map(|(status, meaning)| format!("  {} {meaning}", status.code())).collect();
    command.after_help(format!("{before}Exit status:\n{}", lines.join("\n")))
}

impl Command {
    /// The name of the subcommand, and the format of its output if a program reads it.
    pub const fn machine_format(&self) -> Option<(&'static str, MachineFormat)> {
        match self {
            Self::Check(Check { format, .. }) => match format {
                CheckFormat::Text => None,
                CheckFormat::Json => Some(("check", MachineFormat::Json)),
                CheckFormat::Sarif => Some(("check", MachineFormat::Sarif)),
                CheckFormat::Github => Some(("check", MachineFormat::Github)),
                CheckFormat::Junit => Some(("check", MachineFormat::Junit)),
            },
            Self::Diff(Diff { format, .. }) => match format {
                DiffFormat::Text => None,
                DiffFormat::Json => Some(("diff", MachineFormat::Json)),
                DiffFormat::Sarif => Some(("diff", MachineFormat::Sarif)),
                DiffFormat::Github => Some(("diff", MachineFormat::Github)),
            },
            Self::Test(Test { format, .. }) => match format {
                ReportFormat::Text => None,
                ReportFormat::Json => Some(("test", MachineFormat::Json)),
                ReportFormat::Tap => Some(("test", MachineFormat::Tap)),
                ReportFormat::Junit => Some(("test", MachineFormat::Junit)),
                ReportFormat::Github => Some(("test", MachineFormat::Github)),
            },
            Self::Init(_)
            | Self::Explain(_)
            | Self::Matrix(_)
            | Self::Import(_)
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Man(_)
            | Self::Version(_) => None,
        }
    }
}

/// A draft of JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Draft {
    /// For editors
    #[default]
    #[value(name = "2020-12")]
    Draft202012,
    /// For Kong
    #[value(name = "04")]
    Draft04,
}

/// The sources of secrets that a configuration names by `{"env": …}`.
#[derive(Args, Clone, Debug, Default)]
pub struct SecretSources {
    /// Also look up variables in this file, one NAME=value per line
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Assume that every variable that the configuration names is set
    #[arg(long)]
    pub assume_env: bool,
}

/// The output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The output format of `check`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
    /// JUnit XML, for build servers
    Junit,
}

/// `check`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm check plugin.json\n  okta-proxy-wasm check --strict envoy.yaml\n  okta-proxy-wasm check nginx.conf\n  okta-proxy-wasm check --effective - < plugin.json\n\nIn a configuration of Envoy (YAML or JSON) or nginx, every okta-proxy-wasm plugin is checked."
)]
pub struct Check {
    /// The plugin's configuration, or a configuration of Envoy or nginx that contains it; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the configuration with its defaults and with the Okta preset expanded
    #[arg(long)]
    pub effective: bool,
    /// Treat warnings as faults
    #[arg(long)]
    pub strict: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: CheckFormat,
    #[command(flatten)]
    pub secrets: SecretSources,
}

/// The proxy that a configuration is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InitHost {
    /// envoy.yaml
    Envoy,
    /// A WasmPlugin, and where it reaches Okta
    Istio,
    /// An EnvoyExtensionPolicy, and where it reaches Okta
    EnvoyGateway,
}

/// `init`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm init gateway\n  okta-proxy-wasm init --domain acme.okta.com --audience api://default --host istio .\n\nQuestions are asked for what is missing. No file is overwritten."
)]
pub struct Init {
    /// The folder to write to
    #[arg(default_value = ".", value_name = "DIRECTORY")]
    pub directory: PathBuf,
    /// The domain of the Okta organization, such as acme.okta.com
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// The id of the custom authorization server
    #[arg(long, value_name = "ID", default_value = "default")]
    pub authorization_server: String,
    /// The audience of the API's access tokens
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,
    /// The proxy
    #[arg(long, value_enum)]
    pub host: Option<InitHost>,
    /// The address of the backend, for Envoy
    #[arg(long, value_name = "IP:PORT")]
    pub backend: Option<String>,
}

/// `explain`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm explain --config plugin.json --token @token.txt --fetch --request 'GET https://api.acme.com/orders/1'\n  pbpaste | okta-proxy-wasm explain --config envoy.yaml --token - --keys jwks.json --at 2027-01-01T12:00:00Z\n\nThe shell's history records a token on the command line: use @FILE or -."
)]
pub struct Explain {
    /// The plugin's configuration, or an Envoy configuration that contains it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The token, added at the first location that the configuration reads; `@FILE`, or `-` for standard input
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Send the token as `DPoP`, with a proof that is made with this private key of P-256 (JWK or PEM)
    #[arg(long, value_name = "FILE", requires = "token")]
    pub dpop_key: Option<PathBuf>,
    /// The nonce of the proof, from the header `DPoP-Nonce` of a gateway; without it, the tool makes the one that it expects
    #[arg(long, value_name = "NONCE", requires = "dpop_key")]
    pub dpop_nonce: Option<String>,
    /// Method and URL, or method and path
    #[arg(long, value_name = "REQUEST", default_value = "GET /")]
    pub request: String,
    /// A header of the request
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The issuer's keys, `{"keys": […]}`
    #[arg(long, value_name = "FILE", conflicts_with = "fetch")]
    pub keys: Option<PathBuf>,
    /// Fetch the issuer's keys from the URL that the filter uses
    #[arg(long)]
    pub fetch: bool,
    /// The introspection response for the token (RFC 7662)
    #[arg(long, value_name = "FILE")]
    pub introspection: Option<PathBuf>,
    /// The revocation list; empty by default
    #[arg(long, value_name = "FILE")]
    pub revocations: Option<PathBuf>,
    /// A host attribute for conditions, such as source.address=10.1.2.3
    #[arg(long, value_name = "NAME=VALUE")]
    pub attribute: Vec<String>,
    /// The time, as 2027-01-01T12:00:00Z or in seconds since 1970; the current time by default
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Also write the request as a curl command, with $TOKEN in place of the token
    #[arg(long)]
    pub curl: bool,
    /// Write one HTML page that loads nothing
    #[arg(long, conflicts_with = "format")]
    pub html: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The output format of `matrix`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// For terminals
    #[default]
    Text,
    /// A table for pull requests and documents
    Markdown,
    /// For programs
    Json,
    /// One page that loads nothing
    Html,
}

/// `matrix`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm matrix plugin.json\n  okta-proxy-wasm matrix envoy.yaml --path /orders/7 --path https://admin.acme.com/ --format markdown\n\nEach line is for the requests of a rule. Another rule in parentheses decides them, because it comes earlier."
)]
pub struct Matrix {
    /// The plugin's configuration, or a host's that contains it
    #[arg(value_name = "FILE")]
    pub config: PathBuf,
    /// Also show who may send requests for this path or URL
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: MatrixFormat,
}

/// The output format of `diff`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations of GitHub Actions
    Github,
}

/// `diff`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  okta-proxy-wasm diff old.json new.json\n\nThe rules of both configurations decide a request of each kind that either distinguishes. Other settings are compared by their values."
)]
pub struct Diff {
    /// The configuration before the change
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The configuration after the change
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
}

/// The output format of test results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// Test Anything Protocol, version 14
    Tap,
    /// JUnit XML, for build servers
    Junit,
    /// Annotations of GitHub Actions
    Github,
}

/// `test`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  okta-proxy-wasm test examples/microservices/policy-tests.yaml\n\nTokens are signed with a key generated for the run, which replaces the issuers' keys. Everything else is the filter's own code."
)]
pub struct Test {
    /// The cases
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The configuration, instead of the one that the file names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// The source of an imported configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFrom {
    /// Envoy's JwtAuthentication, alone or in a bootstrap
    EnvoyJwtAuthn,
    /// Istio's RequestAuthentication and AuthorizationPolicy
    Istio,
}

/// `import`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm import --from envoy-jwt-authn envoy.yaml > plugin.json\n  okta-proxy-wasm import --from istio request-authentication.yaml > plugin.json\n\nStandard error lists what is not carried over, with its path. The result is never more permissive than the original:\nit denies more requests, or the import fails."
)]
pub struct Import {
    /// The format of the file
    #[arg(long, value_enum)]
    pub from: ImportFrom,
    /// The file, YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `man`
#[derive(Args, Debug)]
pub struct ManPages {
    /// The folder to write a page for each subcommand to; without it, the tool's page is written to standard output
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

/// `version`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm version --format json\n  okta-proxy-wasm version --module okta_proxy_wasm.wasm --sha256 \"$DIGEST\"\n\nThe digest is that of the file, as in the release's DIGESTS and SHA256SUMS. That of the OCI image is another one."
)]
pub struct Version {
    /// Also show digest, size and content of this WebAssembly module
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The expected SHA-256 digest of the module, in hexadecimal
    #[arg(long, value_name = "DIGEST", requires = "module", value_parser = digest)]
    pub sha256: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A digest of 64 digits, in lower case.
fn digest(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_digest = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Ok(digits.to_ascii_lowercase()) } else { Err(String::from("expected 64 hexadecimal digits")) }
}
