//! Builds the request head that the filter evaluates from the command line or a test file.

use okta_proxy_wasm::engine::{Attribute, AttributeValues};
use okta_proxy_wasm::http::{HeadEdits, HeaderEdit, RequestHead};
use okta_proxy_wasm::policy::TokenSource;
use okta_proxy_wasm::policy::token_source::target_without;

use crate::failure::Failure;

/// A request's head, in order.
#[derive(Clone, Debug)]
pub struct Request {
    fields: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// Parses `GET https://api.acme.com/orders?x=1` or `GET /orders`. The default host is `localhost`.
    pub fn parse(line: &str) -> Result<Self, Failure> {
        let (method, target) = line
            .trim()
            .split_once(' ')
            .ok_or_else(|| Failure(format!("{line:?} is not a request: write METHOD URL")))?;
        let target = target.trim();
        let (scheme, authority, path) = match target.split_once("://") {
            Some((scheme, rest)) => {
                let at = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at(at);
                (scheme, authority, if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
            }
            None if target.starts_with('/') || target == "*" => ("https", "localhost", target.to_owned()),
            None => return Err(Failure(format!("{target:?} is neither a URL nor a path"))),
        };
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let fields = vec![
            field(":method", method),
            field(":scheme", scheme),
            field(":authority", authority),
            field(":path", path.as_str()),
        ];
        Ok(Self { fields })
    }

    /// Adds a header. `host` sets `:authority`, as in a proxy.
    pub fn add(&mut self, name: &str, value: &str) {
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim().as_bytes().to_vec();
        match self.fields.iter_mut().find(|(field, _)| field == ":authority") {
            Some((_, authority)) if name == "host" => *authority = value,
            _ => self.fields.push((name, value)),
        }
    }

    /// Adds the token at the first location that the configuration reads.
    pub fn add_token(&mut self, token: &str, places: &serde_json::Value) -> Result<(), Failure> {
        let first = |name: &str| places.get(name).and_then(|all| all.get(0)).cloned();
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let header = match places.get("from_headers") {
            None | Some(serde_json::Value::Null) => Some((String::from("authorization"), String::from("Bearer "))),
            Some(_) => first("from_headers").and_then(|header| {
                let scheme = header.get("scheme").and_then(text).map(|scheme| format!("{scheme} "));
                let prefix = scheme.or_else(|| header.get("value_prefix").and_then(text));
                Some((text(header.get("name")?)?, prefix.unwrap_or_default()))
            }),
        };
        if let Some((name, prefix)) = header {
            self.add(&name, &format!("{prefix}{token}"));
        } else if let Some(cookie) = first("from_cookies").as_ref().and_then(text) {
            self.add("cookie", &format!("{cookie}={token}"));
        } else if let Some(name) = first("from_params").as_ref().and_then(text)
            && let Some((_, path)) = self.fields.iter_mut().find(|(field, _)| field == ":path")
        {
            let mark = if path.contains(&b'?') { '&' } else { '?' };
            path.extend(format!("{mark}{name}={token}").into_bytes());
        } else {
            return Err(Failure(String::from("the configuration reads tokens from no location")));
        }
        Ok(())
    }

    pub fn head(&self) -> RequestHead {
        RequestHead::new(self.fields.clone())
    }

    /// The request as forwarded, with the filter's edits applied.
    pub fn with_edits(&self, edits: &HeadEdits) -> Self {
        let mut fields = self.fields.clone();
        for edit in edits.iter() {
            match edit {
                HeaderEdit::Remove(name) => fields.retain(|(field, _)| field != name),
                HeaderEdit::Set(name, value) => {
                    fields.retain(|(field, _)| field != name.as_str());
                    fields.push((name.as_str().to_owned(), value.as_str().as_bytes().to_vec()));
                }
                HeaderEdit::Rewrite(rest) => {
                    let at = fields.iter().position(|(field, _)| field == rest.field());
                    fields.retain(|(field, _)| field != rest.field());
                    let at = at.unwrap_or(fields.len()).min(fields.len());
                    fields.insert(at, (rest.field().to_owned(), rest.as_bytes().to_vec()));
                }
            }
        }
        Self { fields }
    }

    /// Names and values, pseudo-headers first.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The values of a header.
    pub fn values(&self, name: &str) -> Vec<String> {
        let found = self.fields.iter().filter(|(field, _)| field == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// Names and values for the output. Values that may contain a credential are redacted.
    pub fn redacted(&self, source: &TokenSource) -> Vec<(String, String)> {
        let head = self.head();
        let shown = |(name, value): &(String, Vec<u8>)| {
            let value = if name == ":path" {
                let without = target_without(&head, &source.params);
                without.map(|path| String::from_utf8_lossy(&path).into_owned()).unwrap_or_default()
            } else if source.is_carrier(name) || matches!(name.as_str(), "authorization" | "cookie" | "dpop") {
                format!("(not shown, {} bytes)", value.len())
            } else {
                String::from_utf8_lossy(value).into_owned()
            };
            (name.clone(), value)
        };
        self.fields.iter().map(shown).collect()
    }
}

/// Converts names and values to host attributes in Envoy's encoding.
pub fn attributes<'a>(given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<AttributeValues, Failure> {
    let mut values = AttributeValues::default();
    for (name, value) in given {
        let attribute = Attribute::ALL
            .into_iter()
            .find(|attribute| attribute.path().join(".") == name)
            .ok_or_else(|| Failure(format!("{name:?} is not an attribute that the host provides")))?;
        let wrong = || Failure(format!("{value:?} is not a valid value of {name}"));
        let property = match attribute {
            Attribute::SourcePort | Attribute::DestinationPort => {
                value.parse::<u16>().map_err(|_| wrong()).map(|port| i64::from(port).to_le_bytes().to_vec())?
            }
            Attribute::Mtls => vec![u8::from(value.parse::<bool>().map_err(|_| wrong())?)],
            // Envoy's addresses include the port.
            Attribute::SourceAddress | Attribute::DestinationAddress if !value.contains(':') => {
                format!("{value}:0").into_bytes()
            }
            Attribute::SourceAddress
            | Attribute::DestinationAddress
            | Attribute::RequestProtocol
            | Attribute::RequestedServerName
            | Attribute::TlsVersion
            | Attribute::PeerSubject
            | Attribute::PeerUri
            | Attribute::PeerDns
            | Attribute::PeerDigest => value.as_bytes().to_vec(),
        };
        values.insert(attribute, property);
    }
    Ok(values)
}
