//! orders-manager: the log into the source orders.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::orders_manager()
}
