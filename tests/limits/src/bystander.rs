//! A well-behaved client beside an attack: it must be served all the same.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bakehouse_e2e::Client;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::target::Target;

/// Pause between two of its requests.
const PAUSE: Duration = Duration::from_millis(100);
/// Its address; attacks come from others.
const ADDRESS: [u8; 4] = [127, 0, 0, 2];

/// A client that reads the list until it is told to stop.
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

    /// Longest time that one of its requests took.
    ///
    /// # Errors
    /// When one was not answered with 200.
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
    // No header where nobody is asked.
    let headers = &headers[..usize::from(!authorization.is_empty())];
    let mut longest = Duration::ZERO;
    while stopped.try_recv().is_err() {
        let began = Instant::now();
        let answer = client.get_with("/order?limit=1", headers).await?;
        longest = longest.max(began.elapsed());
        let status = answer.status;
        ensure!(status == 200, "another client got {status}");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(longest)
}
