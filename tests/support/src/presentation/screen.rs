//! Printed output: marks, headings, and a table that fits 110 columns. Colours are used only where the terminal supports them,
//! and no information depends on them.

use std::env;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

/// Request, answer, what the backend saw, the reason in the log.
const COLUMNS: [usize; 4] = [27, 19, 33, 21];
const TITLES: [&str; 4] = ["request", "answer", "the backend saw", "reason in the log"];
const GAP: &str = "  ";
const TEXT_WIDTH: usize = 100;

/// A place to print to.
pub struct Screen {
    coloured: bool,
}

/// How a piece of text looks where colours are welcome.
#[derive(Clone, Copy)]
enum Look {
    Bold,
    Dim,
    Good,
    Bad,
}

impl Screen {
    /// Standard output; coloured when it is a terminal and `NO_COLOR` is unset.
    pub fn for_stdout() -> Self {
        Self { coloured: stdout().is_terminal() && env::var_os("NO_COLOR").is_none() }
    }

    /// A heading with a line of space before it.
    pub fn heading(&self, text: &str) {
        println!("\n{}", self.looking(Look::Bold, text));
    }

    /// A paragraph, broken into lines.
    pub fn paragraph(&self, text: &str) {
        for line in wrapped(text, TEXT_WIDTH) {
            println!("{line}");
        }
    }

    /// Lines as they are, indented.
    pub fn verbatim(&self, text: &str) {
        for line in text.lines() {
            println!("{}", format!("    {line}").trim_end());
        }
    }

    /// Something that was to be done is done.
    pub fn done(&self, text: &str, took: Duration) {
        println!(
            "  {} {text} {}",
            self.looking(Look::Good, "✓"),
            self.looking(Look::Dim, &format!("({})", in_seconds(took)))
        );
    }

    /// Something happens between two requests.
    pub fn event(&self, text: &str) {
        println!("  {}", self.looking(Look::Bold, &format!("› {text}")));
    }

    /// A remark between two requests.
    pub fn remark(&self, text: &str) {
        println!("    {}", self.looking(Look::Dim, text));
    }

    /// The head of a table.
    pub fn table_head(&self) {
        let cells = TITLES.map(str::to_owned);
        println!("\n    {}", self.looking(Look::Dim, &line_of(&cells)));
        let width = COLUMNS.iter().sum::<usize>() + GAP.len() * (COLUMNS.len() - 1);
        println!("    {}", self.looking(Look::Dim, &"─".repeat(width)));
    }

    /// Whether a detail of an answer is as short as the answer's column.
    pub fn fits_beside(detail: &str) -> bool {
        detail.chars().count() <= COLUMNS[1]
    }

    /// A row; each line of a cell is broken if it is too long. `faults` say what is not as expected.
    pub fn row(&self, cells: &[String; 4], faults: &[String]) {
        let broken: Vec<Vec<String>> = cells.iter().zip(COLUMNS).map(|(cell, width)| wrapped(cell, width)).collect();
        let height = broken.iter().map(Vec::len).max().unwrap_or(0);
        for number in 0..height {
            let line: Vec<String> = broken.iter().map(|cell| cell.get(number).cloned().unwrap_or_default()).collect();
            let mark = match number {
                0 if faults.is_empty() => self.looking(Look::Good, "✓"),
                0 => self.looking(Look::Bad, "✗"),
                _ => " ".to_owned(),
            };
            println!("  {mark} {}", line_of(&line));
        }
        for fault in faults {
            println!("      {}", self.looking(Look::Bad, &format!("NOT AS EXPECTED: {fault}")));
        }
    }

    /// The last line.
    pub fn verdict(&self, good: bool, text: &str) {
        let (look, mark) = if good { (Look::Good, "✓") } else { (Look::Bad, "✗") };
        println!("\n{}", self.looking(look, &format!("{mark} {text}")));
    }

    fn looking(&self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Bad => "1;31",
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A duration as people say it.
pub fn in_seconds(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        return format!("{} ms", duration.as_millis().max(1));
    }
    format!("{:.1} s", duration.as_secs_f64())
}

fn line_of(cells: &[String]) -> String {
    let padded: Vec<String> = cells.iter().zip(COLUMNS).map(|(cell, width)| format!("{cell:width$}")).collect();
    padded.join(GAP).trim_end().to_owned()
}

/// The lines of `text`, broken at blanks where they are longer than `width`.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    text.lines().flat_map(|line| wrapped_line(line, width)).collect()
}

fn wrapped_line(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            let gap = if last.is_empty() { "" } else { " " };
            last.push_str(gap);
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_only_where_necessary() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one\nunbreakable", 5), ["one", "unbreakable"]);
        assert_eq!(wrapped("", 5), Vec::<String>::new());
    }

    #[test]
    fn the_table_fits_its_columns() {
        assert!(COLUMNS.iter().sum::<usize>() + GAP.len() * 3 + 4 <= 110);
        assert_eq!(in_seconds(Duration::from_millis(640)), "0.6 s");
        assert_eq!(in_seconds(Duration::from_micros(300)), "1 ms");
    }
}
