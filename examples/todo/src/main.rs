//! todo: things to be done.

mod api;
mod domain;

fn main() -> std::process::ExitCode {
    bakehouse_host::main::<domain::Todos>("todo", "Things to be done", api::definition())
}
