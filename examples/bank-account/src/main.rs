//! bank-account: accounts with passwords that nobody can read, snapshots, two read
//! models and a journal, as an example of a domain of one's own on the engine.

mod api;
mod domain;
mod password;
mod views;

use std::process::ExitCode;

use bakehouse_host::App;
use domain::Bank;
use views::{Accounts, Journal, Users};

fn main() -> ExitCode {
    App::<Bank>::new("bank-account", "Accounts, and what is on them")
        .read_model::<Accounts>()
        .read_model::<Users>()
        .process::<Journal>()
        .serve(api::definition())
}
