//! Plants many mutations side by side in a copy of the workspace, so that one build serves all.
//!
//! The body of a function that a mutation touches becomes `if is_on(1) { mutated } else { sound }`,
//! with one branch per mutation of the function. Which one is on is read from the environment when
//! the program starts. The source is formatted by rustfmt, so indentation tells where a function
//! begins and ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::copy;
use crate::hunt::VARIABLE;
use crate::mutation::Mutation;

/// The switch that turns none on.
pub(crate) const NONE: usize = 0;

/// The switch of the mutation at a place of the list.
pub(crate) const fn switch_of(place: usize) -> usize {
    place + 1
}

/// Makes the copy, with the mutations in it.
pub(crate) fn plant(root: &Path, tree: &Path, mutations: &[Mutation]) -> Result<(), String> {
    copy::copy(root, tree, |name, mut text| {
        let here = mutations.iter().enumerate().filter(|(_, mutation)| mutation.file == name);
        let here: Vec<(usize, &Mutation)> = here.collect();
        if !here.is_empty() {
            text = with_switches(&text, name, &here)?;
        }
        if name.starts_with("core/src/") || name.starts_with("log/src/") {
            text = without_const_methods(&text);
        }
        if name == CORE {
            text.push_str(&switch_module());
        }
        Ok(text)
    })
}

/// The text of a file with these mutations in it, each with its place in the list.
fn with_switches(text: &str, file: &str, here: &[(usize, &Mutation)]) -> Result<String, String> {
    let mut bodies: BTreeMap<usize, (Range<usize>, String)> = BTreeMap::new();
    for (place, mutation) in here {
        let (at, changed) = mutation.apply(text)?;
        let body = body_around(text, at..at + mutation.find.len())
            .ok_or_else(|| format!("{}: its text is in no function", mutation.name))?;
        let mutated_end = body.end + changed.len() - text.len();
        let mutated = &changed[body.start..mutated_end];
        let path = if file.starts_with("core/") { "crate" } else { "synod_core" };
        let branch =
            format!("if {path}::mutation::is_on({}) {{{mutated}}} else ", switch_of(*place));
        bodies.entry(body.start).or_insert((body, String::new())).1.push_str(&branch);
    }
    let mut planted = text.to_owned();
    for (body, branches) in bodies.into_values().rev() {
        let sound = format!("{branches}{{{}}}", &text[body.clone()]);
        planted.replace_range(body, &sound);
    }
    Ok(planted)
}

/// The inside of the function that holds `place`, without its braces.
fn body_around(text: &str, place: Range<usize>) -> Option<Range<usize>> {
    let before = &text[..place.start];
    let mut end = before.len();
    // From the line of the place upwards, to the first function that reaches over it.
    while let Some(line_start) = text[..end].rfind('\n').map(|newline| newline + 1) {
        let line = &text[line_start..];
        if is_function(line) {
            let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
            let open = line_start + line.find(" {\n")? + 2;
            let close = open + text[open..].find(&format!("\n{indent}}}\n"))? + 1;
            if open <= place.start && place.end <= close {
                return Some(open..close);
            }
        }
        end = line_start - 1;
    }
    None
}

/// The text with its methods no longer `const`: what asks for a switch is no constant, and neither
/// is what calls it.
fn without_const_methods(text: &str) -> String {
    let mut parts = text.split("const fn ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let arguments = part.split_once('(').map_or("", |(_, arguments)| arguments);
        if !arguments.trim_start().starts_with('&') {
            plain.push_str("const ");
        }
        plain.push_str("fn ");
        plain.push_str(part);
    }
    plain
}

/// Whether a function begins in the first line of `text`.
fn is_function(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default().trim_start();
    let mut words = line.split(' ').skip_while(|word| word.starts_with("pub") || *word == "const");
    words.next() == Some("fn")
}

/// The module that the core gets in the copy.
fn switch_module() -> String {
    format!(
        "
/// Which mutation is on.
pub mod mutation {{
    extern crate std;

    /// Whether it is this one.
    pub fn is_on(switch: u32) -> bool {{
        static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        let named = || std::env::var(\"{VARIABLE}\").ok()?.parse().ok();
        *ON.get_or_init(|| named().unwrap_or({NONE})) == switch
    }}
}}
"
    )
}

const CORE: &str = "core/src/lib.rs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutation::read_all;
    use std::fs;

    #[test]
    fn every_mutation_applies_to_the_tree() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let mutations = read_all(&root.join("sim/mutations")).expect("readable mutations");
        assert!(mutations.len() >= 10, "only {} mutations", mutations.len());
        for mutation in &mutations {
            let text = fs::read_to_string(root.join(&mutation.file)).expect("its file");
            let (_, changed) = mutation.apply(&text).expect("a text that occurs once");
            assert_ne!(changed, text, "{} changes nothing", mutation.name);
            assert!(!mutation.story.is_empty(), "{} has no story", mutation.name);
            let planted = with_switches(&text, &mutation.file, &[(0, mutation)]).expect("a place");
            assert!(planted.contains("mutation::is_on(1)"), "{}", mutation.name);
            assert!(planted.contains(&mutation.find), "{}: the sound text stays", mutation.name);
        }
    }

    #[test]
    fn mutations_of_one_function_share_it() {
        let f = "    pub(super) const fn f(\n        &self,\n    ) -> u8 {\n        x + 1\n    }\n";
        let g = "    fn g() {\n        a();\n    }\n";
        let text = &format!("struct S;\n\nimpl S {{\n{f}\n{g}}}\n");
        let mutation = |find: &str, replace: &str| Mutation {
            name: "m".into(),
            rule: String::new(),
            story: String::new(),
            test: None,
            file: "core/x.rs".into(),
            find: find.into(),
            replace: replace.into(),
        };
        let (one, two, three) =
            (mutation("+ 1", "+ 2"), mutation("x +", "9 +"), mutation("a", "b"));
        let planted = with_switches(text, "core/x.rs", &[(0, &one), (1, &two), (4, &three)]);
        let planted = planted.expect("functions");
        let words: Vec<&str> = planted.split_whitespace().collect();
        let wanted = "struct S; impl S { pub(super) const fn f( &self, ) -> u8 \
                      {if crate::mutation::is_on(1) { x + 2 } else if crate::mutation::is_on(2) \
                      { 9 + 1 } else { x + 1 } } fn g() \
                      {if crate::mutation::is_on(5) { b(); } else { a(); } } }";
        assert_eq!(words.join(" "), wanted);
        assert!(with_switches(text, "core/x.rs", &[(0, &mutation("struct", "enum"))]).is_err());
        assert!(without_const_methods(text).contains("pub(super) fn f("));
        assert_eq!(without_const_methods("const fn g(x: u8) {}"), "const fn g(x: u8) {}");
    }
}
