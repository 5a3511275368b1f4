//! The schema of `rules`: which requests they match, and what they require.

use super::require::RequireDocument;
use crate::config::decode::{document, string_enum};
use crate::policy::Access;

document! {
    /// One rule.
    RuleDocument {
        /// A unique name, for logs and metrics.
        name: String,
        /// The requests that it matches. Default: all.
        conditions as "match": MatchDocument,
        /// `public`: every request is allowed, and a token is removed unread. `optional`: a request without a credential is
        /// allowed, one with a credential requires a valid token. `token`: a valid token is required. `deny`: every request
        /// is denied. Default: `token`.
        access: Access,
        /// Further requirements on the token.
        require: RequireDocument,
        /// Allows and logs (`would_deny`) requests that `require` would deny. A valid token is required all the same. Default:
        /// `false`.
        report_only: bool,
        /// Redirects browsers that navigate to a page to `responses.login`, instead of a 401, where a sign-in would help. Default: `false`.
        redirect_browsers: bool,
        /// Introspects every token, JWTs too: a revoked token is rejected within `introspection.cache_ttl`. Not with `public` or
        /// `deny`. Default: `false`.
        introspect: bool,
    }
}

document! {
    /// The requests that a rule matches: all members must match. Neither the query nor headers such as `x-original-url` are
    /// part of a match.
    MatchDocument {
        /// The hosts, without ports: names, addresses, or `*.acme.com` for all subdomains. Default: all.
        hosts: Vec<String>,
        /// This path, with or without a slash at its end.
        path: String,
        /// This path and all paths below it: `/admin` matches `/admin/x` and not `/administrator`.
        path_prefix: String,
        /// A regular expression that matches the whole path, in linear time.
        path_regex: String,
        /// Matches `/admin` and `/Admin` alike, for backends that ignore case. Not with `public` or `optional`. Default: `false`.
        ignore_case: bool,
        /// The methods, in capitals. Default: all.
        methods: Vec<String>,
    }
}

document! {
    /// The rule for requests that no other rule matches.
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

string_enum!(Access { "public" => Public, "optional" => Optional, "token" => Token, "deny" => Deny });
