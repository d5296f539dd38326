//! Mail by SMTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_pipeline::Notification;
use bakehouse_pipeline::ports::{Channel, Mail, SendError};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::SetupError;

/// The replies that speak of us and not of the message: access (530 to 538) and
/// a service that is closing (421). Those are mended by an operator.
const OURS: [std::ops::RangeInclusive<u16>; 2] = [530..=538, 421..=421];

/// How mail is sent.
#[derive(Clone)]
pub struct Settings {
    /// The lane.
    pub lane: String,
    /// `smtp://USER:PASSWORD@HOST:PORT`, or `smtps://`; with `?tls=required` an
    /// `smtp` connection must change to TLS. Holds a secret.
    pub uri: String,
    /// `Name <address>`.
    pub from: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many connections at most.
    pub connections: u32,
}

struct Email {
    lane: String,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

/// Mail, as the settings say. Nothing is sent yet.
///
/// # Errors
/// When the URI or the sender cannot be used.
pub fn channel(settings: Settings) -> Result<Arc<dyn Channel>, SetupError> {
    let from = settings.from.parse();
    let from = from.map_err(|_| SetupError::new("its sender is not like NAME <ADDRESS>"))?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.uri)
        .map_err(|_| SetupError::new("its URI is not like smtp://USER:PASSWORD@HOST:PORT"))?
        .timeout(Some(settings.timeout))
        .pool_config(PoolConfig::new().max_size(settings.connections))
        .build();
    Ok(Arc::new(Email {
        lane: settings.lane,
        from,
        transport,
    }))
}

#[async_trait]
impl Channel for Email {
    fn lane(&self) -> &str {
        &self.lane
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let message = self.message(notification)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Email {
    fn message(&self, notification: &Notification) -> Result<Message, SendError> {
        let refused = |reason: &str| SendError::Refused(reason.to_owned());
        let mail: Mail = serde_json::from_str(notification.message.get())
            .map_err(|_| refused("what is on record is no mail"))?;
        let to: Mailbox = notification
            .to
            .parse()
            .map_err(|_| refused("the address cannot be used"))?;
        // The same for every attempt, so that a mailbox that gets it twice can tell.
        let id = format!("<{}@{}>", notification.id, self.from.email.domain());
        // So that no holiday notice answers (RFC 3834).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(mail.subject)
            .message_id(Some(id))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|_| refused("the mail cannot be written"))
    }
}

fn failure(error: &Error) -> SendError {
    let code = error.status().map(u16::from);
    let is_ours = code.is_some_and(|code| OURS.iter().any(|range| range.contains(&code)));
    if error.is_permanent() && !is_ours {
        return SendError::Refused(format!("the mail server refused it: {error}"));
    }
    SendError::unavailable(format!("the mail server: {error}"))
}
