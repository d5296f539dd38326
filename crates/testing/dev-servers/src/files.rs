//! Search for files.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns every file under `folder` whose path ends with the components of `ending`.
pub(crate) fn find(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(find(&path, ending));
        } else if path.ends_with(ending) {
            found.push(path);
        }
    }
    found
}
