//! warehouse: stock of products, with notifications of low stock; an example of a process manager
//! and of the three modes of the engine:
//!
//! - `BAKEHOUSE_MODE=memory`: every answer contains the result, and nothing is stored on disk;
//! - `BAKEHOUSE_MODE=synchronous`: every answer contains the result, which is durable;
//! - asynchronous (the default), on SQLite or on MongoDB and RabbitMQ.

mod api;
mod domain;
mod low_stock;

use std::process::ExitCode;

use bakehouse_host::App;
use domain::Warehouse;
use low_stock::LowStock;

fn main() -> ExitCode {
    App::<Warehouse>::new("warehouse", "Stock of products")
        .process::<LowStock>()
        .serve(api::definition())
}
