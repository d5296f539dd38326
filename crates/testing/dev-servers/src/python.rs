//! Python packages from the Python Package Index that tests run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::packages::{cached, run};

/// Checker of an API against its OpenAPI description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Test suite for websockets; requires Python 2.7.
const AUTOBAHN: &str = "autobahntestsuite==25.10.1";
/// SMTP server.
const AIOSMTPD: &str = "aiosmtpd==1.4.6";

/// Downloads all packages.
///
/// # Errors
/// If a package cannot be downloaded.
pub(crate) fn prepare() -> Result<()> {
    installed(SCHEMATHESIS)?;
    installed(AIOSMTPD)?;
    if let Some(python) = python_2() {
        installed_by(&python, AUTOBAHN)?;
    }
    Ok(())
}

/// Returns a command that runs schemathesis with the modules in the folder `modules`; downloads it
/// if necessary.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn schemathesis(modules: &Path) -> Result<Command> {
    let mut command = python(SCHEMATHESIS, modules)?;
    command.args([
        "-c",
        "from schemathesis.cli import schemathesis; schemathesis()",
    ]);
    Ok(command)
}

/// Returns a command that runs aiosmtpd with the modules in the folder `modules`; downloads it if
/// necessary.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn aiosmtpd(modules: &Path) -> Result<Command> {
    let mut command = python(AIOSMTPD, modules)?;
    command.args(["-m", "aiosmtpd"]);
    Ok(command)
}

/// Converts a YAML file to JSON.
///
/// # Errors
/// If the file cannot be read, or the library cannot be downloaded.
pub fn yaml_to_json(file: &Path) -> Result<String> {
    // The package of schemathesis includes the library.
    let mut command = python(SCHEMATHESIS, Path::new(""))?;
    let program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let output = command.args(["-c", program]).arg(file).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}", errors.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// Returns a command that runs the module `name` of the folder `modules` with aiosmtpd installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub(crate) fn script(modules: &Path, name: &str) -> Result<Command> {
    let mut command = python(AIOSMTPD, modules)?;
    command.args(["-m", name]);
    Ok(command)
}

/// Returns a command that runs the Autobahn test suite for websockets; `None` if Python 2.7 is not
/// installed.
///
/// # Errors
/// If the package cannot be downloaded.
pub fn autobahn() -> Result<Option<Command>> {
    let Some(python) = python_2() else {
        return Ok(None);
    };
    let folder = installed_by(&python, AUTOBAHN)?;
    let mut command = Command::new(python);
    // Some dependencies are found through `.pth` files only.
    let start = "import os, site; site.addsitedir(os.environ['AUTOBAHN']); \
                 from autobahntestsuite.wstest import run; run()";
    command.env("AUTOBAHN", folder).args(["-c", start]);
    Ok(Some(command))
}

/// Returns Python 2.7: the system's, or one of pyenv's.
fn python_2() -> Option<PathBuf> {
    let versions = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let versions =
        versions.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")));
    let versions = fs::read_dir(versions?.join("versions"))
        .into_iter()
        .flatten();
    let installed = versions
        .flatten()
        .map(|version| version.path().join("bin/python2.7"));
    let usual = ["/usr/bin/python2.7", "/usr/local/bin/python2.7"].map(PathBuf::from);
    usual
        .into_iter()
        .chain(installed)
        .find(|python| python.exists())
}

/// Returns a command that runs Python with a package and the modules in the folder `modules`.
fn python(package: &str, modules: &Path) -> Result<Command> {
    let folder = installed(package)?;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", std::env::join_paths([modules, &folder])?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Returns the folder of a package and its dependencies.
fn installed(package: &str) -> Result<PathBuf> {
    installed_by(Path::new("python3"), package)
}

fn installed_by(python: &Path, package: &str) -> Result<PathBuf> {
    cached(package, |work| {
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install"])
            .args(["--quiet", "--no-warn-script-location"]);
        run(pip.arg("--target").arg(work).arg(package))
    })
}
