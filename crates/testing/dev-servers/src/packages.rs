//! Programs on the path, the folder of fetched packages, and commands that fetch them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Returns the file of a program on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Returns the cache folder: `bakehouse` below `XDG_CACHE_HOME` or `~/.cache`; creates it.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = base
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let folder = base.join("bakehouse");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Returns the cache folder of a package; `fetch` fills it on the first call.
///
/// # Errors
/// If the package cannot be downloaded.
pub(crate) fn cached(package: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache()?;
    let name = package.replace("==", "-").replace('@', "-");
    let folder = cache.join(&name);
    if folder.exists() {
        return Ok(folder);
    }
    say(&format!("downloading {package} (once)"));
    let work = cache.join(format!("fetching-{name}-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    // Renamed at the end, so that an interruption leaves no partial folder. A concurrent process
    // may have created it first.
    let moved = fetch(&work).and_then(|()| match fs::rename(&work, &folder) {
        Err(error) if !folder.exists() => Err(error.into()),
        _ => Ok(()),
    });
    let _ = fs::remove_dir_all(&work);
    moved.with_context(|| format!("cannot download {package}"))?;
    Ok(folder)
}

/// Runs a command to its end; its error output is the error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let name = command.get_program().display().to_string();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", errors.trim());
    Ok(())
}

/// Prints progress to standard error.
pub(crate) fn say(text: &str) {
    eprintln!("servers: {text}");
}
