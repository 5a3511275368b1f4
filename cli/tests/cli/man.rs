//! `man` and `completions`: every command and option is there, and the formatter finds no fault.

use std::fs;
use std::process::Command;

use crate::tool::run;

/// The long options of a help text.
fn options(help: &str) -> Vec<String> {
    let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let names = lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    let names = names.map(|name| name.trim_end_matches("...").trim_end_matches(',').to_owned());
    names.filter(|name| name != "--help").collect()
}

#[test]
fn each_command_has_a_manual_page_with_its_options_and_without_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", folder.path().join("man1").to_str().unwrap()]).status, 0);
    let mut pages: Vec<_> =
        fs::read_dir(folder.path().join("man1")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert_eq!(pages.len(), 12);
    let groff_is_there = Command::new("groff").arg("--version").output().is_ok();
    for page in &pages {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let command: Vec<&str> = name.strip_prefix("okta-proxy-wasm-").into_iter().collect();
        let text = fs::read_to_string(page).unwrap();
        for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT"] {
            let is_there = text.contains(&format!(".SH {section}\n")) || text.contains(&format!(".SH \"{section}\"\n"));
            assert!(is_there, "{name}: {section}: {text}");
        }
        assert!(!text.contains("Exit status:"), "{name}: {text}");
        let called = ["okta-proxy-wasm"].iter().chain(&command).copied().collect::<Vec<_>>().join(" ");
        let plain = text.replace('\\', "");
        assert!(plain.contains(&format!("fB{called}fR")), "{name}: {text}");
        let help = run(&[&command[..], &["--help"]].concat()).stdout;
        for option in options(&help) {
            assert!(plain.contains(&option), "{name}: {option}");
        }
        if groff_is_there {
            let arguments = ["-man", "-Kutf8", "-Tutf8", "-ww", "-z", page.to_str().unwrap()];
            let found = Command::new("groff").args(arguments).output().unwrap();
            let warnings = String::from_utf8(found.stderr).unwrap();
            assert!(found.status.success() && warnings.is_empty(), "{name}: {warnings}");
        }
    }
    let alone = run(&["man"]);
    assert_eq!(alone.stdout, fs::read_to_string(folder.path().join("man1/okta-proxy-wasm.1")).unwrap());
}

#[test]
fn completions_offer_every_format_and_new_option() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).stdout;
        let names_values = ["bash", "zsh", "fish"].contains(&shell);
        let formats: &[&str] = if names_values { &["sarif", "junit", "github", "tap"] } else { &[] };
        for word in ["version", "man", "module", "sha256"].iter().chain(formats) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let bash = run(&["completions", "bash"]).stdout;
    let ask = "COMP_WORDS=(okta-proxy-wasm check --format ''); COMP_CWORD=3; _okta__proxy__wasm okta-proxy-wasm '' --format; echo ${COMPREPLY[*]}";
    let found = Command::new("bash").args(["-c", &format!("{bash}\n{ask}")]).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap().trim(), "text json sarif github junit");
}
