//! Programs written in Python that tests run, from the Python Package Index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::provision::{cache, run, say};

/// Checks an API against its own description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// An SMTP server.
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// A call of schemathesis, which is fetched if it is not there yet; with what is
/// in `modules` at hand.
///
/// # Errors
/// When it cannot be had.
pub fn schemathesis(modules: &Path) -> Result<Command> {
    let mut command = python(SCHEMATHESIS, modules)?;
    command.args([
        "-c",
        "from schemathesis.cli import schemathesis; schemathesis()",
    ]);
    Ok(command)
}

/// A call of aiosmtpd, likewise.
///
/// # Errors
/// When it cannot be had.
pub fn aiosmtpd(modules: &Path) -> Result<Command> {
    let mut command = python(AIOSMTPD, modules)?;
    command.args(["-m", "aiosmtpd"]);
    Ok(command)
}

/// A call of Python that finds a package, and what is in `modules`.
fn python(package: &str, modules: &Path) -> Result<Command> {
    let folder = installed(package).with_context(|| format!("cannot fetch {package}"))?;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", std::env::join_paths([modules, &folder])?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// The folder that a package and what it needs are in.
fn installed(package: &str) -> Result<PathBuf> {
    let cache = cache()?;
    let folder = cache.join(package.replace("==", "-"));
    if folder.exists() {
        return Ok(folder);
    }
    say(&format!("fetching {package} (once)"));
    let work = cache.join(format!("fetching-{package}-{}", std::process::id()));
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-warn-script-location",
    ]);
    let fetched = run(pip.arg("--target").arg(&work).arg(package));
    // Renamed at the end, so that an interruption leaves nothing half-done. Who
    // comes second finds it there already.
    let moved = fetched.and_then(|()| match fs::rename(&work, &folder) {
        Err(error) if !folder.exists() => Err(error.into()),
        _ => Ok(()),
    });
    let _ = fs::remove_dir_all(&work);
    moved.map(|()| folder)
}
