//! Attached files, by size and checksum.

use futures_util::{StreamExt, TryStreamExt, stream};
use sha2::{Digest, Sha256};

use super::Code;
use super::auditor::Auditor;
use super::compare::{Expected, differs};
use super::diff::Difference;
use super::report::Place;
use crate::ports::{Blobs, StoreError};
use crate::{BlobRef, Domain};

/// Files that are read at the same time.
const AT_ONCE: usize = 4;

/// Result of looking at a file.
enum Found {
    Missing,
    Differs(Vec<Difference>),
}

impl<D: Domain> Auditor<D> {
    /// The files that these entities refer to.
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
        let found: Vec<_> = reading.buffer_unordered(AT_ONCE).try_collect().await?;
        for (record, found) in found {
            let place = Place::entity_at(&record.id, record.position);
            self.audit.attachments += 1;
            match found {
                Found::Differs(all) => self.find_all(Code::WrongAttachment, place, all),
                Found::Missing => {
                    // It may have been taken off meanwhile.
                    let now = self.deps.source.load(&[&record.id]).await?;
                    let at = now.get(&record.id).map_or(0, |now| now.position);
                    if at > self.audit.executed {
                        self.moves(&record.id, at);
                    } else {
                        let what = "an attached file is not there";
                        self.find(Code::MissingAttachment, place, what);
                    }
                }
            }
        }
        Ok(())
    }
}

async fn compare(
    blobs: &dyn Blobs,
    expected: &BlobRef,
    reads_bytes: bool,
) -> Result<Found, StoreError> {
    let Some(mut found) = blobs.read(&expected.name).await? else {
        return Ok(Found::Missing);
    };
    if found.size != expected.size {
        let differs = differs("attachment.size", expected.size, found.size);
        return Ok(Found::Differs(vec![differs]));
    }
    if !reads_bytes {
        return Ok(Found::Differs(Vec::new()));
    }
    let mut hash = Sha256::new();
    while let Some(bytes) = found.bytes.try_next().await? {
        hash.update(&bytes);
    }
    let digest = hash.finalize();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let is_it = digest == expected.sha256;
    let differs = differs("attachment.sha256", expected.sha256.clone(), digest);
    Ok(Found::Differs(if is_it {
        Vec::new()
    } else {
        vec![differs]
    }))
}
