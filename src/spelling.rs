//! Suggestions for misspelt names.

/// The known name that a misspelt one is likely to mean: within two edits, one for short names.
pub fn nearest(name: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let limit = if name.len() <= 4 { 1 } else { 2 };
    let nearest = known.into_iter().map(|candidate| (edit_distance(name, candidate), candidate)).min();
    nearest.filter(|(distance, _)| *distance <= limit).map(|(_, candidate)| candidate)
}

/// The Levenshtein distance, over bytes.
pub fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, a_byte) in a.bytes().enumerate() {
        let mut left = at + 1;
        let mut diagonal = at;
        let mut next = vec![left];
        for (b_byte, above) in b.bytes().zip(row.iter().skip(1)) {
            left = (left + 1).min(above + 1).min(diagonal + usize::from(a_byte != b_byte));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_has_a_suggestion_and_an_unrelated_one_has_none() {
        let known = ["issuer", "audiences", "upstream", "match"];
        assert_eq!(nearest("audience", known), Some("audiences"));
        assert_eq!(nearest("isuer", known), Some("issuer"));
        assert_eq!(nearest("rules", known), None);
        assert_eq!(nearest("path", known), None);
        assert_eq!(nearest("mach", known), Some("match"));
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
