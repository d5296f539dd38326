//! Files of this repository, for tests that check them.

use std::path::{Path, PathBuf};

/// Folders that are not part of the repository.
const FOREIGN: [&str; 3] = [".git", "target", "node_modules"];

/// Returns the root folder.
///
/// # Panics
/// If the folder does not exist.
#[must_use]
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the workspace")
}

/// Returns all files with one of these extensions: their paths from the root, and their texts.
///
/// # Panics
/// If there are none, or one is not UTF-8.
#[must_use]
pub fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let root = root();
    let mut paths = Vec::new();
    collect(&root, extensions, &mut paths);
    assert!(!paths.is_empty(), "no files with {extensions:?}");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("within");
        let text = std::fs::read_to_string(&path).expect("text");
        (name.display().to_string(), text)
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !FOREIGN.iter().any(|foreign| name == *foreign) {
                collect(&path, extensions, into);
            }
        } else if extensions
            .iter()
            .any(|wanted| path.extension().is_some_and(|end| end == *wanted))
        {
            into.push(path);
        }
    }
}
