//! notifier: changes of orders by e-mail, text message and webhook.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::notifier()
}
