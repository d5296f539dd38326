//! `cargo xtask`: builds the program of the tasks and replaces itself with it.
//!
//! This package has no dependencies. Built alone, the dependencies of the tasks would have fewer
//! features than in a build of the workspace, and would be built twice before the first test.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Name of the program of the tasks.
const TASKS: &str = "bakehouse-tasks";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let is_test = arguments.first().is_some_and(|task| task == "test");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let targets: &[&str] = match is_test {
        true => &["--all-targets"],
        false => &["--quiet", "--bin", TASKS],
    };
    let built = command(&cargo)
        .args(["build", "--workspace"])
        .args(targets)
        .current_dir(manifest.parent().unwrap_or(manifest))
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return ExitCode::FAILURE,
        Err(error) => return fail("cargo", &error),
    }
    // Cargo puts both programs into the same folder.
    let tasks = std::env::current_exe().map(|own| own.with_file_name(TASKS));
    match tasks {
        Ok(tasks) => fail(TASKS, &command(tasks.as_os_str()).args(arguments).exec()),
        Err(error) => fail(TASKS, &error),
    }
}

/// Creates a command without cargo's variables about this package. Build scripts that depend on
/// them (such as that of ring) would otherwise run again after every change between `cargo build`
/// and `cargo xtask`, and nearly everything would be rebuilt.
fn command(program: &OsStr) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command
}

fn fail(program: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("xtask: cannot run {program}: {error}");
    ExitCode::FAILURE
}
