//! Outcomes of deliveries to endpoints and to a mail server on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{Channel, Mail, SendError};
use bakehouse_engine::{Frame, Json, Notification, Timestamp, to_json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::{email, webhook};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a listener that handles its connections one after the other; returns its address and the
/// counter of connections.
async fn listen<F, C>(handle: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> C + Send + 'static,
    C: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::<AtomicUsize>::default();
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            handle(stream).await;
        }
    });
    (address, connections)
}

/// Starts an HTTP endpoint that answers with this response head and no body.
async fn endpoint(head: String) -> (SocketAddr, Arc<AtomicUsize>) {
    listen(move |mut stream| {
        let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

/// Starts a mail server that answers every `MAIL` command with this reply.
async fn mail_server(reply: &'static str) -> SocketAddr {
    let (address, _) = listen(move |stream| async move {
        let mut stream = BufReader::new(stream);
        let _ = stream.write_all(b"220 ready\r\n").await;
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let answer = match line.get(..4) {
                Some("MAIL") => reply,
                Some("QUIT") => "221 bye",
                _ => "250 fine",
            };
            let _ = stream.write_all(format!("{answer}\r\n").as_bytes()).await;
            line.clear();
        }
    })
    .await;
    address
}

fn notification(to: &str, message: Json) -> Notification {
    let frame = Frame {
        position: 1,
        kind: "order.created".into(),
        entity_id: "o".into(),
        owner: None,
        group: None,
        left_group: None,
        body: to_json(&()).expect("JSON"),
    };
    let request = Request {
        lane: "lane".into(),
        channel: "any",
        to: to.into(),
        message,
    };
    let now = Timestamp::now();
    Notification::requested(ids::fresh(), &frame, now, request, now)
}

async fn call(url: String, allow_private: bool) -> Result<(), SendError> {
    let settings = webhook::Settings {
        url,
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
        allow_private,
        timeout: TIMEOUT,
    };
    let webhook = webhook::Webhook::new(&settings).expect("usable");
    let message = to_json(&()).expect("JSON");
    webhook.send(&notification("host", message)).await
}

/// Calls an endpoint that answers with this response head; returns the outcome.
async fn outcome_of(head: &str) -> Result<(), SendError> {
    let (address, _) = endpoint(head.to_owned()).await;
    call(format!("http://{address}/"), true).await
}

#[tokio::test]
async fn a_name_of_this_machine_is_not_called_unless_allowed() {
    let (address, connections) = endpoint("200 OK".into()).await;
    let url = format!("http://localhost:{}/", address.port());
    let refused = call(url.clone(), false).await;
    let expected = SendError::unavailable("the host has no public address");
    assert_eq!(refused, Err(expected));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    assert_eq!(call(url, true).await, Ok(()));
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, connections) = endpoint("200 OK".into()).await;
    let head = format!("307 Temporary Redirect\r\nlocation: http://{elsewhere}/");
    let text = "status 307; redirects are not followed";
    assert_eq!(outcome_of(&head).await, Err(SendError::unavailable(text)));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn the_retry_after_of_an_endpoint_is_respected() {
    let day = Duration::from_secs(24 * 60 * 60);
    for (value, retry_after) in [
        ("7", Some(Duration::from_secs(7))),
        ("99999999", Some(day)),
        ("-1", None),
        ("soon", None),
    ] {
        let head = format!("503 Service Unavailable\r\nretry-after: {value}");
        let reason = "status 503".to_owned();
        let expected = SendError::Unavailable {
            reason,
            retry_after,
        };
        assert_eq!(outcome_of(&head).await, Err(expected), "{value}");
    }
    let gone = SendError::Refused("the endpoint is gone (410)".into());
    assert_eq!(outcome_of("410 Gone").await, Err(gone));
}

async fn mail(reply: &'static str) -> Result<(), SendError> {
    let settings = email::Settings {
        lane: "email".into(),
        uri: format!("smtp://{}", mail_server(reply).await),
        from: "Shop <shop@example.org>".into(),
        timeout: TIMEOUT,
        connections: 1,
    };
    let mail = Mail {
        subject: "Your order".into(),
        text: "It is on its way.".into(),
    };
    let channel = email::channel(settings).expect("usable");
    let message = to_json(&mail).expect("JSON");
    channel
        .send(&notification("ada@example.org", message))
        .await
}

/// Replies about access, which an operator can correct, are retried; replies about the mail are
/// not.
#[tokio::test]
async fn replies_about_access_are_retryable() {
    for reply in [
        "530 log in",
        "535 wrong password",
        "421 closing",
        "451 later",
    ] {
        let error = mail(reply).await.expect_err("not sent");
        assert!(
            matches!(error, SendError::Unavailable { .. }),
            "{reply}: {error}"
        );
    }
    for reply in ["550 no such mailbox", "554 no"] {
        let error = mail(reply).await.expect_err("not sent");
        assert!(matches!(error, SendError::Refused(_)), "{reply}: {error}");
    }
}
