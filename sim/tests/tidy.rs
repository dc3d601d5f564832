//! Style is a test: what a reviewer should not have to say twice.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// Left-behind markers, spelled so that this file does not contain them.
const MARKERS: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("#[ign", "ore")];

/// Words of the glossary's "do not say" column that have no other meaning in the core.
const NOT_SAID: [&str; 10] = [
    "committed",
    "follower",
    "candidate",
    "log entry",
    "lsn",
    "checkpoint",
    "primary",
    "master",
    "shard",
    "request vote",
];

/// What the core must not reach for (C13).
const OUTSIDE_WORLD: [&str; 7] = [
    "std::time",
    "std::net",
    "std::fs",
    "std::thread",
    "std::collections::HashMap",
    "rand::",
    "static mut",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                rust_files(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// Every finding in `text`, as `file:line: what`.
fn judge(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut find = |line: usize, what: String| findings.push(format!("{name}:{line}: {what}"));
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        find(lines.len(), format!("a file of {} lines", lines.len()));
    }
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        find(1, "a file opens with `//!`: what it is for".into());
    }
    if name.ends_with("util.rs") || name.ends_with("utils.rs") || name.ends_with("helpers.rs") {
        find(1, "name a file after its concept".into());
    }
    let in_core = name.starts_with("core/src");
    for (number, line) in lines.iter().enumerate() {
        if line.chars().count() > LINE_COLUMNS_MAX {
            find(number + 1, format!("{} columns", line.chars().count()));
        }
        for marker in MARKERS.iter().filter(|marker| line.contains(**marker)) {
            find(number + 1, format!("`{marker}` left behind"));
        }
        let lower = line.to_lowercase();
        for word in NOT_SAID.iter().filter(|word| in_core && lower.contains(**word)) {
            find(number + 1, format!("the glossary has another word for `{word}`"));
        }
        for path in OUTSIDE_WORLD.iter().filter(|path| in_core && line.contains(**path)) {
            find(number + 1, format!("the core reaches for `{path}`"));
        }
    }
    for (start, length) in functions(&lines) {
        if length > FUNCTION_LINES_MAX {
            find(start + 1, format!("a function of {length} lines"));
        }
    }
    findings
}

/// Start and length of each function: from its `fn` to the closing brace at the same indentation.
fn functions(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let is_function = ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn ", "const fn "]
            .iter()
            .any(|word| code.starts_with(word))
            || code.contains(" fn ") && !code.starts_with("//") && !code.contains('"');
        if !is_function || code.ends_with(';') {
            continue;
        }
        let indent = &line[..line.len() - code.len()];
        // A declaration over several lines, as in a trait, has no body.
        let declares = |line: &&str| line.starts_with(&format!("{indent})"));
        if lines[start..].iter().find(|line| declares(line)).is_some_and(|l| l.ends_with(';'))
            && code.ends_with('(')
        {
            continue;
        }
        let closing = format!("{indent}}}");
        let end = lines[start..].iter().position(|line| *line == closing);
        found.extend(end.map(|length| (start, length + 1)));
    }
    found
}

#[test]
fn the_tree_is_tidy() {
    let root = root();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(files.len() > 50, "only {} files: the walk is broken", files.len());
    let mut findings = Vec::new();
    for path in files {
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        findings.extend(judge(&name, &fs::read_to_string(&path).expect("a text file")));
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_crate_opens_with_an_example() {
    for library in ["core", "log", "runtime-tokio", "sim"] {
        let text = fs::read_to_string(root().join(library).join("src/lib.rs")).expect("a library");
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let has = |words: &str| head.iter().any(|line| line.contains(words));
        assert!(has("What it is") && has("What it is not"), "{library} does not say what it is");
        assert!(has("```"), "{library} opens without an example");
    }
}

#[test]
fn the_judge_finds_what_it_looks_for() {
    let long_line = format!("//! {}", "x".repeat(100));
    let long_file = format!("//! A file.\n{}", "\n".repeat(FILE_LINES_MAX));
    let body = "    let a = 1;\n".repeat(FUNCTION_LINES_MAX);
    let long_function = format!("//! A file.\nfn long() {{\n{body}}}\n");
    let declared = "//! A file.\ntrait A {\n    fn a(\n        b: u8,\n    );\n";
    let declaration = format!("{declared}{}    fn c() {{\n    }}\n}}\n", body);
    let long_after_declaration = format!("{declared}    fn c(\n    ) {{\n{body}    }}\n}}\n");
    let marker = format!("//! A file.\n// {}: later\n", MARKERS[0]);
    let cases = [
        ("core/src/a.rs", "fn a() {}\n", 1),
        ("core/src/a.rs", long_line.as_str(), 1),
        ("core/src/a.rs", long_file.as_str(), 1),
        ("core/src/a.rs", long_function.as_str(), 1),
        ("core/src/a.rs", long_after_declaration.as_str(), 1),
        ("core/src/a.rs", declaration.as_str(), 0),
        ("core/src/a.rs", marker.as_str(), 1),
        ("core/src/a.rs", "//! What is committed.\n", 1),
        ("log/src/a.rs", "//! What is committed.\n", 0),
        ("core/src/a.rs", "//! A file.\nuse std::time::Instant;\n", 1),
        ("core/src/util.rs", "//! A file.\n", 1),
        ("core/src/a.rs", "//! A file.\nfn short() {\n}\n", 0),
    ];
    for (name, text, expected) in cases {
        assert_eq!(judge(name, text).len(), expected, "{name}: {:?}", judge(name, text));
    }
}
