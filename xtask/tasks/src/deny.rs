//! `cargo xtask deny`.

use std::path::PathBuf;

use anyhow::Result;

use crate::workspace::{cargo, finish, interruption};

/// Checks everything that can be checked here, and names what cannot.
pub(crate) async fn run() -> Result<()> {
    let interruption = interruption()?;
    if finish(cargo(&["deny", "--version"]), &interruption)
        .await
        .is_err()
    {
        eprintln!(
            "deny: not checked: licences, bans, sources and advisories: cargo-deny is not installed \
             (cargo install cargo-deny); licences and sources are checked by the tests as well"
        );
        return Ok(());
    }
    let rest = ["deny", "--offline", "check", "licenses", "bans", "sources"];
    finish(cargo(&rest), &interruption).await?;
    let Some(database) = database() else {
        eprintln!(
            "deny: not checked: advisories: there is no RustSec advisory database on this machine; \
             run `cargo deny fetch` with a network, then this again"
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

/// The advisory database, where there is one.
fn database() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let folder = cargo.or(home)?.join("advisory-dbs");
    Some(folder).filter(|folder| {
        let entries = std::fs::read_dir(folder);
        entries.is_ok_and(|mut entries| entries.next().is_some())
    })
}
