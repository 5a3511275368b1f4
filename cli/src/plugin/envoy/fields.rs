//! Members of Envoy's messages: proto3 JSON accepts both `failure_policy` and `failurePolicy`.

use serde_json::Value;

/// A member by its name in snake case. `null` is unset.
pub(in crate::plugin) fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let set = |value: &&Value| !value.is_null();
    message.get(name).filter(set).or_else(|| message.get(camel_case(name)).filter(set))
}

pub(in crate::plugin) fn string<'a>(message: &'a Value, name: &str) -> Option<&'a str> {
    field(message, name)?.as_str()
}

/// Whether a boolean is set to `true`. Envoy reads words such as `yes` and `on` without quotes as booleans, and accepts
/// strings such as `"true"` and `"yes"`.
pub(in crate::plugin) fn is_true(message: &Value, name: &str) -> bool {
    is_boolean(message, name, true, &["true", "t", "yes", "y", "on", "1"])
}

/// Whether a boolean is set to `false`.
pub(in crate::plugin) fn is_false(message: &Value, name: &str) -> bool {
    is_boolean(message, name, false, &["false", "f", "no", "n", "off", "0"])
}

fn is_boolean(message: &Value, name: &str, value: bool, words: &[&str]) -> bool {
    field(message, name).is_some_and(|written| {
        let word = written.as_str().unwrap_or_default().to_ascii_lowercase();
        written.as_bool() == Some(value) || words.contains(&word.as_str())
    })
}

/// Whether an enum has one of these values. Proto3 JSON writes its name or its number.
pub(in crate::plugin) fn is_one_of(message: &Value, name: &str, values: &[(&str, u64)]) -> bool {
    field(message, name).is_some_and(|written| {
        values.iter().any(|(name, number)| written.as_str() == Some(name) || written.as_u64() == Some(*number))
    })
}

pub(in crate::plugin) fn list<'a>(message: &'a Value, name: &str) -> &'a [Value] {
    field(message, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether `@type`, or `type_url` of a TypedStruct, ends with `ending`.
pub(in crate::plugin) fn is_type(message: &Value, ending: &str) -> bool {
    let of = |name| string(message, name).is_some_and(|kind| kind.ends_with(ending));
    of("@type") || of("type_url")
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut camel, word| {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
        camel
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_of_a_name_are_found() {
        for message in [json!({ "fail_open_now": true }), json!({ "fail_open_now": null, "failOpenNow": true })] {
            assert!(is_true(&message, "fail_open_now"), "{message}");
        }
        assert!(!is_true(&json!({ "fail_open": true }), "fail_open_now"));
    }

    #[test]
    fn booleans_and_enums_are_read_as_envoy_reads_them() {
        for (written, expected) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("Yes"), Some(true)),
            (json!("on"), Some(true)),
            (json!(false), Some(false)),
            (json!("no"), Some(false)),
            (json!("maybe"), None),
            (json!(null), None),
        ] {
            let message = json!({ "a": written });
            assert_eq!(is_true(&message, "a"), expected == Some(true), "{message}");
            assert_eq!(is_false(&message, "a"), expected == Some(false), "{message}");
        }
        let values = [("REJECT", 2), ("DROP", 3)];
        for (written, expected) in [(json!("DROP"), true), (json!(2), true), (json!("ALLOW"), false), (json!(1), false)]
        {
            assert_eq!(is_one_of(&json!({ "a": written }), "a", &values), expected, "{written}");
        }
    }
}
