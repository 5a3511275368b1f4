//! An evaluator of Istio's rules, as its documentation defines them.

use serde_json::Value;

/// A request as Istio's filters see it behind jwt_authn.
#[derive(Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub authority: &'a str,
    pub claims: Option<&'a Value>,
    pub channel: Option<&'a str>,
    pub address: &'a str,
    pub port: &'a str,
    /// The claims that are lists with spaces between their items.
    pub split_claims: &'a [&'a str],
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

/// `*`, `*SUFFIX`, `PREFIX*` or the whole; the first sign counts first.
fn matches_text(pattern: &str, text: &str) -> bool {
    match (pattern, pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        ("*", _, _) => !text.is_empty(),
        (_, Some(suffix), _) => text.ends_with(suffix),
        (_, None, Some(prefix)) => text.starts_with(prefix),
        (whole, None, None) => text == whole,
    }
}

fn matches_path(pattern: &str, path: &str) -> bool {
    if !pattern.contains("{*}") && !pattern.contains("{**}") {
        return matches_text(pattern, path);
    }
    // The templates in the table are whole segments, `{**}` the last one.
    let is_segment = |text: &str| {
        text.chars().all(|character| character.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@".contains(character))
    };
    if let Some(start) = pattern.strip_suffix("{**}") {
        return path.strip_prefix(start).is_some_and(|rest| rest.split('/').all(is_segment));
    }
    let (wanted, found): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|(wanted, found)| match *wanted {
            "{*}" => !found.is_empty() && is_segment(found),
            literal => literal == *found,
        })
}

impl Request<'_> {
    fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// `ISSUER/SUBJECT`, each of them whole, `*`, or with a `*` at one end of the pattern.
    fn has_principal(&self, patterns: &Value) -> bool {
        let claim = |name: &str| self.claims.and_then(|claims| claims.get(name)?.as_str()).unwrap_or_default();
        texts(patterns).into_iter().any(|pattern| match pattern.rsplit_once('/') {
            Some((issuer, subject)) => matches_text(issuer, claim("iss")) && matches_text(subject, claim("sub")),
            None if pattern == "*" => !claim("iss").is_empty() && !claim("sub").is_empty(),
            None => false,
        })
    }

    fn is_from(&self, source: &Value) -> bool {
        source.as_object().unwrap().iter().all(|(name, values)| match name.as_str() {
            "requestPrincipals" => self.has_principal(values),
            "notRequestPrincipals" => !self.has_principal(values),
            "remoteIpBlocks" => self.is_in(values),
            "notRemoteIpBlocks" => !self.is_in(values),
            // Not from that namespace.
            _ => false,
        })
    }

    fn is_to(&self, operation: &Value) -> bool {
        let any = |values: &Value, matches: &dyn Fn(&str) -> bool| texts(values).into_iter().any(matches);
        let host = self.authority.to_ascii_lowercase();
        let is_path = |pattern: &str| matches_path(pattern, self.path());
        let is_method = |pattern: &str| matches_text(pattern, self.method);
        let is_host = |pattern: &str| matches_text(&pattern.to_ascii_lowercase(), &host);
        operation.as_object().unwrap().iter().all(|(name, values)| match name.as_str() {
            "paths" => any(values, &is_path),
            "notPaths" => !any(values, &is_path),
            "methods" => any(values, &is_method),
            "notMethods" => !any(values, &is_method),
            "hosts" => any(values, &is_host),
            "notHosts" => !any(values, &is_host),
            "ports" => texts(values).contains(&self.port),
            "notPorts" => !texts(values).contains(&self.port),
            other => panic!("{other}"),
        })
    }

    /// The networks in the table have whole bytes.
    fn is_in(&self, networks: &Value) -> bool {
        texts(networks).into_iter().any(|network| self.address.starts_with(network.trim_end_matches("0.0.0/8")))
    }

    /// What a key of `when` has.
    fn values_of(&self, key: &str) -> Vec<String> {
        if let Some(path) = key.strip_prefix("request.auth.claims[") {
            let path: Vec<&str> = path.trim_end_matches(']').split("][").collect();
            return self.claim(&path);
        }
        match key {
            "request.auth.audiences" => self.claim(&["aud"]),
            "request.auth.presenter" => self.claim(&["azp"]),
            // Written from the token, or removed.
            "request.headers[x-user-id]" => self.claim(&["sub"]),
            "request.headers[X-Channel]" => self.channel.map(str::to_owned).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn claim(&self, path: &[&str]) -> Vec<String> {
        let found = self.claims.and_then(|claims| path.iter().try_fold(claims, |value, name| value.get(name)));
        match found {
            Some(Value::String(text)) if matches!(path, [name] if self.split_claims.contains(name)) => {
                text.split(' ').map(str::to_owned).collect()
            }
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    }

    fn meets(&self, condition: &Value) -> bool {
        let key = condition["key"].as_str().unwrap();
        let found = self.values_of(key);
        let has = |patterns: &Value| match key {
            "request.auth.principal" => self.has_principal(patterns),
            "remote.ip" => self.is_in(patterns),
            "destination.port" => texts(patterns).contains(&self.port),
            _ => texts(patterns).iter().any(|pattern| found.iter().any(|value| matches_text(pattern, value))),
        };
        condition.get("values").is_none_or(has) && !condition.get("notValues").is_some_and(has)
    }

    fn matches(&self, rule: &Value) -> bool {
        let any = |list: &str, item: &str, matches: &dyn Fn(&Value) -> bool| {
            rule.get(list).and_then(Value::as_array).is_none_or(|items| items.iter().any(|entry| matches(&entry[item])))
        };
        any("from", "source", &|source| self.is_from(source))
            && any("to", "operation", &|operation| self.is_to(operation))
            && rule.get("when").and_then(Value::as_array).into_iter().flatten().all(|condition| self.meets(condition))
    }

    /// DENY first, then ALLOW, of which one has to match when there are any.
    pub fn is_allowed(&self, policies: &[Value]) -> bool {
        let enforced =
            policies.iter().filter(|policy| policy["metadata"]["annotations"].get("istio.io/dry-run").is_none());
        let (mut has_allow, mut is_allowed) = (false, false);
        for spec in enforced.map(|policy| &policy["spec"]) {
            let matches = spec["rules"].as_array().into_iter().flatten().any(|rule| self.matches(rule));
            match spec.get("action").and_then(Value::as_str) {
                Some("DENY") if matches => return false,
                Some("DENY" | "AUDIT") => {}
                _ => {
                    has_allow = true;
                    is_allowed |= matches;
                }
            }
        }
        is_allowed || !has_allow
    }
}
