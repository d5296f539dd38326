//! Drivers of the real programs from outside (processes, HTTP, websockets), for the tests and
//! the benchmarks.
#![allow(clippy::missing_panics_doc, clippy::missing_errors_doc)]

pub mod attachments;
pub mod callers;
pub mod client;
pub mod feed;
pub mod issuer;
pub mod ledger;
pub mod process;
pub mod proxy;
pub mod rebuilds;
pub mod receiver;
pub mod repository;
pub mod stores;
pub mod world;

pub use client::{Answer, Client};
pub use feed::Feed;
pub use issuer::Issuer;
pub use proxy::Proxy;
pub use receiver::Receiver;
pub use world::{Kind, World};

/// Defines each test twice: once for the embedded program, once for the four services.
#[macro_export]
macro_rules! in_both_worlds {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::Kind::Embedded).await; })*
        }
        mod servers {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::Kind::Servers).await; })*
        }
    };
}
