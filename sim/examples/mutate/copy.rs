//! A copy of the workspace, to break.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies what is tracked, as it stands in the working tree, and changes the Rust sources on the
/// way: `change` gets the name and the text. What is there already stays untouched, so that only
/// what is new is compiled.
pub(crate) fn copy(
    root: &Path,
    tree: &Path,
    change: impl Fn(&str, String) -> Result<String, String>,
) -> Result<(), String> {
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    let listed = listed.map_err(|error| format!("git ls-files: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names = || listed.split('\0').filter(|name| !name.is_empty());
    remove_others(tree, &names().map(|name| tree.join(name)).collect())?;
    for name in names() {
        let (from, to) = (root.join(name), tree.join(name));
        let Ok(mut wanted) = fs::read(&from) else { continue };
        if name.ends_with(".rs") {
            let text = String::from_utf8(wanted).map_err(|_| format!("{name}: not a text"))?;
            wanted = change(name, text)?.into_bytes();
        }
        if fs::read(&to).ok().as_ref() != Some(&wanted) {
            let folder = to.parent().ok_or("a file has a folder")?;
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            fs::write(&to, wanted).map_err(|error| format!("{}: {error}", to.display()))?;
        }
    }
    Ok(())
}

/// Removes the files of an earlier run that are tracked no more.
fn remove_others(folder: &Path, tracked: &BTreeSet<PathBuf>) -> Result<(), String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            remove_others(&path, tracked)?;
        } else if !tracked.contains(&path) {
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    Ok(())
}
