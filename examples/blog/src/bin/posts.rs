//! The service of posts: see the library's own words.

use std::process::ExitCode;

fn main() -> ExitCode {
    blog::posts::main()
}
