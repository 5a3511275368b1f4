//! The request as a curl command. It names the variable `TOKEN` in place of a token, which a shell's history would record.

use okta_proxy_wasm::policy::TokenSource;

use crate::request::Request;

const VARIABLE: &str = "\"$TOKEN\"";

/// The command, in one line.
pub fn command(request: &Request, token: Option<&str>, source: &TokenSource) -> String {
    let single = |name: &str| request.values(name).into_iter().next().unwrap_or_default();
    let method = single(":method");
    let mut words = vec![String::from("curl -i")];
    match method.as_str() {
        "GET" => {}
        "HEAD" => words.push(String::from("--head")),
        method => words.push(format!("-X {}", quoted(method, token))),
    }
    let url = format!("{}://{}{}", single(":scheme"), single(":authority"), single(":path"));
    words.push(quoted(&url, token));
    for (name, value) in request.fields().filter(|(name, _)| !name.starts_with(':')) {
        let value = String::from_utf8_lossy(value);
        let has_token = token.is_some_and(|token| !token.is_empty() && value.contains(token));
        let is_secret = source.is_carrier(name) || matches!(name, "authorization" | "cookie");
        let value = if is_secret && !has_token { without_credential(&value) } else { quoted(&value, token) };
        words.push(format!("-H {}{value}", quoted(&format!("{name}: "), None)));
    }
    words.join(" ")
}

/// A credential that is not the token of the command line: the scheme remains.
fn without_credential(value: &str) -> String {
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{}{VARIABLE}", quoted(&format!("{scheme} "), None)),
        None => VARIABLE.to_owned(),
    }
}

/// In single quotes, with the variable in place of the token.
fn quoted(text: &str, token: Option<&str>) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    match token.filter(|token| !token.is_empty()) {
        Some(token) if text.contains(token) => {
            let parts = text.split(token).map(|part| if part.is_empty() { String::new() } else { quote(part) });
            parts.collect::<Vec<_>>().join(VARIABLE)
        }
        _ => quote(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_reads_the_words_as_they_are() {
        assert_eq!(quoted("it's", None), r"'it'\''s'");
        assert_eq!(quoted("Bearer abc", Some("abc")), "'Bearer '\"$TOKEN\"");
        assert_eq!(quoted("abc", Some("abc")), "\"$TOKEN\"");
    }
}
