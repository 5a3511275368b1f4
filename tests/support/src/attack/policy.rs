//! The policies under attack: each as the filter's configuration, and as an evaluator of the report of a backend. The
//! evaluator compares plain strings only, so that it cannot share an error with the filter.

use serde_json::{Map, Value, json};

use super::credential::{AUDIENCE, Credential, ISSUER};

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without an identity.
    Public,
    /// Everybody; with a token, its identity.
    Optional,
    /// Every good token.
    Token,
    /// Good tokens of this group.
    Group(&'static str),
    /// Good tokens whose tenant is the second segment of the path.
    Tenant,
    /// Nobody.
    Deny,
}

/// Which paths a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Every path.
    Any,
    /// One path, with or without a slash at its end.
    Exact(&'static str),
    /// A path and all below it.
    Below(&'static str),
    /// `/accounts/` and a number.
    Accounts,
    /// Every path that ends in `.css`, `.js` or `.png`.
    Assets,
}

/// One rule. An empty list: every host, or every method.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// The hosts that it is for.
    pub hosts: &'static [&'static str],
    /// The paths that it is for.
    pub paths: Paths,
    /// The methods that it is for.
    pub methods: &'static [&'static str],
    /// Who may.
    pub access: Access,
}

/// A list of rules of which the first that matches decides.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Its name, also that of its listener.
    pub name: &'static str,
    /// The rules in their order.
    pub rules: &'static [Rule],
    /// What decides where none matches.
    pub default: Access,
    /// Whether the token may be in the cookie and the query parameter `access_token` too.
    pub reads_everywhere: bool,
    /// Whether the backend receives the credential.
    pub forwards: bool,
}

const fn rule(name: &'static str, paths: Paths, methods: &'static [&'static str], access: Access) -> Rule {
    Rule { name, hosts: &[], paths, methods, access }
}

const fn host_rule(name: &'static str, hosts: &'static [&'static str], access: Access) -> Rule {
    Rule { name, hosts, paths: Paths::Any, methods: &[], access }
}

/// Everything is closed that no rule opens.
pub const CLOSED: Policy = Policy {
    name: "closed",
    rules: &[
        rule("public", Paths::Below("/public"), &[], Access::Public),
        rule("optional", Paths::Exact("/optional"), &[], Access::Optional),
        rule("read", Paths::Accounts, &["GET", "HEAD"], Access::Token),
        rule("delete", Paths::Accounts, &["DELETE"], Access::Group("admin")),
        rule("users", Paths::Exact("/admin/users"), &["GET", "HEAD"], Access::Group("admin")),
        rule("tenants", Paths::Below("/orgs"), &["GET", "HEAD"], Access::Tenant),
        rule("assets", Paths::Assets, &[], Access::Public),
    ],
    default: Access::Deny,
    reads_everywhere: false,
    forwards: false,
};

/// Every good token may what no rule restricts.
pub const MEMBERS: Policy = Policy {
    name: "members",
    rules: &[
        rule("admin", Paths::Below("/admin"), &[], Access::Group("admin")),
        rule("internal", Paths::Below("/internal"), &[], Access::Deny),
        rule("delete", Paths::Any, &["DELETE"], Access::Group("admin")),
        rule("change", Paths::Any, &["POST"], Access::Deny),
        rule("tenants", Paths::Below("/orgs"), &[], Access::Tenant),
        rule("assets", Paths::Assets, &[], Access::Public),
    ],
    default: Access::Token,
    reads_everywhere: false,
    forwards: false,
};

/// Rules for hosts, each of which is a virtual host of Envoy.
pub const HOSTS: Policy = Policy {
    name: "hosts",
    rules: &[
        host_rule("static", &["static.acme.com"], Access::Public),
        host_rule("staff", &["admin.acme.com"], Access::Group("admin")),
    ],
    default: Access::Token,
    reads_everywhere: false,
    forwards: false,
};

/// The credential may be in several places, and reaches the backend.
pub const FORWARDING: Policy = Policy {
    name: "forwarding",
    rules: &[rule("optional", Paths::Below("/optional"), &[], Access::Optional)],
    default: Access::Token,
    reads_everywhere: true,
    forwards: true,
};

/// The credential may be in several places, and is removed.
pub const REMOVING: Policy = Policy {
    name: "removing",
    rules: &[
        rule("public", Paths::Below("/public"), &[], Access::Public),
        rule("optional", Paths::Below("/optional"), &[], Access::Optional),
    ],
    default: Access::Token,
    reads_everywhere: true,
    forwards: false,
};

/// All policies.
pub const POLICIES: [Policy; 5] = [CLOSED, MEMBERS, HOSTS, FORWARDING, REMOVING];

impl Access {
    /// Whether the holder of a credential may do something at this path.
    pub fn allows(self, credential: Credential, path: &str) -> bool {
        let has_token = credential != Credential::Anonymous;
        match self {
            Self::Public | Self::Optional => true,
            Self::Token => has_token,
            Self::Group(group) => credential.groups().contains(&group),
            Self::Tenant => has_token && path.split('/').nth(2) == credential.tenant(),
            Self::Deny => false,
        }
    }

    fn configuration(self) -> Value {
        match self {
            Self::Public => json!({"access": "public"}),
            Self::Optional => json!({"access": "optional"}),
            Self::Token => json!({"access": "token"}),
            Self::Group(group) => json!({"access": "token", "require": {"groups": [group]}}),
            Self::Tenant => json!({
                "access": "token", "require": {"condition": "claims.tenant == path_segment(request.url_path, 2)"},
            }),
            Self::Deny => json!({"access": "deny"}),
        }
    }
}

impl Paths {
    fn contains(self, path: &str) -> bool {
        let without_last_slash = path.strip_suffix('/').unwrap_or(path);
        match self {
            Self::Any => true,
            Self::Exact(exact) => without_last_slash == exact,
            Self::Below(prefix) => {
                without_last_slash == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
            }
            Self::Accounts => path.strip_prefix("/accounts/").is_some_and(is_number),
            Self::Assets => [".css", ".js", ".png"].iter().any(|suffix| path.ends_with(suffix)),
        }
    }

    fn configuration(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Any => None,
            Self::Exact(path) => Some(("path", path)),
            Self::Below(path) => Some(("path_prefix", path)),
            Self::Accounts => Some(("path_regex", "/accounts/[0-9]+")),
            Self::Assets => Some(("path_regex", r".*\.(css|js|png)")),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Rule {
    fn matches(&self, host: &str, path: &str, method: &str) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&host))
            && (self.methods.is_empty() || self.methods.contains(&method))
            && self.paths.contains(path)
    }

    fn configuration(&self) -> Value {
        let mut rule = self.access.configuration();
        let mut conditions = Map::new();
        if !self.hosts.is_empty() {
            conditions.insert("hosts".to_owned(), json!(self.hosts));
        }
        if !self.methods.is_empty() {
            conditions.insert("methods".to_owned(), json!(self.methods));
        }
        if let Some((field, path)) = self.paths.configuration() {
            conditions.insert(field.to_owned(), json!(path));
        }
        rule["name"] = json!(self.name);
        rule["match"] = Value::Object(conditions);
        rule
    }
}

impl Policy {
    /// The name of the rule for an operation, and who may execute it.
    pub fn rule_for(&self, host: &str, path: &str, method: &str) -> (&'static str, Access) {
        let found = self.rules.iter().find(|rule| rule.matches(host, path, method));
        found.map_or(("default", self.default), |rule| (rule.name, rule.access))
    }

    /// The filter's configuration, with these keys.
    pub fn configuration(&self, jwks: &Value) -> Value {
        let mut configuration = json!({
            "providers": { "attack": {
                "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["ES256"], "jwks": {"inline": jwks},
            } },
            "rules": self.rules.iter().map(Rule::configuration).collect::<Vec<_>>(),
            "default_rule": self.default.configuration(),
            "claim_to_headers": [
                {"header": "x-user-id", "claim": "sub"},
                {"header": "x-groups", "claim": "groups", "format": "comma"},
            ],
            "audit": {"denied": "sampled", "sample": 0.0001},
        });
        if self.reads_everywhere {
            configuration["token"] = json!({
                "from_headers": [{"name": "authorization", "scheme": "Bearer"}],
                "from_cookies": ["access_token"],
                "from_params": ["access_token"],
                "forward": self.forwards,
            });
        }
        configuration
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_decides() {
        for (policy, host, path, method, name) in [
            (CLOSED, "", "/public/x", "POST", "public"),
            (CLOSED, "", "/publicity", "GET", "default"),
            (CLOSED, "", "/accounts/7", "HEAD", "read"),
            (CLOSED, "", "/accounts/7", "DELETE", "delete"),
            (CLOSED, "", "/accounts/7", "POST", "default"),
            (CLOSED, "", "/accounts/7/x", "GET", "default"),
            (CLOSED, "", "/anywhere/x.css", "GET", "assets"),
            (MEMBERS, "", "/admin/", "GET", "admin"),
            (MEMBERS, "", "/administrator", "GET", "default"),
            (HOSTS, "static.acme.com", "/admin", "GET", "static"),
            (HOSTS, "static.acme.com.", "/admin", "GET", "default"),
        ] {
            assert_eq!(policy.rule_for(host, path, method).0, name, "{} {host} {path} {method}", policy.name);
        }
    }

    #[test]
    fn access_depends_on_the_token_and_the_executed_path() {
        use Credential::{Admin, Alice, Anonymous, Eve};
        assert!(Access::Optional.allows(Anonymous, "/"));
        assert!(!Access::Token.allows(Anonymous, "/"));
        assert!(Access::Group("admin").allows(Admin, "/") && !Access::Group("admin").allows(Alice, "/"));
        assert!(Access::Tenant.allows(Alice, "/orgs/acme inc/data"));
        assert!(!Access::Tenant.allows(Eve, "/orgs/acme inc/data"));
        assert!(!Access::Deny.allows(Admin, "/"));
    }
}
