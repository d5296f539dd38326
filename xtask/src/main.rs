//! `cargo xtask`: builds the tasks and becomes them.
//!
//! It depends on nothing. Built by itself, what the tasks are made of would have fewer
//! features than as part of the workspace, and all of it, the drivers above all, would be
//! built twice on the way to the first test.

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
    let built = Command::new(cargo)
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
        Ok(tasks) => complain(TASKS, &Command::new(tasks).args(arguments).exec()),
        Err(error) => complain(TASKS, &error),
    }
}

fn complain(program: &str, error: &std::io::Error) -> ExitCode {
    eprintln!("xtask: {program} cannot be run: {error}");
    ExitCode::FAILURE
}
