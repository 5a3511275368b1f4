//! `matrix`: who may send which requests, as the filter's own rules decide.

use std::fmt::Write as _;

use okta_proxy_wasm::policy::{Policy, RuleFault, RuleId};
use serde_json::{Value, json};

use crate::arguments::{Matrix, MatrixFormat};
use crate::failure::{Failure, Outcome};
use crate::gateway::Configuration;
use crate::output;
use crate::permission;
use crate::plugin;
use crate::representatives::{self, OTHER_METHOD, Representatives};
use crate::request::Request;
use crate::secrets::Secrets;

/// Requests for one host and path.
struct Row {
    /// The rule whose match they are for; `None` for given paths and for the default rule.
    rule: Option<usize>,
    label: String,
    host: String,
    path: String,
}

/// A request and its decision.
struct Cell {
    method: String,
    /// The rule that decides.
    rule: String,
    permission: String,
}

pub fn run(arguments: &Matrix) -> Result<Outcome, Failure> {
    let plugin = plugin::read_one(&arguments.config)?;
    let configuration = Configuration::new(&plugin, Secrets::assumed()?, |_| Ok(Vec::new()))?;
    let policy = configuration.policy()?;
    let document = configuration.document();
    let universe = Representatives::of(&[document]);
    let mut table = Vec::new();
    for row in rows(document, &universe, &arguments.paths) {
        let cells = universe.methods.iter().map(|method| cell(&policy, &row, method));
        let cells = cells.collect::<Result<Vec<_>, Failure>>()?;
        table.push((row, cells));
    }
    output::write(&match arguments.format {
        MatrixFormat::Text => text(&table),
        MatrixFormat::Markdown => markdown(&table),
        MatrixFormat::Json => format!("{:#}\n", as_json(&table)),
        MatrixFormat::Html => html(&table),
    });
    Ok(Outcome::Success)
}

fn rows(document: &Value, universe: &Representatives, given: &[String]) -> Vec<Row> {
    let other_host = || universe.hosts.iter().find(|host| host.ends_with(".invalid")).cloned().unwrap_or_default();
    let mut rows = Vec::new();
    let rules = document.get("rules").and_then(Value::as_array);
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let matched = rule.get("match").unwrap_or(&Value::Null);
        let patterns = matched.get("hosts").and_then(Value::as_array);
        let patterns: Vec<&str> = patterns.into_iter().flatten().filter_map(Value::as_str).collect();
        let path = ["path", "path_prefix", "path_regex"].iter().find_map(|name| matched.get(*name)?.as_str());
        let kind = if matched.get("path_prefix").is_some() { "/…" } else { "" };
        let path = path.map_or_else(|| String::from("/…"), |path| format!("{}{kind}", path.trim_end_matches('/')));
        let name = rule.get("name").and_then(Value::as_str).map(|name| format!(" {name}")).unwrap_or_default();
        let sample = representatives::paths(matched).0.into_iter().next();
        let hosts = representatives::hosts(matched);
        let hosts = if hosts.is_empty() { vec![other_host()] } else { hosts };
        for (place, host) in hosts.into_iter().enumerate() {
            let pattern = patterns.get(place).copied().unwrap_or_default();
            let label = format!("rules[{index}]{name}: {pattern}{path}");
            rows.extend(sample.clone().map(|path| Row { rule: Some(index), label, host, path }));
        }
    }
    rows.push(Row {
        rule: None,
        label: String::from("any other request"),
        host: other_host(),
        path: String::from("/_any_"),
    });
    rows.extend(given.iter().map(|path| {
        let (host, target) = match path.split_once("://") {
            Some((_, rest)) => {
                let (host, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (host.to_owned(), if target.is_empty() { "/" } else { target }.to_owned())
            }
            None => (other_host(), path.clone()),
        };
        Row { rule: None, label: path.clone(), host, path: target }
    }));
    rows
}

fn cell(policy: &Policy, row: &Row, method: &str) -> Result<Cell, Failure> {
    let (rule, permission) = decide(policy, method, &row.host, &row.path)?;
    Ok(Cell { method: method.to_owned(), rule, permission })
}

/// The rule for a request, and who may pass under it.
pub fn decide(policy: &Policy, method: &str, host: &str, path: &str) -> Result<(String, String), Failure> {
    Ok(match find(policy, method, host, path)? {
        Ok(id) => (rule_name(id), permission::describe(policy.rules.rule(id))),
        Err(_) => (String::from("none"), String::from("nobody (400: the request is ambiguous)")),
    })
}

pub fn find(policy: &Policy, method: &str, host: &str, path: &str) -> Result<Result<RuleId, RuleFault>, Failure> {
    let request = Request::parse(&format!("{method} https://{host}{path}"))?;
    Ok(policy.rules.find(&request.head()))
}

pub fn rule_name(id: RuleId) -> String {
    match id {
        RuleId::Index(index) => format!("rules[{}]", index.index()),
        RuleId::Default => String::from("default_rule"),
    }
}

/// What a cell says: who may pass, and which rule decides if it is not the one of the row.
fn shown(row: &Row, cell: &Cell) -> String {
    let own = row.rule.map(|index| format!("rules[{index}]"));
    match own {
        Some(own) if own == cell.rule => cell.permission.clone(),
        None if cell.rule == "default_rule" => cell.permission.clone(),
        _ => format!("{} ({})", cell.permission, cell.rule),
    }
}

/// The methods with the same cell, together.
fn grouped(row: &Row, cells: &[Cell]) -> Vec<(String, String)> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for cell in cells {
        let text = shown(row, cell);
        let method = if cell.method == OTHER_METHOD { "others" } else { &cell.method };
        match groups.iter_mut().find(|(other, _)| *other == text) {
            Some((_, methods)) => methods.push(method),
            None => groups.push((text, vec![method])),
        }
    }
    let all =
        |methods: &[&str]| if methods.len() == cells.len() { String::from("all methods") } else { methods.join(" ") };
    groups.into_iter().map(|(text, methods)| (all(&methods), text)).collect()
}

fn text(table: &[(Row, Vec<Cell>)]) -> String {
    let mut lines = Vec::new();
    for (row, cells) in table {
        lines.push(row.label.clone());
        let groups = grouped(row, cells);
        let width = groups.iter().map(|(methods, _)| methods.chars().count()).max().unwrap_or_default();
        lines.extend(groups.into_iter().map(|(methods, text)| format!("  {methods:width$}  {text}")));
    }
    lines.join("\n") + "\n"
}

fn markdown(table: &[(Row, Vec<Cell>)]) -> String {
    let cell = |text: &str| text.replace('\\', r"\\").replace('|', r"\|").replace('<', "&lt;");
    let methods = table.first().map(|(_, cells)| cells.as_slice()).unwrap_or_default();
    let heads: Vec<&str> =
        methods.iter().map(|cell| if cell.method == OTHER_METHOD { "others" } else { &cell.method }).collect();
    let mut text = format!("| requests | {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len().saturating_add(1)));
    for (row, cells) in table {
        let shown: Vec<String> = cells.iter().map(|one| cell(&shown(row, one))).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {} |", cell(&row.label), shown.join(" | "));
    }
    text
}

fn as_json(table: &[(Row, Vec<Cell>)]) -> Value {
    let cell = |cell: &Cell| json!({ "method": cell.method, "rule": cell.rule, "permission": cell.permission });
    let row = |(row, cells): &(Row, Vec<Cell>)| {
        let cells: Vec<Value> = cells.iter().map(cell).collect();
        json!({ "requests": row.label, "host": row.host, "path": row.path, "methods": cells })
    };
    json!({ "rows": table.iter().map(row).collect::<Vec<_>>() })
}

fn html(table: &[(Row, Vec<Cell>)]) -> String {
    let mut rows = String::new();
    for (row, cells) in table {
        let groups = grouped(row, cells);
        for (place, (methods, text)) in groups.iter().enumerate() {
            let head =
                format!("<th scope=\"rowgroup\" rowspan=\"{}\">{}</th>", groups.len(), output::escaped(&row.label));
            let head = if place == 0 { head } else { String::new() };
            // Writing to a string cannot fail.
            let _ = writeln!(
                rows,
                "<tr>{head}<td>{}</td><td>{}</td></tr>",
                output::escaped(methods),
                output::escaped(text)
            );
        }
    }
    let head =
        "<tr><th scope=\"col\">requests</th><th scope=\"col\">methods</th><th scope=\"col\">who may pass</th></tr>";
    output::page("Who may pass", &format!("<table>\n{head}\n{rows}</table>\n"))
}
