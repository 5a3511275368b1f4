//! What a condition is judged by: one request, and the token that it brought.
//!
//! Host and path are in the normal form that rules are matched by, and names of attributes without one begin with
//! `raw_`. Where some server may act on another spelling of host or path, the condition is evaluated for that one too
//! ([`Facts::other_readings`]).

use std::borrow::Cow;
use std::str::from_utf8;

use super::attribute::{Attribute, AttributeKind, AttributeValues};
use super::budget::{RequestBudget, Steps};
use super::fault::ConditionError;
use super::network::without_mapping;
use super::value::{List, Text, Value};
use crate::http::{RequestHead, folds_equal};
use crate::jose::{Claim, Claims};
use crate::policy::route::read_host;
use crate::policy::validate::ValidatedToken;
use crate::unix_time::UnixTime;

/// Everything a condition may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub(super) head: &'a RequestHead,
    url_path: Option<&'a str>,
    time: UnixTime,
    attributes: &'a AttributeValues,
    token: Option<TokenFacts<'a>>,
    as_written: AsWritten,
    ignores_host_spelling: bool,
    pub(super) budget: Option<&'a RequestBudget>,
}

/// Which attributes are read as the client wrote them instead of in normal form. Letter case is normal in both.
#[derive(Clone, Copy, Debug, Default)]
struct AsWritten {
    /// With its port and trailing dot, which Envoy's virtual hosts compare.
    host: bool,
    /// With the slash at its end, which most servers ignore and some do not.
    path: bool,
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
    pub fn new(token: &'a ValidatedToken, provider: &'a str) -> Self {
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
    UrlPath,
    RawPath,
    RawQuery,
    Host,
    RawHost,
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
            ("request", "url_path") => Some(Self::UrlPath),
            ("request", "raw_path") => Some(Self::RawPath),
            ("request", "raw_query") => Some(Self::RawQuery),
            ("request", "host") => Some(Self::Host),
            ("request", "raw_host") => Some(Self::RawHost),
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
        Self {
            head,
            url_path,
            time,
            attributes,
            token,
            as_written: AsWritten { host: false, path: false },
            ignores_host_spelling: false,
            budget: None,
        }
    }

    /// The same facts, for conditions that share the budget of one request and are judged once each. Without it each has
    /// a budget of its own.
    #[must_use]
    pub const fn sharing(self, budget: &'a RequestBudget) -> Self {
        Self { budget: Some(budget), ..self }
    }

    /// The same facts, for a proxy whose virtual hosts are known to ignore the host's port and trailing dot.
    #[must_use]
    pub const fn ignoring_host_spelling(self) -> Self {
        Self { ignores_host_spelling: true, ..self }
    }

    /// The same request in every other spelling that a server may act on, and the error if the condition's value
    /// depends on it. Rarely any.
    pub(super) fn other_readings(&self, asked: &[Fact]) -> Vec<(Self, ConditionError)> {
        let mut readings = Vec::new();
        if asked.contains(&Fact::UrlPath) && self.url_path.is_some_and(|path| without_slash(path) != path) {
            let reading = Self { as_written: AsWritten { path: true, ..self.as_written }, ..*self };
            readings.push((reading, ConditionError::PathAmbiguous));
        }
        if asked.contains(&Fact::Host) && !self.ignores_host_spelling && self.has_other_host() {
            let with_host = |facts: &Self| Self { as_written: AsWritten { host: true, ..facts.as_written }, ..*facts };
            let both: Option<Self> = readings.first().map(|(reading, _)| with_host(reading));
            readings.extend(
                [self].into_iter().map(with_host).chain(both).map(|facts| (facts, ConditionError::HostAmbiguous)),
            );
        }
        readings
    }

    pub(super) fn token(&self) -> Result<TokenFacts<'a>, ConditionError> {
        self.token.ok_or(ConditionError::NoToken)
    }

    pub(super) fn read(&self, fact: Fact, steps: &mut Steps) -> Result<Value<'a>, ConditionError> {
        match fact {
            Fact::UrlPath => self.url_path().map(text),
            Fact::RawPath => self.only(":path", steps).map(text),
            Fact::RawQuery => {
                let target = self.only(":path", steps)?;
                steps.spend_bytes(target.len())?;
                Ok(text(target.split_once('?').map(|(_, query)| query).unwrap_or_default()))
            }
            Fact::Host => self.host(steps).map(|host| Value::Text(host.into())),
            Fact::RawHost => self.only(":authority", steps).map(text),
            Fact::Scheme => lower_case(self.only(":scheme", steps)?, steps),
            Fact::Method => self.only(":method", steps).map(text),
            Fact::Referer => self.header("referer", steps),
            Fact::UserAgent => self.header("user-agent", steps),
            Fact::Id => self.header("x-request-id", steps),
            Fact::Time => i64::try_from(self.time.as_millis()).map_err(|_| ConditionError::OutOfRange).map(Value::Time),
            Fact::OfHost(attribute) => self.attribute(attribute, steps),
            Fact::Issuer => match self.token()?.claims.string("iss") {
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

    /// The value of the header with that name.
    pub(super) fn header(&self, name: &str, steps: &mut Steps) -> Result<Value<'a>, ConditionError> {
        let value = self.find_header(name, steps)?.ok_or(ConditionError::Missing)?;
        as_text(value, steps).map(text)
    }

    /// Whether there is a header with that name, in lower case. Pseudo-headers have attributes of their own.
    ///
    /// # Errors
    /// When it is repeated, or there in a spelling that backends take for the same name: of `x-device` and `X_Device`
    /// each reads what it finds first, last, or both joined.
    pub(super) fn has_header(&self, name: &str, steps: &mut Steps) -> Result<bool, ConditionError> {
        self.find_header(name, steps).map(|found| found.is_some())
    }

    fn find_header(&self, name: &str, steps: &mut Steps) -> Result<Option<&'a [u8]>, ConditionError> {
        if name.starts_with(':') {
            return Ok(None);
        }
        // A name of another length is told apart at once, one of this length byte by byte.
        let cost = |other: &str| if other.len() == name.len() { name.len().saturating_add(1) } else { 1 };
        steps.spend(self.head.names().map(cost).fold(0, usize::saturating_add) / 8)?;
        let mut alike = self.head.fields().filter(|(other, _)| folds_equal(name, other));
        match (alike.next(), alike.next()) {
            (None, _) => Ok(None),
            (Some((only, value)), None) if only == name => Ok(Some(value)),
            (Some(_), _) => Err(ConditionError::HeaderAmbiguous),
        }
    }

    fn host(&self, steps: &mut Steps) -> Result<Cow<'a, str>, ConditionError> {
        let written = self.only(":authority", steps)?;
        steps.spend(written.len() / 2)?;
        let host = read_host(written.as_bytes()).ok_or(ConditionError::HostMalformed)?;
        Ok(if self.as_written.host { Cow::Owned(written.to_ascii_lowercase()) } else { host })
    }

    fn has_other_host(&self) -> bool {
        let written = self.head.single(":authority").unwrap_or_default();
        read_host(written).is_some_and(|host| !written.eq_ignore_ascii_case(host.as_bytes()))
    }

    fn only(&self, name: &str, steps: &mut Steps) -> Result<&'a str, ConditionError> {
        steps.spend(self.head.fields().count() / 4)?;
        let mut values = self.head.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) => as_text(value, steps),
            (Some(_), Some(_)) => Err(ConditionError::WrongType),
            (None, _) => Err(ConditionError::Missing),
        }
    }

    fn url_path(&self) -> Result<&'a str, ConditionError> {
        let path = self.url_path.ok_or(ConditionError::PathAmbiguous)?;
        Ok(if self.as_written.path { path } else { without_slash(path) })
    }

    fn attribute(&self, attribute: Attribute, steps: &mut Steps) -> Result<Value<'a>, ConditionError> {
        let property = self.attributes.get(attribute).filter(|property| !property.is_empty());
        let property = property.ok_or(ConditionError::Missing)?;
        match attribute.kind() {
            AttributeKind::Address => {
                steps.spend(ADDRESS)?;
                Ok(Value::Text(without_mapping(as_text(property, steps)?).into()))
            }
            AttributeKind::ServerName => {
                steps.spend(property.len() / 2)?;
                server_name(as_text(property, steps)?)
            }
            AttributeKind::Text => as_text(property, steps).map(text),
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

/// What reading an address costs.
pub(super) const ADDRESS: usize = 8;

/// The path without the slash at its end, as rules are matched; `/` stays `/`.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}

/// The name that a client asked for in its TLS handshake. RFC 6066 section 3 permits no port and no trailing dot.
fn server_name(written: &str) -> Result<Value<'_>, ConditionError> {
    let host = read_host(written.as_bytes()).ok_or(ConditionError::HostMalformed)?;
    let is_normal = written.eq_ignore_ascii_case(&host);
    if is_normal { Ok(Value::Text(host.into())) } else { Err(ConditionError::HostAmbiguous) }
}

const fn text(text: &str) -> Value<'_> {
    Value::Text(Text::Borrowed(text))
}

fn lower_case<'a>(text: &'a str, steps: &mut Steps) -> Result<Value<'a>, ConditionError> {
    steps.spend_bytes(text.len().saturating_mul(2))?;
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Ok(Value::Text(if is_lower { text.into() } else { text.to_ascii_lowercase().into() }))
}

fn as_text<'a>(bytes: &'a [u8], steps: &mut Steps) -> Result<&'a str, ConditionError> {
    steps.spend_bytes(bytes.len())?;
    from_utf8(bytes).map_err(|_| ConditionError::NotText)
}
