//! Readiness probe that runs at most one check at a time.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::AbortHandle;

use crate::ports::Probe;

/// A running check: the handle of its task, and its result.
type RunningCheck = (AbortHandle, Shared<BoxFuture<'static, Result<(), String>>>);

/// A probe that runs at most one check at a time. Concurrent callers share its result, and a check
/// continues after its callers are gone. A dependency that hangs is therefore checked once, however
/// often readiness is requested.
pub struct SingleFlight {
    inner: Arc<dyn Probe>,
    running: Mutex<Option<RunningCheck>>,
}

impl SingleFlight {
    /// Wraps a probe.
    #[must_use]
    pub fn new(inner: impl Probe + 'static) -> Self {
        Self {
            inner: Arc::new(inner),
            running: Mutex::default(),
        }
    }

    /// Joins the running check, or starts one.
    fn current_check(&self) -> Shared<BoxFuture<'static, Result<(), String>>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((task, check)) = running.as_ref()
            && !task.is_finished()
        {
            return check.clone();
        }
        let inner = self.inner.clone();
        let task = tokio::spawn(async move { inner.check().await });
        let handle = task.abort_handle();
        let check = task.map(|joined| joined.unwrap_or_else(|error| Err(error.to_string())));
        let check = check.boxed().shared();
        *running = Some((handle, check.clone()));
        check
    }
}

#[async_trait]
impl Probe for SingleFlight {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn check(&self) -> Result<(), String> {
        self.current_check().await
    }

    fn note(&self) -> Option<String> {
        self.inner.note()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A probe that hangs until a permit is available. It counts its checks.
    struct Hanging(Arc<AtomicUsize>, Arc<tokio::sync::Semaphore>);

    #[async_trait]
    impl Probe for Hanging {
        fn name(&self) -> &str {
            "hanging"
        }

        async fn check(&self) -> Result<(), String> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let _permit = self.1.acquire().await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_dependency_that_hangs_is_checked_once() {
        let (checks, permits) = (Arc::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let probe = SingleFlight::new(Hanging(Arc::clone(&checks), permits.clone()));
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_millis(20), probe.check());
            assert!(waited.await.is_err());
        }
        assert_eq!(checks.load(Ordering::SeqCst), 1);
        permits.add_permits(1);
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(probe.check().await, Ok(()));
        assert_eq!(
            checks.load(Ordering::SeqCst),
            2,
            "a new check starts after the first has ended"
        );
    }
}
