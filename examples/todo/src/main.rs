//! todo: a todo list.

mod api;
mod domain;

fn main() -> std::process::ExitCode {
    bakehouse_host::main::<domain::Todos>("todo", "A todo list", api::definition())
}
