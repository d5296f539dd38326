//! The service of users: see the library's own words.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::users::main()
}
