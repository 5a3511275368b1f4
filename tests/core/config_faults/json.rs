//! Invalid JSON: each cause is named at its exact position.

use okta_proxy_wasm::config::{self, ConfigError, ConfigErrorKind, JsonCause};

fn error(text: &[u8]) -> ConfigError {
    let errors = config::load(text, &config::no_environment).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().unwrap()
}

fn cause(error: &ConfigError) -> Option<JsonCause> {
    if let ConfigErrorKind::Json(json) = &error.kind { Some(json.cause) } else { None }
}

/// The text without its marks `⟨`, with the line and the column of each.
fn marked(text: &str) -> (String, Vec<(usize, usize, usize)>) {
    let (mut plain, mut marks) = (String::new(), Vec::new());
    for (at, part) in text.split('⟨').enumerate() {
        if at > 0 {
            let line = plain.rsplit('\n').next().unwrap();
            marks.push((plain.len(), plain.matches('\n').count() + 1, line.chars().count() + 1));
        }
        plain.push_str(part);
    }
    (plain, marks)
}

#[test]
fn every_cause_is_named_at_its_position() {
    use JsonCause as C;
    // The fault is behind the mark.
    let rows: &[(&str, C)] = &[
        ("{\n  \"a\": 1⟨,\n}", C::TrailingComma),
        ("{\"a\": [1, 2⟨, ]}", C::TrailingComma),
        ("{\"a\": 1⟨,]", C::TrailingComma),
        ("{\"a\": 1}⟨,", C::TrailingComma),
        ("{\"a\": 1,⟨,\"b\": 2}", C::ExtraComma),
        ("{⟨,\"a\": 1}", C::ExtraComma),
        ("{\"a\": [⟨,]}", C::ExtraComma),
        ("{\n  ⟨// note\n  \"a\": 1}", C::Comment),
        ("{\"a\": 1, ⟨/* note */ \"b\": 2}", C::Comment),
        ("{\"é\": 1 ⟨# note\n}", C::Comment),
        ("{\"a\": true⟨// note\n}", C::Comment),
        ("⟨// note\n{}", C::Comment),
        ("\n ⟨# note\n{}", C::Comment),
        ("⟨/* note */ {}", C::Comment),
        ("{} ⟨// note", C::Comment),
        ("{\"a\": ⟨“x”}", C::SmartQuote),
        ("{⟨“a”: 1}", C::SmartQuote),
        ("{\"a\": \"x⟨”,\n \"b\": 1}", C::SmartQuote),
        ("{\"a\": ⟨‘x’}", C::SmartQuote),
        ("{\"a\": ⟨«x»}", C::SmartQuote),
        ("{⟨'a': 1}", C::SingleQuote),
        ("{\"a\": [\"x\", ⟨'y']}", C::SingleQuote),
        ("{\"a\": ⟨`x`}", C::SingleQuote),
        ("{\n  \"a\": 1⟨\n  \"b\": 2\n}", C::MissingComma),
        ("{\"a\": [1⟨ 2]}", C::MissingComma),
        ("{\"a\": [\"x\"⟨ \"y\"]}", C::MissingComma),
        ("{\"a\": {}⟨ \"b\": 1}", C::MissingComma),
        ("{\"a\": [{}⟨ {}]}", C::MissingComma),
        ("{\"a\": true⟨ b: 1}", C::MissingComma),
        ("{\"a\"⟨ 1}", C::MissingColon),
        ("{\"a\"⟨ = 1}", C::MissingColon),
        ("{\"a\"⟨, \"b\": 1}", C::MissingColon),
        ("{\"a\"⟨}", C::MissingColon),
        ("{\n  \"providers\": ⟨}", C::MissingValue),
        ("{\"a\": ⟨, \"b\": 1}", C::MissingValue),
        ("{⟨a: 1}", C::UnquotedName),
        ("{\"a\": 1, ⟨path_prefix\": 1}", C::UnquotedName),
        ("{⟨$schema: 1}", C::UnquotedName),
        ("{⟨1: 1}", C::MissingName),
        ("{⟨{\"a\": 1}}", C::MissingName),
        ("{⟨: 1}", C::MissingName),
        ("{\"a\": ⟨okta}", C::UnquotedString),
        ("{\"a\": ⟨https://acme.okta.com}", C::UnquotedString),
        ("{\"a\": ⟨30s}", C::UnquotedString),
        ("{\"a\": ⟨\"x\n}", C::UnclosedString),
        ("{⟨\"a: 1,\n \"b\": 2}", C::UnclosedString),
        ("{⟨\"a: [\"x\"]}", C::UnclosedString),
        ("{\"a\": ⟨\"x}", C::UnclosedString),
        ("{\"a\": ⟨\"x\\", C::UnclosedString),
        ("{\"a\": \"x, ⟨\"b\": 1}", C::UnescapedQuote),
        ("{\"a\": \"x ⟨\"y\" z\"}", C::UnescapedQuote),
        ("{\"a\": \"x⟨\ty\"}", C::ControlCharacter),
        ("{\"a\": \"x⟨\u{0}y\"}", C::ControlCharacter),
        ("{\"a\": \"x⟨\\.y\"}", C::InvalidEscape),
        ("{\"a\": \"\\\\⟨\\d\"}", C::InvalidEscape),
        ("{\"a\": \"⟨\\u12g4\"}", C::InvalidEscape),
        ("{\"a\": \"\\u0041⟨\\ud800\"}", C::InvalidEscape),
        ("{\"a\": \"\\ud83d\\ude00⟨\\udc00\"}", C::InvalidEscape),
        ("{\"a\": \"⟨\\ud83dx\\ude00\"}", C::InvalidEscape),
        ("{\"a\": ⟨True}", C::Constant("true")),
        ("{\"a\": ⟨FALSE}", C::Constant("false")),
        ("{\"a\": ⟨None}", C::Constant("null")),
        ("{\"a\": ⟨undefined}", C::Constant("null")),
        ("{\"a\": ⟨yes, \"b\": 1}", C::Constant("true")),
        ("{\"a\": ⟨NaN}", C::NotFinite),
        ("{\"a\": ⟨-Infinity}", C::NotFinite),
        ("{\"a\": ⟨01}", C::InvalidNumber),
        ("{\"a\": ⟨0x1F}", C::InvalidNumber),
        ("{\"a\": ⟨1.}", C::InvalidNumber),
        ("{\"a\": ⟨.5}", C::InvalidNumber),
        ("{\"a\": ⟨+1}", C::InvalidNumber),
        ("{\"a\": ⟨1_000}", C::InvalidNumber),
        ("{\"a\": ⟨1e400}", C::NumberOutOfRange),
        ("{}\n⟨{}", C::SecondDocument),
        ("{} ⟨[]", C::SecondDocument),
        ("{}⟨}", C::UnopenedBracket),
        ("{\"a\": []} ⟨]", C::UnopenedBracket),
        ("{} ⟨x", C::TextBehind),
        ("{\"a\": ⟨@}", C::Unexpected),
        ("{\"a\": 1⟨; \"b\": 2}", C::Unexpected),
        ("{\"a\": [\"b\"⟨: 1]}", C::Unexpected),
        ("{\"a\":⟨\u{a0}1}", C::Blank),
        ("{⟨\u{200b}\"a\": 1}", C::Blank),
        ("⟨\u{feff}{\"a\": 1}", C::ByteOrderMark),
    ];
    let mut wrong = Vec::new();
    for (row, expected) in rows {
        let (text, marks) = marked(row);
        let found = error(text.as_bytes());
        let position = found.position().map(|at| (at.offset, at.line, at.column));
        if cause(&found) != Some(*expected) || position != Some(marks[0]) || found.related().is_some() {
            wrong.push(format!("{row}: {expected:?} at {:?} is {found:?}", marks[0]));
        }
        let shown = format!("line {}, column {}", marks[0].1, marks[0].2);
        assert_eq!(found.to_string().matches(" at line ").count(), 1, "{found}");
        assert!(found.to_string().contains(&shown) && !found.message(None).contains(" column "), "{found}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unclosed_bracket_is_named_with_its_position() {
    use JsonCause as C;
    // The first mark is before the bracket, the second one where another is missing.
    for (row, expected) in [
        ("⟨{\"a\": 1⟨", C::UnclosedObject),
        ("{\"a\": ⟨[1⟨", C::UnclosedArray),
        ("{\"a\": ⟨[1, 2⟨\n\n", C::UnclosedArray),
        ("{\"a\": ⟨[1⟨}", C::UnclosedArray),
        ("{\"a\": [⟨{\"b\": 1⟨]}", C::UnclosedObject),
        // By indentation the brace of line 3 is the one that is missing.
        ("{\n  \"a\": {\n    \"b\": ⟨{\n      \"c\": 1\n  },\n  \"d\": 2\n}⟨\n", C::UnclosedObject),
        ("{\n  \"a\": [\n    ⟨{\n      \"c\": 1\n  ⟨]\n}", C::UnclosedObject),
        ("{\n  \"a\": [\n    {\n      \"b\": ⟨{\n        \"c\": 1\n    }\n  ⟨]\n}", C::UnclosedObject),
        ("⟨{\n  \"a\": {\n    \"b\": 1\n  }⟨\n", C::UnclosedObject),
    ] {
        let (text, marks) = marked(row);
        let found = error(text.as_bytes());
        let place = |at: config::TextPosition| (at.offset, at.line, at.column);
        assert_eq!(cause(&found), Some(expected), "{row}");
        assert_eq!(found.related().map(place), Some(marks[0]), "{row}");
        assert_eq!(found.position().map(place), Some(marks[1]), "{row}");
    }
    let said = |text: &str| error(text.as_bytes()).to_string();
    assert_eq!(
        said("{\n  \"a\": [1"),
        "$: not valid JSON at line 2, column 10: missing ]; the bracket at line 2, column 8 is not closed"
    );
    assert_eq!(
        error(b"{\n  \"a\": [1").message(Some((12, 18))),
        "not valid JSON: missing ]; the bracket at line 12, column 18 is not closed"
    );
}

#[test]
fn duplicate_member_is_named_with_both_positions() {
    let said = |text: &str| error(text.as_bytes()).to_string();
    assert_eq!(
        said("{\n  \"token\": {},\n  \"audit\": {}, \"token\": {}\n}"),
        "$.token: duplicate member at line 3, column 16: remove one of the two; the first one is at line 2, column 3"
    );
    let nested = r#"{"providers": {"okta": {"audiences": ["a"], "upstream": "a", "\u0061udiences": ["b"]}}}"#;
    assert!(
        said(nested).starts_with("$.providers.okta.audiences: duplicate member at line 1, column 62: "),
        "{}",
        said(nested)
    );
    assert!(said(r#"{"rules": [{}, {"name": "a", "name": "b"}]}"#).starts_with("$.rules[1].name: duplicate member"));
}

#[test]
fn limits_have_a_position() {
    let said = |text: String| error(text.as_bytes()).to_string();
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(said(deep), "$: nested too deeply at line 1, column 69: at most 64 levels");
    let members: Vec<String> = (0..5000).map(|number| format!("\n\"{number}\":0")).collect();
    let wide = format!("{{{}}}", members.join(","));
    assert_eq!(said(wide), "$: too many members in one object at line 4098, column 1: at most 4096");
}

#[test]
fn position_is_that_in_the_text_as_it_was_given() {
    let found = error("\n\n  {\n    \"a\": True}".as_bytes());
    assert_eq!(found.position().map(|at| (at.offset, at.line, at.column)), Some((15, 4, 10)));
    // Not UTF-8: columns count characters, and a broken one counts as one.
    let found = error(b"{\"\xc3\xa9\": \"x\xff\"}");
    assert_eq!(cause(&found), Some(JsonCause::NotUtf8));
    assert_eq!(found.position().map(|at| (at.offset, at.line, at.column)), Some((9, 1, 9)));
    for text in [&b"\xff\xfe{\0}\0"[..], b"\xfe\xff\0{\0}"] {
        assert_eq!(cause(&error(text)), Some(JsonCause::NotUtf8));
    }
}
