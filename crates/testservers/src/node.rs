//! Programs written in JavaScript that tests use, from the npm registry.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::provision::{kept, on_path, run};

/// Checks pages against the accessibility guidelines (WCAG).
const AXE: &str = "axe-core@4.14.1";

/// Fetches all of them, where there is npm.
///
/// # Errors
/// When one cannot be had.
pub(crate) fn prepare() -> Result<()> {
    axe().map(|_| ())
}

/// The script of axe, to be run in a page; `None` on a machine without npm.
///
/// # Errors
/// When it cannot be had.
pub fn axe() -> Result<Option<String>> {
    if on_path("npm").is_none() {
        return Ok(None);
    }
    let folder = kept(AXE, fetch)?;
    let script = folder.join("package/axe.min.js");
    Ok(Some(fs::read_to_string(script)?))
}

fn fetch(work: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(work)
        .arg(AXE);
    run(&mut npm)?;
    let packed = work.join(format!("{}.tgz", AXE.replace('@', "-")));
    let mut unpack = Command::new("tar");
    run(unpack.arg("-xzf").arg(packed).arg("-C").arg(work))
}
