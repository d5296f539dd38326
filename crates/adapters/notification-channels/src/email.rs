//! Email over SMTP.

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

/// SMTP replies about access (530 to 538) and about a closing service (421), which are independent
/// of the message and are therefore retried.
const ACCESS_REPLIES: [std::ops::RangeInclusive<u16>; 2] = [530..=538, 421..=421];

/// Settings of the channel.
#[derive(Clone)]
pub struct Settings {
    /// Name of the channel.
    pub lane: String,
    /// URI of the mail server: `smtp://USER:PASSWORD@HOST:PORT`, or `smtps://`. With
    /// `?tls=required`, an `smtp` connection must upgrade to TLS. Contains a secret.
    pub uri: String,
    /// Sender, as `Name <address>`.
    pub from: String,
    /// Timeout of sending one mail.
    pub timeout: Duration,
    /// Maximum number of connections.
    pub connections: u32,
}

struct Email {
    name: String,
    from: Mailbox,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    timeout: Duration,
}

/// Creates the channel, without connecting to the mail server.
///
/// # Errors
/// [`SetupError`] if the URI or the sender is invalid.
pub fn channel(settings: Settings) -> Result<Arc<dyn Channel>, SetupError> {
    let from = settings.from.parse().ok().and_then(with_ascii_domain);
    let from = from.ok_or_else(|| SetupError::new("from: must have the form NAME <ADDRESS>"))?;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(&settings.uri)
        .map_err(|_| SetupError::new("uri: must have the form smtp://USER:PASSWORD@HOST:PORT"))?
        .timeout(Some(settings.timeout))
        .pool_config(PoolConfig::new().max_size(settings.connections))
        .build();
    Ok(Arc::new(Email {
        name: settings.lane,
        from,
        transport,
        timeout: settings.timeout,
    }))
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let message = self.message(notification)?;
        // The library has a timeout for connecting only.
        let sending = tokio::time::timeout(self.timeout, self.transport.send(message));
        let Ok(sent) = sending.await else {
            return Err(SendError::unavailable("mail server: timed out"));
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) if lacks_smtputf8(&error) => Err(SendError::Refused(
                "mail server: does not accept addresses with non-ASCII characters before the @ \
                 (SMTPUTF8)"
                    .into(),
            )),
            Err(error) => Err(send_error(&error)),
        }
    }
}

impl Email {
    fn message(&self, notification: &Notification) -> Result<Message, SendError> {
        let refused = |reason: &str| SendError::Refused(reason.to_owned());
        let mail: Mail = serde_json::from_str(notification.message.get())
            .map_err(|_| refused("the recorded message is not an email"))?;
        let to = notification.to.parse().ok().and_then(with_ascii_domain);
        let to = to.ok_or_else(|| refused("the recipient's address is invalid"))?;
        // Every attempt has the same id, so that a mailbox can recognize a duplicate.
        let id = format!("<{}@{}>", notification.id, self.from.email.domain());
        // Suppresses automatic replies (RFC 3834).
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
            .map_err(|_| refused("the email cannot be encoded"))
    }
}

/// Converts the domain of a mailbox to ASCII, which mail servers require: the A-labels of an
/// internationalized domain (RFC 5890). `None` if the domain is invalid.
fn with_ascii_domain(mailbox: Mailbox) -> Option<Mailbox> {
    let domain = mailbox.email.domain();
    if domain.is_ascii() {
        return Some(mailbox);
    }
    let domain = idna::domain_to_ascii_strict(domain).ok()?;
    let email = Address::new(mailbox.email.user(), domain).ok()?;
    Some(Mailbox::new(mailbox.name, email))
}

/// Checks whether the mail was not sent because the server lacks SMTPUTF8, which an address with
/// non-ASCII characters before its `@` needs. The library has no error kind for this case.
fn lacks_smtputf8(error: &Error) -> bool {
    let cause = error.source().map(ToString::to_string);
    error.is_client() && cause.is_some_and(|cause| cause.contains("SMTPUTF8"))
}

fn send_error(error: &Error) -> SendError {
    let code = error.status().map(u16::from);
    let contains = |code: u16| ACCESS_REPLIES.iter().any(|range| range.contains(&code));
    let is_access = code.is_some_and(contains);
    if error.is_permanent() && !is_access {
        return SendError::Refused(format!("mail server: refused: {error}"));
    }
    SendError::unavailable(format!("mail server: {error}"))
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
