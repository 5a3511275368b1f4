//! A JSON Schema and a reference of the document, generated from the types that decode it and their doc comments.
//! Natively only, so that the module does not contain the texts.

mod constraints;
mod draft_04;
mod markdown;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::schema::Document;
use super::schema::claim_path::ClaimPath;
use super::schema::forwarding::{FilterStateDocument, STATE_ITEMS, StateClaimDocument};
use super::schema::introspection::{CalloutHeaderValue, Secret, SecretDocument};
use super::schema::require::{AcrDocument, ClaimTestDocument, ClaimsDocument, RequireDocument};
use crate::analysis::WarningCode;
use crate::jose::Algorithm;
use crate::policy::requirement::ClaimValue;

/// Required fields. The loader checks these, and fields that require each other.
const REQUIRED: [(&str, &[&str]); 13] = [
    ("Document", &["providers"]),
    ("ClientCertificateDocument", &["header", "hops"]),
    ("OktaDocument", &["domain"]),
    ("FromHeaderDocument", &["name"]),
    ("ClaimToHeaderDocument", &["header", "claim"]),
    ("IntrospectionDocument", &["client_id"]),
    ("SecretDocument", &["env"]),
    ("RevocationsDocument", &["uri", "upstream"]),
    ("StateClaimDocument", &["name", "claim"]),
    ("ProtectedResourceDocument", &["resource"]),
    ("DebugDocument", &["secret"]),
    ("CorsDocument", &["allow_origins"]),
    ("LoginDocument", &["url"]),
];

/// The pattern of durations.
pub(super) const DURATION: &str = r"^[0-9]+(\.[0-9]*)?[smh]$";

/// The characters of RFC 9470 in `acr` values.
const ACR: &str = r"^[!#-\[\]-~]+$";

/// The `$id` of the schema.
const ID: &str = "urn:okta-proxy-wasm:configuration";

/// The schema, generated once.
pub(super) static JSON_SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);

/// The described structures of the document.
#[derive(Debug, Default)]
pub struct Reference {
    structures: BTreeMap<&'static str, Structure>,
}

#[derive(Debug, Default)]
struct Structure {
    doc: String,
    fields: Vec<Field>,
}

/// One field of a structure.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) doc: String,
    /// The schema of its value.
    pub(super) value: Value,
}

/// A type of the document.
pub(super) trait Described {
    /// The schema of its values. Adds structures to `reference` and refers to them.
    fn describe(reference: &mut Reference) -> Value;
}

/// The JSON Schema (2020-12) of the document.
pub fn json_schema() -> Value {
    let reference = Reference::of_document();
    let constraints = constraints::all();
    let mut definitions = Map::new();
    for (name, structure) in reference.structures.iter().filter(|(name, _)| **name != "Document") {
        definitions.insert(plain(name).to_owned(), object_schema(name, structure, &constraints));
    }
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("$id".to_owned(), json!(ID));
    root.insert("title".to_owned(), json!("okta-proxy-wasm"));
    if let Some(document) = reference.structures.get("Document") {
        let mut members = object_schema("Document", document, &constraints);
        if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
            // For editors.
            properties.insert("$schema".to_owned(), json!({ "type": "string" }));
        }
        root.extend(members.as_object().cloned().unwrap_or_default());
    }
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

/// The same in draft-04, which is what Kong reads.
pub fn json_schema_draft_04() -> Value {
    draft_04::converted(&json_schema())
}

pub fn markdown() -> String {
    markdown::render(&Reference::of_document())
}

impl Reference {
    fn of_document() -> Self {
        let mut reference = Self::default();
        Document::describe(&mut reference);
        reference
    }

    /// Describes a structure, once, and returns a reference to it.
    pub(super) fn structure(
        &mut self,
        name: &'static str,
        doc: &[&str],
        fields: impl FnOnce(&mut Self) -> Vec<Field>,
    ) -> Value {
        if !self.structures.contains_key(name) {
            // A structure may contain itself.
            self.structures.insert(name, Structure::default());
            let fields = fields(self);
            self.structures.insert(name, Structure { doc: text(doc), fields });
        }
        json!({ "$ref": format!("#/$defs/{}", plain(name)) })
    }
}

/// The lines of a doc comment as paragraphs.
pub(super) fn text(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    let paragraphs = lines.split(|line| line.is_empty()).map(|lines| lines.join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The name of a structure for readers.
fn plain(name: &str) -> &str {
    name.strip_suffix("Document").unwrap_or(name)
}

fn required(name: &str) -> &'static [&'static str] {
    REQUIRED.iter().find(|(structure, _)| *structure == name).map_or(&[], |(_, fields)| fields)
}

fn object_schema(name: &str, structure: &Structure, constraints: &Value) -> Value {
    let constraints = constraints.get(name).cloned().unwrap_or_default();
    let mut properties = Map::new();
    for field in &structure.fields {
        let mut value = field.value.clone();
        constraints::merge(&mut value, constraints.pointer(&format!("/fields/{}", field.name)));
        let has_no_value = field.default().is_none() && field.doc.contains("Default: ");
        if has_no_value && !required(name).contains(&field.name) {
            value = or_null(&value);
        }
        if let Some(members) = value.as_object_mut() {
            members.insert("description".to_owned(), json!(field.doc));
            members.extend(field.default().map(|default| ("default".to_owned(), default)));
        }
        properties.insert(field.name.to_owned(), value);
    }
    let mut schema = json!({
        "description": structure.doc,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if let Some(members) = schema.as_object_mut() {
        if !required(name).is_empty() {
            members.insert("required".to_owned(), json!(required(name)));
        }
        let of_structure = constraints.as_object().into_iter().flatten().filter(|(key, _)| *key != "fields");
        members.extend(of_structure.map(|(key, value)| (key.clone(), value.clone())));
    }
    schema
}

impl Field {
    /// The text about the default, at the end of the description.
    pub(super) fn default_text(&self) -> Option<&str> {
        let (_, text) = self.doc.rsplit_once("Default: ")?;
        text.strip_suffix('.').filter(|text| !text.contains(". "))
    }

    /// The default, where it is one value. `tests/core/schema.rs` compares it with what the loader applies.
    fn default(&self) -> Option<Value> {
        let text = self.default_text()?;
        let literal = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).unwrap_or(text);
        let is_string = self.value.get("type").and_then(Value::as_str) == Some("string");
        match serde_json::from_str(literal) {
            Ok(value) => Some(value),
            Err(_) => (is_string && literal.len() + 2 == text.len() && !literal.contains('`')).then(|| json!(literal)),
        }
    }
}

/// `null` is the way to write that there is no value.
fn or_null(schema: &Value) -> Value {
    let with = |list: &Value, one: Value| -> Value {
        let list = list.as_array().cloned().unwrap_or_else(|| vec![list.clone()]);
        list.into_iter().chain([one]).collect()
    };
    if let Some(choices) = schema.get("anyOf") {
        return json!({ "anyOf": with(choices, json!({ "type": "null" })) });
    }
    let (Some(members), Some(kind)) = (schema.as_object(), schema.get("type")) else {
        return json!({ "anyOf": [schema, { "type": "null" }] });
    };
    let mut members = members.clone();
    members.insert("type".to_owned(), with(kind, json!("null")));
    if let Some(words) = schema.get("enum") {
        members.insert("enum".to_owned(), with(words, Value::Null));
    }
    Value::Object(members)
}

macro_rules! described {
    ($($type:ty: $schema:expr;)*) => { $(
        impl Described for $type {
            fn describe(_: &mut Reference) -> Value {
                $schema
            }
        }
    )* };
}

described! {
    String: json!({ "type": "string" });
    bool: json!({ "type": "boolean" });
    u32: json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    f64: json!({ "type": "number" });
    Duration: json!({ "type": "string", "pattern": DURATION });
    Map<String, Value>: json!({ "type": "object" });
    Algorithm: json!({ "type": "string", "enum": Algorithm::names().collect::<Vec<_>>() });
    WarningCode: json!({ "type": "string", "enum": WarningCode::ALL
        .into_iter()
        .filter(|code| code.may_be_allowed())
        .map(WarningCode::name)
        .collect::<Vec<_>>() });
    ClaimPath: json!({ "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
    ] });
    // Up to 2^53, beyond which several integers are one double.
    ClaimValue: json!({
        "type": ["string", "number", "boolean"], "minLength": 1,
        "minimum": -9_007_199_254_740_991_i64, "maximum": 9_007_199_254_740_991_i64,
    });
    AcrDocument: json!({ "anyOf": [
        { "type": "string", "pattern": ACR },
        { "type": "array", "items": { "type": "string", "pattern": ACR }, "minItems": 1, "maxItems": 64, "uniqueItems": true },
    ] });
}

impl<T: Described> Described for Vec<T> {
    fn describe(reference: &mut Reference) -> Value {
        json!({ "type": "array", "items": T::describe(reference) })
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn describe(reference: &mut Reference) -> Value {
        json!({ "type": "object", "additionalProperties": T::describe(reference) })
    }
}

impl Described for Box<RequireDocument> {
    fn describe(reference: &mut Reference) -> Value {
        RequireDocument::describe(reference)
    }
}

impl Described for Secret {
    fn describe(reference: &mut Reference) -> Value {
        SecretDocument::describe(reference)
    }
}

impl Described for CalloutHeaderValue {
    fn describe(reference: &mut Reference) -> Value {
        json!({ "anyOf": [{ "type": "string", "minLength": 1 }, Secret::describe(reference)] })
    }
}

impl Described for ClaimsDocument {
    fn describe(reference: &mut Reference) -> Value {
        let (mut of_name, value) = (ClaimTestDocument::describe(reference), ClaimValue::describe(reference));
        let mut of_list = of_name.clone();
        constraints::merge(&mut of_name, Some(&json!({ "not": { "required": ["claim"] } })));
        constraints::merge(&mut of_list, Some(&json!({ "required": ["claim"] })));
        let names = json!({ "minLength": 1, "not": { "enum": ["scope", "scp"] } });
        let by_name = json!({ "anyOf": [value, of_name] });
        json!({ "anyOf": [
            { "type": "object", "additionalProperties": by_name, "minProperties": 1, "propertyNames": names },
            { "type": "array", "items": of_list, "minItems": 1 },
        ] })
    }
}

impl Described for FilterStateDocument {
    fn describe(reference: &mut Reference) -> Value {
        json!({ "anyOf": [{ "type": "string", "enum": STATE_ITEMS }, StateClaimDocument::describe(reference)] })
    }
}
