//! What a condition is judged by: one request, and the token that it brought.
//!
//! The path is the one that rules are matched by, so that no spelling of a path passes a condition which its
//! rule did not mean. Of a name that the request has several times, all values count, with commas between.

use std::borrow::Cow;
use std::str::from_utf8;

use super::attribute::{Attribute, AttributeKind, AttributeValues};
use super::fault::ConditionError;
use super::value::{List, Value};
use crate::http::RequestHead;
use crate::jose::{Claim, Claims};
use crate::policy::admit::AdmittedToken;
use crate::unix_time::UnixTime;

/// Everything a condition may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub(super) head: &'a RequestHead,
    url_path: Option<&'a str>,
    time: UnixTime,
    attributes: &'a AttributeValues,
    token: Option<TokenFacts<'a>>,
}

/// What a condition may ask of the token.
#[derive(Clone, Copy)]
pub struct TokenFacts<'a> {
    pub(super) claims: &'a Claims,
    pub(super) subject: Option<&'a str>,
    pub(super) client: Option<&'a str>,
    pub(super) scopes: &'a [String],
    pub(super) provider: &'a str,
}

impl<'a> TokenFacts<'a> {
    /// What `token` says, which the provider of that name issued.
    pub fn new(token: &'a AdmittedToken, provider: &'a str) -> Self {
        Self {
            claims: token.claims(),
            subject: token.subject(),
            client: token.client(),
            scopes: token.scopes(),
            provider,
        }
    }
}

impl std::fmt::Debug for TokenFacts<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenFacts").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// One thing that a condition may ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Path,
    UrlPath,
    Query,
    Host,
    Scheme,
    Method,
    Referer,
    UserAgent,
    Id,
    Time,
    OfHost(Attribute),
    Issuer,
    Subject,
    Client,
    Scopes,
    Provider,
}

impl Fact {
    /// The fact of that name, `request` and `path` for instance.
    pub(super) fn named(object: &str, member: &str) -> Option<Self> {
        let of_the_host = Attribute::ALL.into_iter().find(|attribute| attribute.path() == [object, member]);
        if let Some(attribute) = of_the_host {
            return Some(Self::OfHost(attribute));
        }
        match (object, member) {
            ("request", "path") => Some(Self::Path),
            ("request", "url_path") => Some(Self::UrlPath),
            ("request", "query") => Some(Self::Query),
            ("request", "host") => Some(Self::Host),
            ("request", "scheme") => Some(Self::Scheme),
            ("request", "method") => Some(Self::Method),
            ("request", "referer") => Some(Self::Referer),
            ("request", "useragent") => Some(Self::UserAgent),
            ("request", "id") => Some(Self::Id),
            ("request", "time") => Some(Self::Time),
            ("token", "issuer") => Some(Self::Issuer),
            ("token", "subject") => Some(Self::Subject),
            ("token", "client_id") => Some(Self::Client),
            ("token", "scopes") => Some(Self::Scopes),
            ("token", "provider") => Some(Self::Provider),
            _ => None,
        }
    }
}

impl<'a> Facts<'a> {
    /// A request with the path that its rule was found by (normalised, no query; none where servers may read another),
    /// when it came, what the host said for [`Condition::attributes`](super::Condition::attributes), and the token it
    /// brought, if it brought one.
    pub const fn new(
        head: &'a RequestHead,
        url_path: Option<&'a str>,
        time: UnixTime,
        attributes: &'a AttributeValues,
        token: Option<TokenFacts<'a>>,
    ) -> Self {
        Self { head, url_path, time, attributes, token }
    }

    pub(super) fn token(&self) -> Result<TokenFacts<'a>, ConditionError> {
        self.token.ok_or(ConditionError::NoToken)
    }

    pub(super) fn read(&self, fact: Fact) -> Result<Value<'a>, ConditionError> {
        match fact {
            Fact::Path => Ok(Value::Text(match self.query()? {
                None => Cow::Borrowed(self.url_path()?),
                Some(query) => Cow::Owned([self.url_path()?, "?", query].concat()),
            })),
            Fact::UrlPath => self.url_path().map(text),
            Fact::Query => Ok(text(self.query()?.unwrap_or_default())),
            // One host in two spellings is one host; a condition is written in lower case.
            Fact::Host => match self.only(":authority")? {
                host if host.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                    Ok(Value::Text(Cow::Owned(host.to_ascii_lowercase())))
                }
                host => Ok(text(host)),
            },
            Fact::Scheme => self.only(":scheme").map(text),
            Fact::Method => self.only(":method").map(text),
            Fact::Referer => self.header("referer").map(Value::Text),
            Fact::UserAgent => self.header("user-agent").map(Value::Text),
            Fact::Id => self.header("x-request-id").map(Value::Text),
            Fact::Time => i64::try_from(self.time.as_millis()).map_err(|_| ConditionError::OutOfRange).map(Value::Time),
            Fact::OfHost(attribute) => self.attribute(attribute),
            Fact::Issuer => match self.token()?.claims.text("iss") {
                Claim::Valid(issuer) => Ok(text(issuer)),
                Claim::Absent => Err(ConditionError::Missing),
                Claim::Malformed => Err(ConditionError::WrongType),
            },
            Fact::Subject => self.token()?.subject.map(text).ok_or(ConditionError::Missing),
            Fact::Client => self.token()?.client.map(text).ok_or(ConditionError::Missing),
            Fact::Scopes => Ok(Value::List(List::Texts(self.token()?.scopes))),
            Fact::Provider => Ok(text(self.token()?.provider)),
        }
    }

    /// Every value under that name, in lower case and no pseudo-header's: those have facts of their own, whose
    /// path is the normalised one.
    pub(super) fn header(&self, name: &str) -> Result<Cow<'a, str>, ConditionError> {
        let mut values = self.head.values(name).filter(|_| !name.starts_with(':'));
        let first = Cow::Borrowed(as_text(values.next().ok_or(ConditionError::Missing)?)?);
        values.try_fold(first, |joined, value| Ok(Cow::Owned([&joined, ",", as_text(value)?].concat())))
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        !name.starts_with(':') && self.head.values(name).next().is_some()
    }

    fn only(&self, name: &str) -> Result<&'a str, ConditionError> {
        let mut values = self.head.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) => as_text(value),
            (Some(_), Some(_)) => Err(ConditionError::WrongType),
            (None, _) => Err(ConditionError::Missing),
        }
    }

    fn url_path(&self) -> Result<&'a str, ConditionError> {
        self.url_path.ok_or(ConditionError::PathAmbiguous)
    }

    fn query(&self) -> Result<Option<&'a str>, ConditionError> {
        Ok(self.only(":path")?.split_once('?').map(|(_, query)| query))
    }

    fn attribute(&self, attribute: Attribute) -> Result<Value<'a>, ConditionError> {
        let property = self.attributes.get(attribute).ok_or(ConditionError::Missing)?;
        match attribute.kind() {
            AttributeKind::Text => as_text(property).map(text),
            AttributeKind::Int => {
                property.try_into().map(|bytes| Value::Int(i64::from_le_bytes(bytes))).map_err(|_| WRONG)
            }
            AttributeKind::Bool => match property {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                _ => Err(WRONG),
            },
        }
    }
}

const WRONG: ConditionError = ConditionError::WrongType;

const fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn as_text(bytes: &[u8]) -> Result<&str, ConditionError> {
    from_utf8(bytes).map_err(|_| ConditionError::NotText)
}
