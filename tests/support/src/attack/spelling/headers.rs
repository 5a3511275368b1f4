//! Header fields that some backend reads as the path of a request.

use super::super::credential::Credential::{Alice, Anonymous};
use super::super::policy::{CLOSED, MEMBERS};
use super::{Spelling, over_both};

const NAMES: [&str; 44] = [
    "script-name",
    "path-info",
    "path-translated",
    "request-uri",
    "redirect-url",
    "redirect-uri",
    "document-uri",
    "query-string",
    "request-path",
    "x-script-name",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-rewrite-uri",
    "x-override-url",
    "x-url",
    "x-uri",
    "x-path",
    "x-request-uri",
    "x-request-url",
    "x-envoy-original-path",
    "x-envoy-original-dst-host",
    "x-envoy-upstream-alt-route",
    "x-accel-redirect",
    "x-sendfile",
    "x-http-path-override",
    "x-http-destinationurl",
    "x-forwarded-context",
    "x-context-path",
    "x-base-path",
    "x-replaced-path",
    "x-ms-original-url",
    "x-waws-unencoded-url",
    "base-url",
    "destination",
    "referer",
    "content-location",
    "proxy",
    "unencoded-url",
];

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for name in NAMES {
        let folded = name.replace('-', "_");
        for spelled in [name.to_owned(), folded.to_uppercase(), folded, name.replace('-', ".")] {
            let get = |policy, credential, target| Spelling::new("header", policy, credential, "GET", target);
            requests.extend([
                get(&CLOSED, Anonymous, "/public/admin").header(&spelled, "/public"),
                get(&CLOSED, Anonymous, "/public/x").header(&spelled, "/admin"),
                get(&CLOSED, Anonymous, "/public").header(&spelled, "http://api.acme.com/admin"),
                get(&CLOSED, Anonymous, "/public/x.css").header(&spelled, "/.."),
                get(&CLOSED, Alice, "/accounts/7").header(&spelled, "/admin"),
                get(&MEMBERS, Alice, "/accounts/7").header(&spelled, "/admin"),
                get(&MEMBERS, Alice, "/x/admin").header(&spelled, "/x"),
            ]);
        }
    }
    let mut over_http2: Vec<Spelling> = over_both(requests.iter().step_by(4).cloned().collect());
    requests.append(&mut over_http2);
    requests
}
