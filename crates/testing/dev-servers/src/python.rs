//! Programs written in Python that tests run, from the Python Package Index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::provision::{kept, run};

/// Checks an API against its own description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Tests websockets, for Python 2.7.
const AUTOBAHN: &str = "autobahntestsuite==25.10.1";
/// An SMTP server.
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// Fetches all of them.
///
/// # Errors
/// When one cannot be had.
pub(crate) fn prepare() -> Result<()> {
    installed(SCHEMATHESIS)?;
    installed(AIOSMTPD)?;
    if let Some(python) = python_2() {
        installed_by(&python, AUTOBAHN)?;
    }
    Ok(())
}

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

/// A YAML file as JSON.
///
/// # Errors
/// When it cannot be read, or the library cannot be had.
pub fn yaml_to_json(file: &Path) -> Result<String> {
    // schemathesis brings the library.
    let mut command = python(SCHEMATHESIS, Path::new(""))?;
    let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = command.args(["-c", program]).arg(file).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A call of one of the modules as a program, with aiosmtpd at hand.
///
/// # Errors
/// When it cannot be had.
pub(crate) fn script(modules: &Path, name: &str) -> Result<Command> {
    let mut command = python(AIOSMTPD, modules)?;
    command.args(["-m", name]);
    Ok(command)
}

/// A call of the Autobahn test suite for websockets; `None` on a machine without
/// the Python 2.7 that it is written in.
///
/// # Errors
/// When it cannot be had.
pub fn autobahn() -> Result<Option<Command>> {
    let Some(python) = python_2() else {
        return Ok(None);
    };
    let folder = installed_by(&python, AUTOBAHN)?;
    let mut command = Command::new(python);
    // Some of what it needs is found by `.pth` files only.
    let start = "import os, site; site.addsitedir(os.environ['AUTOBAHN']); \
                 from autobahntestsuite.wstest import run; run()";
    command.env("AUTOBAHN", folder).args(["-c", start]);
    Ok(Some(command))
}

/// Python 2.7, on the path or as pyenv keeps it.
fn python_2() -> Option<PathBuf> {
    let versions = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let versions =
        versions.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = fs::read_dir(versions?.join("versions"))
        .into_iter()
        .flatten();
    let kept = versions
        .flatten()
        .map(|version| version.path().join("bin/python2.7"));
    let usual = ["/usr/bin/python2.7", "/usr/local/bin/python2.7"].map(PathBuf::from);
    usual.into_iter().chain(kept).find(|python| python.exists())
}

/// A call of Python that finds a package, and what is in `modules`.
fn python(package: &str, modules: &Path) -> Result<Command> {
    let folder = installed(package)?;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", std::env::join_paths([modules, &folder])?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// The folder that a package and what it needs are in.
fn installed(package: &str) -> Result<PathBuf> {
    installed_by(Path::new("python3"), package)
}

fn installed_by(python: &Path, package: &str) -> Result<PathBuf> {
    kept(package, |work| {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install"])
            .args(["--quiet", "--no-warn-script-location"]);
        run(pip.arg("--target").arg(work).arg(package))
    })
}
