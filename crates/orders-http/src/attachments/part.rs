//! The one part of a multipart body: a file with a name and a type.

use std::time::Duration;

use actix_multipart::{Field, Multipart};
use bakehouse_http::response::problem::{InputFault, Problem};
use bakehouse_orders::parse::{is_blank, unfit_character};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::AttachmentSettings;

/// What the part is called.
const NAME: &str = "file";
const LONGEST_FILE_NAME: usize = 200;
/// Bytes at the start of a file that show what it is.
const MAGIC: usize = 512;

/// How slowly a body may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Time that the next bytes may take, and that the whole may take beyond what its bytes may.
    pub(super) grace: Duration,
    /// Bytes a second, on the average from the beginning.
    pub(super) min_rate: u64,
}

impl Pace {
    /// The time by which more than `size` bytes must have come of what began at `began`.
    fn deadline(self, began: Instant, size: u64) -> Instant {
        let owed = Duration::from_millis(size.saturating_mul(1_000) / self.min_rate.max(1));
        let next = Instant::now() + self.grace;
        let average = began.checked_add(self.grace.saturating_add(owed));
        average.map_or(next, |average| average.min(next))
    }
}

/// A file on its way in.
pub(super) struct Part<'a> {
    field: Field,
    pub(super) file_name: String,
    pub(super) media_type: String,
    settings: &'a AttachmentSettings,
    pace: Pace,
    began: Instant,
    size: u64,
    /// Its first bytes, until they have been checked.
    start: Option<Vec<u8>>,
}

fn fault(detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![InputFault {
        pointer: format!("/{NAME}"),
        detail: detail.into(),
    }])
}

impl<'a> Part<'a> {
    /// The first part of the body, which must be the file.
    pub(super) async fn first(
        body: &mut Multipart,
        settings: &'a AttachmentSettings,
        pace: Pace,
    ) -> Result<Self, Problem> {
        let began = Instant::now();
        let field = next(body, pace.grace).await?;
        let field = field.ok_or_else(|| fault("required: a part of a multipart/form-data body"))?;
        if field.name() != Some(NAME) {
            return Err(fault(format!(
                "expected as the first and only part; found {:?}",
                field.name()
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
            .any(|known| *known == media_type || known == "*/*")
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
            began,
            size: 0,
            start: Some(Vec::new()),
        })
    }

    /// The next bytes; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let until = self.pace.deadline(self.began, self.size);
        let next = tokio::time::timeout_at(until, self.field.next()).await;
        let Some(bytes) = next.map_err(|_| Problem::too_slow())? else {
            // It may be shorter than what shows most files for what they are.
            if let Some(start) = self.start.take() {
                self.check_magic(&start)?;
            }
            return Ok(None);
        };
        let bytes = bytes.map_err(|error| Problem::malformed_multipart(error.to_string()))?;
        self.size += bytes.len() as u64;
        if self.size > self.settings.largest {
            return Err(Problem::attachment_too_large(self.settings.largest));
        }
        if let Some(mut start) = self.start.take() {
            // Networks cut where they like.
            start.extend_from_slice(&bytes[..bytes.len().min(MAGIC - start.len())]);
            if start.len() == MAGIC {
                self.check_magic(&start)?;
            } else {
                self.start = Some(start);
            }
        }
        Ok(Some(bytes))
    }

    /// A file that shows what it is must not be declared to be something else.
    fn check_magic(&self, start: &[u8]) -> Result<(), Problem> {
        let shown = infer::get(start);
        let shown = shown.map(|kind| kind.mime_type());
        let declared = self.media_type.as_str();
        let must_show = declared.starts_with("image/") && declared != "image/svg+xml"
            || declared == "application/pdf";
        match shown {
            Some(shown) if must_show && shown != declared => Err(fault(format!(
                "declared as {declared}, but its content is {shown}"
            ))),
            None if must_show => Err(fault(format!(
                "declared as {declared}, but its content is not"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

/// Nothing may come after the file.
pub(super) async fn expect_end(body: &mut Multipart, pace: Pace) -> Result<(), Problem> {
    match next(body, pace.grace).await? {
        None => Ok(()),
        Some(_) => Err(fault(
            "expected as the first and only part; found another one after it",
        )),
    }
}

async fn next(body: &mut Multipart, patience: Duration) -> Result<Option<Field>, Problem> {
    let next = tokio::time::timeout(patience, body.next()).await;
    let next = next.map_err(|_| Problem::too_slow())?;
    next.transpose()
        .map_err(|error| Problem::malformed_multipart(error.to_string()))
}

/// The last part of a path, as some senders put one there.
fn usable_name(name: &str) -> Result<String, String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    let length = name.chars().count();
    if !(1..=LONGEST_FILE_NAME).contains(&length) || matches!(name, "." | "..") || is_blank(name) {
        return Err(format!(
            "expected a filename of 1 to {LONGEST_FILE_NAME} characters"
        ));
    }
    match unfit_character(name) {
        Some(fault) => Err(format!("filename: {fault}")),
        None => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_path_and_nothing_else() {
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
    async fn a_body_must_come_at_its_rate_once_the_grace_is_over() {
        let pace = Pace {
            grace: Duration::from_secs(10),
            min_rate: 1_000,
        };
        let began = Instant::now();
        let seconds = |size: u64| pace.deadline(began, size).duration_since(began).as_secs();
        assert_eq!(seconds(0), 10);
        assert_eq!(seconds(5_000), 10);
        tokio::time::advance(Duration::from_secs(12)).await;
        // 5,000 bytes are enough for 5 s beyond the grace.
        assert_eq!(seconds(5_000), 15);
        // However much has come, the next bytes must not take longer than the grace.
        assert_eq!(seconds(1_000_000), 22);
    }
}
