//! Conformance of the email, text message and webhook channels to the suite of channels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bakehouse_engine::ports::{Channel, Mail, ShortText};
use bakehouse_engine::to_json;
use bakehouse_notification_channels::{email, sms, webhook};
use bakehouse_testkit::conformance::channel::{Answer, ChannelSetup, Receiver};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUT: Duration = Duration::from_secs(1);

/// Server whose answers the suite controls.
struct Server {
    state: Mutex<(Answer, Vec<String>)>,
}

impl Receiver for Server {
    fn answer(&self, answer: Answer) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = answer;
    }

    fn received(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.clone()
    }
}

type Socket = BufStream<TcpStream>;

impl Server {
    fn current_answer(&self) -> Answer {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn record(&self, text: String) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.push(text);
    }

    /// Answers with one of three texts, or not at all; returns `None` when the connection ends.
    async fn reply(&self, socket: &mut Socket, texts: [&str; 3]) -> Option<()> {
        let text = match self.current_answer() {
            Answer::Accept => texts[0],
            Answer::Refuse => texts[1],
            Answer::Postpone => texts[2],
            Answer::Disconnect => return None,
            Answer::Silence => {
                // Waits until the client closes the connection.
                let _ = socket.read_u8().await;
                return None;
            }
        };
        socket.write_all(text.as_bytes()).await.ok()?;
        socket.flush().await.ok()
    }

    /// Serves the HTTP requests of a connection.
    async fn http(self: Arc<Self>, mut socket: Socket, never: &'static str) -> Option<()> {
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let at = head.len();
                if socket.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
                let line = head[at..].to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().ok()?;
                }
            }
            let mut body = vec![0; length];
            socket.read_exact(&mut body).await.ok()?;
            let is_taken = self.current_answer() == Answer::Accept;
            if is_taken {
                self.record(head + &String::from_utf8_lossy(&body));
            }
            let taken = "HTTP/1.1 204 No Content\r\n\r\n";
            let later = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            self.reply(&mut socket, [taken, never, later]).await?;
        }
    }

    /// Serves the SMTP commands of a connection.
    async fn smtp(self: Arc<Self>, mut socket: Socket) -> Option<()> {
        socket.write_all(b"220 mail.example\r\n").await.ok()?;
        socket.flush().await.ok()?;
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            match line
                .get(..4)
                .unwrap_or_default()
                .to_ascii_uppercase()
                .as_str()
            {
                "RCPT" => {
                    let (never, later) = ("550 no such box\r\n", "451 try again\r\n");
                    self.reply(&mut socket, ["250 yes\r\n", never, later])
                        .await?;
                }
                "DATA" => {
                    socket.write_all(b"354 go on\r\n").await.ok()?;
                    socket.flush().await.ok()?;
                    let mut mail = String::new();
                    while !mail.ends_with("\r\n.\r\n") {
                        socket.read_line(&mut mail).await.ok()?;
                    }
                    self.record(mail);
                    socket.write_all(b"250 taken\r\n").await.ok()?;
                    socket.flush().await.ok()?;
                }
                _ => {
                    socket.write_all(b"250 yes\r\n").await.ok()?;
                    socket.flush().await.ok()?;
                }
            }
        }
    }
}

/// Protocol of a server.
#[derive(Clone, Copy)]
enum Protocol {
    Smtp,
    /// HTTP, with the response to a message that is permanently refused.
    Http(&'static str),
}

/// Starts a server; returns it and its address.
async fn serve(protocol: Protocol) -> (Arc<Server>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    let state = Mutex::new((Answer::Accept, Vec::new()));
    let server = Arc::new(Server { state });
    let other = server.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (server, socket) = (other.clone(), BufStream::new(socket));
            match protocol {
                Protocol::Smtp => tokio::spawn(server.smtp(socket)),
                Protocol::Http(never) => tokio::spawn(server.http(socket, never)),
            };
        }
    });
    (server, at)
}

bakehouse_testkit::channel_suite!(email_by_smtp, async {
    let (receiver, at) = serve(Protocol::Smtp).await;
    let settings = email::Settings {
        lane: "email".into(),
        uri: format!("smtp://{at}"),
        from: "Bakery <orders@bakery.example>".into(),
        timeout: TIMEOUT,
        connections: 2,
    };
    let mail = Mail {
        subject: "Your order".into(),
        text: "It is on its way.".into(),
    };
    ChannelSetup {
        channel: email::channel(settings).expect("a channel"),
        receiver,
        to: "ada@example.org",
        message: to_json(&mail).expect("JSON"),
        part: "It is on its way.",
        secret: "It is on its way",
    }
});

bakehouse_testkit::channel_suite!(sms_by_gateway, async {
    let bad_request = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let (receiver, at) = serve(Protocol::Http(bad_request)).await;
    let settings = sms::Settings {
        lane: "sms".into(),
        url: format!("http://{at}/s3cret"),
        token: Some("s3cret".into()),
        body: r#"{"to":"{to}","text":"{text}"}"#.into(),
        timeout: TIMEOUT,
    };
    let text = ShortText {
        text: "On its way: {to}".into(),
    };
    ChannelSetup {
        channel: sms::channel(settings).expect("a channel"),
        receiver,
        to: "+4930123456",
        message: to_json(&text).expect("JSON"),
        part: r#""text":"On its way: {to}""#,
        secret: "s3cret",
    }
});

bakehouse_testkit::channel_suite!(webhook_by_http, async {
    let gone = "HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n";
    let (receiver, at) = serve(Protocol::Http(gone)).await;
    let settings = webhook::Settings {
        url: format!("http://{at}/s3cret"),
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
        allow_private: true,
        timeout: TIMEOUT,
    };
    let channel: Arc<dyn Channel> = webhook::Webhook::new(&settings).expect("a channel");
    ChannelSetup {
        channel,
        receiver,
        to: "endpoint",
        message: to_json(&serde_json::json!({ "type": "order.created", "n": 1.50 })).expect("JSON"),
        part: r#""type":"order.created""#,
        secret: "s3cret",
    }
});
