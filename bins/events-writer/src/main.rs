//! events-writer: the schedule queue into the log.

fn main() -> std::process::ExitCode {
    bakehouse_orders_app::events_writer()
}
