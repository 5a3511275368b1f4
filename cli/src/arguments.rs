//! The command line: subcommands, options and their help texts. The `///` comments are the help output.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Checks, explains, tests and imports configurations of okta-proxy-wasm, with the filter's own code.
#[derive(Debug, Parser)]
#[command(
    name = "okta-proxy-wasm",
    version,
    after_help = "Exit status: 0 success, 1 a negative result (a fault, a denied request, a failed test), 2 the command line or a file cannot be used."
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

/// `check`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm check plugin.json\n  okta-proxy-wasm check --strict envoy.yaml\n  okta-proxy-wasm check nginx.conf\n  okta-proxy-wasm check --effective - < plugin.json\n\nIn a configuration of Envoy (YAML or JSON) or nginx, every okta-proxy-wasm plugin is checked.\nExit status: 0 no fault, 1 faults (or warnings, with --strict), 2 a file cannot be used."
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
    pub format: Format,
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
    after_help = "Examples:\n  okta-proxy-wasm init gateway\n  okta-proxy-wasm init --domain acme.okta.com --audience api://default --host istio .\n\nQuestions are asked for what is missing. No file is overwritten.\nExit status: 0 success, 1 the result does not pass its own tests, 2 the answers cannot be used or a file exists."
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
    after_help = "Examples:\n  okta-proxy-wasm explain --config plugin.json --token @token.txt --fetch --request 'GET https://api.acme.com/orders/1'\n  pbpaste | okta-proxy-wasm explain --config envoy.yaml --token - --keys jwks.json --at 2027-01-01T12:00:00Z\n\nThe shell's history records a token on the command line: use @FILE or -.\nExit status: 0 the request is allowed, 1 it is denied, 2 the input does not suffice for a decision."
)]
pub struct Explain {
    /// The plugin's configuration, or an Envoy configuration that contains it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The token, added at the first location that the configuration reads; `@FILE`, or `-` for standard input
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
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
    after_help = "Examples:\n  okta-proxy-wasm matrix plugin.json\n  okta-proxy-wasm matrix envoy.yaml --path /orders/7 --path https://admin.acme.com/ --format markdown\n\nEach line is for the requests of a rule. Another rule in parentheses decides them, because it comes earlier.\nExit status: 0 success, 2 a file cannot be used."
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

/// `diff`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  okta-proxy-wasm diff old.json new.json\n\nThe rules of both configurations decide a request of each kind that either distinguishes. Other settings are compared by their values.\nExit status: 0 no difference, 1 differences, 2 a file cannot be used."
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
    pub format: Format,
}

/// The output format of test results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// Test Anything Protocol, version 13
    Tap,
    /// JUnit XML, for build servers
    Junit,
}

/// `test`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  okta-proxy-wasm test examples/microservices/policy-tests.yaml\n\nTokens are signed with a key generated for the run, which replaces the issuers' keys. Everything else is the filter's own code.\nExit status: 0 every case passes, 1 a case fails, 2 a file cannot be used."
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
    after_help = "Examples:\n  okta-proxy-wasm import --from envoy-jwt-authn envoy.yaml > plugin.json\n  okta-proxy-wasm import --from istio request-authentication.yaml > plugin.json\n\nStandard error lists what is not carried over, with its path. The result is never more permissive than the original:\nit denies more requests, or the import fails.\nExit status: 0 a result, 1 no result, 2 a file cannot be used."
)]
pub struct Import {
    /// The format of the file
    #[arg(long, value_enum)]
    pub from: ImportFrom,
    /// The file, YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
