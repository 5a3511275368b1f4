//! A rule's `condition`: a CEL program over the request and the token that it carries.

use super::validate::ValidatedToken;
use crate::cel::TokenAttributes;

/// The variables `claims` and `token` of conditions, for a token of the provider with that name.
pub fn token_attributes<'a>(token: &'a ValidatedToken, provider: &'a str) -> TokenAttributes<'a> {
    TokenAttributes {
        claims: token.claims().members(),
        subject: token.subject(),
        client_id: token.client(),
        scopes: token.scopes(),
        provider,
    }
}
