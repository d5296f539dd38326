//! calculator: values that can be added to and multiplied, as an example of a
//! domain of one's own on the engine.

mod api;
mod domain;

use std::process::ExitCode;

use domain::Calculator;

fn main() -> ExitCode {
    let about = "Values that can be added to and multiplied";
    bakehouse_host::main::<Calculator>("calculator", about, api::definition())
}
