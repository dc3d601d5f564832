//! Mutations as files: a head, the text to find, and its replacement.

use std::fs;
use std::path::{Path, PathBuf};

/// One way to break the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// The name of its file.
    pub(crate) name: String,
    /// The rule that it breaks.
    pub(crate) rule: String,
    /// What goes wrong, in a sentence.
    pub(crate) story: String,
    /// The test that notices, where seeds cannot: package, test binary or `lib`, and its name.
    pub(crate) test: Option<[String; 3]>,
    /// The source file, from the root of the workspace.
    pub(crate) file: String,
    /// Occurs there once.
    pub(crate) find: String,
    /// What stands there instead.
    pub(crate) replace: String,
}

impl Mutation {
    /// The text of the source file with this mutation alone, and where it begins.
    pub(crate) fn apply(&self, text: &str) -> Result<(usize, String), String> {
        let at = find_once(text, &self.find)
            .map_err(|count| format!("{}: its text occurs {count} times, not once", self.name))?;
        Ok((at, text.replacen(&self.find, &self.replace, 1)))
    }
}

/// The mutations of a folder, by name.
pub(crate) fn read_all(folder: &Path) -> Result<Vec<Mutation>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "mutation"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Mutation, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    parse(&name, &text).ok_or_else(|| {
        format!("{}: wants `rule:`, `file:`, `story:`, `--- find`, `--- replace`", path.display())
    })
}

fn parse(name: &str, text: &str) -> Option<Mutation> {
    let (head, rest) = text.split_once("--- find\n")?;
    let (find, replace) = rest.split_once("--- replace\n")?;
    let field = |key: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().to_string())
    };
    Some(Mutation {
        name: name.to_string(),
        rule: field("rule:")?,
        story: field("story:")?,
        test: match field("test:") {
            Some(words) => {
                let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
                Some(words.try_into().ok()?)
            }
            None => None,
        },
        file: field("file:")?,
        // The newline in front of a marker, and the last one, belong to the format.
        find: find.strip_suffix('\n')?.to_string(),
        replace: replace.strip_suffix('\n').unwrap_or(replace).to_string(),
    })
}

fn find_once(text: &str, find: &str) -> Result<usize, usize> {
    match text.matches(find).count() {
        1 => text.find(find).ok_or(0),
        count => Err(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_replaced_only_where_it_is_the_only_one() {
        let mutation = parse("m", "rule: R1\nfile: f\nstory: s\n--- find\na\n--- replace\nb\n");
        let mutation = mutation.expect("a mutation");
        assert_eq!(mutation.apply("cat"), Ok((1, "cbt".into())));
        assert!(mutation.apply("banana").is_err());
        assert!(mutation.apply("dog").is_err());
    }

    #[test]
    fn a_test_has_a_package_a_binary_and_a_name() {
        let text =
            |test: &str| format!("rule: R1\nfile: f\n{test}story: s\n--- find\na;\n--- replace\n");
        let mutation = parse("m", &text("test: synod-core lib some\n")).expect("a mutation");
        assert_eq!(mutation.test, Some(["synod-core", "lib", "some"].map(str::to_owned)));
        assert_eq!(parse("m", &text("")).expect("a mutation").test, None);
        assert_eq!(parse("m", &text("test: some\n")), None);
    }

    #[test]
    fn a_replacement_may_be_empty() {
        let mutation = parse("m", "rule: R1\nfile: f\nstory: s\n--- find\na;\n--- replace\n");
        assert_eq!(mutation.expect("a mutation").apply("a;b"), Ok((0, "b".into())));
    }
}
