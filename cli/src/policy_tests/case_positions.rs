//! The position of each case in the file: deserialization does not tell them.

use saphyr_parser::{Event, Parser};

use crate::positions::Position;

/// The positions of the items of `cases`, in their order; none for a file that cannot be read.
pub fn of(text: &str) -> Vec<Position> {
    let mut found = Vec::new();
    // The number of open mappings and sequences, and whether the next event in the outermost mapping is a key.
    let (mut depth, mut is_key) = (0_usize, true);
    let (mut is_in_cases, mut cases_are_next) = (false, false);
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return found };
        let (is_start, is_end) = match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => (true, false),
            Event::MappingEnd | Event::SequenceEnd => (false, true),
            Event::Scalar(..) | Event::Alias(_) => (false, false),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        if is_end {
            depth = depth.saturating_sub(1);
            is_in_cases &= depth > 1;
            continue;
        }
        if depth == 0 && !matches!(event, Event::MappingStart(..)) {
            return found;
        }
        if depth == 2 && is_in_cases {
            found.push(Position { line: span.start.line(), column: span.start.col().saturating_add(1) });
        }
        if depth == 1 {
            is_in_cases = !is_key && cases_are_next && matches!(event, Event::SequenceStart(..));
            cases_are_next = is_key && matches!(&event, Event::Scalar(key, ..) if key == "cases");
            is_key = !is_key;
        }
        depth = depth.saturating_add(usize::from(is_start));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(text: &str) -> Vec<(usize, usize)> {
        of(text).into_iter().map(|Position { line, column }| (line, column)).collect()
    }

    #[test]
    fn each_case_has_the_position_of_its_item() {
        let text = "# a comment\nconfig: cases\ndefaults: { token: { cases: [1, 2] } }\ncases:\n- name: ä\n  expect: { headers: { cases: [] } }\n\n- { name: b, revoked: [{ sub: a }] }\n-\n  name: c\nmore: [x]\n";
        assert_eq!(positions(text), [(5, 3), (8, 3), (10, 3)]);
        assert_eq!(
            positions("{\"config\": \"x\", \"cases\": [{\"name\": \"ä\"}, {\"name\": \"b\"}]}"),
            [(1, 27), (1, 42)]
        );
        for other in ["", "a", "cases: 1", "[cases, [1]]", "x: {cases: [a]}", "cases: [a", "cases: {a: [b]}"] {
            assert!(positions(other).len() <= usize::from(other == "cases: [a"), "{other:?}: {:?}", positions(other));
        }
    }
}
