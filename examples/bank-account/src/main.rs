//! bank-account: accounts with hashed passwords, snapshots, two read models and a journal; an
//! example of a domain on the engine.

mod api;
mod domain;
mod password;
mod views;

use std::process::ExitCode;

use bakehouse_host::App;
use domain::Bank;
use views::{Accounts, Journal, Users};

fn main() -> ExitCode {
    App::<Bank>::new("bank-account", "Accounts and their balances")
        .read_model::<Accounts>()
        .read_model::<Users>()
        .process::<Journal>()
        .serve(api::definition())
}
