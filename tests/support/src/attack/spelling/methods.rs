//! Spellings of methods, and other locations that name one.

use super::super::credential::Credential::Alice;
use super::super::policy::{CLOSED, MEMBERS};
use super::{Spelling, over_both};

const OVERRIDES: [&str; 17] = [
    "x-http-method-override",
    "X_HTTP_Method_Override",
    "x.http.method.override",
    "x-http-method",
    "X_HTTP_METHOD",
    "x-method-override",
    "x_method_override",
    "x-method",
    "method-override",
    "http-method-override",
    "x-original-method",
    "x-forwarded-method",
    "x-http-verb",
    "x-requested-method",
    "request-method",
    "request_method",
    "_method",
];

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for policy in [&MEMBERS, &CLOSED] {
        let request = |method: &str, target: &str| Spelling::new("method", policy, Alice, method, target);
        for method in [
            "delete",
            "Delete",
            "dElEtE",
            "DELETe",
            "DELETE ",
            " DELETE",
            "DELETE\t",
            "DELETE\0",
            "DELETE1",
            "XDELETE",
            "DEL",
            "DELETE;",
            "DELETE,GET",
            "GET,DELETE",
            "DELETE/GET",
            "D%45LETE",
            "\"DELETE\"",
            "'DELETE'",
            "DELETE\u{a0}",
            "ＤＥＬＥＴＥ",
            "*",
            "post",
            "Post",
            "pOST",
            "head",
            "Get",
            "get",
            "OPTIONS",
            "options",
            "PATCH",
            "PURGE",
            "CONNECT",
            "TRACE",
            "M-SEARCH",
        ] {
            requests.push(request(method, "/accounts/7"));
            requests.push(Spelling { body: Some(Vec::new()), ..request(method, "/accounts/7") });
        }
        for field in OVERRIDES {
            for (method, value) in [("GET", "DELETE"), ("POST", "DELETE"), ("POST", "delete"), ("HEAD", "DELETE")] {
                requests
                    .push(Spelling { body: Some(Vec::new()), ..request(method, "/accounts/7").header(field, value) });
            }
        }
        for name in ["_method", "_METHOD", "x-http-method-override", "method", "_HttpMethod", "http_method"] {
            requests.push(request("GET", &format!("/accounts/7?{name}=DELETE")));
            requests.push(request("POST", &format!("/accounts/7?{name}=DELETE")).form(""));
            requests.push(request("POST", "/accounts/7").form(&format!("{name}=DELETE")));
        }
    }
    over_both(requests)
}
