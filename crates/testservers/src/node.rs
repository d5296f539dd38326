//! Programs written in JavaScript that tests use, from the npm registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::provision::{cache, on_path, run, say};

/// Checks pages against the accessibility guidelines (WCAG).
const AXE: &str = "axe-core-4.14.1";
const AXE_PACKAGE: &str = "axe-core@4.14.1";

/// The script of axe, to be run in a page; `None` on a machine without npm.
///
/// # Errors
/// When it cannot be had.
pub fn axe() -> Result<Option<String>> {
    if on_path("npm").is_none() {
        return Ok(None);
    }
    let folder = cache()?.join(AXE);
    if !folder.exists() {
        fetch(&folder).with_context(|| format!("cannot fetch {AXE_PACKAGE}"))?;
    }
    let script = folder.join("package/axe.min.js");
    Ok(Some(fs::read_to_string(script)?))
}

fn fetch(folder: &Path) -> Result<()> {
    say(&format!("fetching {AXE_PACKAGE} (once)"));
    let work = folder.with_extension(format!("fetching-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(&work)
        .arg(AXE_PACKAGE);
    let mut unpack = Command::new("tar");
    unpack
        .arg("-xzf")
        .arg(work.join(format!("{AXE}.tgz")))
        .arg("-C")
        .arg(&work);
    let fetched = run(&mut npm).and_then(|()| run(&mut unpack));
    // Renamed at the end, so that an interruption leaves nothing half-done.
    let moved = fetched.and_then(|()| Ok(fs::rename(&work, folder)?));
    let _ = fs::remove_dir_all(&work);
    moved
}
