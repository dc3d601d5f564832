//! Builds the copy and reads what the compiler says about it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::hunt;

/// What came of a build.
pub(crate) enum Built {
    /// The test binaries, in the order in which cargo names them.
    Done(Vec<PathBuf>),
    /// The errors: where in the copy, and what.
    Errors(Vec<CompileError>),
}

/// One error of the compiler.
pub(crate) struct CompileError {
    /// Files and lines that it points to, the likeliest first.
    pub(crate) places: Vec<(String, usize)>,
    /// As the compiler prints it.
    pub(crate) text: String,
}

/// No lint stops a build.
pub(crate) const NO_LINTS: &str = "--cap-lints=allow";

/// Only lints stop a build that are errors by themselves. One of them ends constants that would
/// be computed for ever.
pub(crate) const KEEP_ERRORS: &str = "--allow=warnings";

/// Builds the core's tests of the copy with these words behind `cargo`.
pub(crate) fn build(
    tree: &Path,
    target: &Path,
    words: &[String],
    lints: &str,
) -> Result<Built, String> {
    let output = hunt::cargo(tree, target)
        .env("RUSTFLAGS", lints)
        .args(words)
        .args(["--quiet", "--locked", "--message-format=json"])
        .args(["--config", "profile.dev.debug=false"])
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = || text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    if output.status.success() {
        let binaries = messages().filter(|message| message["profile"]["test"] == true);
        let paths = binaries.filter_map(|message| Some(message["executable"].as_str()?.into()));
        return Ok(Built::Done(paths.collect()));
    }
    let errors: Vec<CompileError> =
        messages().filter_map(|message| compile_error(&message["message"])).collect();
    if errors.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`cargo {}` fails in {}:\n{said}", words.join(" "), tree.display()));
    }
    Ok(Built::Errors(errors))
}

fn compile_error(message: &Value) -> Option<CompileError> {
    if message["level"] != "error" {
        return None;
    }
    let mut places = Vec::new();
    for primary in [true, false] {
        for span in message["spans"].as_array()?.iter().filter(|s| s["is_primary"] == primary) {
            add_places(span, &mut places);
        }
    }
    // What goes wrong while a constant is made tells of the functions on the way in notes.
    for note in message["children"].as_array().into_iter().flatten() {
        for span in note["spans"].as_array().into_iter().flatten() {
            add_places(span, &mut places);
        }
    }
    let text = message["rendered"].as_str().unwrap_or_default().to_owned();
    Some(CompileError { places, text })
}

/// The place of a span, and those of the macro calls that it comes from.
fn add_places(span: &Value, places: &mut Vec<(String, usize)>) {
    let mut span = span;
    while let (Some(file), Some(line)) = (span["file_name"].as_str(), span["line_start"].as_u64()) {
        places.push((file.to_owned(), line as usize));
        span = &span["expansion"]["span"];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_in_a_macro_points_to_the_call_too() {
        let call = json!({"file_name": "b.rs", "line_start": 7, "expansion": null});
        let message = json!({"level": "error", "rendered": "no", "spans": [
            {"file_name": "c.rs", "line_start": 1, "is_primary": false, "expansion": null},
            {"file_name": "a.rs", "line_start": 3, "is_primary": true, "expansion": {"span": call}},
        ], "children": [{"spans": [{"file_name": "d.rs", "line_start": 2, "expansion": null}]}]});
        let error = compile_error(&message).expect("an error");
        let places: Vec<(&str, usize)> =
            error.places.iter().map(|(file, line)| (file.as_str(), *line)).collect();
        assert_eq!(places, [("a.rs", 3), ("b.rs", 7), ("c.rs", 1), ("d.rs", 2)]);
        assert!(compile_error(&json!({"level": "warning", "spans": []})).is_none());
    }
}
