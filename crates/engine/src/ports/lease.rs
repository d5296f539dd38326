//! Leases for the leader election among several instances.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// Named leases. Their expiry is measured only by the store's clock.
///
/// A lease avoids duplicate work; it does not protect the data. A holder that was paused longer
/// than its lease may still believe that it leads. Its commits are fenced, because they require an
/// unchanged checkpoint.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Acquires a lease if it is free, or held by `holder` already. Returns `None` if another
    /// instance holds it.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Renews a lease. Returns `false` if another instance has acquired it since.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError>;

    /// Releases a lease, so that a standby need not wait for its expiry.
    ///
    /// # Errors
    /// When the store does not answer; the lease then expires.
    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError>;
}

/// An acquired lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Instance that holds the lease.
    pub holder: String,
    /// Number that increases by one whenever the holder changes.
    pub epoch: u64,
}
