//! Service of users; the library's documentation explains how to start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::users::main()
}
