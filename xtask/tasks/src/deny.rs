//! `cargo xtask deny`.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::{cargo, finish, interruption};

/// Runs all checks that are possible on this machine and prints those that are not.
pub(crate) async fn run() -> Result<()> {
    let interruption = interruption()?;
    if finish(cargo(&["deny", "--version"]), &interruption)
        .await
        .is_err()
    {
        eprintln!(
            "deny: cargo-deny is not installed, nothing was checked; run `cargo install cargo-deny` \
             (the tests check licences and sources as well)"
        );
        return Ok(());
    }
    let rest = ["deny", "--offline", "check", "licenses", "bans", "sources"];
    finish(cargo(&rest), &interruption).await?;
    let Some(database) = database() else {
        eprintln!(
            "deny: advisories were not checked, since the RustSec database is missing; run \
             `cargo deny fetch` with a network connection, then `cargo xtask deny` again"
        );
        return Ok(());
    };
    eprintln!("deny: advisories of {}", database.display());
    let advisories = [
        "deny",
        "--offline",
        "check",
        "--disable-fetch",
        "advisories",
    ];
    finish(cargo(&advisories), &interruption).await
}

/// Returns the folder of the advisory database, if there is one.
fn database() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let folder = cargo.or(home)?.join("advisory-dbs");
    Some(folder).filter(|folder| {
        let entries = std::fs::read_dir(folder);
        entries.is_ok_and(|mut entries| entries.next().is_some())
    })
}
