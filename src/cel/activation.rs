//! The activation of a program: one request, and the token that it carries.
//!
//! Host and path are in the normal form that rules match; attributes without a normal form are named `raw_…`. Where some
//! server may act on another spelling of host or path, the program is evaluated for that one too
//! ([`Activation::other_readings`]).

use std::borrow::Cow;
use std::str::from_utf8;

use serde_json::{Map as JsonMap, Value as Json};

use super::attribute::{Attribute, AttributeType, AttributeValues};
use super::cost::{CostLimit, CostTracker};
use super::error::EvaluationError;
use super::network::without_mapping;
use super::value::{List, StringValue, Value};
use crate::authority::read_host;
use crate::http::{RequestHead, folds_equal};
use crate::unix_time::UnixTime;

/// The values of all variables.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    pub(super) head: &'a RequestHead,
    url_path: Option<&'a str>,
    time: UnixTime,
    attributes: &'a AttributeValues,
    token: Option<TokenAttributes<'a>>,
    as_written: AsWritten,
    ignores_host_spelling: bool,
    pub(super) cost: Option<&'a CostTracker>,
}

/// Which attributes are read as the client wrote them instead of in normal form. Letter case is normal in both.
#[derive(Clone, Copy, Debug, Default)]
struct AsWritten {
    /// With its port and trailing dot, which Envoy's virtual hosts compare.
    host: bool,
    /// With the slash at its end, which most servers ignore and some do not.
    path: bool,
}

/// The variables `claims` and `token`.
#[derive(Clone, Copy)]
pub struct TokenAttributes<'a> {
    /// All claims of the token.
    pub claims: &'a JsonMap<String, Json>,
    /// `token.subject`.
    pub subject: Option<&'a str>,
    /// `token.client_id`.
    pub client_id: Option<&'a str>,
    /// `token.scopes`.
    pub scopes: &'a [String],
    /// `token.provider`.
    pub provider: &'a str,
}

impl std::fmt::Debug for TokenAttributes<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TokenAttributes").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// A field of one of the variables `request`, `source`, `destination`, `connection` and `token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
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
    Attribute(Attribute),
    Issuer,
    Subject,
    Client,
    Scopes,
    Provider,
}

impl Field {
    pub(super) fn named(variable: &str, field: &str) -> Option<Self> {
        if let Some(attribute) = Attribute::ALL.into_iter().find(|attribute| attribute.path() == [variable, field]) {
            return Some(Self::Attribute(attribute));
        }
        match (variable, field) {
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

impl<'a> Activation<'a> {
    /// A request with its normalised path (no query; none where servers may read another), its time, the values of
    /// [`Program::attributes`](super::Program::attributes), and its token, if there is one.
    pub const fn new(
        head: &'a RequestHead,
        url_path: Option<&'a str>,
        time: UnixTime,
        attributes: &'a AttributeValues,
        token: Option<TokenAttributes<'a>>,
    ) -> Self {
        Self {
            head,
            url_path,
            time,
            attributes,
            token,
            as_written: AsWritten { host: false, path: false },
            ignores_host_spelling: false,
            cost: None,
        }
    }

    /// With the cost limit of one request for several programs. Without it each evaluation has a limit of its own.
    #[must_use]
    pub const fn with_cost(self, cost: &'a CostTracker) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// For a proxy whose virtual hosts are known to ignore the host's port and trailing dot.
    #[must_use]
    pub const fn ignoring_host_spelling(self) -> Self {
        Self { ignores_host_spelling: true, ..self }
    }

    /// The same request in every other spelling that a server may act on, and the error if the result depends on it.
    /// Rarely any.
    pub(super) fn other_readings(&self, used: &[Field]) -> Vec<(Self, EvaluationError)> {
        let mut readings = Vec::new();
        if used.contains(&Field::UrlPath) && self.url_path.is_some_and(|path| without_slash(path) != path) {
            let reading = Self { as_written: AsWritten { path: true, ..self.as_written }, ..*self };
            readings.push((reading, EvaluationError::PathAmbiguous));
        }
        if used.contains(&Field::Host) && !self.ignores_host_spelling && self.has_other_host() {
            let with_host = |activation: &Self| Self {
                as_written: AsWritten { host: true, ..activation.as_written },
                ..*activation
            };
            let both: Option<Self> = readings.first().map(|(reading, _)| with_host(reading));
            readings.extend(
                [self]
                    .into_iter()
                    .map(with_host)
                    .chain(both)
                    .map(|activation| (activation, EvaluationError::HostAmbiguous)),
            );
        }
        readings
    }

    pub(super) fn token(&self) -> Result<TokenAttributes<'a>, EvaluationError> {
        self.token.ok_or(EvaluationError::NoToken)
    }

    pub(super) fn read(&self, field: Field, cost: &mut CostLimit) -> Result<Value<'a>, EvaluationError> {
        match field {
            Field::UrlPath => self.url_path().map(text),
            Field::RawPath => self.only(":path", cost).map(text),
            Field::RawQuery => {
                let target = self.only(":path", cost)?;
                cost.charge_bytes(target.len())?;
                Ok(text(target.split_once('?').map(|(_, query)| query).unwrap_or_default()))
            }
            Field::Host => self.host(cost).map(|host| Value::String(host.into())),
            Field::RawHost => self.only(":authority", cost).map(text),
            Field::Scheme => lower_case(self.only(":scheme", cost)?, cost),
            Field::Method => self.only(":method", cost).map(text),
            Field::Referer => self.header("referer", cost),
            Field::UserAgent => self.header("user-agent", cost),
            Field::Id => self.header("x-request-id", cost),
            Field::Time => {
                i64::try_from(self.time.as_millis()).map_err(|_| EvaluationError::OutOfRange).map(Value::Timestamp)
            }
            Field::Attribute(attribute) => self.attribute(attribute, cost),
            Field::Issuer => match self.token()?.claims.get("iss") {
                Some(Json::String(issuer)) => Ok(text(issuer)),
                None | Some(Json::Null) => Err(EvaluationError::Missing),
                Some(_) => Err(EvaluationError::WrongType),
            },
            Field::Subject => self.token()?.subject.map(text).ok_or(EvaluationError::Missing),
            Field::Client => self.token()?.client_id.map(text).ok_or(EvaluationError::Missing),
            Field::Scopes => Ok(Value::List(List::Strings(self.token()?.scopes))),
            Field::Provider => Ok(text(self.token()?.provider)),
        }
    }

    pub(super) fn header(&self, name: &str, cost: &mut CostLimit) -> Result<Value<'a>, EvaluationError> {
        let value = self.find_header(name, cost)?.ok_or(EvaluationError::Missing)?;
        as_text(value, cost).map(text)
    }

    /// Whether there is a header with that name, in lower case. Pseudo-headers have attributes of their own.
    ///
    /// # Errors
    /// When it is repeated, or there in a spelling that backends take for the same name: of `x-device` and `X_Device`
    /// each reads what it finds first, last, or both joined.
    pub(super) fn has_header(&self, name: &str, cost: &mut CostLimit) -> Result<bool, EvaluationError> {
        self.find_header(name, cost).map(|found| found.is_some())
    }

    fn find_header(&self, name: &str, cost: &mut CostLimit) -> Result<Option<&'a [u8]>, EvaluationError> {
        if name.starts_with(':') {
            return Ok(None);
        }
        // A name of another length is told apart at once, one of this length byte by byte.
        let comparison = |other: &str| if other.len() == name.len() { name.len().saturating_add(1) } else { 1 };
        cost.charge(self.head.names().map(comparison).fold(0, usize::saturating_add) / 8)?;
        let mut alike = self.head.fields().filter(|(other, _)| folds_equal(name, other));
        match (alike.next(), alike.next()) {
            (None, _) => Ok(None),
            (Some((only, value)), None) if only == name => Ok(Some(value)),
            (Some(_), _) => Err(EvaluationError::HeaderAmbiguous),
        }
    }

    fn host(&self, cost: &mut CostLimit) -> Result<Cow<'a, str>, EvaluationError> {
        let written = self.only(":authority", cost)?;
        cost.charge(written.len() / 2)?;
        let host = read_host(written.as_bytes()).ok_or(EvaluationError::HostMalformed)?;
        Ok(if self.as_written.host { Cow::Owned(written.to_ascii_lowercase()) } else { host })
    }

    fn has_other_host(&self) -> bool {
        let written = self.head.single(":authority").unwrap_or_default();
        read_host(written).is_some_and(|host| !written.eq_ignore_ascii_case(host.as_bytes()))
    }

    fn only(&self, name: &str, cost: &mut CostLimit) -> Result<&'a str, EvaluationError> {
        cost.charge(self.head.fields().count() / 4)?;
        let mut values = self.head.values(name);
        match (values.next(), values.next()) {
            (Some(value), None) => as_text(value, cost),
            (Some(_), Some(_)) => Err(EvaluationError::WrongType),
            (None, _) => Err(EvaluationError::Missing),
        }
    }

    fn url_path(&self) -> Result<&'a str, EvaluationError> {
        let path = self.url_path.ok_or(EvaluationError::PathAmbiguous)?;
        Ok(if self.as_written.path { path } else { without_slash(path) })
    }

    fn attribute(&self, attribute: Attribute, cost: &mut CostLimit) -> Result<Value<'a>, EvaluationError> {
        let property = self.attributes.get(attribute).filter(|property| !property.is_empty());
        let property = property.ok_or(EvaluationError::Missing)?;
        match attribute.ty() {
            AttributeType::Address => {
                cost.charge(ADDRESS)?;
                Ok(Value::String(without_mapping(as_text(property, cost)?).into()))
            }
            AttributeType::ServerName => {
                cost.charge(property.len() / 2)?;
                server_name(as_text(property, cost)?)
            }
            AttributeType::String => as_text(property, cost).map(text),
            AttributeType::Int => {
                property.try_into().map(|bytes| Value::Int(i64::from_le_bytes(bytes))).map_err(|_| WRONG)
            }
            AttributeType::Bool => match property {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                _ => Err(WRONG),
            },
        }
    }
}

const WRONG: EvaluationError = EvaluationError::WrongType;

/// What reading an address costs.
pub(super) const ADDRESS: usize = 8;

/// The path without the slash at its end, as rules are matched; `/` stays `/`.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path)
}

/// The name that a client asked for in its TLS handshake. RFC 6066 section 3 permits no port and no trailing dot.
fn server_name(written: &str) -> Result<Value<'_>, EvaluationError> {
    let host = read_host(written.as_bytes()).ok_or(EvaluationError::HostMalformed)?;
    let is_normal = written.eq_ignore_ascii_case(&host);
    if is_normal { Ok(Value::String(host.into())) } else { Err(EvaluationError::HostAmbiguous) }
}

const fn text(text: &str) -> Value<'_> {
    Value::String(StringValue::Borrowed(text))
}

fn lower_case<'a>(text: &'a str, cost: &mut CostLimit) -> Result<Value<'a>, EvaluationError> {
    cost.charge_bytes(text.len().saturating_mul(2))?;
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Ok(Value::String(if is_lower { text.into() } else { text.to_ascii_lowercase().into() }))
}

fn as_text<'a>(bytes: &'a [u8], cost: &mut CostLimit) -> Result<&'a str, EvaluationError> {
    cost.charge_bytes(bytes.len())?;
    from_utf8(bytes).map_err(|_| EvaluationError::NotText)
}
