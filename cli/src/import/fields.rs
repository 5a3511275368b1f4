//! Reads an object of somebody else's configuration, and knows which of its members nobody asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// An object and where it stands.
pub struct Fields<'a> {
    /// Its place, for remarks.
    pub place: String,
    members: Option<&'a Map<String, Value>>,
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// Of a value; of none, or of another type, none is there.
    pub fn of(value: &'a Value, place: impl Into<String>) -> Self {
        Self { place: place.into(), members: value.as_object(), taken: RefCell::default() }
    }

    /// The member of that name, written with underscores or as proto3 JSON has it, where it is of the type that is wanted:
    /// one of another type is left among those that nobody asked for. `null` is not there.
    fn take<T>(&self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let camel = camel_case(name);
        let (name, value) = self.members?.iter().find(|(key, _)| *key == name || **key == camel)?;
        let found = if value.is_null() { None } else { Some(read(value)?) };
        self.taken.borrow_mut().insert(name.clone());
        found
    }

    /// The member of that name, whatever it is.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.take(name, Some)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.take(name, Value::as_str)
    }

    /// A whole number, which proto3 JSON may have as a text.
    pub fn whole(&self, name: &str) -> Option<u64> {
        self.take(name, |value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }

    /// Whether it is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.take(name, Value::as_bool) == Some(true)
    }

    /// The items of a list.
    pub fn list(&self, name: &str) -> &'a [Value] {
        self.take(name, Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.take(name, |value| value.as_array()?.iter().map(text).collect()).unwrap_or_default()
    }

    /// The object of that name.
    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        let value = self.take(name, |value| value.is_object().then_some(value))?;
        Some(Fields::of(value, format!("{}.{name}", self.place)))
    }

    /// The members that nobody asked for.
    pub fn rest(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        self.members.into_iter().flat_map(Map::keys).filter(|name| !taken.contains(*name)).cloned().collect()
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (first, rest) = part.split_at_checked(1).unwrap_or_default();
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}
