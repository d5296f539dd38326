//! calculator: values that support addition and multiplication; an example of a domain on the
//! engine.

mod api;
mod domain;

use std::process::ExitCode;

use domain::Calculator;

fn main() -> ExitCode {
    let about = "Values that support addition and multiplication";
    bakehouse_host::main::<Calculator>("calculator", about, api::definition())
}
