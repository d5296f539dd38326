//! bakehouse: all services in one process, on an embedded store.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::all_in_one()
}
