//! The claims of a token: each is absent, valid or malformed.
//!
//! A claim of the wrong type is malformed and never "absent". jsonwebtoken read `"exp": "soon"` as no expiry and
//! accepted expired tokens (CVE-2026-25537).
//!
//! Serializers write `null` and `[]` for an unset claim. Strings and lists read them as absent, because an absent one
//! grants nothing. Times do not: a token without `nbf` is valid earlier.

use serde_json::{Map, Value};

use crate::unix_time::UnixTime;

/// The last second of the year 9999. A later time is a mistake or an attack.
const LATEST_SECOND: f64 = 253_402_300_799.0;

/// The result of reading one claim as one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim<T> {
    /// The claim does not exist.
    Absent,
    /// The claim has the requested type.
    Valid(T),
    /// The claim has another type, or a value that the type does not allow.
    Malformed,
}

/// The claims of one token (RFC 7519 section 4).
#[derive(Clone, PartialEq)]
pub struct Claims {
    members: Map<String, Value>,
}

impl Claims {
    /// Wraps the members of the payload.
    pub const fn new(members: Map<String, Value>) -> Self {
        Self { members }
    }

    /// All members, unchecked.
    pub const fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// Whether the claim exists, with any value.
    pub fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A string. `null` is absent.
    pub fn string(&self, name: &str) -> Claim<&str> {
        match self.members.get(name) {
            None | Some(Value::Null) => Claim::Absent,
            Some(Value::String(text)) => Claim::Valid(text),
            Some(_) => Claim::Malformed,
        }
    }

    /// A NumericDate (RFC 7519 section 2) in whole seconds, rounded down.
    pub fn time(&self, name: &str) -> Claim<UnixTime> {
        self.rounded_time(name, f64::floor)
    }

    /// A NumericDate in whole seconds, rounded up. For `nbf`: a fraction never makes the token valid too early.
    pub fn start_time(&self, name: &str) -> Claim<UnixTime> {
        self.rounded_time(name, f64::ceil)
    }

    fn rounded_time(&self, name: &str, round: fn(f64) -> f64) -> Claim<UnixTime> {
        match self.members.get(name) {
            None => Claim::Absent,
            Some(Value::Number(number)) => numeric_date(number, round),
            Some(_) => Claim::Malformed,
        }
    }

    /// A string or a list of strings. `null` and an empty list are absent.
    pub fn strings(&self, name: &str) -> Claim<Vec<&str>> {
        match self.members.get(name) {
            None | Some(Value::Null) => Claim::Absent,
            Some(Value::String(text)) => Claim::Valid(vec![text]),
            Some(Value::Array(items)) if items.is_empty() => Claim::Absent,
            Some(Value::Array(items)) => texts(items, |_| true),
            Some(_) => Claim::Malformed,
        }
    }

    /// Scopes: a space-delimited string (RFC 6749 section 3.3) or a list of scopes without spaces (Okta's `scp`). An
    /// empty string and an empty list grant nothing. `null` is absent.
    pub fn scopes(&self, name: &str) -> Claim<Vec<&str>> {
        match self.members.get(name) {
            None | Some(Value::Null) => Claim::Absent,
            Some(Value::String(text)) => Claim::Valid(text.split(' ').filter(|scope| !scope.is_empty()).collect()),
            Some(Value::Array(items)) => texts(items, |scope| !scope.is_empty() && !scope.contains(' ')),
            Some(_) => Claim::Malformed,
        }
    }

    /// The value at a path of literal member names. It is absent if an object lacks the next name. It is malformed if a
    /// value on the path is not an object.
    pub fn find(&self, path: &[String]) -> Claim<&Value> {
        let Some((first, rest)) = path.split_first() else { return Claim::Absent };
        let mut found = self.members.get(first);
        for name in rest {
            found = match found {
                None => return Claim::Absent,
                Some(Value::Object(members)) => members.get(name),
                Some(_) => return Claim::Malformed,
            };
        }
        found.map_or(Claim::Absent, Claim::Valid)
    }

    /// The names at a path: a string, or a list of strings that may be empty.
    pub fn names(&self, path: &[String]) -> Claim<Vec<&str>> {
        match self.find(path) {
            Claim::Absent => Claim::Absent,
            Claim::Valid(Value::String(name)) => Claim::Valid(vec![name]),
            Claim::Valid(Value::Array(items)) => texts(items, |_| true),
            Claim::Valid(_) | Claim::Malformed => Claim::Malformed,
        }
    }

    /// The value at a path of literal member names, or `None` if it is absent or malformed.
    pub fn get(&self, path: &[String]) -> Option<&Value> {
        if let Claim::Valid(value) = self.find(path) { Some(value) } else { None }
    }
}

fn texts(items: &[Value], is_valid: impl Fn(&str) -> bool) -> Claim<Vec<&str>> {
    let texts: Option<Vec<&str>> = items.iter().map(|item| item.as_str().filter(|text| is_valid(text))).collect();
    texts.map_or(Claim::Malformed, Claim::Valid)
}

fn numeric_date(number: &serde_json::Number, round: fn(f64) -> f64) -> Claim<UnixTime> {
    let seconds = match (number.as_u64(), number.as_f64()) {
        (Some(seconds), Some(approximately)) if approximately <= LATEST_SECOND => seconds,
        (None, Some(fractional)) if (0.0..=LATEST_SECOND).contains(&fractional) => {
            // The guard checks the range, so the cast neither truncates nor loses a sign.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let whole = round(fractional) as u64;
            whole
        }
        (Some(_) | None, _) => return Claim::Malformed,
    };
    Claim::Valid(UnixTime::from_secs(seconds))
}

impl std::fmt::Debug for Claims {
    /// Prints names only, because the values are personal data.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.members.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        Claims::new(value.as_object().unwrap().clone())
    }

    fn time(value: Value) -> Claim<UnixTime> {
        claims(json!({ "exp": value })).time("exp")
    }

    #[test]
    fn numeric_date_is_a_number_in_range_and_is_rounded() {
        assert_eq!(time(json!(1_700_000_000)), Claim::Valid(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(time(json!(1_700_000_000.9)), Claim::Valid(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(time(json!(0)), Claim::Valid(UnixTime::from_secs(0)));
        let out_of_range = [json!(-1), json!(-0.5), json!(9_007_199_254_740_992_u64), json!(u64::MAX), json!(1e308)];
        let other_types = [json!("99999999999"), json!(true), json!(null), json!([1]), json!({"a": 1})];
        for value in out_of_range.into_iter().chain(other_types) {
            assert_eq!(time(value.clone()), Claim::Malformed, "{value}");
        }
        assert_eq!(claims(json!({})).time("exp"), Claim::Absent);
        let start = |value: Value| claims(json!({ "nbf": value })).start_time("nbf");
        assert_eq!(start(json!(1_700_000_000)), Claim::Valid(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(start(json!(1_700_000_000.1)), Claim::Valid(UnixTime::from_secs(1_700_000_001)));
        assert_eq!(start(json!("1700000000")), Claim::Malformed);
        assert_eq!(claims(json!({})).start_time("nbf"), Claim::Absent);
    }

    #[test]
    fn list_with_a_non_string_is_malformed() {
        assert_eq!(claims(json!({"aud": "a"})).strings("aud"), Claim::Valid(vec!["a"]));
        assert_eq!(claims(json!({"aud": ["a", "b"]})).strings("aud"), Claim::Valid(vec!["a", "b"]));
        for value in [json!(["a", 1]), json!(["a", null]), json!({"a": 1}), json!({}), json!(5), json!(false)] {
            assert_eq!(claims(json!({ "aud": value })).strings("aud"), Claim::Malformed, "{value}");
        }
        assert_eq!(claims(json!({})).strings("aud"), Claim::Absent);
    }

    /// Ory Hydra writes `"aud": []`, Gluu and Janssen write `null` for every member without a value.
    #[test]
    fn null_and_empty_list_are_absent_strings_and_malformed_times() {
        let null = claims(json!({ "a": null }));
        assert_eq!(null.string("a"), Claim::Absent);
        assert_eq!(null.strings("a"), Claim::Absent);
        assert_eq!(null.scopes("a"), Claim::Absent);
        assert_eq!((null.time("a"), null.start_time("a")), (Claim::Malformed, Claim::Malformed));
        let empty = claims(json!({ "a": [] }));
        assert_eq!(empty.strings("a"), Claim::Absent);
        assert_eq!(empty.scopes("a"), Claim::Valid(Vec::new()));
        assert_eq!(empty.string("a"), Claim::Malformed);
    }

    #[test]
    fn scopes_are_read_from_string_and_list() {
        assert_eq!(claims(json!({"scp": ["a:r", "b"]})).scopes("scp"), Claim::Valid(vec!["a:r", "b"]));
        assert_eq!(claims(json!({"scope": "a:r  b"})).scopes("scope"), Claim::Valid(vec!["a:r", "b"]));
        assert_eq!(claims(json!({"scp": []})).scopes("scp"), Claim::Valid(vec![]));
        for value in [json!(["a b"]), json!([""]), json!([1]), json!(1), json!([null])] {
            assert_eq!(claims(json!({ "scp": value })).scopes("scp"), Claim::Malformed, "{value}");
        }
    }

    #[test]
    fn names_are_case_sensitive_and_path_is_literal() {
        let claims = claims(json!({"EXP": 1, "https://acme.com/claims": {"tenant": "t1"}}));
        assert_eq!(claims.time("exp"), Claim::Absent);
        let path = ["https://acme.com/claims".to_owned(), "tenant".to_owned()];
        assert_eq!(claims.get(&path), Some(&json!("t1")));
        assert_eq!(claims.get(&["https://acme.com/claims".to_owned(), "x".to_owned()]), None);
        assert_eq!(claims.get(&[]), None);
    }

    #[test]
    fn path_through_a_non_object_is_malformed() {
        let claims = claims(json!({"a.b": 1, "a": {"b": {"c": true}, "n": null, "l": [{"c": 1}]}, "s": "text"}));
        let find = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
            match claims.find(&path) {
                Claim::Valid(value) => Claim::Valid(value.clone()),
                Claim::Absent => Claim::Absent,
                Claim::Malformed => Claim::Malformed,
            }
        };
        assert_eq!(find(&["a.b"]), Claim::Valid(json!(1)));
        assert_eq!(find(&["a", "b", "c"]), Claim::Valid(json!(true)));
        assert_eq!(find(&["a", "n"]), Claim::Valid(json!(null)));
        for absent in [&[][..], &["x"], &["x", "y"], &["a", "x"], &["a", "x", "y"], &["a", "b", "x"]] {
            assert_eq!(find(absent), Claim::Absent, "{absent:?}");
        }
        for malformed in [&["s", "x"][..], &["a", "n", "x"], &["a", "l", "c"], &["a", "l", "0"], &["a.b", "c"]] {
            assert_eq!(find(malformed), Claim::Malformed, "{malformed:?}");
        }
    }

    #[test]
    fn names_are_a_string_or_a_list_that_may_be_empty() {
        let names = |value: Value| match claims(json!({ "groups": value })).names(&["groups".to_owned()]) {
            Claim::Valid(names) => Claim::Valid(names.into_iter().map(str::to_owned).collect::<Vec<_>>()),
            Claim::Absent => Claim::Absent,
            Claim::Malformed => Claim::Malformed,
        };
        assert_eq!(names(json!("a b")), Claim::Valid(vec!["a b".to_owned()]));
        assert_eq!(names(json!(["a", "b"])), Claim::Valid(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names(json!([])), Claim::Valid(vec![]));
        for value in [json!(null), json!(["a", 1]), json!(["a", null]), json!([["a"]]), json!({"a": 1}), json!(5)] {
            assert_eq!(names(value.clone()), Claim::Malformed, "{value}");
        }
        assert_eq!(claims(json!({})).names(&["groups".to_owned()]), Claim::Absent);
    }
}
