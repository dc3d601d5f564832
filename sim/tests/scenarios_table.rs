//! `docs/scenarios.md` tells the truth: every schedule has a row, every test that a row names is
//! there, and every story that names a schedule is in its row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A row of the table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Row {
    /// Test functions, each with its file.
    tests: Vec<(String, String)>,
    /// Transcripts, which are files of their own.
    transcripts: Vec<String>,
    /// Mutations.
    mutations: Vec<String>,
    /// Whether it waits for something.
    waits: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_path_buf()
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// Every `S` followed by two digits, and by no letter or digit, in `text`.
fn numbers(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let is_number = |word: &&str| {
        let digits = word.strip_prefix('S').unwrap_or_default();
        digits.len() == 2 && digits.chars().all(|digit| digit.is_ascii_digit())
    };
    words.filter(is_number).map(str::to_owned).collect()
}

/// The words in backquotes, each with whether "mutation" stands before it.
fn quoted(cell: &str) -> Vec<(bool, &str)> {
    let parts: Vec<&str> = cell.split('`').collect();
    parts.chunks_exact(2).map(|pair| (pair[0].ends_with("mutation "), pair[1])).collect()
}

/// All rows of all tables, in the order of the document.
fn rows(document: &str) -> Vec<(String, Row)> {
    let mut found = Vec::new();
    for line in document.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, schedule, played_by, waits_for] = cells[..] else {
            panic!("a row has four cells: {line}");
        };
        assert!(!schedule.is_empty(), "{number} does not say what it is");
        let mut row = Row { waits: !waits_for.is_empty(), ..Row::default() };
        let mut file = String::new();
        for (is_mutation, word) in quoted(played_by) {
            if is_mutation {
                row.mutations.push(word.to_owned());
            } else if word.ends_with(".txt") {
                row.transcripts.push(word.to_owned());
            } else if word.contains('/') {
                word.clone_into(&mut file);
            } else {
                row.tests.push((file.clone(), word.to_owned()));
            }
        }
        found.push((number.to_owned(), row));
    }
    found
}

/// What is wrong with a row.
fn judge(number: &str, row: &Row) -> Vec<String> {
    let mut findings = Vec::new();
    if row.tests.is_empty() && row.transcripts.is_empty() && !row.waits {
        findings.push(format!("{number} is played by nothing and waits for nothing"));
    }
    for (file, function) in &row.tests {
        let text = read(file).unwrap_or_default();
        let is_there = text.lines().collect::<Vec<_>>().windows(2).any(|pair| {
            pair[0].trim() == "#[test]" && pair[1].trim().starts_with(&format!("fn {function}("))
        });
        if !is_there {
            findings.push(format!("{number}: {file} has no test {function}"));
        }
    }
    for file in &row.transcripts {
        if read(file).is_none() {
            findings.push(format!("{number}: there is no {file}"));
        }
    }
    for mutation in &row.mutations {
        if read(&format!("sim/mutations/{mutation}.mutation")).is_none() {
            findings.push(format!("{number}: there is no mutation {mutation}"));
        }
    }
    findings
}

/// The tests of one file of stories, each with the schedules that its doc comment names.
fn stories(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let (mut doc, mut is_test) = (String::new(), false);
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("///") {
            doc.push_str(words);
        } else if line == "#[test]" {
            is_test = true;
        } else {
            if let (true, Some(function)) = (is_test, line.strip_prefix("fn ")) {
                let name = function.split('(').next().unwrap_or_default();
                found.push((name.to_owned(), numbers(&doc)));
            }
            doc.clear();
            is_test = false;
        }
    }
    found
}

#[test]
fn every_schedule_has_a_row_and_every_row_is_true() {
    let document = read("docs/scenarios.md").expect("the table");
    let (_, rest) = document.split_once("\nThe schedules: ").expect("the list of schedules");
    let (list, _) = rest.split_once("\n\n").expect("an end of the list");
    let listed = numbers(list);
    assert_eq!(listed.len(), 49, "the numbers are given once and for all");
    let rows = rows(&document);
    let in_rows: BTreeSet<&String> = rows.iter().map(|(number, _)| number).collect();
    assert_eq!(in_rows.len(), rows.len(), "a schedule has two rows");
    assert_eq!(in_rows, listed.iter().collect(), "the rows are not those listed");
    let findings: Vec<String> = rows.iter().flat_map(|(number, row)| judge(number, row)).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn every_story_that_names_a_schedule_is_in_its_row() {
    let document = read("docs/scenarios.md").expect("the table");
    let rows: BTreeMap<String, Row> = rows(&document).into_iter().collect();
    let (mut seen, mut missing) = (0, Vec::new());
    for file in ["elections", "ballots", "rules", "storage", "damage", "catch_up", "forwarding"] {
        let path = format!("sim/tests/{file}.rs");
        for (name, named) in stories(&read(&path).expect("a file of stories")) {
            for number in named {
                seen += 1;
                let test = (path.clone(), name.clone());
                if !rows.get(&number).is_some_and(|row| row.tests.contains(&test)) {
                    missing.push(format!("{number}: {path} {name}"));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} stories name a schedule: the reader is broken");
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn the_judge_finds_what_is_not_true() {
    let cases = [
        ("| S01 | a | | |", 1),
        ("| S01 | a | | reads |", 0),
        ("| S01 | a | `sim/tests/scenarios_table.rs` `the_judge_finds_what_is_not_true` | |", 0),
        ("| S01 | a | `sim/tests/scenarios_table.rs` `judge` | |", 1),
        ("| S01 | a | `sim/tests/nowhere.rs` `a` | |", 1),
        ("| S01 | a | `core/tests/transcripts/nowhere.txt` | |", 1),
        ("| S01 | a | `core/tests/transcripts/group_commit.txt` | |", 0),
        ("| S01 | a | mutation `nowhere` | reads |", 1),
    ];
    for (line, expected) in cases {
        let read = rows(line);
        assert_eq!(read.len(), 1);
        let findings = judge(&read[0].0, &read[0].1);
        assert_eq!(findings.len(), expected, "{line}: {findings:?}");
    }
    let text = "/// S01 and S02 (S03's), no S1.\n#[test]\nfn a() {}\n\n/// S04.\nfn b() {}\n";
    let expected = [("a".to_owned(), ["S01", "S02", "S03"].map(String::from).to_vec())];
    assert_eq!(stories(text), expected);
}
