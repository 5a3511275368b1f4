//! An explanation as one HTML page that loads nothing.

use std::fmt::Write as _;

use super::{Explanation, response_lines, symbol_of};
use crate::clock;
use crate::gateway::RequestResult;
use crate::output::{escaped, page};
use okta_proxy_wasm::engine::Verdict;

/// The page.
pub fn write(explanation: &Explanation) -> String {
    let fields = explanation.request.redacted(&explanation.policy.token_source);
    let value = |name: &str| fields.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
    let request = format!("{} {}{}", value(":method"), value(":authority"), value(":path"));
    let mut rows = String::new();
    for step in &explanation.steps {
        let details: String = step
            .details
            .iter()
            .map(|(outcome, text)| {
                let name = outcome.name();
                format!("<li class=\"{name}\">{} {}</li>", symbol_of(*outcome), escaped(text))
            })
            .collect();
        let details = if details.is_empty() { details } else { format!("<ul>{details}</ul>") };
        let name = step.outcome.name();
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            "<tr><td class=\"{name}\">{}</td><th scope=\"row\">{}</th><td>{}{details}</td></tr>",
            symbol_of(step.outcome),
            escaped(step.name),
            escaped(&step.message)
        );
    }
    let notes: String =
        explanation.evaluation.notes.iter().map(|note| format!("<p class=\"info\">{}</p>\n", escaped(note))).collect();
    let (outcome, decision, lines) = decision(explanation);
    let curl = explanation.curl.as_ref().map(|command| format!("<h2>curl</h2>\n<pre>{}</pre>\n", escaped(command)));
    let curl = curl.unwrap_or_default();
    let body = format!(
        "<p class=\"info\">at {at}</p>
{notes}<table>
{rows}</table>
<h2 class=\"{outcome}\">{decision}</h2>
<pre>{lines}</pre>
{curl}",
        at = clock::to_rfc3339(explanation.now),
        decision = escaped(&decision),
        lines = escaped(&lines.join("\n")),
    );
    page(&request, &body)
}

fn decision(explanation: &Explanation) -> (&'static str, String, Vec<String>) {
    match &explanation.evaluation.result {
        RequestResult::LocalResponse(response) => ("info", String::from("Local response"), response_lines(response)),
        RequestResult::Decision(decision) => match &decision.verdict {
            Verdict::Deny(response) => {
                ("fail", format!("Denied: {}", decision.audit.reason()), response_lines(response))
            }
            Verdict::Allow(edits) => {
                let forwarded = explanation.request.with_edits(edits).redacted(&explanation.policy.token_source);
                let lines = forwarded.into_iter().map(|(name, value)| format!("{name}: {value}"));
                let heading = format!("Allowed: {}. Request to the backend:", decision.audit.reason());
                ("pass", heading, lines.collect())
            }
        },
    }
}
