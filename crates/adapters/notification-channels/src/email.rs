//! Mail by SMTP.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::ports::{Channel, Mail, SendError};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::{Error, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

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
    timeout: Duration,
}

/// Mail, as the settings say. Nothing is sent yet.
///
/// # Errors
/// When the URI or the sender cannot be used.
pub fn channel(settings: Settings) -> Result<Arc<dyn Channel>, SetupError> {
    let from = settings.from.parse().ok().and_then(with_ascii_domain);
    let from = from.ok_or_else(|| SetupError::new("its sender is not like NAME <ADDRESS>"))?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.uri)
        .map_err(|_| SetupError::new("its URI is not like smtp://USER:PASSWORD@HOST:PORT"))?
        .timeout(Some(settings.timeout))
        .pool_config(PoolConfig::new().max_size(settings.connections))
        .build();
    Ok(Arc::new(Email {
        lane: settings.lane,
        from,
        transport,
        timeout: settings.timeout,
    }))
}

#[async_trait]
impl Channel for Email {
    fn lane(&self) -> &str {
        &self.lane
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let message = self.message(notification)?;
        // The library limits how long it connects, and nothing after that.
        let sending = tokio::time::timeout(self.timeout, self.transport.send(message));
        let Ok(sent) = sending.await else {
            return Err(SendError::unavailable("the mail server: no answer in time"));
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) if lacks_smtputf8(&error) => Err(SendError::Refused(
                "the mail server takes no address with letters beyond ASCII before its @ \
                 (SMTPUTF8)"
                    .into(),
            )),
            Err(error) => Err(failure(&error)),
        }
    }
}

impl Email {
    fn message(&self, notification: &Notification) -> Result<Message, SendError> {
        let refused = |reason: &str| SendError::Refused(reason.to_owned());
        let mail: Mail = serde_json::from_str(notification.message.get())
            .map_err(|_| refused("what is on record is no mail"))?;
        let to = notification.to.parse().ok().and_then(with_ascii_domain);
        let to = to.ok_or_else(|| refused("the address cannot be used"))?;
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

/// The mailbox with the domain as mail servers take it: the A-labels of an international one
/// (RFC 5890). `None`: it is no domain.
fn with_ascii_domain(mailbox: Mailbox) -> Option<Mailbox> {
    let domain = mailbox.email.domain();
    if domain.is_ascii() {
        return Some(mailbox);
    }
    let domain = idna::domain_to_ascii_strict(domain).ok()?;
    let email = Address::new(mailbox.email.user(), domain).ok()?;
    Some(Mailbox::new(mailbox.name, email))
}

/// Tells whether the library did not even try, since the server does not offer what an address with
/// letters beyond ASCII before its `@` takes. It has no kind of its own for that.
fn lacks_smtputf8(error: &Error) -> bool {
    let cause = error.source().map(ToString::to_string);
    error.is_client() && cause.is_some_and(|cause| cause.contains("SMTPUTF8"))
}

fn failure(error: &Error) -> SendError {
    let code = error.status().map(u16::from);
    let is_ours = code.is_some_and(|code| OURS.iter().any(|range| range.contains(&code)));
    if error.is_permanent() && !is_ours {
        return SendError::Refused(format!("the mail server refused it: {error}"));
    }
    SendError::unavailable(format!("the mail server: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn international_domains_become_a_labels() {
        for (written, sent) in [
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("Ada <ada@例え.テスト>", "Ada <ada@xn--r8jz45g.xn--zckzah>"),
            ("dörte@bücher.example", "dörte@xn--bcher-kva.example"),
            ("ada@example.org", "ada@example.org"),
        ] {
            let mailbox = written.parse().expect("a mailbox");
            let mailbox = with_ascii_domain(mailbox).expect("a domain");
            assert_eq!(mailbox.to_string(), sent);
        }
    }
}
