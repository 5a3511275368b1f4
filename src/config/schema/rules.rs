//! `rules` as the operator writes them: which requests, and what it takes to pass.

use serde_json::Value;

use super::require::RequireDocument;
use crate::config::decode::{Decode, StringEnum, decode_enum, document};
use crate::config::error::{ConfigError, Path};
use crate::policy::Access;

document! {
    /// One rule.
    RuleDocument {
        /// A name for the log, each once.
        name: String,
        /// The requests it is for. Default: all.
        conditions as "match": MatchDocument,
        /// `public`: everybody passes, a token is not looked at (and is taken out all the same). `optional`: without a
        /// credential a request passes, with one it must be good. `token`: a good token is needed. `deny`: nobody
        /// passes. Default: `token`.
        access: Access,
        /// What the token must have besides.
        require: RequireDocument,
        /// What `require` would refuse is let pass and logged (`would_deny`). A good token is needed all the same.
        report_only: bool,
        /// Where another log-in would help, browsers that go to a page are sent to `responses.login` instead of being
        /// answered 401. Default: `false`.
        redirect_browsers: bool,
        /// The issuer is asked about each token, JWTs too: a revoked one is refused within `introspection.cache_ttl`. Not
        /// with `public` or `deny`. Default: `false`.
        introspect: bool,
    }
}

document! {
    /// The requests of a rule: all that is written must hold. Nothing else of a request is looked at: neither its query
    /// nor fields such as `x-original-url`.
    MatchDocument {
        /// The hosts, without ports: names, addresses, or `*.acme.com` for all below. Default: all.
        hosts: Vec<String>,
        /// This path, with or without a slash at its end.
        path: String,
        /// This path and all below it: `/admin` is `/admin/x` too, and not `/administrator`.
        path_prefix: String,
        /// The whole path by a regular expression, linear in time.
        path_regex: String,
        /// Whether `/Admin` is `/admin`, for backends that route so. Not with `public` or `optional`. Default: `false`.
        ignore_case: bool,
        /// The methods, in capitals. Default: all.
        methods: Vec<String>,
    }
}

document! {
    /// What counts where no rule does.
    DefaultRuleDocument {
        /// As in a rule.
        access: Access,
        /// As in a rule.
        require: RequireDocument,
        /// As in a rule.
        report_only: bool,
        /// As in a rule.
        redirect_browsers: bool,
        /// As in a rule.
        introspect: bool,
    }
}

impl StringEnum for Access {
    const VARIANTS: &'static [(&'static str, Self)] =
        &[("public", Self::Public), ("optional", Self::Optional), ("token", Self::Token), ("deny", Self::Deny)];
    const EXPECTED: &'static str = "one of \"public\", \"optional\", \"token\", \"deny\"";
}

impl Decode for Access {
    fn decode(value: &Value, at: &Path, errors: &mut Vec<ConfigError>) -> Option<Self> {
        decode_enum(value, at, errors)
    }
}
