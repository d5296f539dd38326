//! Programs of orders: all services in one process, or one service each. The main function of each
//! calls one function of this crate.

mod api;
mod notifications;
mod settings;

use std::process::ExitCode;

use bakehouse_host::App;
use bakehouse_orders::Orders;
pub use settings::OrdersSettings;

/// Settings of the programs of orders.
pub type Configuration = bakehouse_host::Configuration<OrdersSettings>;

/// Runs `bakehouse`: all services in one process, on the embedded store.
pub fn all_in_one() -> ExitCode {
    let about = "An order backend in one process: nothing to install, nothing lost";
    app("bakehouse", about).serve_with(api::api)
}

/// Runs `api-server`: the API, the feed, and commands for operators.
#[cfg(feature = "servers")]
pub fn api_server() -> ExitCode {
    let about = "Accepts orders over HTTP, answers from the presentation, feeds websockets";
    app("api-server", about).run_api(api::api)
}

/// Runs `events-writer`: the schedule queue into the log.
#[cfg(feature = "servers")]
pub fn events_writer() -> ExitCode {
    let about = "Appends accepted operations to the log, each once, in one order";
    app("events-writer", about).run_writer()
}

/// Runs `orders-manager`: the log into the source orders.
#[cfg(feature = "servers")]
pub fn orders_manager() -> ExitCode {
    let about = "Executes the operations of the log in creation order, each once";
    app("orders-manager", about).run_manager()
}

/// Runs `data-baker`: source orders into presentation documents.
#[cfg(feature = "servers")]
pub fn data_baker() -> ExitCode {
    let about = "Turns changed orders into documents that are ready to read";
    app("data-baker", about).run_baker()
}

/// Runs `notifier`: changes of orders by e-mail, text message and webhook.
#[cfg(feature = "servers")]
pub fn notifier() -> ExitCode {
    let about = "Notifies customers and other programs of changes of orders";
    app("notifier", about).run_notifier()
}

fn app(name: &'static str, about: &'static str) -> App<Orders, OrdersSettings> {
    App::new(name, about)
        .without_namespace()
        .notifications(notifications::notifications)
        .blobs(api::blobs_to_read)
}
