//! Identity headers that a client writes itself, as headers and as trailers.

use super::super::credential::Credential::{Alice, Anonymous, Quentin};
use super::super::credential::MARKER;
use super::super::policy::CLOSED;
use super::{Spelling, over_both};

/// Every spelling of a managed name.
fn names(name: &str) -> Vec<String> {
    let folded = name.replace('-', "_");
    let mut found =
        vec![name.to_owned(), name.to_uppercase(), folded.to_uppercase(), folded.clone(), name.replace('-', ".")];
    for byte in (0x21..0x7f).map(char::from).filter(|byte| *byte != ':' && !byte.is_ascii_alphanumeric()) {
        found.push(name.replacen('-', &byte.to_string(), 1));
        found.push(name.replace('-', &byte.to_string()));
        found.push(format!("{name}{byte}"));
        found.push(format!("{byte}{name}"));
    }
    for prefix in
        ["http-", "http_", "grpc-metadata-", "Grpc-Metadata-", "x-", "proxy-", "redirect_", "http.", "grpcgateway-"]
    {
        found.push(format!("{prefix}{name}"));
        found.push(format!("{prefix}{folded}"));
    }
    found.extend([
        format!("{name} "),
        format!("{name}\t"),
        format!(" {name}"),
        name.replace('-', "--"),
        name.replace('-', ""),
        name.replace('-', "\u{2010}"),
        name.replace('-', "\u{ad}"),
        format!("{name}\0"),
    ]);
    found
}

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    let get = |credential, target: &str| Spelling::new("identity", &CLOSED, credential, "GET", target);
    for name in ["x-user-id", "x-groups"] {
        let value = if name == "x-groups" { "admin" } else { MARKER };
        for spelled in names(name) {
            requests.push(get(Alice, "/accounts/7").header(&spelled, value));
            requests.push(get(Anonymous, "/optional").header(&spelled, value));
            requests.push(get(Anonymous, "/public/x").header(&spelled, value));
        }
        for listed in
            [name.to_owned(), format!("close, {name}"), format!("upgrade, {name}"), format!("keep-alive,{name}")]
        {
            requests.push(get(Alice, "/accounts/7").header("connection", listed));
        }
        requests.push(get(Alice, "/accounts/7").header("x-y", format!("1\n{name}: {value}")));
        requests.push(get(Alice, "/accounts/7").header("x-y", format!("1\r{name}: {value}")));
        requests.push(get(Alice, "/accounts/7").header("x-y", format!("1\r\n {name}: {value}")));
        requests.push(get(Alice, "/accounts/7").header("x-y", format!("1\0{name}: {value}")));
    }
    requests.push(get(Quentin, "/accounts/7"));
    let mut requests = over_both(requests);
    requests.extend(trailers());
    requests
}

fn trailers() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for credential in [Anonymous, Alice] {
        for (name, value) in [
            ("x-user-id", MARKER),
            ("X_User_Id", MARKER),
            ("x.user.id", MARKER),
            ("x-groups", "admin"),
            ("x_groups", "admin"),
            ("authorization", "Bearer mallory"),
            ("cookie", "access_token=mallory"),
            ("script_name", "/x"),
            ("x-forwarded-host", "x"),
        ] {
            let post = Spelling::new("trailer", &CLOSED, credential, "POST", "/optional");
            requests.push(post.clone().trailer(name, value));
            requests.push(post.clone().header("trailer", name).trailer(name, value));
            requests.push(post.header("te", "trailers").trailer("x-other", "1").trailer(name, value));
        }
    }
    over_both(requests)
}
