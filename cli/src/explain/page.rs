//! An explanation as one HTML page that loads nothing.

use std::fmt::Write as _;

use super::{Explanation, response_lines, symbol_of};
use crate::clock;
use crate::gateway::RequestResult;
use okta_proxy_wasm::engine::Verdict;

const STYLE: &str = "
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --faint: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --faint: #8b949e; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
ul { margin: 0; padding-left: 1.25rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.pass { color: var(--good); } .fail { color: var(--bad); } .info { color: var(--faint); }
";

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
    format!(
        "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">
<title>{title}: {decision}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class=\"info\">at {at}</p>
{notes}<table>
{rows}</table>
<h2 class=\"{outcome}\">{decision}</h2>
<pre>{lines}</pre>
{curl}</body>
</html>
",
        title = escaped(&request),
        at = clock::to_rfc3339(explanation.now),
        decision = escaped(&decision),
        lines = escaped(&lines.join("\n")),
        curl = curl.unwrap_or_default(),
    )
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

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
