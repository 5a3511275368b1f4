//! The document described for people and editors, from the types that read it: a JSON Schema, and the reference.
//!
//! Their doc comments are the texts. Natively only: the module describes nothing, and would carry every one of them.

mod draft_04;
mod reference;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::NativeCrypto;
use super::reading::Words;
use super::schema::audit::ExtentWord;
use super::schema::handover::{FilterStateDocument, StateClaimDocument, WORDS};
use super::schema::introspection::{CalloutHeaderValue, ClientAuth, Secret, SecretDocument};
use super::schema::require::{AcrDocument, ClaimTestDocument, ClaimsDocument, RequireDocument};
use super::schema::{ClaimPath, Document};
use crate::jose::Algorithm;
use crate::policy::requirement::ClaimValue;
use crate::policy::{Access, BodyFormat, ClaimFormat, Detail};

/// Which fields nobody can leave out. The loader says so too, and of others that depend on each other.
const REQUIRED: [(&str, &[&str]); 12] = [
    ("Document", &["providers"]),
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

/// The structures of the document, as they are described.
#[derive(Debug, Default)]
pub struct Manual {
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
    /// The schema of what may stand there.
    pub(super) value: Value,
}

/// What may stand in the document, and can be described.
pub(super) trait Described {
    /// The schema of its values. Structures are put into `manual`, and are referred to.
    fn describe(manual: &mut Manual) -> Value;
}

/// The JSON Schema (2020-12) of the document.
pub fn json_schema() -> Value {
    let manual = Manual::of_document();
    let mut definitions = Map::new();
    for (name, structure) in manual.structures.iter().filter(|(name, _)| **name != "Document") {
        definitions.insert(plain(name).to_owned(), Value::Object(object_schema(name, structure)));
    }
    let mut root = Map::new();
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    root.insert("title".to_owned(), json!("okta-proxy-wasm"));
    if let Some(document) = manual.structures.get("Document") {
        let mut members = object_schema("Document", document);
        if let Some(properties) = members.get_mut("properties").and_then(Value::as_object_mut) {
            // Editors want it at the top.
            properties.insert("$schema".to_owned(), json!({ "type": "string" }));
        }
        root.extend(members);
    }
    root.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

/// The same in draft-04, which is what Kong reads.
pub fn json_schema_draft_04() -> Value {
    draft_04::converted(&json_schema())
}

/// The reference for people, in Markdown.
pub fn reference() -> String {
    reference::written(&Manual::of_document())
}

impl Manual {
    fn of_document() -> Self {
        let mut manual = Self::default();
        Document::describe(&mut manual);
        manual
    }

    /// Describes a structure, once; refers to it.
    pub(super) fn structure(
        &mut self,
        name: &'static str,
        doc: &[&str],
        fields: impl FnOnce(&mut Self) -> Vec<Field>,
    ) -> Value {
        if !self.structures.contains_key(name) {
            // It may stand within itself.
            self.structures.insert(name, Structure::default());
            let fields = fields(self);
            self.structures.insert(name, Structure { doc: text(doc), fields });
        }
        json!({ "$ref": format!("#/$defs/{}", plain(name)) })
    }
}

/// The lines of a doc comment as one text.
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

fn object_schema(name: &str, structure: &Structure) -> Map<String, Value> {
    let mut properties = Map::new();
    for field in &structure.fields {
        let is_needed = required(name).contains(&field.name);
        let mut value = if is_needed { field.value.clone() } else { or_null(&field.value) };
        if let Some(members) = value.as_object_mut() {
            members.insert("description".to_owned(), json!(field.doc));
        }
        properties.insert(field.name.to_owned(), value);
    }
    let mut schema = Map::new();
    schema.insert("description".to_owned(), json!(structure.doc));
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required(name).is_empty() {
        schema.insert("required".to_owned(), json!(required(name)));
    }
    schema
}

/// What is left out may be written as `null`.
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
            fn describe(_: &mut Manual) -> Value {
                $schema
            }
        }
    )* };
}

fn words<T: Words>() -> Value {
    let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
    json!({ "type": "string", "enum": words })
}

described! {
    String: json!({ "type": "string" });
    bool: json!({ "type": "boolean" });
    u32: json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    f64: json!({ "type": "number" });
    Duration: json!({ "type": "string", "pattern": "^[0-9][0-9.]*[smh]$" });
    Map<String, Value>: json!({ "type": "object" });
    Access: words::<Self>();
    BodyFormat: words::<Self>();
    ClaimFormat: words::<Self>();
    ClientAuth: words::<Self>();
    Detail: words::<Self>();
    ExtentWord: words::<Self>();
    NativeCrypto: words::<Self>();
    Algorithm: json!({ "type": "string", "enum": Algorithm::names().collect::<Vec<_>>() });
    ClaimPath: json!({ "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
    ] });
    ClaimValue: json!({ "type": ["string", "number", "boolean"] });
    AcrDocument: json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
}

impl<T: Described> Described for Vec<T> {
    fn describe(manual: &mut Manual) -> Value {
        json!({ "type": "array", "items": T::describe(manual) })
    }
}

impl<T: Described> Described for BTreeMap<String, T> {
    fn describe(manual: &mut Manual) -> Value {
        json!({ "type": "object", "additionalProperties": T::describe(manual) })
    }
}

impl Described for Box<RequireDocument> {
    fn describe(manual: &mut Manual) -> Value {
        RequireDocument::describe(manual)
    }
}

impl Described for Secret {
    fn describe(manual: &mut Manual) -> Value {
        SecretDocument::describe(manual)
    }
}

impl Described for CalloutHeaderValue {
    fn describe(manual: &mut Manual) -> Value {
        json!({ "anyOf": [{ "type": "string", "minLength": 1 }, Secret::describe(manual)] })
    }
}

impl Described for ClaimsDocument {
    fn describe(manual: &mut Manual) -> Value {
        let (test, value) = (ClaimTestDocument::describe(manual), ClaimValue::describe(manual));
        json!({ "anyOf": [
            { "type": "object", "additionalProperties": { "anyOf": [value, test] } },
            { "type": "array", "items": test },
        ] })
    }
}

impl Described for FilterStateDocument {
    fn describe(manual: &mut Manual) -> Value {
        json!({ "anyOf": [{ "type": "string", "enum": WORDS }, StateClaimDocument::describe(manual)] })
    }
}
