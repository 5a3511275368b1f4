//! Decides from a backend's own report whether the rule for the executed path allowed it, and whether the identity that the
//! backend saw is that of the token or absent.

use std::fmt;

use super::credential::{Credential, MARKER};
use super::execution::Execution;
use super::policy::{Access, Policy};

/// What must not have happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// An operation was executed that its rule does not allow for the credential.
    NotAllowed {
        /// The rule for what was executed.
        rule: &'static str,
        /// By which of the two hosts: that of Envoy's virtual host, or the one that the backend uses.
        host: String,
    },
    /// The backend saw an identity that is not the token's.
    ForeignIdentity(Vec<String>),
    /// The backend saw a credential that was not checked, or one that is to be removed.
    ForeignCredential(String),
    /// A request was executed that nobody sent.
    NotSent,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { rule, host } if host.is_empty() => write!(formatter, "rule {rule} does not allow it"),
            Self::NotAllowed { rule, host } => write!(formatter, "rule {rule} for host {host:?} does not allow it"),
            Self::ForeignIdentity(values) => write!(formatter, "foreign identity {values:?}"),
            Self::ForeignCredential(value) => write!(formatter, "unchecked credential {value:?}"),
            Self::NotSent => write!(formatter, "nobody sent this request"),
        }
    }
}

/// What was wrong with an execution that a request with this credential caused. `token` is the text of its token.
pub fn violations(
    policy: &Policy,
    credential: Credential,
    token: Option<&str>,
    execution: &Execution,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let looks_at_hosts = policy.rules.iter().any(|rule| !rule.hosts.is_empty());
    let hosts = if looks_at_hosts { hosts_of(execution) } else { vec![String::new()] };
    let mut strictest = None;
    if let Some(path) = &execution.path {
        for host in &hosts {
            let (rule, access) = policy.rule_for(host, path, &execution.method);
            if !access.allows(credential, path) {
                found.push(Violation::NotAllowed { rule, host: host.clone() });
            }
            strictest = Some(access);
        }
    }
    let is_public = strictest == Some(Access::Public);
    found.extend(foreign_identity(credential, execution));
    found.extend(foreign_credentials(policy, is_public, token, execution));
    found
}

/// The hosts whose rules apply: Envoy's virtual host has decided which cluster serves, the backend's own reading which of
/// its sites.
fn hosts_of(execution: &Execution) -> Vec<String> {
    let normal = |host: &str| {
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        name.map_or(host, |(name, _)| name).trim_end_matches('.').to_ascii_lowercase()
    };
    let mut hosts: Vec<String> = execution.virtual_host.iter().map(|host| normal(host)).collect();
    hosts.push(normal(&execution.host));
    hosts.dedup();
    hosts
}

fn foreign_identity(credential: Credential, execution: &Execution) -> Option<Violation> {
    let subject = credential.user_header();
    let groups = credential.groups().join(",");
    let user_is_right = match execution.user.as_slice() {
        [] => true,
        [user] => subject == Some(user.as_str()),
        _ => false,
    };
    let groups_are_right = match execution.groups.as_slice() {
        [] => true,
        [value] => subject.is_some() && *value == groups,
        _ => false,
    };
    let seen = execution.user.iter().chain(&execution.groups);
    (!user_is_right || !groups_are_right).then(|| Violation::ForeignIdentity(seen.cloned().collect()))
}

fn foreign_credentials(
    policy: &Policy,
    is_public: bool,
    token: Option<&str>,
    execution: &Execution,
) -> Option<Violation> {
    // A public rule looks at no token: with `forward`, what is forwarded is the client's own.
    if policy.forwards && is_public {
        return None;
    }
    let everywhere = [&execution.authorization, &execution.param, &execution.cookie];
    let places = if policy.reads_everywhere { &everywhere[..] } else { &everywhere[..1] };
    let is_checked = |value: &str| {
        let text = value.strip_prefix("Bearer ").unwrap_or(value);
        policy.forwards && token == Some(text)
    };
    // Credentials of another scheme are none of the filter's.
    let is_of_another_scheme = |value: &str| value.starts_with("Basic ");
    let is_credential = |value: &str| {
        !is_of_another_scheme(value) && (value.contains(MARKER) || token.is_some_and(|token| value.contains(token)))
    };
    let mut seen = places.iter().flat_map(|values| values.iter());
    let foreign = seen.find(|value| is_credential(value) && !is_checked(value));
    foreign.map(|value| Violation::ForeignCredential(value.chars().take(60).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::policy::{CLOSED, FORWARDING, HOSTS, MEMBERS, REMOVING};
    use super::*;

    fn executed(path: &str, method: &str) -> Execution {
        Execution {
            operation: "x".to_owned(),
            path: Some(path.to_owned()),
            method: method.to_owned(),
            host: "api.acme.com".to_owned(),
            virtual_host: vec!["*".to_owned()],
            ..Execution::default()
        }
    }

    fn is_violated(policy: &Policy, credential: Credential, execution: &Execution) -> bool {
        !violations(policy, credential, Some("a.b.c"), execution).is_empty()
    }

    #[test]
    fn an_operation_that_its_rule_allows_is_no_violation() {
        for (policy, credential, path, method) in [
            (CLOSED, Credential::Anonymous, "/public/x", "GET"),
            (CLOSED, Credential::Anonymous, "/x.css", "GET"),
            (CLOSED, Credential::Alice, "/accounts/7", "GET"),
            (CLOSED, Credential::Admin, "/accounts/7", "DELETE"),
            (MEMBERS, Credential::Alice, "/elsewhere", "GET"),
            (MEMBERS, Credential::Admin, "/admin", "GET"),
        ] {
            assert!(!is_violated(&policy, credential, &executed(path, method)), "{} {path}", policy.name);
        }
    }

    #[test]
    fn an_operation_that_its_rule_does_not_allow_is_a_violation() {
        for (policy, credential, path, method) in [
            (CLOSED, Credential::Anonymous, "/admin", "GET"),
            (CLOSED, Credential::Admin, "/admin", "GET"),
            (CLOSED, Credential::Alice, "/accounts/7", "DELETE"),
            (CLOSED, Credential::Alice, "/accounts/7", "delete"),
            (CLOSED, Credential::Eve, "/orgs/acme inc/data", "GET"),
            (MEMBERS, Credential::Alice, "/accounts/7", "DELETE"),
            (MEMBERS, Credential::Admin, "/internal", "GET"),
            (MEMBERS, Credential::Anonymous, "/elsewhere", "GET"),
        ] {
            assert!(is_violated(&policy, credential, &executed(path, method)), "{} {path}", policy.name);
        }
    }

    #[test]
    fn both_the_virtual_host_and_the_host_of_the_backend_must_allow_it() {
        let on = |virtual_host: &str, host: &str| Execution {
            virtual_host: vec![virtual_host.to_owned()],
            host: host.to_owned(),
            ..executed("/admin", "GET")
        };
        let anonymous = Credential::Anonymous;
        assert!(!is_violated(&HOSTS, anonymous, &on("static.acme.com", "static.acme.com")));
        assert!(!is_violated(&HOSTS, anonymous, &on("static.acme.com", "STATIC.acme.com:81")));
        assert!(is_violated(&HOSTS, anonymous, &on("*", "static.acme.com:81")));
        assert!(is_violated(&HOSTS, anonymous, &on("static.acme.com", "admin.acme.com")));
    }

    #[test]
    fn identity_is_that_of_the_token_or_absent() {
        let seeing = |user: &[&str], groups: &[&str]| Execution {
            user: user.iter().map(|&text| text.to_owned()).collect(),
            groups: groups.iter().map(|&text| text.to_owned()).collect(),
            ..executed("/accounts/7", "GET")
        };
        assert!(!is_violated(&CLOSED, Credential::Alice, &seeing(&["alice"], &["staff"])));
        assert!(!is_violated(&CLOSED, Credential::Alice, &seeing(&[], &[])));
        for (user, groups) in [
            (vec!["alice", "mallory"], vec!["staff"]),
            (vec!["alice,mallory"], vec!["staff"]),
            (vec!["alice"], vec!["admin"]),
            (vec!["alice"], vec!["staff", "admin"]),
            (vec!["root"], vec![]),
        ] {
            assert!(is_violated(&CLOSED, Credential::Alice, &seeing(&user, &groups)), "{user:?} {groups:?}");
        }
        assert!(is_violated(&CLOSED, Credential::Anonymous, &seeing(&["alice"], &[])));
        assert!(!is_violated(&CLOSED, Credential::Quentin, &seeing(&["%3D?utf-8?q?root?="], &["staff"])));
        for decoded in ["root", "=?utf-8?q?root?="] {
            assert!(is_violated(&CLOSED, Credential::Quentin, &seeing(&[decoded], &["staff"])), "{decoded}");
        }
    }

    #[test]
    fn a_credential_that_the_backend_sees_was_checked() {
        let seeing = |param: &str| Execution { param: vec![param.to_owned()], ..executed("/optional", "GET") };
        assert!(!is_violated(&FORWARDING, Credential::Alice, &seeing("a.b.c")));
        assert!(is_violated(&FORWARDING, Credential::Alice, &seeing("mallory.b.c")));
        assert!(is_violated(&REMOVING, Credential::Alice, &seeing("a.b.c")));
        assert!(
            !is_violated(&CLOSED, Credential::Alice, &seeing("mallory.b.c")),
            "it is no place for a credential there"
        );
    }
}
