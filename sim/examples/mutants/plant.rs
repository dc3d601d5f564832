//! Plants mutants side by side in a copy of the core, so that one build serves all.
//!
//! A function gets its mutated bodies in front of its own:
//!
//! ```text
//! fn f() { match crate::switch::on(7) {
//! 12 => return { mutated body },
//! _ => {} }
//! body }
//! ```
//!
//! Which one is on is read from the environment before the program starts, so that a `const fn`
//! may ask as well. That takes a `static mut`, which is why only the copy has it: it is written
//! before there are threads. A second one notes which functions were ever called.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::list::Mutant;

/// The environment variable that names the mutant which is on.
pub(crate) const VARIABLE: &str = "SYNOD_MUTATION";

/// The environment variable that names the file for the functions that were called.
pub(crate) const REACHED: &str = "SYNOD_REACHED";

/// The file that gets the switch.
pub(crate) const CORE: &str = "core/src/lib.rs";

/// A source file with its mutants in it.
pub(crate) struct Planted {
    /// What the copy holds.
    pub(crate) text: String,
    /// The lines of the copy, from one, and whose they are.
    lines: Vec<(Range<usize>, Part)>,
}

/// What a line of the copy belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The question of a function with these mutants.
    Question(Vec<usize>),
    /// The body of this mutant.
    Body(usize),
}

/// The mutants that can stand behind a switch, by file and function. A constant has no function,
/// and a function that returns an `impl Trait` would return several.
pub(crate) fn functions(
    mutants: &[Mutant],
    text_of: impl Fn(&str) -> String,
) -> BTreeMap<(String, usize), Vec<&Mutant>> {
    let mut functions: BTreeMap<(String, usize), Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants {
        let text = text_of(&mutant.file);
        let Some(function) = &mutant.function else { continue };
        let Some(body) = body_of(&text, function) else { continue };
        let inside = body.start <= mutant.span.start && mutant.span.end <= body.end;
        if inside && !returns_an_impl(&text[function.start..body.start]) {
            functions.entry((mutant.file.clone(), body.start)).or_default().push(mutant);
        }
    }
    functions
}

/// The text of a file with switches. `functions` holds what it mutates, with the number of each
/// function; what is in `dropped` is left out.
pub(crate) fn plant(
    text: &str,
    functions: &[(usize, &[&Mutant])],
    dropped: &BTreeSet<usize>,
) -> Planted {
    let mut planted = Planted { text: String::new(), lines: Vec::new() };
    let mut done = 0;
    for (number, mutants) in functions {
        let Some(body) = mutants[0].function.as_ref().and_then(|range| body_of(text, range)) else {
            continue;
        };
        let here: Vec<&&Mutant> =
            mutants.iter().filter(|mutant| !dropped.contains(&mutant.number)).collect();
        if here.is_empty() || body.start < done {
            continue;
        }
        planted.text.push_str(&text[done..body.start]);
        let line = planted.line();
        let all = here.iter().map(|mutant| mutant.number).collect();
        planted.lines.push((line..line + 1, Part::Question(all)));
        planted.text.push_str(&format!(" match crate::switch::on({number}) {{\n"));
        for mutant in here {
            let from = planted.line();
            let (before, after) = (body.start..mutant.span.start, mutant.span.end..body.end);
            planted.text.push_str(&format!(
                "{} => return {{ {}{}{}\n}},\n",
                mutant.number, &text[before], mutant.replacement, &text[after]
            ));
            planted.lines.push((from..planted.line(), Part::Body(mutant.number)));
        }
        planted.text.push_str("_ => {} }\n");
        done = body.start;
    }
    planted.text.push_str(&text[done..]);
    planted
}

impl Planted {
    /// The number of the last line.
    fn line(&self) -> usize {
        self.text.matches('\n').count() + 1
    }

    /// What a line of the copy belongs to, if it is not as it was.
    pub(crate) fn part_at(&self, line: usize) -> Option<&Part> {
        let found = self.lines.iter().rev().find(|(lines, _)| lines.contains(&line));
        found.map(|(_, part)| part)
    }
}

/// The inside of a function, without its braces. The source is formatted by rustfmt.
fn body_of(text: &str, function: &Range<usize>) -> Option<Range<usize>> {
    let mut at = function.start;
    for line in text[function.clone()].split_inclusive('\n') {
        if is_head(line) {
            break;
        }
        at += line.len();
    }
    let mut depth = 0_usize;
    for (offset, letter) in text[at..function.end].char_indices() {
        match letter {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.checked_sub(1)?,
            '{' if depth == 0 => return Some(at + offset + 1..function.end - 1),
            _ => {}
        }
    }
    None
}

/// Whether a function begins in this line.
fn is_head(line: &str) -> bool {
    let mut words =
        line.trim_start().split(' ').skip_while(|word| word.starts_with("pub") || *word == "const");
    words.next() == Some("fn")
}

fn returns_an_impl(head: &str) -> bool {
    head.rsplit_once("->").is_some_and(|(_, returned)| returned.contains("impl "))
}

/// The text of the core's root with the module that knows what is on.
pub(crate) fn with_switch(text: &str, functions: usize) -> String {
    let text = text.replace("#![forbid(unsafe_code)]\n", "");
    let section = |name: &str, mac: &str| {
        format!(
            "#[used]\n#[cfg_attr(target_os = \"linux\", unsafe(link_section = \".{name}\"))]\n\
             #[cfg_attr(target_vendor = \"apple\", unsafe(link_section = \"__DATA,{mac}\"))]"
        )
    };
    let (first, last) =
        (section("init_array", "__mod_init_func"), section("fini_array", "__mod_term_func"));
    format!(
        "{text}
/// Which mutant is on.
pub mod switch {{
    extern crate std;

    static mut ON: u32 = 0;
    static mut CALLED: [u8; {functions}] = [0; {functions}];

    /// The switch that is on, for this function.
    #[inline]
    pub const fn on(function: usize) -> u32 {{
        unsafe {{
            CALLED[function] = 1;
            ON
        }}
    }}

    extern \"C\" fn begin() {{
        let on = std::env::var(\"{VARIABLE}\").ok().and_then(|on| on.parse().ok());
        unsafe {{ ON = on.unwrap_or(0) }}
    }}

    extern \"C\" fn end() {{
        if let Some(file) = std::env::var_os(\"{REACHED}\") {{
            let called = unsafe {{ CALLED }};
            let _ = std::fs::write(file, called);
        }}
    }}

    {first}
    static BEGIN: extern \"C\" fn() = begin;

    {last}
    static END: extern \"C\" fn() = end;
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "/// A doc (with {\n#[must_use]\npub const fn f(a: [u8; 2]) -> u8 {\n    \
                        a[0] + a[1]\n}\n\nfn g() -> impl Iterator<Item = u8> {\n    [1 + 1]\n}\n";

    fn mutant(number: usize, from: &str, replacement: &str) -> Mutant {
        let start = TEXT.find(from).expect("its text");
        let end = TEXT.find("\n}\n").expect("the end") + 2;
        let function = if start < end { 0..end } else { end + 1..TEXT.len() - 1 };
        Mutant {
            number,
            key: String::new(),
            file: "a.rs".into(),
            line: 1,
            function: Some(function),
            span: start..start + from.len(),
            replacement: replacement.into(),
        }
    }

    #[test]
    fn mutated_bodies_stand_in_front_of_the_sound_one() {
        let mutants = [mutant(3, "+", "-"), mutant(4, "a[0]", "0"), mutant(5, "1 + 1", "2")];
        let functions = functions(&mutants, |_| TEXT.into());
        assert_eq!(functions.len(), 1, "what returns an impl is left alone");
        let here = functions.values().next().expect("a function");
        let planted = plant(TEXT, &[(7, here)], &BTreeSet::new());
        let words: Vec<&str> = planted.text.split_whitespace().collect();
        let wanted = "-> u8 { match crate::switch::on(7) { 3 => return { a[0] - a[1] }, \
                      4 => return { 0 + a[1] }, _ => {} } a[0] + a[1] } fn g()";
        assert!(words.join(" ").contains(wanted), "{}", planted.text);
        let line_of = |text: &str| {
            planted.text.lines().position(|line| line.contains(text)).expect("its line") + 1
        };
        assert_eq!(planted.part_at(line_of("a[0] - a[1]")), Some(&Part::Body(3)));
        assert_eq!(planted.part_at(line_of("0 + a[1]")), Some(&Part::Body(4)));
        assert_eq!(planted.part_at(line_of("switch::on")), Some(&Part::Question(vec![3, 4])));
        assert_eq!(planted.part_at(line_of("fn g")), None);

        let planted = plant(TEXT, &[(7, here)], &BTreeSet::from([3]));
        assert!(!planted.text.contains("a[0] - a[1]"));
        assert!(planted.text.contains("0 + a[1]"));
        let planted = plant(TEXT, &[(7, here)], &BTreeSet::from([3, 4]));
        assert_eq!(planted.text, TEXT, "nothing to ask");
    }

    #[test]
    fn the_root_of_the_copy_asks_the_environment() {
        let text = with_switch("#![no_std]\n#![forbid(unsafe_code)]\nmod a;\n", 9);
        assert!(text.starts_with("#![no_std]\nmod a;\n"));
        assert!(text.contains("[u8; 9]") && text.contains(VARIABLE) && text.contains(REACHED));
    }
}
