//! Values of tokens, requests and configurations in sentences for people.

use std::fmt::Write as _;
use std::time::Duration;

/// A string as it is, or in quotes with escapes if it has spaces, commas, quotes or characters that a terminal does not
/// show.
pub fn plain(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("{text:?}") }
}

/// `a, b, c`
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names, ", ")
}

/// `a or b`, `one of a, b, c`
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [_] | [_, _] => joined(names, " or "),
        _ => format!("one of {}", list(names)),
    }
}

/// `a and b`, `all of a, b, c`
pub fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [_] | [_, _] => joined(names, " and "),
        _ => format!("all of {}", list(names)),
    }
}

fn joined<'a>(names: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    names.into_iter().map(plain).collect::<Vec<_>>().join(separator)
}

/// `45 s`, `15 min`, `2 h 5 min`, `3 d`
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = units.iter().position(|(size, _)| seconds >= *size) else { return String::from("0 s") };
    let mut text = String::new();
    let mut rest = seconds;
    for (size, unit) in units.iter().skip(first).take(2) {
        if rest >= *size {
            let space = if text.is_empty() { "" } else { " " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{space}{} {unit}", rest / size);
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_of_a_duration_are_shown() {
        let shown = [0, 45, 900, 7_500, 7_201, 90_000, 259_200].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(shown, ["0 s", "45 s", "15 min", "2 h 5 min", "2 h", "1 d 1 h", "3 d"]);
    }

    #[test]
    fn only_strings_that_need_it_are_quoted() {
        assert_eq!(plain("urn:okta:loa:2fa:any"), "urn:okta:loa:2fa:any");
        assert_eq!(plain("two words"), "\"two words\"");
        assert_eq!(plain(""), "\"\"");
        assert_eq!(plain("\u{1b}[31m\u{202e}"), "\"\\u{1b}[31m\\u{202e}\"");
        assert_eq!(one_of(["a", "b"]), "a or b");
        assert_eq!(all_of(["a", "b", "c"]), "all of a, b, c");
    }
}
