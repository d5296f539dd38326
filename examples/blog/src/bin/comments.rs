//! The service of comments: see the library's own words.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::comments::main()
}
