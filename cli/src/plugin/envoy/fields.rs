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

pub(in crate::plugin) fn is_true(message: &Value, name: &str) -> bool {
    field(message, name) == Some(&Value::Bool(true))
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
}
