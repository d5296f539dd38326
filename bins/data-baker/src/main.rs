//! data-baker: source orders into presentation documents.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::data_baker()
}
