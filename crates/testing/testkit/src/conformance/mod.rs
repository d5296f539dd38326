//! Conformance suites: one per port.

pub mod backlog;
pub mod blobs;
pub mod channel;
pub mod event_log;
pub mod feeds;
pub mod holes;
pub mod inspect;
pub mod leases;
pub mod lost_answers;
pub mod notices;
pub mod notifications;
pub mod presentation;
pub mod rebuilds;
pub mod reopening;
pub mod rows;
pub mod schedule;
pub mod source;
pub mod units_of_work;
pub mod unreadable;

/// Generates one `#[tokio::test]` for each named rule of a suite. The adapter's expression is
/// evaluated for every rule.
#[macro_export]
macro_rules! suite {
    ($module:ident, $port:ident, $make:expr, [$($rule:ident),* $(,)?]) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    $crate::conformance::$port::$rule($make.await).await;
                }
            )*
        }
    };
}
