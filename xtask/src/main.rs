//! `cargo xtask`: builds the tasks and becomes them.
//!
//! It depends on nothing. Built by itself, what the tasks are made of would have fewer
//! features than as part of the workspace, and all of it, the drivers above all, would be
//! built twice on the way to the first test.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

const TASKS: &str = "bakehouse-tasks";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let is_test = arguments.first().is_some_and(|task| task == "test");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let what: &[&str] = match is_test {
        true => &["--all-targets"],
        false => &["--quiet", "--bin", TASKS],
    };
    let built = command(&cargo)
        .args(["build", "--workspace"])
        .args(what)
        .current_dir(manifest.parent().unwrap_or(manifest))
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return ExitCode::FAILURE,
        Err(error) => return complain("cargo", &error),
    }
    // Both are in one folder, wherever that is.
    let tasks = std::env::current_exe().map(|own| own.with_file_name(TASKS));
    match tasks {
        Ok(tasks) => complain(TASKS, &command(tasks.as_os_str()).args(arguments).exec()),
        Err(error) => complain(TASKS, &error),
    }
}

/// Without what cargo says of this package to what it runs: a build script that looks at
/// that (ring's does) would run again, and nearly everything be built again, whenever
/// `cargo build` and `cargo xtask` take turns.
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

fn complain(program: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("xtask: {program} cannot be run: {error}");
    ExitCode::FAILURE
}
