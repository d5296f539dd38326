//! api-server: the API, the feed, and commands for operators.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::api_server()
}
