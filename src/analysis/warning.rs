//! Warnings about a configuration that loads: each has a code, a path, a message and a fix. `docs/policy-analysis.md`
//! documents each code.

use std::borrow::Cow;
use std::fmt;

use crate::json_path::Path;

/// Declares the codes in the order of the documentation.
macro_rules! warning_codes {
    ($(#[doc = $doc:literal] $variant:ident $name:literal;)*) => {
        /// The kind of a warning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum WarningCode {
            $(#[doc = $doc] $variant,)*
        }

        impl WarningCode {
            /// All codes.
            pub const ALL: [Self; { [$($name),*].len() }] = [$(Self::$variant),*];
            /// The names of all codes.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The name in the log, in `check` and in `allow_warnings`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What the code means, in a sentence. The module does not contain the texts.
            #[cfg(not(target_family = "wasm"))]
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc.trim(),)*
                }
            }
        }
    };
}

warning_codes! {
    /// No request comes under the rule: earlier rules match all of them.
    ShadowedRule "shadowed_rule";
    /// Probably no request comes under the rule: earlier rules match all examples that were tried.
    PossiblyShadowedRule "possibly_shadowed_rule";
    /// A host or method of the rule has no effect, or a broader and weaker rule before it takes some of its methods.
    PartlyShadowedRule "partly_shadowed_rule";
    /// An earlier rule has the same `match` and requires the same.
    DuplicateRule "duplicate_rule";
    /// The rule is for metadata that the filter serves itself.
    MetadataRule "metadata_rule";
    /// A rule for some methods leaves another method to a weaker rule.
    MethodGap "method_gap";
    /// A protected path is open in other letter case.
    PathGap "path_gap";
    /// The default rule requires no token, and other rules do.
    OpenDefault "open_default";
    /// The default rule allows requests without a token, and other rules do not.
    AnonymousDefault "anonymous_default";
    /// The default rule accepts any token, and other rules require more.
    AnyTokenDefault "any_token_default";
    /// `responses.cors` is set, and no rule allows preflights.
    PreflightDenied "preflight_denied";
    /// No token of a provider meets the requirement.
    UnsatisfiableRequirement "unsatisfiable_requirement";
    /// A condition has the same value for each request.
    ConstantCondition "constant_condition";
    /// `max_age` is shorter than the clock skew that is added to it.
    ShortMaxAge "short_max_age";
    /// The `acr` value does not require what its name says.
    WeakAcr "weak_acr";
    /// The backend receives tokens that are bound to a key of the client.
    BoundTokenForwarded "bound_token_forwarded";
    /// No rule accepts tokens of the provider.
    UnusedProvider "unused_provider";
    /// No token is ever introspected.
    UnusedIntrospection "unused_introspection";
    /// No browser is ever redirected.
    UnusedLogin "unused_login";
    /// No rule enforces its requirement.
    ReportOnlyEverywhere "report_only_everywhere";
    /// A setting with `insecure` in its name is on.
    InsecureSetting "insecure_setting";
    /// An issuer is Okta's, and the preset is not used.
    IssuerWithoutPreset "issuer_without_preset";
    /// An issuer has the port 443.
    IssuerPort "issuer_port";
    /// Tokens are read from the query.
    TokenInQuery "token_in_query";
    /// `authorization` is read without a scheme.
    AuthorizationWithoutScheme "authorization_without_scheme";
    /// Browsers are redirected, and no cookie carries the token.
    RedirectWithoutCookie "redirect_without_cookie";
    /// Introspection results are used beyond their time.
    StaleIfError "stale_if_error";
    /// Opaque tokens are accepted for any audience.
    AnyOpaqueToken "any_opaque_token";
    /// Responses contain the reason of the denial.
    ReasonInResponse "reason_in_response";
    /// Callers with a secret receive the reason of the denial.
    DebugResponses "debug_responses";
    /// Denied requests are not all logged.
    DenialsNotLogged "denials_not_logged";
    /// Clients determine how much is logged.
    UnlimitedDenialLog "unlimited_denial_log";
    /// The metadata names an authorization server that is no provider's issuer.
    UnknownAuthorizationServer "unknown_authorization_server";
    /// `allow_warnings` has a code that no warning has.
    UnusedAllowedWarning "unused_allowed_warning";
    /// The configuration is too large for a complete analysis.
    AnalysisIncomplete "analysis_incomplete";
}

impl WarningCode {
    /// The code with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Whether `allow_warnings` may have it. An insecure setting always logs a warning.
    pub const fn may_be_allowed(self) -> bool {
        !matches!(self, Self::InsecureSetting | Self::UnusedAllowedWarning)
    }
}

/// A warning. It contains no value of the document except names of rules and providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub code: WarningCode,
    /// The rule or setting that it is about.
    pub path: Path,
    /// The other rules that cause it.
    pub caused_by: Vec<Path>,
    /// What is wrong: complete sentences.
    pub message: Cow<'static, str>,
    /// What to change: complete sentences.
    pub fix: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}] {}: {} {}", self.code.name(), self.path.as_str(), self.message, self.fix)
    }
}
