//! Folders of servers, and the search for files.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

/// Environment variable with the folder of all servers of a test run.
pub(crate) const FOLDER_VARIABLE: &str = "BAKEHOUSE_TEST_FOLDER";

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

/// Creates a folder for a server of a single test.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let base = env::var_os(FOLDER_VARIABLE).map_or_else(env::temp_dir, PathBuf::from);
    let folder = base.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
