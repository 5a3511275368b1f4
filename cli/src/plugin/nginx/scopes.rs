//! The blocks of `http` with what each inherits.

use serde_json::Value;

use super::syntax::Directive;
use crate::plugin::source::document_of;

/// The name of the directive that runs a filter.
const FILTER: &str = "proxy_wasm";
/// The blocks whose directives belong to the location around them.
const CONDITIONAL_BLOCKS: [&str; 2] = ["if", "limit_except"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Server,
    Location,
}

/// A block that may have directives of its own for what its outer block sets.
pub(super) struct Scope<'a> {
    pub(super) kind: Kind,
    /// The directive with the block; `None` for a file that is included inside of `http`.
    pub(super) directive: Option<&'a Directive>,
    directives: &'a [Directive],
    outer: Option<usize>,
}

impl<'a> Scope<'a> {
    /// Its own directives with this name.
    pub(super) fn own(&self, name: &str) -> Vec<&'a Directive> {
        self.directives.iter().filter(|directive| directive.is(name)).collect()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.directives.iter().any(|directive| directive.is(name))
    }

    /// Its own directives, and those in its `if` and `limit_except` blocks; and whether they are in one.
    pub(super) fn with_conditional(&self) -> Vec<(&'a Directive, bool)> {
        let mut found = Vec::new();
        collect(self.directives, false, &mut found);
        found
    }
}

fn collect<'a>(directives: &'a [Directive], is_conditional: bool, found: &mut Vec<(&'a Directive, bool)>) {
    for directive in directives {
        found.push((directive, is_conditional));
        if CONDITIONAL_BLOCKS.contains(&directive.name.value.as_str()) {
            collect(directive.directives(), true, found);
        }
    }
}

/// All blocks of a configuration.
pub(super) struct Scopes<'a> {
    all: Vec<Scope<'a>>,
    modules: Vec<&'a Directive>,
}

impl<'a> Scopes<'a> {
    pub(super) fn of(file: &'a [Directive]) -> Self {
        let wasm = file.iter().filter(|directive| directive.is("wasm"));
        let modules = wasm.flat_map(Directive::directives).filter(|directive| directive.is("module")).collect();
        let mut scopes = Self { all: Vec::new(), modules };
        let http: Vec<&Directive> = file.iter().filter(|directive| directive.is("http")).collect();
        if http.is_empty() {
            scopes.add(Kind::Http, None, file, None);
        }
        for directive in http {
            scopes.add(Kind::Http, Some(directive), directive.directives(), None);
        }
        scopes
    }

    fn add(&mut self, kind: Kind, directive: Option<&'a Directive>, directives: &'a [Directive], outer: Option<usize>) {
        let index = self.all.len();
        self.all.push(Scope { kind, directive, directives, outer });
        for inner in directives {
            match inner.name.value.as_str() {
                "server" if kind == Kind::Http && inner.block.is_some() => {
                    self.add(Kind::Server, Some(inner), inner.directives(), Some(index));
                }
                "location" => self.add(Kind::Location, Some(inner), inner.directives(), Some(index)),
                _ => {}
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Scope<'a>> {
        self.all.iter()
    }

    fn outer(&self, scope: &Scope<'a>) -> Option<&Scope<'a>> {
        self.all.get(scope.outer?)
    }

    /// The server that a location is in.
    pub(super) fn server<'s>(&'s self, scope: &'s Scope<'a>) -> Option<&'s Scope<'a>> {
        if scope.kind == Kind::Server { Some(scope) } else { self.server(self.outer(scope)?) }
    }

    /// The scopes inside of a server.
    pub(super) fn locations<'s>(&'s self, server: &'s Scope<'a>) -> impl Iterator<Item = &'s Scope<'a>> {
        let is_inside = |scope: &&Scope<'a>| {
            let around = self.server(scope).and_then(|found| found.directive);
            scope.kind == Kind::Location
                && around.zip(server.directive).is_some_and(|(found, wanted)| std::ptr::eq(found, wanted))
        };
        self.all.iter().filter(is_inside)
    }

    /// The directives with one of these names that are in effect: those of the innermost block that has any.
    fn in_effect_of<'s>(&'s self, scope: &'s Scope<'a>, names: &[&str]) -> Vec<&'a Directive> {
        let is_named = |directive: &&'a Directive| names.iter().any(|name| directive.is(name));
        let own: Vec<_> = scope.directives.iter().filter(is_named).collect();
        match self.outer(scope) {
            Some(outer) if own.is_empty() => self.in_effect_of(outer, names),
            Some(_) | None => own,
        }
    }

    pub(super) fn in_effect<'s>(&'s self, scope: &'s Scope<'a>, name: &str) -> Vec<&'a Directive> {
        self.in_effect_of(scope, &[name])
    }

    /// The directives of this filter that are in effect. A block with any `proxy_wasm` or `wasm_call` inherits none
    /// (`ngx_http_wasm_merge_loc_conf`).
    pub(super) fn filters<'s>(&'s self, scope: &'s Scope<'a>) -> Vec<&'a Directive> {
        let mut found = self.in_effect_of(scope, &[FILTER, "wasm_call"]);
        found.retain(|directive| self.is_this_filter(directive));
        found
    }

    pub(super) fn is_protected(&self, scope: &Scope<'a>) -> bool {
        !self.filters(scope).is_empty()
    }

    /// Whether `proxy_wasm` runs this filter: by the name or file of its module, or by the configuration.
    fn is_this_filter(&self, directive: &Directive) -> bool {
        let is_ours = |text: &str| text.contains("okta_proxy_wasm") || text.contains("okta-proxy-wasm");
        let name = directive.argument(0);
        directive.is(FILTER)
            && (is_ours(name)
                || self.modules.iter().any(|module| module.argument(0) == name && is_ours(module.argument(1)))
                || document_of(directive.argument(1)).get("providers").is_some())
    }

    /// All directives that run this filter.
    pub(super) fn all_filters(&self) -> Vec<&'a Directive> {
        let own = self.all.iter().flat_map(|scope| scope.own(FILTER));
        own.filter(|directive| self.is_this_filter(directive)).collect()
    }

    /// The modules that these directives run.
    pub(super) fn modules_of(&self, filters: &[&Directive]) -> Vec<&'a Directive> {
        let is_run = |module: &&&Directive| filters.iter().any(|filter| filter.argument(0) == module.argument(0));
        self.modules.iter().filter(is_run).copied().collect()
    }

    /// Whether the token is removed from the requests of this block: then a second run finds none.
    pub(super) fn remove_tokens(&self, scope: &Scope<'a>) -> bool {
        let forwards = |filter: &&Directive| {
            document_of(filter.argument(1)).pointer("/token/forward").and_then(Value::as_bool) == Some(true)
        };
        !self.filters(scope).iter().all(forwards)
    }
}

/// What a location matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matcher<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Regex,
    /// `@name`, for internal redirects only.
    Named(&'a str),
}

impl<'a> Matcher<'a> {
    pub(super) fn of(location: &'a Directive) -> Self {
        let (first, second) = (location.argument(0), location.argument(1));
        // The space after the modifier is optional.
        for (modifier, matcher) in [("=", Self::Exact as fn(&'a str) -> Self), ("^~", Self::Prefix)] {
            if let Some(glued) = first.strip_prefix(modifier) {
                return matcher(if glued.is_empty() { second } else { glued });
            }
        }
        match first {
            regex if regex.starts_with('~') => Self::Regex,
            name if name.starts_with('@') => Self::Named(name),
            prefix => Self::Prefix(prefix),
        }
    }
}
