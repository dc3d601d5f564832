//! The mutants that cargo-mutants proposes, with their places in the source.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// One change of one operator, result or field.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// Its number, which is its switch too. Zero is none.
    pub(crate) number: usize,
    /// What names it while lines move: the file, the change, the function and the text of the line.
    pub(crate) key: String,
    /// The source file, from the root of the workspace.
    pub(crate) file: String,
    /// The line, for people.
    pub(crate) line: usize,
    /// The bytes of the function that holds it. A constant has none.
    pub(crate) function: Option<Range<usize>>,
    /// The bytes that are replaced.
    pub(crate) span: Range<usize>,
    /// What stands there instead.
    pub(crate) replacement: String,
}

/// Asks cargo-mutants, which reads `.cargo/mutants.toml`.
pub(crate) fn read(root: &Path) -> Result<Vec<Mutant>, String> {
    let listed = Command::new("cargo")
        .args(["mutants", "-p", "synod-core", "--list", "--json"])
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !listed.status.success() {
        return Err("`cargo mutants --list` fails; `.ci/run-mutants` installs cargo-mutants".into());
    }
    let list: Value = serde_json::from_slice(&listed.stdout)
        .map_err(|error| format!("the list of cargo-mutants: {error}"))?;
    let list = list.as_array().ok_or("the list of cargo-mutants is no list")?;
    parse(list, |file| {
        fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))
    })
}

fn parse(
    list: &[Value],
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<Vec<Mutant>, String> {
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut times: HashMap<String, usize> = HashMap::new();
    let mut mutants = Vec::with_capacity(list.len());
    for value in list {
        let wrong = || format!("cargo-mutants lists what this tool does not know: {value}");
        let file = value["file"].as_str().ok_or_else(wrong)?;
        if !texts.contains_key(file) {
            texts.insert(file.to_owned(), read(file)?);
        }
        let text = &texts[file];
        let span = bytes_of(text, &value["span"]).ok_or_else(wrong)?;
        let name = value["name"].as_str().ok_or_else(wrong)?;
        let change = name.splitn(4, ':').nth(3).ok_or_else(wrong)?.trim();
        let mut key = format!("{file}: {change}");
        if value["genre"] != "FnValue" {
            key = format!("{key}: {}", line_around(text, span.start));
        }
        let time = times.entry(key.clone()).or_default();
        *time += 1;
        if *time > 1 {
            key = format!("{key} ({time})");
        }
        mutants.push(Mutant {
            number: mutants.len() + 1,
            key,
            file: file.to_owned(),
            line: number(&value["span"]["start"]["line"]).ok_or_else(wrong)?,
            function: bytes_of(text, &value["function"]["span"]),
            span,
            replacement: without_std(value["replacement"].as_str().ok_or_else(wrong)?),
        });
    }
    Ok(mutants)
}

/// Full names for what cargo-mutants puts into the core, which has no `std` and no prelude of it.
fn without_std(replacement: &str) -> String {
    let full_names = [
        ("::std::iter", "::core::iter"),
        ("Box::", "alloc::boxed::Box::"),
        ("Vec::", "alloc::vec::Vec::"),
        ("vec![", "alloc::vec!["),
    ];
    full_names.iter().fold(replacement.to_owned(), |text, (short, full)| text.replace(short, full))
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// The bytes between two places, each given as a line and a column, from one.
fn bytes_of(text: &str, span: &Value) -> Option<Range<usize>> {
    let byte = |place: &Value| {
        let (line, column) = (number(&place["line"])?, number(&place["column"])?);
        let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let in_line: usize = text[before..].chars().take(column - 1).map(char::len_utf8).sum();
        Some(before + in_line)
    };
    Some(byte(&span["start"])?..byte(&span["end"])?)
}

fn line_around(text: &str, place: usize) -> &str {
    let start = text[..place].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_put_into_the_core_needs_no_std() {
        assert_eq!(without_std("::std::iter::empty()"), "::core::iter::empty()");
        let boxed = "alloc::boxed::Box::leak(alloc::boxed::Box::new(1))";
        assert_eq!(without_std("Box::leak(Box::new(1))"), boxed);
        let run = "alloc::vec::Vec::leak(alloc::vec![1])";
        assert_eq!(without_std("Vec::leak(vec![1])"), run);
        assert_eq!(without_std("<<"), "<<");
    }

    #[test]
    fn a_mutant_is_named_by_its_text_and_not_by_its_place() {
        let text = "// é\nfn f() {\n    1 + 1 + 1\n}\n";
        let place = |line: u64, column: u64| json!({"line": line, "column": column});
        let function = json!({"span": {"start": place(2, 1), "end": place(4, 2)}});
        let mutant = |genre: &str, column: u64| {
            json!({"file": "a.rs", "genre": genre, "replacement": "-", "function": function,
                "name": format!("a.rs:3:{column}: replace + with - in f"),
                "span": {"start": place(3, column), "end": place(3, column + 1)}})
        };
        let list = [mutant("BinaryOperator", 7), mutant("BinaryOperator", 11)];
        let mutants = parse(&list, |_| Ok(text.into())).expect("a list");
        assert_eq!(mutants[0].key, "a.rs: replace + with - in f: 1 + 1 + 1");
        assert_eq!(mutants[1].key, "a.rs: replace + with - in f: 1 + 1 + 1 (2)");
        assert_eq!(&text[mutants[0].span.clone()], "+");
        assert_eq!(mutants[1].span.start, mutants[0].span.start + 4);
        let function = mutants[0].function.clone().expect("a function");
        assert!(text[function.clone()].starts_with("fn f"));
        assert!(text[function].ends_with('}'));
    }
}
