//! Errors and warnings of a configuration, and the checks that all parts share.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::warnings::SettingWarning;
use crate::analysis::Warning;
use crate::config::Environment;
use crate::config::error::{ConfigError, ConfigErrorKind, Path};

/// What was found so far.
pub(super) struct Diagnostics<'a> {
    pub(super) errors: &'a mut Vec<ConfigError>,
    pub(super) warnings: Vec<Warning>,
    pub(super) insecure_settings: usize,
    pub(super) environment: &'a Environment<'a>,
}

impl<'a> Diagnostics<'a> {
    pub(super) const fn new(errors: &'a mut Vec<ConfigError>, environment: &'a Environment<'a>) -> Self {
        Self { errors, warnings: Vec::new(), insecure_settings: 0, environment }
    }

    pub(super) fn invalid(&mut self, at: &Path, hint: &'static str) {
        self.errors.push(at.error(ConfigErrorKind::Invalid(hint)));
    }

    /// Adds an error unless the condition holds, and returns the condition.
    pub(super) fn check(&mut self, holds: bool, at: &Path, hint: &'static str) -> bool {
        if !holds {
            self.invalid(at, hint);
        }
        holds
    }

    /// A value that was parsed. Adds an error if there is none.
    pub(super) fn parsed<T>(&mut self, value: Option<T>, at: &Path, hint: &'static str) -> Option<T> {
        self.check(value.is_some(), at, hint);
        value
    }

    /// A result, or its error.
    pub(super) fn accept<T>(&mut self, result: Result<T, &'static str>, at: &Path) -> Option<T> {
        result.map_err(|hint| self.invalid(at, hint)).ok()
    }

    pub(super) fn bounded(
        &mut self,
        value: Duration,
        bounds: &RangeInclusive<Duration>,
        at: &Path,
        hint: &'static str,
    ) -> Option<Duration> {
        self.check(bounds.contains(&value), at, hint).then_some(value)
    }

    /// Compiles each item of a list; `None` if one of them has an error. `compile` also gets the items before it.
    pub(super) fn each<T, U>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        at: &Path,
        mut compile: impl FnMut(&mut Self, T, &Path, &[U]) -> Option<U>,
    ) -> Option<Vec<U>> {
        let (mut compiled, mut is_complete) = (Vec::new(), true);
        for (index, item) in items.into_iter().enumerate() {
            match compile(self, item, &at.item(index), &compiled) {
                Some(item) => compiled.push(item),
                None => is_complete = false,
            }
        }
        is_complete.then_some(compiled)
    }

    pub(super) fn warn(&mut self, warning: &SettingWarning, at: &Path) {
        let SettingWarning { code, message, fix } = *warning;
        self.warnings.push(Warning { code, path: at.clone(), caused_by: Vec::new(), message: message.into(), fix });
    }

    /// Warns of an insecure setting that is on.
    pub(super) fn insecure(&mut self, warning: &SettingWarning, at: &Path) {
        self.insecure_settings = self.insecure_settings.saturating_add(1);
        self.warn(warning, at);
    }

    /// A required field. Adds no error where the value, or the object around it, has one already.
    pub(super) fn required<T>(&mut self, value: Option<T>, at: &Path, hint: &'static str) -> Option<T> {
        if value.is_none() && !at.is_reported(self.errors) && !at.is_inside_undecoded(self.errors) {
            self.errors.push(at.error(ConfigErrorKind::Missing(hint)));
        }
        value
    }

    /// Rejects an empty list: an empty allow-list is a mistake, whichever way it is read.
    pub(super) fn not_empty<T>(&mut self, list: Option<Vec<T>>, at: &Path) -> Option<Vec<T>> {
        list.filter(|items| {
            if items.is_empty() && !at.is_reported(self.errors) {
                self.invalid(at, "an empty list; leave the field out or name at least one");
            }
            !items.is_empty()
        })
    }
}

/// A part of the document that may be missing; the outer `None` if it is present and has an error.
#[allow(clippy::option_option, reason = "whether there is one, unless there is an error")]
pub(super) fn present<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    compiled.map_or(Some(None), |compiled| compiled.map(Some))
}
