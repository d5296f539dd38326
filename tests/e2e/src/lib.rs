//! Drives the real programs from outside: processes, HTTP, websockets. For
//! tests and for the benchmark.
#![allow(clippy::missing_panics_doc, clippy::missing_errors_doc)]

pub mod client;
pub mod feed;
pub mod ledger;
pub mod process;
pub mod world;

pub use client::{Answer, Client};
pub use feed::Feed;
pub use world::{Kind, World};
