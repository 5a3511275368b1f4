//! Spellings of hosts.

use super::super::credential::Credential::{Alice, Anonymous};
use super::super::policy::HOSTS;
use super::{Spelling, over_both};

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    let request = |credential, host: &str| Spelling::new("host", &HOSTS, credential, "GET", "/admin").host(host);
    for (credential, name) in [(Anonymous, "static.acme.com"), (Alice, "admin.acme.com"), (Anonymous, "admin.acme.com")]
    {
        let spelled = [
            name.to_owned(),
            name.to_uppercase(),
            format!("{name}."),
            format!("{name}.."),
            format!("{name}:"),
            format!("{name}:80"),
            format!("{name}:81"),
            format!("{name}:0"),
            format!("{name}:00081"),
            format!("{name}:65536"),
            format!("{name}:+81"),
            format!("{name}:x"),
            format!("{name}.:81"),
            format!("{name}.:"),
            format!("{name}:81:81"),
            format!("{name}:81."),
            format!("{name}::"),
            format!(" {name}"),
            format!("{name} "),
            format!("{name}\t"),
            format!("{name},api.acme.com"),
            format!("api.acme.com,{name}"),
            format!("{name}, api.acme.com"),
            format!("{name} api.acme.com"),
            format!("{name}/"),
            format!("{name}/x"),
            format!("{name}?x"),
            format!("{name}#x"),
            format!("{name}%00"),
            format!("{name}%2e"),
            format!("{name};x"),
            format!("x@{name}"),
            format!("{name}@api.acme.com"),
            format!("{name}\\x"),
            format!("[{name}]"),
            format!("http://{name}"),
            format!("//{name}"),
            format!("x.{name}"),
            format!(".{name}"),
            format!("-{name}"),
            format!("{name}_"),
            name.replace('.', "%2e"),
            name.replace('.', "。"),
            name.replace('s', "ſ"),
            name.replace('a', "%61"),
            name.replace('a', "ａ"),
            String::new(),
            "[::1]".to_owned(),
            "127.0.0.1".to_owned(),
            "*".to_owned(),
        ];
        requests.extend(spelled.iter().map(|host| request(credential, host)));
        for target in [
            format!("http://{name}/admin"),
            format!("http://{name}:81/admin"),
            format!("http://{name}./admin"),
            format!("HTTP://{name}:/admin"),
            format!("http://x@{name}/admin"),
            format!("//{name}/admin"),
            format!("ftp://{name}/admin"),
        ] {
            requests.push(Spelling { target: target.into_bytes(), ..request(credential, "static.acme.com") });
        }
        for field in [
            "host",
            "Host",
            "x-forwarded-host",
            "X_Forwarded_Host",
            "x.forwarded.host",
            "x-forwarded-server",
            "x-original-host",
            "x-host",
            "x-real-host",
            "x-http-host-override",
            "forwarded-host",
            "x-proxy-host",
            "x-envoy-original-host",
            "http_host",
            "x-forwarded-host-original",
            "front-end-host",
            "x-backend-host",
        ] {
            requests.push(request(credential, "static.acme.com").header(field, name));
            requests.push(request(credential, name).header(field, "static.acme.com"));
            requests.push(request(credential, "static.acme.com").header(field, format!("static.acme.com, {name}")));
        }
        for value in ["host=", "for=1.1.1.1;host=", "for=1.1.1.1, host=", "Host=\""] {
            requests.push(request(credential, "static.acme.com").header("forwarded", format!("{value}{name}")));
        }
    }
    over_both(requests)
}
