//! Service of posts; the library's documentation explains how to start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::posts::main()
}
