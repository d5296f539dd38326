//! Readiness: whether what a service depends on answers.

use async_trait::async_trait;

/// Something a service needs.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What it is, as an operator would call it: `source database`, `broker`.
    fn name(&self) -> &str;

    /// Asks it.
    ///
    /// # Errors
    /// Why it is not there, a sentence for an operator, without secrets.
    async fn check(&self) -> Result<(), String>;

    /// Remark on the last check, for the details of readiness, which it does not decide; without
    /// secrets.
    fn note(&self) -> Option<String> {
        None
    }
}
