//! Secrets by reference: the value of an environment variable.

use super::diagnostics::Diagnostics;
use crate::config::error::{ConfigErrorKind, Path};
use crate::config::schema::introspection::{Secret, SecretDocument};
use crate::redacted::Redacted;

const MAX_NAME_BYTES: usize = 64;

/// The value of the variable. Errors name the variable, so a name must look like one: it may be the secret itself, written
/// in the wrong place.
pub(super) fn look_up(secret: Secret, at: &Path, diagnostics: &mut Diagnostics<'_>) -> Option<Redacted<String>> {
    let at = at.member("env");
    let Secret(SecretDocument { env }) = secret;
    let name =
        diagnostics.required(env, &at, "write the name of an environment variable, such as \"OKTA_CLIENT_SECRET\"")?;
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    let is_name = begins && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_part);
    if !diagnostics.check(is_name, &at, "not the name of an environment variable: capitals, digits and `_`") {
        return None;
    }
    let value = (diagnostics.environment)(&name).filter(|value| !value.trim().is_empty());
    if value.is_none() {
        diagnostics.errors.push(at.error(ConfigErrorKind::Variable(name)));
    }
    value.map(Redacted::new)
}
