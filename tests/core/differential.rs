//! Some thousands of tokens validated by the filter and by two other implementations: npm `jose` and PyPI `joserfc`, pinned
//! under `tests/differential`. All three have the same keys, issuer, audience, algorithms, tolerance and time.
//!
//! They agree, or the kind of mutation is listed in [`STRICTER`] with who accepts the token and why the filter does not.
//! What the filter accepts and another rejects is listed in [`LAXER`], one by one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::engine_harness::{Harness, NOW, bearer, status_of};
use crate::forge::{self, Forge, base64url, signature_of, with_signature};
use crate::random::Random;
use crate::signing::{AUDIENCE, ISSUER};
use serde_json::{Map, Value, json};

const TOLERANCE: u64 = 60;
const SEED: u64 = 0x6f6b_7461_2d6a_7774;

/// Algorithm, key and `kid`.
const SIGNERS: [(&str, Forge, &str); 7] = [
    ("RS256", Forge::RsaA, "rsa"),
    ("RS384", Forge::RsaA, "rsa"),
    ("RS512", Forge::RsaA, "rsa"),
    ("PS256", Forge::RsaA, "rsa"),
    ("ES256", Forge::P256, "p256"),
    ("ES384", Forge::P384, "p384"),
    ("EdDSA", Forge::Ed25519, "ed25519"),
];

/// The kinds of mutation where we refuse and another may accept: why that is right.
const STRICTER: &[(&str, &str)] = &[
    (
        "encoding: blank around",
        "jose drops ASCII blanks; RFC 7515 section 2 allows no white space in base64url, RFC 4648 section 3.3",
    ),
    ("encoding: blank in the signature", "jose drops ASCII blanks; RFC 7515 section 2, RFC 4648 section 3.3"),
    ("encoding: padding", "jose takes padding; RFC 7515 section 2: all trailing `=` omitted"),
    ("encoding: unused bits set in the signature", "jose ignores them; RFC 4648 section 3.5: one signature, one text"),
    ("header: a member twice", "RFC 7515 section 4: names are unique; which one counts differs between readers"),
    ("header: alg twice", "RFC 7515 section 4: names are unique"),
    ("header: kid twice", "RFC 7515 section 4: names are unique"),
    ("header: b64 without crit", "RFC 7797 section 6: b64 only with crit, section 7: a JWT does not use it"),
    (
        "header: crit of b64 true",
        "no extension is understood here, RFC 7515 section 4.1.11; RFC 7797 section 7: a JWT does not use b64",
    ),
    ("header: cty of a nested token", "RFC 7519 section 5.2: the payload would be a token, and nesting is not done"),
    ("header: cty of another type", "RFC 7515 section 4.1.10: a string"),
    (
        "header: crit",
        "joserfc takes a crit that names alg; RFC 7515 section 4.1.11: it must not name a registered parameter, and we understand no extension",
    ),
    ("header: deep", "our limit of depth 8, RFC 8259 section 9 lets a reader set one"),
    ("header: no JSON object", "of these a byte order mark, which a reader may refuse: RFC 8259 section 8.1"),
    ("header: typ of another token", "RFC 8725 section 3.11: one kind of token is not taken for another"),
    ("header: typ of another type", "RFC 7515 section 4.1.9: a string"),
    ("header: zip", "RFC 7516 section 4.1.3 defines it for JWE alone: what a JWS means by it is anybody's guess"),
    ("payload: NaN and Infinity elsewhere", "joserfc takes Python's JSON; RFC 8259 section 6: not numbers"),
    ("payload: a BOM", "a reader may refuse it: RFC 8259 section 8.1"),
    ("payload: a claim twice, the good one first", "RFC 7519 section 4: claim names are unique"),
    ("payload: a claim twice, the good one last", "RFC 7519 section 4: claim names are unique"),
    ("payload: a nested member twice", "RFC 8259 section 4: readers differ in which one counts"),
    ("payload: a lone surrogate", "RFC 8259 section 8.2: no character, and readers differ"),
    (
        "payload: a number beyond a double elsewhere",
        "RFC 8259 section 6: readers differ; we refuse rather than forward infinity",
    ),
    ("payload: a security event", "RFC 8417 section 4: not to be confused with an access token"),
    ("payload: an ID token", "RFC 9068 section 5 and RFC 8725 section 3.11: ID tokens are no access tokens"),
    ("payload: aud of texts and others", "RFC 7519 section 4.1.3: an array of strings"),
    (
        "payload: bound to its sender",
        "RFC 7800, RFC 9449 section 7: the binding must be checked, and a bearer does not show it",
    ),
    ("payload: cid of another type", "Okta's client id is a string: identity is taken from it (CVE-2026-25537)"),
    ("payload: scp of another type", "a list of strings or a string: identity is taken from it (CVE-2026-25537)"),
    ("payload: sub of another type", "RFC 7519 section 4.1.2: a string"),
    ("payload: exp is huge", "our limit, the year 9999: nothing is valid for ever"),
    ("payload: exp is no JSON number", "of these 1e400, which JavaScript reads as infinity: valid for ever"),
    ("payload: exp with a fraction", "rounded down to whole seconds, so up to a second stricter; RFC 7519 section 2"),
    (
        "payload: iat beyond the tolerance",
        "jose does not look at iat; RFC 7519 section 4.1.6: issued at a time that has not come",
    ),
    ("payload: iat is huge", "as iat beyond the tolerance"),
    ("payload: iat is negative", "before 1970 nothing was issued; RFC 7519 section 2"),
    ("payload: iat is no JSON number", "of these 1e400, which JavaScript reads as infinity"),
    ("payload: nbf is negative", "before 1970; RFC 7519 section 2"),
    ("payload: more members than the limit", "our limit of 256 members, RFC 8259 section 9"),
    ("payload: nested beyond the limit", "our limit of depth 32, RFC 8259 section 9"),
];

/// The kinds where we accept and another refuses: why that is right.
const LAXER: &[(&str, &str)] = &[
    (
        "header: kid missing",
        "joserfc wants a kid where there are several keys; RFC 7515 section 4.1.4: optional, OpenID Connect Core section 10.1: only where a set has one key; we try those that serve alg, four at most",
    ),
    (
        "header: alg Ed25519",
        "RFC 9864 section 2.2: EdDSA with Ed25519 by its new name; the others know it and are configured with EdDSA alone",
    ),
    (
        "payload: sub null",
        "joserfc wants a string; serializers write null for an absent subject, and an absent one grants nothing",
    ),
];

struct Case {
    kind: String,
    token: String,
}

struct Corpus {
    random: Random,
    cases: Vec<Case>,
}

fn claims() -> Map<String, Value> {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 3600, "sub": "alice", "cid": "c" })
        .as_object()
        .unwrap()
        .clone()
}

fn text_of(members: &Map<String, Value>) -> String {
    Value::Object(members.clone()).to_string()
}

impl Corpus {
    fn add(&mut self, kind: &str, token: String) {
        self.cases.push(Case { kind: kind.to_owned(), token });
    }

    /// A token of these two texts, truly signed, for one of the signers.
    fn signed(&mut self, kind: &str, header: impl Fn(&str, &str) -> String, payload: &str) {
        let (algorithm, key, kid) = *self.random.pick(&SIGNERS);
        let token = key.token_of_texts(algorithm, &header(algorithm, kid), payload);
        self.add(kind, token);
    }

    fn plain(algorithm: &str, kid: &str) -> String {
        json!({ "alg": algorithm, "kid": kid }).to_string()
    }

    fn header_with(&mut self, kind: &str, members: &str) {
        let payload = text_of(&claims());
        self.signed(kind, |alg, kid| format!("{{\"alg\":\"{alg}\",\"kid\":\"{kid}\",{members}}}"), &payload);
    }

    fn header_text(&mut self, kind: &str, template: &str) {
        let payload = text_of(&claims());
        self.signed(kind, |alg, kid| template.replace("$ALG", alg).replace("$KID", kid), &payload);
    }

    fn payload_text(&mut self, kind: &str, payload: &str) {
        self.signed(kind, Self::plain, payload);
    }

    /// The good claims with the JSON text `value` under `name`, or without it.
    fn claim_text(&mut self, kind: &str, name: &str, value: Option<&str>) {
        let mut members = claims();
        members.remove(name);
        let rest = text_of(&members);
        let payload = match value {
            None => rest,
            Some(value) => format!("{{\"{name}\":{value},{}", &rest[1..]),
        };
        self.payload_text(kind, &payload);
    }

    fn valid(&mut self) {
        let mut members = claims();
        for (name, value) in [
            ("nbf", json!(NOW - self.random.below(1000))),
            ("jti", json!(format!("AT.{}", self.random.below(u64::MAX)))),
            ("scp", json!(["read", "write"])),
            ("scope", json!("read write")),
            ("groups", json!([{ "a": [1, 2.5, null, true] }])),
            ("name", json!("Zo\u{eb} \u{1f600} \"\\\u{7}")),
            ("aud", json!(["other", AUDIENCE])),
            ("exp", json!(NOW + 1 + self.random.below(100_000))),
            ("iat", json!(NOW - self.random.below(100_000))),
            ("tenant", json!({ "id": self.random.below(u64::MAX) })),
        ] {
            if self.random.index(2) == 0 {
                members.insert(name.to_owned(), value);
            }
        }
        let typ = *self.random.pick(&["", ",\"typ\":\"JWT\"", ",\"typ\":\"at+jwt\"", ",\"x\":[1]"]);
        let payload = text_of(&members);
        self.signed("valid", |alg, kid| format!("{{\"alg\":\"{alg}\",\"kid\":\"{kid}\"{typ}}}"), &payload);
    }

    fn headers(&mut self) {
        for alg in [
            "none", "None", "NONE", "HS256", "hs256", "RS1", "ES256K", "rs256", "es256", "RS256 ", "", "RSA-OAEP",
            "ES512", "Ed448",
        ] {
            self.header_text("header: alg of another name", &format!("{{\"alg\":\"{alg}\",\"kid\":\"$KID\"}}"));
        }
        self.header_text("header: alg Ed25519", "{\"alg\":\"Ed25519\",\"kid\":\"$KID\"}");
        for alg in ["null", "256", "[\"RS256\"]", "{}", "true"] {
            self.header_text("header: alg of another type", &format!("{{\"alg\":{alg},\"kid\":\"$KID\"}}"));
        }
        self.header_text("header: alg missing", "{\"kid\":\"$KID\"}");
        self.header_text("header: alg twice", "{\"alg\":\"none\",\"alg\":\"$ALG\",\"kid\":\"$KID\"}");
        self.header_text("header: alg twice", "{\"alg\":\"$ALG\",\"\\u0061lg\":\"$ALG\",\"kid\":\"$KID\"}");
        self.header_text("header: a member twice", "{\"alg\":\"$ALG\",\"kid\":\"$KID\",\"x\":1,\"x\":2}");
        self.header_text("header: kid twice", "{\"alg\":\"$ALG\",\"kid\":\"x\",\"kid\":\"$KID\"}");
        self.header_text("header: escapes", "{\"\\u0061lg\":\"$ALG\",\"k\\u0069d\":\"$KID\"}");
        self.header_text("header: blanks", " {\n\"alg\" : \"$ALG\" ,\t\"kid\":\"$KID\" }\r\n");
        for kid in ["\"x\"", "\"RSA\"", "\"\"", "\"rsa \"", "\"../rsa\""] {
            self.header_text("header: kid of no key", &format!("{{\"alg\":\"$ALG\",\"kid\":{kid}}}"));
        }
        for kid in ["5", "null", "[\"rsa\"]", "{}", "true"] {
            self.header_text("header: kid of another type", &format!("{{\"alg\":\"$ALG\",\"kid\":{kid}}}"));
        }
        self.header_text("header: kid missing", "{\"alg\":\"$ALG\"}");
        for typ in ["\"JWT\"", "\"jwt\"", "\"at+jwt\"", "\"application/at+jwt\""] {
            self.header_with("header: typ of an access token", &format!("\"typ\":{typ}"));
        }
        for typ in ["\"dpop+jwt\"", "\"JOSE\"", "\"logout+jwt\"", "\"\"", "\"secevent+jwt\""] {
            self.header_with("header: typ of another token", &format!("\"typ\":{typ}"));
        }
        for typ in ["5", "null", "[]", "{}"] {
            self.header_with("header: typ of another type", &format!("\"typ\":{typ}"));
        }
        for crit in ["[]", "[\"x\"]", "[\"exp\"]", "[\"alg\"]", "\"x\"", "null", "{}", "[1]", "[\"b64\"]", "0"] {
            self.header_with("header: crit", &format!("\"crit\":{crit},\"x\":1"));
        }
        self.header_with("header: crit of b64 true", "\"crit\":[\"b64\"],\"b64\":true");
        self.header_with("header: crit of b64 false", "\"crit\":[\"b64\"],\"b64\":false");
        for b64 in ["false", "true", "null"] {
            self.header_with("header: b64 without crit", &format!("\"b64\":{b64}"));
        }
        for zip in ["\"DEF\"", "\"\"", "null"] {
            self.header_with("header: zip", &format!("\"zip\":{zip}"));
        }
        for cty in ["\"JWT\"", "\"jwt\"", "\"application/jwt\""] {
            self.header_with("header: cty of a nested token", &format!("\"cty\":{cty}"));
        }
        for cty in ["null", "5"] {
            self.header_with("header: cty of another type", &format!("\"cty\":{cty}"));
        }
        for extra in ["\"x\":1", "\"x\":[null,{}]", "\"url\":\"u\"", "\"nonce\":\"n\"", "\"cty\":\"json\""] {
            self.header_with("header: members nobody knows", extra);
        }
        let mallory = Forge::RsaB.jwk("rsa");
        for extra in [
            format!("\"jwk\":{mallory}"),
            "\"jku\":\"https://evil.example\"".to_owned(),
            "\"x5u\":\"https://evil.example\"".to_owned(),
            "\"x5c\":[\"MIIB\"]".to_owned(),
        ] {
            self.header_with("header: a key of its own", &extra);
        }
        for text in [
            "",
            "{",
            "[]",
            "null",
            "\"x\"",
            "1",
            "{}x",
            "\u{feff}{\"alg\":\"$ALG\",\"kid\":\"$KID\"}",
            "{'alg':'$ALG'}",
            "{\"alg\":\"$ALG\",\"kid\":\"$KID\",}",
            "{\"alg\":\"$ALG\",\"kid\":\"$KID\",\"x\":NaN}",
        ] {
            self.header_text("header: no JSON object", text);
        }
        let deep = format!("{{\"alg\":\"$ALG\",\"kid\":\"$KID\",\"x\":{}{}}}", "[".repeat(20), "]".repeat(20));
        self.header_text("header: deep", &deep);
    }

    fn times(&mut self) {
        let boundary = [-3600, -61, -60, -59, -1, 0, 1, 59, 60, 61, 3600_i64];
        for offset in boundary {
            let time = i64::try_from(NOW).unwrap() + offset;
            for name in ["exp", "nbf"] {
                self.claim_text(&format!("payload: {name} near now"), name, Some(&time.to_string()));
                self.claim_text(&format!("payload: {name} near now, whole float"), name, Some(&format!("{time}.0")));
            }
            let kind = if offset <= 60 { "payload: iat near now" } else { "payload: iat beyond the tolerance" };
            self.claim_text(kind, "iat", Some(&time.to_string()));
        }
        for fraction in ["1799999939.5", "1799999940.5", "1799999941.5", "1800003600.9"] {
            self.claim_text("payload: exp with a fraction", "exp", Some(fraction));
        }
        for fraction in ["1799999999.5", "1800000059.5", "1800000060.5"] {
            self.claim_text("payload: nbf with a fraction", "nbf", Some(fraction));
        }
        for name in ["exp", "nbf", "iat"] {
            for value in ["\"1800000000\"", "\"99999999999\"", "true", "false", "null", "[1800000000]", "{}", "\"\""] {
                self.claim_text(&format!("payload: {name} of another type"), name, Some(value));
            }
            for value in ["1e400", "NaN", "Infinity", "-Infinity", "01", "+1", "0x1", "1_0", ".5", "5."] {
                self.claim_text(&format!("payload: {name} is no JSON number"), name, Some(value));
            }
            for value in
                ["9007199254740993", "9223372036854775808", "18446744073709551616", "1e308", "1e30", "253402300800"]
            {
                self.claim_text(&format!("payload: {name} is huge"), name, Some(value));
            }
            for value in ["-1", "-0.5", "-1e10", "-9223372036854775809"] {
                self.claim_text(&format!("payload: {name} is negative"), name, Some(value));
            }
            self.claim_text(&format!("payload: {name} missing"), name, None);
        }
    }

    fn payloads(&mut self) {
        for value in [
            "\"https://acme.okta.com/oauth2/default/\"",
            "\"https://acme.okta.com\"",
            "\"HTTPS://acme.okta.com/oauth2/default\"",
            "\"\"",
            "\"x\"",
        ] {
            self.claim_text("payload: iss that is another", "iss", Some(value));
        }
        for value in ["null", "5", "true", "{}", "[]", "[\"https://acme.okta.com/oauth2/default\"]"] {
            self.claim_text("payload: iss of another type", "iss", Some(value));
        }
        self.claim_text("payload: iss missing", "iss", None);
        for value in ["\"x\"", "\"\"", "\"api://defaul\"", "\"api://default/\"", "[\"x\"]", "[\"API://default\"]"] {
            self.claim_text("payload: aud that is another", "aud", Some(value));
        }
        for value in
            ["[\"x\",\"api://default\"]", "[\"api://default\"]", "\"api:\\/\\/default\"", "\"\\u0061pi://default\""]
        {
            self.claim_text("payload: aud that names us", "aud", Some(value));
        }
        for value in
            ["null", "5", "true", "{}", "[]", "[5]", "[null]", "[[\"api://default\"]]", "{\"api://default\":1}"]
        {
            self.claim_text("payload: aud of another type", "aud", Some(value));
        }
        for value in ["[\"api://default\",5]", "[\"api://default\",null]", "[{},\"api://default\"]"] {
            self.claim_text("payload: aud of texts and others", "aud", Some(value));
        }
        self.claim_text("payload: aud missing", "aud", None);
        let good = text_of(&claims());
        let inner = &good[1..good.len() - 1];
        for (name, value) in [
            ("exp", "99999999999"),
            ("iss", "\"https://evil.example\""),
            ("aud", "\"x\""),
            ("sub", "\"root\""),
            ("\\u0073ub", "\"root\""),
        ] {
            self.payload_text("payload: a claim twice, the good one last", &format!("{{\"{name}\":{value},{inner}}}"));
            self.payload_text("payload: a claim twice, the good one first", &format!("{{{inner},\"{name}\":{value}}}"));
        }
        self.payload_text("payload: a nested member twice", &format!("{{{inner},\"x\":{{\"a\":1,\"a\":2}}}}"));
        for name in ["EXP", "Iss", "AUD"] {
            self.payload_text(
                "payload: a name in another case beside the good one",
                &format!("{{{inner},\"{name}\":5}}"),
            );
            let lower = name.to_ascii_lowercase();
            self.payload_text(
                "payload: a name in another case alone",
                &good.replace(&format!("\"{lower}\""), &format!("\"{name}\"")),
            );
        }
        for text in ["", "{", "[]", "null", "\"x\"", "1", "true", "{}x", "{'a':1}", "{\"a\":1,}", "{/**/}", "{} {}"] {
            self.payload_text("payload: no JSON object", text);
        }
        for extra in ["\"x\":\"\\ud800\"", "\"x\":\"\\udc00\\ud800\""] {
            self.payload_text("payload: a lone surrogate", &format!("{{{inner},{extra}}}"));
        }
        self.payload_text("payload: a BOM", &format!("\u{feff}{good}"));
        self.payload_text("payload: blanks", &format!("\r\n {good}\t\n"));
        for extra in ["\"x\":NaN", "\"x\":Infinity", "\"x\":-Infinity"] {
            self.payload_text("payload: NaN and Infinity elsewhere", &format!("{{{inner},{extra}}}"));
        }
        self.payload_text("payload: a number beyond a double elsewhere", &format!("{{{inner},\"x\":1e400}}"));
        for extra in [
            "\"x\":1e308",
            "\"x\":123456789012345678901234567890",
            "\"\":1",
            "\"__proto__\":{\"a\":1}",
            "\"x\":\"\\u0000\"",
            "\"constructor\":1",
        ] {
            self.payload_text("payload: odd and harmless", &format!("{{{inner},{extra}}}"));
        }
        self.payload_text("payload: a control byte in a text", &format!("{{{inner},\"x\":\"a\nb\"}}"));
        for depth in [10, 30] {
            self.payload_text(
                "payload: nested within the limit",
                &format!("{{{inner},\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth)),
            );
        }
        for depth in [40, 500] {
            self.payload_text(
                "payload: nested beyond the limit",
                &format!("{{{inner},\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth)),
            );
        }
        let many: Vec<String> = (0..300).map(|n| format!("\"k{n}\":0")).collect();
        self.payload_text("payload: more members than the limit", &format!("{{{inner},{}}}", many.join(",")));
        for (extra, kind) in [
            ("\"nonce\":\"n\"", "payload: an ID token"),
            ("\"at_hash\":\"n\"", "payload: an ID token"),
            ("\"jti\":\"ID.x\"", "payload: an ID token"),
            ("\"events\":{}", "payload: a security event"),
            ("\"cnf\":{\"jkt\":\"x\"}", "payload: bound to its sender"),
        ] {
            self.payload_text(kind, &format!("{{{inner},{extra}}}"));
        }
        for name in ["sub", "cid", "scp"] {
            for value in ["5", "{}"] {
                self.claim_text(&format!("payload: {name} of another type"), name, Some(value));
            }
            self.claim_text(&format!("payload: {name} null"), name, Some("null"));
        }
    }

    fn encodings(&mut self) {
        let (algorithm, key, kid) = *self.random.pick(&SIGNERS);
        let token = key.token_of_texts(algorithm, &Self::plain(algorithm, kid), &text_of(&claims()));
        let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let join = |header: &str, payload: &str, signature: &str| format!("{header}.{payload}.{signature}");
        let [header, payload, signature] = [&parts[0], &parts[1], &parts[2]];
        for pad in ["=", "=="] {
            self.add("encoding: padding", format!("{token}{pad}"));
            self.add("encoding: padding", join(&format!("{header}{pad}"), payload, signature));
        }
        for blank in ["\n", "\r\n", "\t", " "] {
            self.add("encoding: blank around", format!("{token}{blank}"));
            self.add("encoding: blank around", format!("{blank}{token}"));
            let at = self.random.index(signature.len());
            self.add(
                "encoding: blank in the signature",
                join(header, payload, &format!("{}{blank}{}", &signature[..at], &signature[at..])),
            );
            self.add(
                "encoding: blank in the header",
                join(&format!("{}{blank}{}", &header[..5], &header[5..]), payload, signature),
            );
        }
        for foreign in ["!", "?", "!!!!", "*", "%3D", "\u{ff0e}", "\0", "+", "/", "~", "#"] {
            self.add("encoding: foreign character behind", format!("{token}{foreign}"));
            let at = self.random.index(signature.len());
            self.add(
                "encoding: foreign character in the signature",
                join(header, payload, &format!("{}{foreign}{}", &signature[..at], &signature[at..])),
            );
        }
        if signature.contains(['-', '_']) {
            self.add(
                "encoding: the other alphabet",
                join(header, payload, &signature.replace('-', "+").replace('_', "/")),
            );
        }
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        if signature.len() % 4 != 0 {
            let last = alphabet.find(&signature[signature.len() - 1..]).unwrap();
            let other = &alphabet[last + 1..last + 2];
            self.add(
                "encoding: unused bits set in the signature",
                join(header, payload, &format!("{}{other}", &signature[..signature.len() - 1])),
            );
        }
        for text in [
            format!("{token}."),
            format!(".{token}"),
            format!("{header}.{payload}"),
            format!("{header}.{payload}."),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            header.clone(),
            "..".to_owned(),
            format!("{token}.{signature}"),
            format!("{token}.AA.AA"),
            format!("{header}.{signature}.{payload}"),
            format!("{payload}.{header}.{signature}"),
        ] {
            self.add("encoding: parts", text);
        }
    }

    fn bytes(&mut self) {
        let (algorithm, key, kid) = *self.random.pick(&SIGNERS);
        let token = key.token_of_texts(algorithm, &Self::plain(algorithm, kid), &text_of(&claims()));
        let signature = signature_of(&token);
        let at = self.random.index(signature.len());
        let bit = 1 << self.random.index(8);
        let mut flipped = signature.clone();
        flipped[at] ^= bit;
        for (kind, bytes) in [
            ("signature: a bit flipped", flipped),
            ("signature: truncated", signature[..at].to_vec()),
            ("signature: extended", [&signature[..], &[0]].concat()),
            ("signature: a byte before", [&[0], &signature[..]].concat()),
            ("signature: zeros", vec![0; signature.len()]),
            ("signature: ones", vec![0xff; signature.len()]),
            ("signature: reversed", signature.iter().rev().copied().collect()),
            ("signature: twice", [&signature[..], &signature[..]].concat()),
        ] {
            self.add(kind, with_signature(&token, bytes));
        }
        if matches!(key, Forge::P256 | Forge::P384) {
            let (r, s) = forge::halves(&signature);
            self.add("signature: r and s swapped", with_signature(&token, forge::joined(key, &s, &r)));
            self.add("signature: twin s", with_signature(&token, forge::twin(key, &signature)));
            self.add("signature: DER", with_signature(&token, forge::der(&signature)));
        }
        // A letter anywhere in the header or payload replaced by another.
        let mut letters: Vec<char> = token.chars().collect();
        let at = self.random.index(token.rfind('.').unwrap());
        let letter = *self.random.pick(&['A', 'b', '9', '_']);
        if letters[at] != '.' && letters[at] != letter {
            letters[at] = letter;
            self.add("signed part: a letter changed", letters.into_iter().collect());
        }
        let other = text_of(&claims()).replace("alice", "mallory");
        let (_, rest) = token.split_once('.').unwrap();
        let swapped = format!(
            "{}.{}.{}",
            base64url(Self::plain(algorithm, kid)),
            base64url(other),
            rest.split_once('.').unwrap().1
        );
        self.add("signed part: other claims", swapped);
        let (wrong, wrong_key, _) = *self.random.pick(&SIGNERS);
        if wrong != algorithm {
            let token = wrong_key.token_of_texts(wrong, &Self::plain(algorithm, kid), &text_of(&claims()));
            self.add("signature: of another algorithm", token);
        }
        let forged = Forge::RsaB.token_of_texts("RS256", &Self::plain("RS256", "rsa"), &text_of(&claims()));
        self.add("signature: of another key", forged);
        let public = Forge::RsaA.rsa().public_key().unwrap().public_key_to_pem().unwrap();
        self.add(
            "signature: HMAC under the public key",
            forge::hmac_token("HS256", &Self::plain("HS256", "rsa"), &text_of(&claims()), &public),
        );
    }
}

fn corpus() -> Vec<Case> {
    println!("seed {SEED:#x}");
    let mut corpus = Corpus { random: Random::new(SEED), cases: Vec::new() };
    for _ in 0..300 {
        corpus.valid();
    }
    for _ in 0..7 {
        corpus.headers();
        corpus.times();
        corpus.payloads();
    }
    for _ in 0..25 {
        corpus.encodings();
        corpus.bytes();
    }
    corpus.cases
}

fn keys() -> Vec<Value> {
    vec![Forge::RsaA.jwk("rsa"), Forge::P256.jwk("p256"), Forge::P384.jwk("p384"), Forge::Ed25519.jwk("ed25519")]
}

/// Our reason, `authorized` when the token passes.
fn filter_verdicts(cases: &[Case]) -> Vec<&'static str> {
    let configuration = json!({ "providers": { "a": { "issuer": ISSUER, "audiences": [AUDIENCE],
        "clock_skew": format!("{TOLERANCE}s"), "algorithms": SIGNERS.map(|(name, _, _)| name),
        "jwks": { "inline": { "keys": keys() } } } }, "token": { "max_bytes": 61440 } });
    let mut engine = Harness::new(&configuration);
    let mut judge = |token: &str| {
        let decision = engine.decide(&bearer(token));
        assert_eq!(status_of(&decision) == 200, decision.audit.reason() == "authorized");
        decision.audit.reason()
    };
    cases.iter().map(|case| judge(&case.token)).collect()
}

/// What another implementation says of each: `None` when it accepts, or its reason.
fn verdicts_of(mut command: Command, cases: &[Case]) -> Vec<Option<String>> {
    let expected = json!({ "issuer": ISSUER, "audience": AUDIENCE, "tolerance": TOLERANCE, "now": NOW, "keys": keys(),
        "algorithms": SIGNERS.map(|(name, _, _)| name) });
    let mut input = format!("{expected}\n");
    for case in cases {
        input.push_str(&format!("{}\n", json!(case.token)));
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("`make test` installs the judges");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command:?} failed");
    let verdicts: Vec<Option<String>> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|said| (said["verdict"] != "accept").then(|| said["reason"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(verdicts.len(), cases.len(), "{command:?} did not judge them all");
    verdicts
}

#[derive(Default)]
struct Tally {
    cases: usize,
    accepted_by_all: usize,
    refused_by_all: usize,
    taken_by_jose: usize,
    taken_by_joserfc: usize,
    ours_alone: usize,
    example: String,
}

#[test]
fn three_implementations_agree_or_the_difference_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = corpus();
    let ours = filter_verdicts(&cases);
    let mut node = Command::new("node");
    node.arg(root.join("tests/differential/judge.mjs"));
    let jose = verdicts_of(node, &cases);
    let mut python = Command::new(root.join(".tools/differential-venv/bin/python"));
    python.arg(root.join("tests/differential/judge.py"));
    let joserfc = verdicts_of(python, &cases);

    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut accepted_by_all = 0;
    for (((case, ours), jose), joserfc) in cases.iter().zip(&ours).zip(&jose).zip(&joserfc) {
        let tally = tallies.entry(&case.kind).or_default();
        tally.cases += 1;
        let example = format!("we: {ours}; jose: {jose:?}; joserfc: {joserfc:?}");
        match (*ours == "authorized", jose.is_none(), joserfc.is_none()) {
            (true, true, true) => {
                tally.accepted_by_all += 1;
                accepted_by_all += 1;
            }
            (true, ..) => {
                tally.ours_alone += 1;
                tally.example = example;
            }
            (false, false, false) => tally.refused_by_all += 1,
            (false, by_jose, by_joserfc) => {
                tally.taken_by_jose += usize::from(by_jose);
                tally.taken_by_joserfc += usize::from(by_joserfc);
                tally.example = example;
            }
        }
    }
    println!("cases all-accept all-refuse jose-laxer joserfc-laxer we-laxer");
    let mut wrong = Vec::new();
    for (kind, tally) in &tallies {
        println!(
            "{:5} {:5} {:5} {:5} {:5} {:5}  {kind} {}",
            tally.cases,
            tally.accepted_by_all,
            tally.refused_by_all,
            tally.taken_by_jose,
            tally.taken_by_joserfc,
            tally.ours_alone,
            tally.example
        );
        let explained = |list: &[(&str, &str)]| list.iter().any(|(explained, _)| explained == kind);
        if tally.ours_alone > 0 && !explained(LAXER) {
            wrong.push(format!("we alone accept: {kind}: {}", tally.example));
        }
        if tally.taken_by_jose + tally.taken_by_joserfc > 0 && !explained(STRICTER) {
            wrong.push(format!("we alone refuse: {kind}: {}", tally.example));
        }
    }
    for (kind, why) in STRICTER {
        let tally = tallies.get(kind).unwrap_or_else(|| panic!("explained and never seen: {kind}"));
        assert!(!why.is_empty() && tally.taken_by_jose + tally.taken_by_joserfc > 0, "explained and not so: {kind}");
    }
    for (kind, why) in LAXER {
        assert!(!why.is_empty() && tallies.get(kind).is_some_and(|tally| tally.ours_alone > 0), "not so: {kind}");
    }
    println!("{} judged, {accepted_by_all} accepted by all", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 4000, "{} judged", cases.len());
    assert!(accepted_by_all >= 400, "{accepted_by_all} accepted by all");
    let valid = &tallies["valid"];
    assert_eq!((valid.cases, valid.accepted_by_all), (300, 300));
}
