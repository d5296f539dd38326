//! The one part of a multipart body: a file with a name and a type.

use std::time::Duration;

use actix_multipart::{Field, Multipart};
use bakehouse_http::problem::{InputFault, Problem};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::Instant;

use super::AttachmentSettings;

/// What the part is called.
const NAME: &str = "file";
const LONGEST_FILE_NAME: usize = 200;
/// Bytes at the start of a file that show what it is.
const MAGIC: usize = 512;

/// A file on its way in.
pub(super) struct Part<'a> {
    field: Field,
    pub(super) file_name: String,
    pub(super) media_type: String,
    settings: &'a AttachmentSettings,
    /// How long the next bytes may take.
    patience: Duration,
    /// Until when all of it has to be there.
    deadline: Instant,
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
        patience: Duration,
    ) -> Result<Self, Problem> {
        let field = next(body, patience).await?;
        let field = field.ok_or_else(|| fault("required: a part of a multipart/form-data body"))?;
        if field.name() != Some(NAME) {
            return Err(fault(format!(
                "expected as the first and only part; found {:?}",
                field.name()
            )));
        }
        let disposition = field.content_disposition();
        let file_name = disposition.and_then(|disposition| disposition.get_filename());
        let file_name = file_name.and_then(usable_name).ok_or_else(|| {
            fault(format!(
                "expected a filename of 1 to {LONGEST_FILE_NAME} characters"
            ))
        })?;
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
            patience,
            deadline: Instant::now() + whole(settings.largest, patience),
            size: 0,
            start: Some(Vec::new()),
        })
    }

    /// The next bytes; `None`: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let until = self.deadline.min(Instant::now() + self.patience);
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

/// How long a file may take: as long for each quarter of a MiB as for its next bytes, of the
/// largest there may be.
fn whole(largest: u64, patience: Duration) -> Duration {
    let quarters = u32::try_from(largest / (256 * 1024)).unwrap_or(u32::MAX);
    patience.saturating_mul(quarters.saturating_add(1))
}

/// Nothing may come after the file.
pub(super) async fn expect_end(body: &mut Multipart, patience: Duration) -> Result<(), Problem> {
    match next(body, patience).await? {
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
fn usable_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next()?.trim();
    let length = name.chars().count();
    let is_usable = (1..=LONGEST_FILE_NAME).contains(&length)
        && !name.chars().any(char::is_control)
        && name != "."
        && name != "..";
    is_usable.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::usable_name;

    #[test]
    fn names_lose_their_path_and_nothing_else() {
        assert_eq!(usable_name("C:\\temp\\a b.pdf").as_deref(), Some("a b.pdf"));
        assert_eq!(usable_name("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(
            usable_name("Quittung für März.pdf").as_deref(),
            Some("Quittung für März.pdf")
        );
        for unusable in ["", "..", "a/", "a\0b", &"x".repeat(201)] {
            assert_eq!(usable_name(unusable), None, "{unusable:?}");
        }
    }
}
