//! The single part of a multipart body: a file with a name and a media type.

use std::time::Duration;

use actix_multipart::{Field, Multipart};
use bakehouse_http::response::problem::{InputFault, Problem};
use bakehouse_orders::parse::{forbidden_character, is_blank};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::settings::AttachmentSettings;

/// Form field name of the part.
const FIELD_NAME: &str = "file";
/// Maximum length of a file name in characters.
const MAX_FILE_NAME_CHARS: usize = 200;
/// Number of leading bytes from which a file's type is detected.
const MAGIC_BYTES: usize = 512;

/// Minimum rate at which a body must arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Maximum wait for the next bytes, and time allowed in addition to what the rate allows.
    pub(super) grace: Duration,
    /// Minimum average rate since the start of the body, in bytes per second.
    pub(super) min_rate: u64,
}

impl Pace {
    /// Returns the time by which more than `size` bytes must have arrived of a body that started
    /// at `started_at`.
    fn deadline(self, started_at: Instant, size: u64) -> Instant {
        let owed = Duration::from_millis(size.saturating_mul(1_000) / self.min_rate.max(1));
        let next = Instant::now() + self.grace;
        let average = started_at.checked_add(self.grace.saturating_add(owed));
        average.map_or(next, |average| average.min(next))
    }
}

/// File that is being received.
pub(super) struct Part<'a> {
    field: Field,
    pub(super) file_name: String,
    pub(super) media_type: String,
    settings: &'a AttachmentSettings,
    pace: Pace,
    started_at: Instant,
    size: u64,
    /// Leading bytes, until the type has been detected from them.
    start: Option<Vec<u8>>,
}

fn fault(detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![InputFault {
        pointer: format!("/{FIELD_NAME}"),
        detail: detail.into(),
    }])
}

impl<'a> Part<'a> {
    /// Reads the headers of the first part, which must be the file.
    ///
    /// # Errors
    /// 400 if the part is missing, has another field name or an invalid file name; 415 if its
    /// media type is not accepted; 408 if it does not arrive in time.
    pub(super) async fn first(
        body: &mut Multipart,
        settings: &'a AttachmentSettings,
        pace: Pace,
    ) -> Result<Self, Problem> {
        let started_at = Instant::now();
        let field = next(body, pace.grace).await?;
        let field = field
            .ok_or_else(|| fault("required as the first part of a multipart/form-data body"))?;
        if field.name() != Some(FIELD_NAME) {
            return Err(fault(format!(
                "expected as the first and only part; found {}",
                field.name().unwrap_or("a part without a name")
            )));
        }
        let disposition = field.content_disposition();
        let file_name = disposition.and_then(|disposition| disposition.get_filename());
        let file_name = usable_name(file_name.unwrap_or_default()).map_err(fault)?;
        let media_type = field
            .content_type()
            .map(|mime| mime.essence_str().to_owned());
        let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        if !settings
            .media_types
            .iter()
            .any(|accepted| *accepted == media_type || accepted == "*/*")
        {
            return Err(Problem::unsupported_attachment(
                &media_type,
                &settings.media_types,
            ));
        }
        Ok(Self {
            field,
            file_name,
            media_type,
            settings,
            pace,
            started_at,
            size: 0,
            start: Some(Vec::new()),
        })
    }

    /// Returns the next bytes; `None` at the end of the file.
    ///
    /// # Errors
    /// 408 if the body is too slow, 413 if the file is too large, 400 if the body is malformed or
    /// the content does not match the declared type.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let deadline = self.pace.deadline(self.started_at, self.size);
        let next = tokio::time::timeout_at(deadline, self.field.next()).await;
        let Some(bytes) = next.map_err(|_| Problem::body_timeout_expired())? else {
            // The file may be shorter than `MAGIC_BYTES`.
            if let Some(start) = self.start.take() {
                self.check_magic(&start)?;
            }
            return Ok(None);
        };
        let bytes = bytes.map_err(|error| Problem::malformed_multipart(error.to_string()))?;
        self.size += bytes.len() as u64;
        if self.size > self.settings.max_bytes {
            return Err(Problem::attachment_too_large(self.settings.max_bytes));
        }
        if let Some(mut start) = self.start.take() {
            // Chunks may end anywhere, so the leading bytes are collected.
            start.extend_from_slice(&bytes[..bytes.len().min(MAGIC_BYTES - start.len())]);
            if start.len() == MAGIC_BYTES {
                self.check_magic(&start)?;
            } else {
                self.start = Some(start);
            }
        }
        Ok(Some(bytes))
    }

    /// Checks that a file whose type can be detected is declared with that type.
    fn check_magic(&self, start: &[u8]) -> Result<(), Problem> {
        let detected = infer::get(start);
        let detected = detected.map(|kind| kind.mime_type());
        let declared = self.media_type.as_str();
        let is_detectable = declared.starts_with("image/") && declared != "image/svg+xml"
            || declared == "application/pdf";
        match detected {
            Some(detected) if is_detectable && detected != declared => Err(fault(format!(
                "declared as {declared}, but its content is {detected}"
            ))),
            None if is_detectable => Err(fault(format!(
                "declared as {declared}, but its content is not"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// Checks that no further part follows the file.
///
/// # Errors
/// 400 if another part follows, 408 if the end does not arrive in time.
pub(super) async fn expect_end(body: &mut Multipart, pace: Pace) -> Result<(), Problem> {
    match next(body, pace.grace).await? {
        None => Ok(()),
        Some(_) => Err(fault(
            "expected as the first and only part; found another one after it",
        )),
    }
}

async fn next(body: &mut Multipart, limit: Duration) -> Result<Option<Field>, Problem> {
    let next = tokio::time::timeout(limit, body.next()).await;
    let next = next.map_err(|_| Problem::body_timeout_expired())?;
    next.transpose()
        .map_err(|error| Problem::malformed_multipart(error.to_string()))
}

/// Returns the last segment of a file name, since some clients send a whole path; the error is a
/// text for the client.
fn usable_name(name: &str) -> Result<String, String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let length = name.chars().count();
    if !(1..=MAX_FILE_NAME_CHARS).contains(&length) || matches!(name, "." | "..") || is_blank(name)
    {
        return Err(format!(
            "expected a filename of 1 to {MAX_FILE_NAME_CHARS} characters"
        ));
    }
    match forbidden_character(name) {
        Some(fault) => Err(format!("filename: {fault}")),
        None => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_lose_only_their_path() {
        for (sent, kept) in [
            ("C:\\temp\\a b.pdf", "a b.pdf"),
            ("../../etc/passwd", "passwd"),
            ("Quittung für März.pdf", "Quittung für März.pdf"),
            ("👩\u{200D}🍳.png", "👩\u{200D}🍳.png"),
        ] {
            assert_eq!(usable_name(sent).as_deref(), Ok(kept));
        }
        for unusable in [
            "",
            "..",
            "a/",
            "a\0b",
            "a\r\nSet-Cookie: b",
            "invoice\u{202E}fdp.exe",
            "\u{200D}",
            "a\u{200B}.txt",
            &"x".repeat(201),
        ] {
            assert!(usable_name(unusable).is_err(), "{unusable:?}");
        }
        let fault = usable_name("a\u{202E}b").expect_err("unfit");
        assert!(
            fault.starts_with("filename: ") && fault.ends_with("U+202E"),
            "{fault}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_follows_the_rate_after_the_grace() {
        let pace = Pace {
            grace: Duration::from_secs(10),
            min_rate: 1_000,
        };
        let started_at = Instant::now();
        let seconds = |size: u64| {
            let deadline = pace.deadline(started_at, size);
            deadline.duration_since(started_at).as_secs()
        };
        assert_eq!(seconds(0), 10);
        assert_eq!(seconds(5_000), 10);
        tokio::time::advance(Duration::from_secs(12)).await;
        // 5,000 bytes allow 5 s in addition to the grace.
        assert_eq!(seconds(5_000), 15);
        // The next bytes must arrive within the grace, however many have arrived before.
        assert_eq!(seconds(1_000_000), 22);
    }
}
