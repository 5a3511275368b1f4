//! The Markdown pages and their fenced blocks, for the tests that compare them with the code.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The pages of the book: all below `docs` but its table of contents.
pub fn pages_of_the_book() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") && !path.ends_with("SUMMARY.md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join("docs"), &mut found);
    found.sort();
    assert!(found.len() > 15, "only {} pages found", found.len());
    found
}

/// A fenced block: the words behind its three backticks, and what stands in it.
pub struct Block {
    pub language: String,
    pub text: String,
}

/// All fenced blocks of a Markdown text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            found.push(Block { language: language.to_owned(), text: block.join("\n") });
        }
    }
    found
}
