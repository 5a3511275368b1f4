//! The command line: subcommands, their options, and what `--help` says of them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Checks, explains, tests and imports configurations of okta-proxy-wasm, with the filter's own code.
#[derive(Debug, Parser)]
#[command(
    name = "okta-proxy-wasm",
    version,
    after_help = "Exit status: 0 all is well, 1 something was found (a fault, a request that is refused, a test that fails), 2 the command line or a file cannot be used."
)]
pub struct CommandLine {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say everything that is wrong with a configuration, and what weakens it
    Check(Check),
    /// Say step by step what the filter does with a request, and the answer
    Explain(Box<Explain>),
    /// Hold a policy against the decisions that are expected of it
    Test(Test),
    /// Write the configuration that another filter's means, and what it cannot say
    Import(Import),
    /// Write the JSON Schema of configurations, for editors and other tools
    #[command(
        after_help = "Examples:\n  okta-proxy-wasm schema > okta-proxy-wasm.schema.json\n  okta-proxy-wasm schema --draft 04"
    )]
    Schema {
        /// Of which draft of JSON Schema it is
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
    /// What editors read
    #[default]
    #[value(name = "2020-12")]
    Of2020,
    /// What Kong reads
    #[value(name = "04")]
    Of2013,
}

/// Where secrets are that a configuration names by `{"env": …}`.
#[derive(Args, Clone, Debug, Default)]
pub struct SecretSources {
    /// Look variables up in this file too, a NAME=value a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Take every variable that the configuration names for set
    #[arg(long)]
    pub assume_env: bool,
}

/// How results are written.
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
    after_help = "Examples:\n  okta-proxy-wasm check plugin.json\n  okta-proxy-wasm check --deny-warnings envoy.yaml\n  okta-proxy-wasm check --effective - < plugin.json\n\nOf an Envoy configuration, YAML or JSON, every plugin of ours in it is checked.\nExit status: 0 no fault, 1 faults (or warnings, with --deny-warnings), 2 a file cannot be used."
)]
pub struct Check {
    /// The plugin's configuration, or Envoy's with it in it; `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Write the configuration with its defaults and with the Okta preset expanded
    #[arg(long)]
    pub effective: bool,
    /// Take warnings for faults
    #[arg(long)]
    pub deny_warnings: bool,
    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub secrets: SecretSources,
}

/// `explain`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  okta-proxy-wasm explain --config plugin.json --token @token.txt --fetch --request 'GET https://api.acme.com/orders/1'\n  pbpaste | okta-proxy-wasm explain --config envoy.yaml --token - --keys jwks.json --at 2027-01-01T12:00:00Z\n\nA token on the command line stands in the shell's history: use @FILE or -.\nExit status: 0 the request passes, 1 it is refused, 2 it cannot be judged with what was given."
)]
pub struct Explain {
    /// The plugin's configuration, or Envoy's with it in it
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The token, put where the configuration looks first; `@FILE`, or `-` for standard input
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
    /// Fetch the issuer's keys from where the filter would
    #[arg(long)]
    pub fetch: bool,
    /// What the issuer says when it is asked about the token (RFC 7662)
    #[arg(long, value_name = "FILE")]
    pub introspection: Option<PathBuf>,
    /// The list of revoked tokens; an empty one unless given
    #[arg(long, value_name = "FILE")]
    pub revocations: Option<PathBuf>,
    /// What a condition asks the host for, such as source.address=10.1.2.3
    #[arg(long, value_name = "NAME=VALUE")]
    pub attribute: Vec<String>,
    /// The time, as 2027-01-01T12:00:00Z or in seconds since 1970; now unless given
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// How the steps are written
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How the outcome of tests is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// Test Anything Protocol, version 13
    Tap,
    /// As JUnit writes it, for build servers
    Junit,
}

/// `test`
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  okta-proxy-wasm test examples/microservices/policy-tests.yaml\n\nTokens are signed with a key made for the run, which takes the place of the issuers' keys; all else is the filter's.\nExit status: 0 every case is as expected, 1 one is not, 2 a file cannot be used."
)]
pub struct Test {
    /// The cases
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The configuration, instead of the one that the file names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the outcome is written
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// Whose configuration is imported.
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
    after_help = "Examples:\n  okta-proxy-wasm import --from envoy-jwt-authn envoy.yaml > plugin.json\n  okta-proxy-wasm import --from istio request-authentication.yaml > plugin.json\n\nWhat does not carry over is said on standard error, with its place. Where it would let more pass, the result refuses\ninstead, or there is none.\nExit status: 0 there is a result, 1 there is none, 2 a file cannot be used."
)]
pub struct Import {
    /// Whose configuration it is
    #[arg(long, value_enum)]
    pub from: ImportFrom,
    /// The file, YAML or JSON; `-` for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
