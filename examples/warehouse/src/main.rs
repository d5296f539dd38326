//! warehouse: products on shelves, and whoever must know when few are left, as an
//! example of a process manager and of the three modes of the engine:
//!
//! - `BAKEHOUSE_MODE=memory`: every answer is final, nothing is kept;
//! - `BAKEHOUSE_MODE=synchronous`: every answer is final, and on disk;
//! - asynchronous, on the embedded store or over MongoDB and RabbitMQ.

mod api;
mod domain;
mod low_stock;

use std::process::ExitCode;

use bakehouse_host::App;
use domain::Warehouse;
use low_stock::LowStock;

fn main() -> ExitCode {
    App::<Warehouse>::new("warehouse", "Products on shelves")
        .process::<LowStock>()
        .serve(api::definition())
}
