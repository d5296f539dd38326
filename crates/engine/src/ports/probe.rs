//! Readiness probes of a service's dependencies.

use async_trait::async_trait;

/// Readiness probe of a dependency.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Returns the name of the dependency for operators: `source database`, `broker`.
    fn name(&self) -> &str;

    /// Checks the dependency.
    ///
    /// # Errors
    /// The reason why it is unavailable: a sentence for operators, without secrets.
    async fn check(&self) -> Result<(), String>;

    /// Returns a remark on the last check for the details of readiness, without secrets. It does
    /// not affect readiness.
    fn note(&self) -> Option<String> {
        None
    }
}
