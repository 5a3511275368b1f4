//! Suggestions for unknown names of an expression.

use crate::spelling::nearest;

const VARIABLES: [&str; 6] = ["request", "source", "destination", "connection", "claims", "token"];

/// What the names of other products and languages mean here.
const OTHER_VARIABLES: [(&str, &str); 33] = [
    ("auth", "claims"),
    ("jwt", "claims"),
    ("payload", "claims"),
    ("user", "claims"),
    ("principal", "claims"),
    ("identity", "claims"),
    ("groups", "claims.groups"),
    ("roles", "claims.roles"),
    ("sub", "token.subject"),
    ("subject", "token.subject"),
    ("iss", "token.issuer"),
    ("issuer", "token.issuer"),
    ("aud", "claims.aud"),
    ("scope", "token.scopes"),
    ("scopes", "token.scopes"),
    ("scp", "token.scopes"),
    ("client_id", "token.client_id"),
    ("cid", "token.client_id"),
    ("headers", "request.headers"),
    ("header", "request.headers"),
    ("host", "request.host"),
    ("method", "request.method"),
    ("path", "request.url_path"),
    ("url_path", "request.url_path"),
    ("query", "request.raw_query"),
    ("req", "request"),
    ("http", "request"),
    ("ip", "source.address"),
    ("remote_ip", "source.address"),
    ("client_ip", "source.address"),
    ("now", "request.time"),
    ("True", "true"),
    ("False", "false"),
];

/// All attributes by their whole names.
const ATTRIBUTES: [&str; 29] = [
    "request.url_path",
    "request.raw_path",
    "request.raw_query",
    "request.host",
    "request.raw_host",
    "request.scheme",
    "request.method",
    "request.headers",
    "request.referer",
    "request.useragent",
    "request.id",
    "request.time",
    "request.protocol",
    "source.address",
    "source.port",
    "destination.address",
    "destination.port",
    "connection.mtls",
    "connection.requested_server_name",
    "connection.tls_version",
    "connection.subject_peer_certificate",
    "connection.uri_san_peer_certificate",
    "connection.dns_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "token.issuer",
    "token.subject",
    "token.client_id",
    "token.scopes",
    "token.provider",
];

const OTHER_ATTRIBUTES: [(&str, &str); 24] = [
    ("request.auth", "claims"),
    ("request.claims", "claims"),
    ("request.token", "token"),
    ("request.url", "request.url_path"),
    ("request.uri", "request.url_path"),
    ("request.header", "request.headers"),
    ("request.user_agent", "request.useragent"),
    ("request.authority", "request.host"),
    ("request.ip", "source.address"),
    ("request.remote_addr", "source.address"),
    ("source.ip", "source.address"),
    ("source.mtls", "connection.mtls"),
    ("source.principal", "connection.uri_san_peer_certificate"),
    ("destination.ip", "destination.address"),
    ("connection.sni", "connection.requested_server_name"),
    ("token.claims", "claims"),
    ("token.payload", "claims"),
    ("token.groups", "claims.groups"),
    ("token.aud", "claims.aud"),
    ("token.iss", "token.issuer"),
    ("token.sub", "token.subject"),
    ("token.scp", "token.scopes"),
    ("token.client", "token.client_id"),
    ("token.cid", "token.client_id"),
];

/// The functions with the way to call them.
const FUNCTIONS: [(&str, &str); 31] = [
    ("has", "has(claims.tenant)"),
    ("size", "size(list)"),
    ("startsWith", "text.startsWith(prefix)"),
    ("endsWith", "text.endsWith(suffix)"),
    ("contains", "text.contains(part)"),
    ("matches", "text.matches('pattern')"),
    ("lowerAscii", "text.lowerAscii()"),
    ("path_segment", "path_segment(path, number)"),
    ("ip_in", "ip_in(address, ['10.0.0.0/8'])"),
    ("int", "int(value)"),
    ("double", "double(value)"),
    ("string", "string(value)"),
    ("timestamp", "timestamp('2026-01-31T08:00:00Z')"),
    ("duration", "duration('1h30m')"),
    ("all", "list.all(item, condition)"),
    ("exists", "list.exists(item, condition)"),
    ("exists_one", "list.exists_one(item, condition)"),
    ("filter", "list.filter(item, condition)"),
    ("map", "list.map(item, value)"),
    ("getFullYear", "time.getFullYear()"),
    ("getMonth", "time.getMonth()"),
    ("getDate", "time.getDate()"),
    ("getDayOfMonth", "time.getDayOfMonth()"),
    ("getDayOfWeek", "time.getDayOfWeek()"),
    ("getDayOfYear", "time.getDayOfYear()"),
    ("getHours", "time.getHours()"),
    ("getMinutes", "time.getMinutes()"),
    ("getSeconds", "time.getSeconds()"),
    ("getMilliseconds", "time.getMilliseconds()"),
    ("now", "request.time"),
    ("split", "path_segment(path, number)"),
];

/// Functions of other languages, and the one with that use here.
const OTHER_FUNCTIONS: [(&str, &str); 20] = [
    ("lower", "lowerAscii"),
    ("tolower", "lowerAscii"),
    ("tolowercase", "lowerAscii"),
    ("lowercase", "lowerAscii"),
    ("len", "size"),
    ("length", "size"),
    ("count", "size"),
    ("starts_with", "startsWith"),
    ("hasprefix", "startsWith"),
    ("ends_with", "endsWith"),
    ("hassuffix", "endsWith"),
    ("includes", "contains"),
    ("match", "matches"),
    ("regex", "matches"),
    ("cidr", "ip_in"),
    ("in_cidr", "ip_in"),
    ("cidr_match", "ip_in"),
    ("any", "exists"),
    ("some", "exists"),
    ("every", "all"),
];

fn of<'a>(table: &[(&'static str, &'a str)], name: &str) -> Option<&'a str> {
    table.iter().find(|(other, _)| *other == name).map(|(_, meaning)| *meaning)
}

/// Only the tool needs what other products call it: the module does without these tables.
const HAS_TABLES: bool = cfg!(not(target_family = "wasm"));

/// What an unknown variable may mean.
pub(super) fn variable(name: &str) -> Option<&'static str> {
    let other = if HAS_TABLES { of(&OTHER_VARIABLES, name) } else { None };
    other.or_else(|| nearest(name, VARIABLES))
}

/// What an unknown attribute may mean, with its variable.
pub(super) fn attribute(object: &str, name: &str) -> Option<&'static str> {
    if !HAS_TABLES {
        return None;
    }
    let name = format!("{object}.{name}");
    of(&OTHER_ATTRIBUTES, &name).or_else(|| {
        let of_object = ATTRIBUTES.into_iter().filter(|known| known.split('.').next() == Some(object));
        nearest(&name, of_object)
    })
}

/// How to call the function that is likely to be meant.
pub(super) fn function(name: &str) -> Option<&'static str> {
    if !HAS_TABLES {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let names = || FUNCTIONS.into_iter().map(|(name, _)| name);
    let meant = names()
        .find(|known| known.eq_ignore_ascii_case(name))
        .or_else(|| of(&OTHER_FUNCTIONS, &lower))
        .or_else(|| nearest(name, names()))?;
    of(&FUNCTIONS, meant)
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;
    use crate::cel::Program;
    use crate::cel::activation::Field;
    use crate::cel::attribute::Attribute;

    #[test]
    fn every_suggested_name_exists() {
        for name in ATTRIBUTES {
            let (object, field) = name.split_once('.').unwrap();
            assert!(Field::named(object, field).is_some() || name == "request.headers", "{name}");
        }
        for attribute in Attribute::ALL {
            assert!(ATTRIBUTES.contains(&attribute.path().join(".").as_str()), "{attribute:?}");
        }
        let meanings = OTHER_VARIABLES.iter().chain(&OTHER_ATTRIBUTES).map(|(_, meaning)| *meaning);
        for meaning in meanings.filter(|meaning| !["true", "false"].contains(meaning)) {
            let is_claim = meaning.starts_with("claims.");
            assert!(is_claim || VARIABLES.contains(&meaning) || ATTRIBUTES.contains(&meaning), "{meaning}");
        }
        for (name, function) in OTHER_FUNCTIONS {
            assert!(of(&FUNCTIONS, function).is_some(), "{name}");
        }
    }

    #[test]
    fn every_suggested_call_compiles() {
        let replaced = [
            ("text", "request.url_path"),
            ("prefix", "'/a'"),
            ("suffix", "'/a'"),
            ("part", "'a'"),
            ("pattern", "a"),
            ("(path,", "(request.url_path,"),
            ("number", "1"),
            ("(address", "(source.address"),
            ("value", "'1'"),
            ("condition", "item == 'a'"),
            ("list", "claims.list"),
        ];
        for (name, call) in FUNCTIONS {
            let call = replaced.iter().fold(call.to_owned(), |call, (from, to)| call.replace(from, to));
            let call = call.replace("time.get", "request.time.get");
            let whole = format!("[{call}] == claims.any || true");
            let error = Program::compile(&whole).err();
            assert!(error.is_none(), "{name}: {whole}: {error:?}");
        }
    }
}
