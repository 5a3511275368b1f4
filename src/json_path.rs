//! The path of a value in a JSON document: `$.providers.okta.audiences[0]`.

/// A JSON path in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The whole document.
    pub fn root() -> Self {
        Self(String::from("$"))
    }

    /// The member `name` of this object. Names are from the document: an unusual one is quoted, with escaped control bytes
    /// and bounded length.
    pub fn member(&self, name: &str) -> Self {
        let plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'$');
        let short: String = name.chars().take(64).collect();
        Self(if plain && short.len() == name.len() {
            format!("{}.{name}", self.0)
        } else {
            format!("{}[{short:?}]", self.0)
        })
    }

    /// The item `at` of this list.
    pub fn item(&self, at: usize) -> Self {
        Self(format!("{}[{at}]", self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_quotes_unusual_names() {
        let path = Path::root().member("providers").member("a.b\n").member("audiences").item(2);
        assert_eq!(path.as_str(), r#"$.providers["a.b\n"].audiences[2]"#);
        assert!(Path::root().member(&"x".repeat(5000)).as_str().len() < 100);
    }
}
