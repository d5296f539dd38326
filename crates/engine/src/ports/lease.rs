//! Leases: who of several instances does the work.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;

/// Leases by name, judged by the store's clock and no other.
///
/// A lease saves double work; it does not protect the data. A holder that was
/// paused beyond its time does not know it: what stops it is the checkpoint
/// that every commit is conditional on.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes the lease if nobody holds it, or if `holder` does already.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Prolongs it. `false`: somebody else has held it since.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError>;

    /// Gives it back, so that a standby need not wait for it to run out.
    ///
    /// # Errors
    /// When the store does not answer; it then runs out.
    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError>;
}

/// A lease held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// By whom.
    pub holder: String,
    /// Rises by one whenever the holder changes.
    pub epoch: u64,
}
