//! Comparison of attached files by size and checksum.

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::Code;
use super::auditor::Auditor;
use super::compare::{Expected, difference};
use super::diff::Difference;
use super::location::Location;
use crate::ports::{Blobs, StoreError};
use crate::{BlobRef, Domain};

/// Maximum number of files that are read concurrently.
const MAX_CONCURRENT_FILES: usize = 4;

/// Result of comparing a file.
enum Comparison {
    Missing,
    Present(Vec<Difference>),
}

impl<D: Domain> Auditor<D> {
    /// Compares the files that these entities refer to.
    pub(super) async fn compare_blobs(&mut self, all: &[Expected]) -> Result<(), StoreError> {
        let Some(blobs) = self.deps.blobs.clone() else {
            return Ok(());
        };
        let reads_bytes = !self.settings.is_quick;
        let expected = all
            .iter()
            .flat_map(|one| one.blobs.iter().map(move |blob| (&one.record, blob)));
        let blobs = blobs.as_ref();
        let reading = stream::iter(expected).map(async |(record, blob)| {
            let found = compare(blobs, blob, reads_bytes).await?;
            Ok::<_, StoreError>((record, found))
        });
        let found: Vec<_> = reading
            .buffer_unordered(MAX_CONCURRENT_FILES)
            .try_collect()
            .await?;
        for (record, found) in found {
            let location = Location::entity_at(&record.id, record.position);
            self.audit.attachments += 1;
            match found {
                Comparison::Present(all) => {
                    self.report_fields(Code::WrongAttachment, location, all);
                }
                Comparison::Missing => {
                    // It may have been detached since the audit started.
                    let now = self.deps.source.load(&[&record.id]).await?;
                    let at = now.get(&record.id).map_or(0, |now| now.position);
                    if at > self.audit.executed {
                        self.note_concurrent_change(&record.id, at);
                    } else {
                        let what = "an attached file is missing";
                        self.report(Code::MissingAttachment, location, what);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Compares a stored file with the reference to it; its bytes only if `reads_bytes` is true.
async fn compare(
    blobs: &dyn Blobs,
    expected: &BlobRef,
    reads_bytes: bool,
) -> Result<Comparison, StoreError> {
    let Some(mut found) = blobs.read(&expected.name).await? else {
        return Ok(Comparison::Missing);
    };
    if found.size != expected.size {
        let difference = difference("attachment.size", expected.size, found.size);
        return Ok(Comparison::Present(vec![difference]));
    }
    if !reads_bytes {
        return Ok(Comparison::Present(Vec::new()));
    }
    let mut hash = Sha256::new();
    while let Some(bytes) = found.bytes.try_next().await? {
        hash.update(&bytes);
    }
    let digest = hash.finalize();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_equal = digest == expected.sha256;
    let difference = difference("attachment.sha256", expected.sha256.clone(), digest);
    Ok(Comparison::Present(if is_equal {
        Vec::new()
    } else {
        vec![difference]
    }))
}
