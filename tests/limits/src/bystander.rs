//! A well-behaved client during an attack, which must still be served.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bakehouse_e2e::Client;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::target::Target;

/// Time between two requests.
const PAUSE: Duration = Duration::from_millis(100);
/// Source address of its requests; attacks use other addresses.
const ADDRESS: [u8; 4] = [127, 0, 0, 2];

/// A client that reads the list until it is stopped.
pub(crate) struct Bystander {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Duration>>,
}

impl Bystander {
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let client = Client::from_address(&target.base, ADDRESS.into());
        let authorization = target.authorization("bystander")?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(read(client, authorization, stopped));
        Ok(Self { stop, task })
    }

    /// Stops the client. Returns the longest time that a request took.
    ///
    /// # Errors
    /// When a request was not answered with 200.
    pub(crate) async fn stop(self) -> Result<Duration> {
        let _ = self.stop.send(());
        self.task.await?
    }
}

async fn read(
    client: Client,
    authorization: String,
    mut stopped: oneshot::Receiver<()>,
) -> Result<Duration> {
    let headers = [("Authorization", authorization.as_str())];
    // No header without a token.
    let headers = &headers[..usize::from(!authorization.is_empty())];
    let mut longest = Duration::ZERO;
    while stopped.try_recv().is_err() {
        let started = Instant::now();
        let answer = client.get_with("/order?limit=1", headers).await?;
        longest = longest.max(started.elapsed());
        let status = answer.status;
        ensure!(status == 200, "another client got {status}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(longest)
}
