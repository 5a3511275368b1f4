//! Markdown tables with aligned columns, readable in a terminal too; and formatted numbers.

use std::iter;

/// The first column to the left, numbers to the right. Every row has as many cells as the header.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    let width = |column: usize| {
        let cells = iter::once(&header).chain(rows).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default().max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!(" {cell:width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let dashes = widths.iter().enumerate().map(|(column, width)| match column {
        0 => format!("-{}-|", "-".repeat(*width)),
        _ => format!("-{}:|", "-".repeat(*width)),
    });
    let rule = format!("|{}\n", dashes.collect::<String>());
    iter::once(line(&header)).chain([rule]).chain(rows.iter().map(line)).collect()
}

/// `1234567` as `1,234,567`.
pub fn with_thousands(number: usize) -> String {
    let digits = number.to_string();
    let grouped = digits.char_indices().map(|(place, digit)| {
        let begins_a_group = place > 0 && (digits.len() - place).is_multiple_of(3);
        if begins_a_group { format!(",{digit}") } else { digit.to_string() }
    });
    grouped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["µs".to_owned(), "1.5".to_owned()], vec!["longer".to_owned(), "+12.25".to_owned()]];
        let expected = "\
            | a      |      b |\n\
            |--------|-------:|\n\
            | µs     |    1.5 |\n\
            | longer | +12.25 |\n";
        assert_eq!(table(&["a", "b"], &rows), expected);
    }

    #[test]
    fn thousands_are_separated() {
        let grouped = [0, 999, 1000, 12_345, 811_390, 1_000_000].map(with_thousands);
        assert_eq!(grouped, ["0", "999", "1,000", "12,345", "811,390", "1,000,000"]);
    }
}
