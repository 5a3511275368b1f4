//! Reads an object of another product's configuration, and records which members were read.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// An object and its location.
pub struct Fields<'a> {
    /// The location, for remarks.
    pub location: String,
    members: Option<&'a Map<String, Value>>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// A value that is not an object has no members.
    pub fn of(value: &'a Value, location: impl Into<String>) -> Self {
        Self { location: location.into(), members: value.as_object(), read: RefCell::default() }
    }

    /// Reads a member in snake case or in the camel case of proto3 JSON. A member of another type counts as unread.
    /// `null` is absent.
    fn read_member<T>(&self, name: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let camel = camel_case(name);
        let (name, value) = self.members?.iter().find(|(key, _)| *key == name || **key == camel)?;
        let found = if value.is_null() { None } else { Some(read(value)?) };
        self.read.borrow_mut().insert(name.clone());
        found
    }

    /// A member of any type.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.read_member(name, Some)
    }

    pub fn string(&self, name: &str) -> Option<&'a str> {
        self.read_member(name, Value::as_str)
    }

    /// An integer. Proto3 JSON may write it as a string.
    pub fn integer(&self, name: &str) -> Option<u64> {
        self.read_member(name, |value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.read_member(name, Value::as_bool) == Some(true)
    }

    pub fn list(&self, name: &str) -> &'a [Value] {
        self.read_member(name, Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn strings(&self, name: &str) -> Vec<String> {
        let text = |item: &Value| item.as_str().map(str::to_owned);
        self.read_member(name, |value| value.as_array()?.iter().map(text).collect()).unwrap_or_default()
    }

    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        let value = self.read_member(name, |value| value.is_object().then_some(value))?;
        Some(Fields::of(value, format!("{}.{name}", self.location)))
    }

    /// The members that were not read.
    pub fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        self.members.into_iter().flat_map(Map::keys).filter(|name| !read.contains(*name)).cloned().collect()
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
