//! Compares with the crate `cel`, an independent implementation of the same specification; natively
//! only, because it is too large for the module.
//!
//! There is one intended difference: for CEL values of different types are unequal, and here their comparison is an error.
//! An error where `cel` has a value is therefore accepted where an expression may compare different types, and nowhere
//! else. A value of ours is always `cel`'s.

use super::fixture::Scene;
use super::hostile_tests::Random;
use super::*;
use ::cel::{Context, Env, Program as ReferenceProgram};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::Arc;

fn value(json: &Json) -> ::cel::Value {
    match json {
        Json::Null => ::cel::Value::Null,
        Json::Bool(value) => ::cel::Value::Bool(*value),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| ::cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)), ::cel::Value::Int)
        }
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => items.iter().map(value).collect::<Vec<_>>().into(),
        Json::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), value(member))).collect::<HashMap<_, _>>().into()
        }
    }
}

fn claims() -> Json {
    json!({
        "text": "acme", "empty": "", "accent": "Zoë", "zero": 0, "level": 3, "most": i64::MAX, "least": i64::MIN,
        "half": 0.5, "whole": 3.0, "yes": true, "no": false, "nothing": null, "texts": ["ops", "dev", "acme"],
        "numbers": [0, 3, -1], "mixed": [1, "a", null, [3], {"b": 3}], "none": [], "inner": {"text": "x", "level": 4},
        "time": 1_793_491_198, "written": "2026-10-31T23:59:58Z",
    })
}

/// What `cel` says: an outcome, or that there is none.
fn reference(program: &ReferenceProgram, context: &Context<'_, '_>) -> Option<bool> {
    match program.execute(context) {
        Ok(::cel::Value::Bool(holds)) => Some(holds),
        Ok(_) | Err(_) => None,
    }
}

/// Claims that the grammar takes for another type than they are.
const CONFUSED: [&str; 4] = ["claims.text", "claims.nothing", "claims.level", "claims.numbers"];

struct Grammar {
    random: Random,
    variables: usize,
    /// Whether the expression may compare values of different types, or of a type that only a claim tells.
    mixes_types: bool,
}

impl Grammar {
    fn one(&mut self, of: &[&str]) -> String {
        (*self.random.one(of)).to_owned()
    }

    fn boolean(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&[
                "true",
                "false",
                "claims.yes",
                "claims.no",
                "claims.absent",
                "claims.level",
                "has(claims.text)",
            ]);
        }
        let below = depth - 1;
        match self.random.below(14) {
            0 => format!("({} && {})", self.boolean(below), self.boolean(below)),
            1 => format!("({} || {})", self.boolean(below), self.boolean(below)),
            2 => format!("!{}", self.boolean(below)),
            3 => format!("({} ? {} : {})", self.boolean(below), self.boolean(below), self.boolean(below)),
            4 | 5 => {
                let operator = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.number(below), self.number(below))
            }
            6 => {
                let operator = self.one(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({} {operator} {})", self.text(below), self.text(below))
            }
            7 => {
                self.mixes_types = true;
                let operator = self.one(&["==", "!="]);
                format!("({} {operator} {})", self.any(below), self.any(below))
            }
            8 => {
                self.mixes_types = true;
                format!("({} in {})", self.any(below), self.list(below))
            }
            9 => {
                let function = self.one(&["startsWith", "endsWith", "contains"]);
                format!("{}.{function}({})", self.text(below), self.text(below))
            }
            10 => {
                let pattern = self.one(&["'^a'", "'.'", "'^$'", "'[a-c]+m?e$'", "'(a|b)*c'"]);
                format!("{}.matches({pattern})", self.text(below))
            }
            11 if self.variables < 2 => {
                let name = self.one(&["all", "exists", "exists_one"]);
                let list = self.list(below);
                let variable = format!("v{}", self.variables);
                self.variables += 1;
                let body = match self.random.below(3) {
                    0 => {
                        self.mixes_types = true;
                        format!("{variable} == {}", self.any(below))
                    }
                    1 => format!("{} < {variable}", self.number(below)),
                    _ => self.boolean(below),
                };
                self.variables -= 1;
                format!("{list}.{name}({variable}, {body})")
            }
            12 => {
                let name = self.one(&["text", "absent", "inner.text", "inner.absent", "absent.text", "text.absent"]);
                format!("has(claims.{name})")
            }
            _ => format!("({} < {})", self.time(), self.time()),
        }
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&[
                "0",
                "1",
                "3",
                "-2",
                "2.5",
                "claims.zero",
                "claims.level",
                "claims.most",
                "claims.least",
                "claims.half",
                "claims.whole",
                "claims.inner.level",
                "claims.numbers[1]",
                "claims.numbers[7]",
                "claims.text",
            ]);
        }
        let below = depth - 1;
        match self.random.below(6) {
            0 => format!("size({})", self.any(below)),
            1 => {
                let converted = self.any(below);
                format!("int({converted})")
            }
            2 => {
                let part = self.one(&[
                    "getFullYear",
                    "getMonth",
                    "getDate",
                    "getDayOfMonth",
                    "getDayOfWeek",
                    "getDayOfYear",
                    "getHours",
                    "getMinutes",
                    "getSeconds",
                ]);
                let zone = self.one(&["", "", "'UTC'", "'+02:00'", "'-09:30'"]);
                format!("{}.{part}({zone})", self.time())
            }
            _ => {
                let operator = self.one(&["+", "-", "*", "/", "%"]);
                format!("({} {operator} {})", self.number(below), self.number(below))
            }
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.one(&[
                "''",
                "'a'",
                "'acme'",
                "'é'",
                "claims.text",
                "claims.accent",
                "claims.empty",
                "claims.inner['text']",
                "claims.texts[0]",
                "claims.nothing",
                "claims.level",
                "r'\\d'",
                "'\\u00e9\\n'",
            ]);
        }
        match self.random.below(3) {
            0 => {
                let plain =
                    self.one(&["claims.level", "claims.least", "claims.yes", "claims.text", "-3", "claims.none"]);
                format!("string({plain})")
            }
            _ => format!("({} + {})", self.text(depth - 1), self.text(depth - 1)),
        }
    }

    fn time(&mut self) -> String {
        let seconds = self.random.below(250_000_000_000).cast_signed() as i64 - 60_000_000_000;
        let span = self.one(&["1h", "-90m", "1.5s", "36h15m"]);
        match self.random.below(5) {
            0 => "timestamp(claims.time)".to_owned(),
            1 => "timestamp(claims.written)".to_owned(),
            // Written in UTC: of one with an offset `cel` 0.15 tells the parts at that offset, where CEL says UTC.
            2 => "timestamp('2024-02-29T12:00:00.5Z')".to_owned(),
            3 => format!("(timestamp({seconds}) + duration('{span}'))"),
            _ => format!("timestamp({seconds})"),
        }
    }

    fn list(&mut self, depth: usize) -> String {
        let variable = format!("w{}", self.variables);
        match self.random.below(if depth == 0 || self.variables > 1 { 3 } else { 5 }) {
            0 => self.one(&["claims.texts", "claims.numbers", "claims.mixed", "claims.none", "claims.text"]),
            1 => format!("[{}, {}]", self.any(0), self.any(0)),
            2 => "[]".to_owned(),
            3 => {
                let list = self.list(depth - 1);
                format!("{list}.map({variable}, [{variable}])")
            }
            _ => {
                self.mixes_types = true;
                let list = self.list(depth - 1);
                format!("{list}.filter({variable}, {variable} == {})", self.any(0))
            }
        }
    }

    fn any(&mut self, depth: usize) -> String {
        match self.random.below(if depth == 0 { 4 } else { 6 }) {
            0 => self.number(depth),
            1 => self.text(depth),
            2 => {
                self.one(&["claims.nothing", "null", "claims.inner", "claims.mixed[4]", "claims.yes", "claims.absent"])
            }
            3 => self.one(&["{'b': 3}", "{'text': 'x', 'level': 4}", "{}", "{1: 2}"]),
            4 => self.list(depth - 1),
            _ => self.boolean(depth - 1),
        }
    }
}

#[test]
fn random_expressions_have_the_results_of_the_cel_crate_except_for_different_types() {
    let claims = claims();
    let scene = Scene::with_claims(&claims);
    let mut context = Context::with_env(Arc::new(Env::stdlib()));
    context.add_variable_from_value("claims", value(&claims));
    let mut grammar = Grammar { random: Random(0x2545_F491_4F6C_DD1D), variables: 0, mixes_types: false };
    let (mut compared, mut outcomes, mut stricter, mut different) = (0, [0, 0, 0], 0, Vec::new());
    for round in 0..40_000 {
        grammar.mixes_types = false;
        let text = grammar.boolean(1 + round % 4);
        // Type errors are compile errors here, and errors of evaluation or none in `cel`.
        if Program::compile(&text).is_err() {
            continue;
        }
        let Ok(program) = ReferenceProgram::compile(&text) else {
            different.push(format!("{text}: parsed by us alone"));
            continue;
        };
        let (ours, theirs) = (scene.holds(&text).ok(), reference(&program, &context));
        let may_differ = grammar.mixes_types || CONFUSED.iter().any(|claim| text.contains(claim));
        if theirs.is_some() && ours.is_none() && may_differ {
            stricter += 1;
            continue;
        }
        compared += 1;
        outcomes[match theirs {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        }] += 1;
        if ours != theirs {
            different.push(format!("{text}: {ours:?}, and {theirs:?}"));
        }
    }
    assert!(different.is_empty(), "{} of {compared}: {:#?}", different.len(), &different[..different.len().min(40)]);
    assert!(outcomes.into_iter().all(|count| count > 1000) && stricter > 1000, "{compared}: {outcomes:?}, {stricter}");
}
