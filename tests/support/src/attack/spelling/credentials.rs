//! Spellings of the names of a parameter and of a cookie that carry a credential.

use super::super::credential::Credential::{Alice, Anonymous};
use super::super::credential::MARKER;
use super::super::policy::{FORWARDING, Policy, REMOVING};
use super::{Spelling, over_both};

const PARAMETERS: [&str; 42] = [
    "access_token",
    "access.token",
    "access%2etoken",
    "access%5ftoken",
    "access%5Ftoken",
    "access token",
    "access+token",
    "access%20token",
    "access-token",
    "access_token[]",
    "access_token%5b%5d",
    "access_token[0]",
    "access_token[x]",
    "access_token[",
    "access_token]",
    "[access_token]",
    "access[token",
    "access[token]",
    "+access_token",
    "%20access_token",
    "%09access_token",
    "%0aaccess_token",
    "access_token%00",
    "access_token%00x",
    "access_token%20",
    "access_token+",
    "Access_Token",
    "ACCESS_TOKEN",
    "%61ccess_token",
    "%2561ccess_token",
    "access_token.x",
    ".access_token",
    "_access_token",
    "access_token%5B0%5D%5Bx%5D",
    "access%C2%A0token",
    "%C2%A0access_token",
    "%EF%BB%BFaccess_token",
    "access_token%E2%80%8B",
    "%u0061ccess_token",
    "access_token%",
    "access_token%3d",
    "a%63cess_token[]",
];
const SEPARATORS: [&str; 12] = ["&", ";", "&&", "?", "%26", "&amp;", ",", "%3f", "#", "+", "\u{a0}", "|"];
const COOKIES: [&str; 30] = [
    "access_token",
    "access.token",
    "access token",
    "access%5ftoken",
    "%61ccess_token",
    "access_token[]",
    "access_token[x]",
    "access_token[",
    "access[token",
    "Access_Token",
    "ACCESS_TOKEN",
    "\"access_token\"",
    " access_token",
    "\taccess_token",
    "access_token ",
    "access_token\t",
    "\u{a0}access_token",
    "access_token\u{a0}",
    "\u{2003}access_token",
    "\u{feff}access_token",
    "\u{1c}access_token",
    "\u{b}access_token",
    "$access_token",
    "x,access_token",
    "x access_token",
    "__Host-access_token",
    "__Secure-access_token",
    "access_token\u{85}",
    "+access_token",
    "\0access_token",
];

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    let policies: [&Policy; 2] = [&FORWARDING, &REMOVING];
    for policy in policies {
        let (anonymous, token) = ("/optional", "/accounts/7");
        let get = |credential, target: &str| Spelling::new("credential", policy, credential, "GET", target);
        for name in PARAMETERS {
            requests.push(get(Anonymous, &format!("{anonymous}?{name}={MARKER}")));
            requests.push(get(Alice, &format!("{token}?{name}={MARKER}")));
            requests.push(get(Anonymous, &format!("{anonymous}?x=1&{name}={MARKER}&y=2")));
            // The token itself where the filter looks for it, and the attacker's beside it.
            let beside = get(Alice, &format!("{token}?access_token={{token}}&{name}={MARKER}"));
            requests.push(Spelling { headers: Vec::new(), ..beside });
        }
        for separator in SEPARATORS {
            requests.push(get(Anonymous, &format!("{anonymous}?x=1{separator}access_token={MARKER}")));
            requests.push(get(Alice, &format!("{token}?x=1{separator}access_token={MARKER}")));
            requests.push(get(Anonymous, &format!("{anonymous}{separator}access_token={MARKER}")));
        }
        for name in COOKIES {
            for cookie in [
                format!("{name}={MARKER}"),
                format!("x=1; {name}={MARKER}"),
                format!("x=1;{name}={MARKER}"),
                format!("x=1, {name}={MARKER}"),
                format!("x=\"1; {name}={MARKER}; y=\"; z=1"),
                format!("$Version=1; {name}={MARKER}; $Path=/"),
                format!("{name}=\"{MARKER}\""),
                format!("{name} = {MARKER}"),
                format!("x; {name}={MARKER}"),
                format!("=x; {name}={MARKER}"),
                format!("x=1\\; {name}={MARKER}"),
                format!("x=1 {name}={MARKER}"),
            ] {
                requests.push(get(Anonymous, anonymous).header("cookie", &cookie));
                requests.push(get(Alice, token).header("cookie", cookie));
            }
        }
        for name in ["Cookie", "cookie2", "COOKIE_", "x-cookie", "http_cookie", "_cookie", "set-cookie", "cookie."] {
            let request = get(Anonymous, anonymous).header("cookie", "x=1");
            requests.push(request.header(name, format!("access_token={MARKER}")));
        }
        for name in [
            "authorization",
            "Authorization_",
            "http_authorization",
            "x-authorization",
            "proxy-authorization",
            "authorization.",
        ] {
            for value in [
                format!("Bearer {MARKER}"),
                format!("bearer\t{MARKER}"),
                format!("Bearer, {MARKER}"),
                format!("Basic {MARKER}"),
            ] {
                requests.push(get(Anonymous, anonymous).header(name, value));
            }
        }
        for value in
            [format!("x=1; x=access_token={MARKER}"), format!("x=1; access_token={MARKER}; access_token={MARKER}")]
        {
            requests.push(get(Anonymous, anonymous).header("cookie", value));
        }
    }
    over_both(requests)
}
