//! Requests for a feed: the token comes from a file, and is sent to the configured URL only.

use std::path::PathBuf;
use std::time::Duration;

use bakehouse_engine::ports::FeedSource;
use bakehouse_remote_feed::{RemoteFeed, client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use url::Url;

const WELCOME: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                       data: {\"type\":\"welcome\",\"epoch\":\"e\",\"head\":7}\n\n";

/// Starts a service that gives every request this answer and closes. Returns its URL and the
/// requests.
async fn service(answer: String) -> (Url, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/feed", listener.local_addr().expect("an address"));
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap_or_default();
            request.truncate(length);
            let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (url.parse().expect("a URL"), requests)
}

fn feed(url: Url, token_file: Option<PathBuf>) -> RemoteFeed {
    let (wake_signal, _) = watch::channel(0);
    RemoteFeed::new(
        "users",
        (url, token_file),
        client().expect("a client"),
        wake_signal,
    )
}

#[tokio::test]
async fn each_connection_sends_the_current_token() {
    let (url, mut requests) = service(WELCOME.to_owned()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, "first.token\n").expect("written");
    let feed = feed(url.clone(), Some(file.clone()));
    assert_eq!(feed.head().await.expect("a head").position, 7);
    let request = requests.recv().await.expect("a request");
    assert!(
        request.contains("authorization: Bearer first.token\r\n"),
        "{request}"
    );
    // The feed reconnects again and again, each time with the current token.
    assert!(feed.frames(7, 10).await.is_ok());
    requests.recv().await.expect("a request");
    std::fs::write(&file, "second.token").expect("written");
    let second = async {
        loop {
            let request = requests.recv().await.expect("a request");
            if request.contains("authorization: Bearer second.token\r\n") {
                return;
            }
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), second).await;
    assert!(seen.is_ok(), "the new token");
    for text in ["", "two\nlines"] {
        std::fs::write(&file, text).expect("written");
        let error = feed.head().await.expect_err("no token").to_string();
        assert!(error.contains("follow.users.token_file"), "{error}");
    }
    std::fs::remove_file(&file).expect("removed");
    let error = feed.head().await.expect_err("no token").to_string();
    assert!(error.contains("follow.users.token_file"), "{error}");
}

#[tokio::test]
async fn a_redirect_does_not_receive_the_token() {
    let (target, mut redirected) = service(WELCOME.to_owned()).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"
    );
    let (url, mut requests) = service(redirect).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "secret").expect("written");
    let feed = feed(url, Some(file.path().to_owned()));
    let error = feed.head().await.expect_err("no feed").to_string();
    assert!(error.contains("redirects are not followed"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert!(requests.recv().await.is_some());
    assert!(redirected.try_recv().is_err());
}

#[tokio::test]
async fn a_refusal_names_the_setting_to_check() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (url, _requests) = service(refusal).await;
    let error = feed(url, None)
        .head()
        .await
        .expect_err("no feed")
        .to_string();
    assert!(error.contains("follow.users.token_file"), "{error}");
}
