//! Conformance of the remote feed to the port of feeds.

use std::sync::Arc;

use bakehouse_remote_feed::{RemoteFeed, client};
use bakehouse_testkit::conformance::feeds::FeedSetup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Answers one request with those of five frames that follow its position, and keeps the connection
/// open.
async fn serve(mut socket: TcpStream) {
    let mut request = vec![0; 4096];
    let length = socket.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let since = request.split_once("since=").map(|(_, rest)| rest);
    let since = since.and_then(|rest| rest.split([' ', '&']).next());
    let since: u64 = since.map_or(5, |text| text.parse().expect("a position"));
    let mut answer = String::from(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
         data: {\"type\":\"welcome\",\"epoch\":\"e\",\"head\":5}\n\n",
    );
    for position in since + 1..=5 {
        answer += &format!(
            "data: {{\"type\":\"user.created\",\"position\":{position},\"user_id\":\"u\"}}\n\n\
             data: {{\"type\":\"ping\"}}\n\n"
        );
    }
    answer += "data: {\"type\":\"live\",\"position\":5}\n\n";
    let _ = socket.write_all(answer.as_bytes()).await;
    // Returns when the client closes the connection.
    let _ = socket.read(&mut [0; 1]).await;
}

bakehouse_testkit::feeds_suite!(remote_feed, async {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/feed", listener.local_addr().expect("an address"));
    let guard: JoinHandle<()> = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let (wake_signal, _) = watch::channel(0);
    let url = (url.parse().expect("a URL"), None);
    let feed = RemoteFeed::new("users", url, client().expect("a client"), wake_signal);
    FeedSetup {
        feed: Arc::new(feed),
        epoch: "e".into(),
        guard,
    }
});
