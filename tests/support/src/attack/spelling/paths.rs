//! Spellings of paths.

use super::super::credential::Credential::{Admin, Alice, Anonymous, Eve};
use super::super::policy::{CLOSED, HOSTS, MEMBERS};
use super::super::random::Random;
use super::{Spelling, over_both};

/// What may stand between the path of an operation and what makes it look like another one.
const SEPARATORS: [&str; 63] = [
    ";",
    "%3b",
    "%3B",
    "?",
    "%3f",
    "#",
    "%23",
    "%00",
    "%0a",
    "%0d%0a",
    "%20",
    "%09",
    "%0b",
    "%7f",
    "\\",
    "%5c",
    "%2f",
    "%2F",
    "/",
    "//",
    "/.",
    "/..",
    "/./",
    "/../",
    "/..;/",
    "/.;/",
    "/;/",
    "&",
    ",",
    ":",
    "!",
    "|",
    "~",
    "@",
    "$",
    "+",
    "=",
    "*",
    "'",
    "(",
    ".",
    "..",
    "%2e",
    "%2e/",
    "%252e",
    "%252f",
    "%253b",
    "%c0%af",
    "%ef%bc%8f",
    "%e2%88%95",
    "%e2%80%a8",
    "%85",
    "%a0",
    "%c2%a0",
    "%ff",
    "%c0%bb",
    "%ef%bc%9b",
    "%u003b",
    "%",
    "%%",
    "%0",
    " ",
    "\t",
];
const TAILS: [&str; 5] = ["x.css", ".css", "a=b/x.css", "/x.css", "x/y.js"];
const UPWARDS: [&str; 15] = [
    "..",
    "%2e%2e",
    ".%2e",
    "%2E.",
    "..;",
    "..;x",
    "..%3b",
    "..%00",
    "..%20",
    "..%09",
    "...",
    "%252e%252e",
    "%c0%ae%c0%ae",
    "..\\",
    "..%5c",
];
const SLASHES: [&str; 12] =
    ["/", "//", "%2f", "%5c", "\\", "%252f", "/./", "/;/", "%c0%af", "%ef%bc%8f", "/%20/", ";/"];

/// The protected operations: method, path, and whose request it is.
fn protected() -> Vec<Spelling> {
    let closed = |credential, method, path| Spelling::new("path", &CLOSED, credential, method, path);
    let members = |credential, method, path| Spelling::new("path", &MEMBERS, credential, method, path);
    vec![
        closed(Anonymous, "GET", "/admin"),
        closed(Alice, "DELETE", "/accounts/7"),
        closed(Anonymous, "GET", "/accounts/7"),
        closed(Eve, "GET", "/orgs/acme%20inc/data"),
        members(Alice, "GET", "/admin"),
        members(Admin, "GET", "/internal"),
        members(Alice, "DELETE", "/accounts/7"),
        members(Anonymous, "GET", "/accounts/7"),
    ]
}

fn with_target(request: &Spelling, target: impl AsRef<[u8]>) -> Spelling {
    Spelling { target: target.as_ref().to_vec(), ..request.clone() }
}

/// Every spelling that is written down.
pub fn all() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for request in protected() {
        let path = String::from_utf8_lossy(&request.target).into_owned();
        for separator in SEPARATORS {
            requests.push(with_target(&request, format!("{path}{separator}")));
            for tail in TAILS {
                requests.push(with_target(&request, format!("{path}{separator}{tail}")));
            }
        }
        for upwards in UPWARDS {
            for slash in SLASHES {
                requests.push(with_target(&request, format!("/public{slash}{upwards}{path}")));
                requests.push(with_target(&request, format!("/x.css{slash}{upwards}{slash}{}", &path[1..])));
                requests.push(with_target(&request, format!("/assets{slash}x{slash}{upwards}{slash}{upwards}{path}")));
            }
        }
        for prefix in [
            "/",
            "//",
            "/;",
            "/;x",
            "/.",
            "/./",
            "/public//..",
            "/%2f",
            "//x.css",
            "//public",
            "/\\",
            "/%5c",
            "http://api.acme.com",
            "http://x.css",
            "http:/",
            "/http://x",
            "*",
            "",
            ".",
            "?/..",
            "/?/..",
            "/#/..",
            "/%00",
            "/ ",
            "/%20",
            "/%ef%bb%bf",
        ] {
            requests.push(with_target(&request, format!("{prefix}{path}")));
            requests.push(with_target(&request, format!("{prefix}{path}?x=/x.css")));
        }
        requests.extend(letters(&path).into_iter().map(|target| with_target(&request, target)));
    }
    let mut over_http2: Vec<Spelling> = requests.iter().step_by(5).cloned().map(Spelling::over_http2).collect();
    requests.append(&mut over_http2);
    requests.extend(over_both(
        ["/public/x", "/static.acme.com", "//static.acme.com/admin"]
            .map(|target| Spelling::new("path", &HOSTS, Anonymous, "GET", target))
            .to_vec(),
    ));
    requests
}

/// Each letter in another spelling: its escape, its capital, the letters that compatibility or case folding make the same.
fn letters(path: &str) -> Vec<String> {
    let mut found = vec![path.to_uppercase(), path.to_lowercase()];
    for (at, letter) in path.char_indices().filter(|(_, letter)| letter.is_ascii_alphanumeric()) {
        let with = |other: &str| format!("{}{other}{}", &path[..at], &path[at + 1..]);
        let byte = u32::from(letter);
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let full_width = char::from_u32(byte + 0xfee0).map(String::from).unwrap_or_default();
        found.extend([
            with(&letter.to_ascii_uppercase().to_string()),
            with(&format!("%{byte:02x}")),
            with(&format!("%25{byte:02x}")),
            with(&format!("%u{byte:04x}")),
            with(&format!("%{:02x}", byte.wrapping_add(128) & 255)),
            with(&escaped(&full_width)),
            with(&format!("{letter}%cc%81")),
            with(&format!("{letter}%c2%ad")),
            with(&format!("{letter}%e2%80%8b")),
        ]);
        for (same, other) in
            [('s', "ſ"), ('k', "K"), ('i', "ı"), ('i', "İ"), ('a', "ª"), ('o', "º"), ('c', "ⅽ"), ('7', "٧")]
        {
            if letter == same {
                found.push(with(&escaped(other)));
            }
        }
    }
    found
}

/// What a backend may take for a protected path that is another path to a rule: the table in `docs/security.md` is made of it.
pub fn other_paths() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for request in [
        Spelling::new("other path", &MEMBERS, Alice, "GET", "/admin"),
        Spelling::new("other path", &MEMBERS, Admin, "GET", "/internal"),
    ] {
        let path = String::from_utf8_lossy(&request.target).into_owned();
        requests.extend(letters(&path).into_iter().map(|target| with_target(&request, target)));
        let tails = [
            ".css",
            ".json",
            ".html",
            ".",
            "..",
            "%20",
            "%09",
            "%20/",
            "+",
            "%c2%a0",
            "%e2%80%a8",
            "::$DATA",
            "~",
            "~1",
            "!",
            "$",
            "&",
            "'",
            "(",
            ")",
            "*",
            ",",
            "=",
            ":",
            "@",
            "|",
            "^",
            "`",
            "\"",
            "<",
            "%0a",
            "%00",
            ".php",
            "/index.html",
            "/x",
            "/x.css",
            "//x",
        ];
        requests.extend(tails.map(|tail| with_target(&request, format!("{path}{tail}"))));
    }
    requests
}

/// Every byte, raw and as an escape, behind the path, before a suffix and before the path.
pub fn every_byte() -> Vec<Spelling> {
    let mut requests = Vec::new();
    for request in [
        Spelling::new("byte", &CLOSED, Anonymous, "GET", "/admin"),
        Spelling::new("byte", &CLOSED, Alice, "DELETE", "/accounts/7"),
        Spelling::new("byte", &MEMBERS, Alice, "GET", "/admin"),
    ] {
        let path = request.target.clone();
        for byte in 0..=u8::MAX {
            for text in [vec![byte], format!("%{byte:02x}").into_bytes(), format!("%25{byte:02x}").into_bytes()] {
                for target in [
                    [&path[..], &text].concat(),
                    [&path[..], &text, b"x.css"].concat(),
                    [&path[..], &text, b"/x.css"].concat(),
                    [&path[..], b"/", &text, b".css"].concat(),
                    [b"/", &text[..], &path].concat(),
                    [b"/", &text[..], &path[1..]].concat(),
                    [b"/public/..", &text[..], &path].concat(),
                ] {
                    requests.push(with_target(&request, target));
                }
            }
        }
    }
    requests
}

/// Random combinations of the parts above, on a random path.
pub fn random(random: &mut Random, count: usize) -> Vec<Spelling> {
    let protected = protected();
    let mut requests = Vec::new();
    for _ in 0..count {
        let request = &protected[random.below(protected.len())];
        let mut target = String::from_utf8_lossy(&request.target).into_owned();
        for _ in 0..=random.below(3) {
            let at = random.below(target.len() + 1);
            let place = if target.is_char_boundary(at) { at } else { target.len() };
            match random.below(6) {
                0 => target.insert_str(place, random.pick(&SEPARATORS)),
                1 => target.push_str(&format!("{}{}", random.pick(&SEPARATORS), random.pick(&TAILS))),
                2 => {
                    let (slash, up) = (random.pick(&SLASHES), random.pick(&UPWARDS));
                    target.insert_str(0, &format!("/public{slash}{up}"));
                }
                3 => target.insert_str(place, &format!("{}{}", random.pick(&SLASHES), random.pick(&UPWARDS))),
                4 => target.insert_str(place, &format!("%{:02x}", random.below(256))),
                _ => {
                    let spelled = letters(&target);
                    target.clone_from(&spelled[random.below(spelled.len())]);
                }
            }
        }
        let request = with_target(request, target);
        requests.push(if random.once_in(4) { request.over_http2() } else { request });
    }
    requests
}
