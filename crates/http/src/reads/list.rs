//! Page of documents. A short page is sent as a whole. A longer one is read from the store in
//! chunks, as the client takes them: a client that does not read keeps one chunk in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use actix_web::body::{BodyStream, BoxBody, MessageBody};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    DocumentKey, ListQuery, PresentationReader, StoreError, StoredDocument,
};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::Semaphore;

use super::array::ArrayWriter;
use crate::response::problem::Problem;

/// Maximum size of a chunk in bytes, unless a single document is larger.
const CHUNK_BYTES: usize = 64 * 1024;
/// Number of documents read first, to estimate their size.
const SAMPLE_DOCUMENTS: usize = 21;
/// Maximum number of documents in a later chunk.
const MAX_CHUNK_DOCUMENTS: usize = 64;
/// Limit on concurrent reads of chunks: until it is truncated, a chunk may be many times as large.
static READS: Semaphore = Semaphore::const_new(16);

/// Page of documents.
pub struct Listing {
    presentation: Arc<dyn PresentationReader>,
    /// First documents of the page; all of them if there are no keys.
    first: VecDeque<StoredDocument>,
    /// Keys of all documents, if the page is sent in chunks.
    keys: Option<Vec<DocumentKey>>,
    /// Average size of a document in bytes.
    average_bytes: usize,
    has_next: bool,
    last: Option<DocumentKey>,
}

impl Listing {
    /// Reads a page, or the beginning of a long one.
    ///
    /// # Errors
    /// 503 when the store does not answer.
    pub async fn read(
        presentation: Arc<dyn PresentationReader>,
        query: &ListQuery,
    ) -> Result<Self, Problem> {
        // One document more than requested shows whether there is a next page.
        let wanted = query.limit + 1;
        let with_limit = |limit| ListQuery {
            limit,
            ..query.clone()
        };
        // An error is impossible: the semaphore is never closed.
        let permit = READS.acquire().await;
        let sample = wanted.min(SAMPLE_DOCUMENTS);
        let mut first = presentation.list(&with_limit(sample)).await?;
        let bytes: usize = first.iter().map(length).sum();
        let average_bytes = (bytes / first.len().max(1)).max(1);
        let is_complete = first.len() < sample || sample == wanted;
        let keys = if is_complete && bytes <= CHUNK_BYTES {
            None
        } else {
            truncate(&mut first);
            let keys = presentation.list_keys(&with_limit(wanted)).await?;
            // The list may have changed between the two reads.
            if !first
                .iter()
                .map(DocumentKey::from)
                .eq(keys.iter().copied().take(first.len()))
            {
                first.clear();
            }
            Some(keys)
        };
        drop(permit);
        let count = keys.as_ref().map_or(first.len(), Vec::len);
        let has_next = count > query.limit;
        let keys = keys.map(|mut keys| {
            keys.truncate(query.limit);
            keys
        });
        first.truncate(query.limit);
        let last = match &keys {
            Some(keys) => keys.last().copied(),
            None => first.last().map(DocumentKey::from),
        };
        Ok(Self {
            presentation,
            first: first.into(),
            keys,
            average_bytes,
            has_next,
            last,
        })
    }

    /// Key of the page's last document, if there is a next page.
    #[must_use]
    pub fn next(&self) -> Option<DocumentKey> {
        self.last.filter(|_| self.has_next)
    }

    /// Entity tag of the page, computed from its documents and the link to the next page.
    #[must_use]
    pub fn tag(&self, link: &str) -> String {
        let content = match &self.keys {
            None => array(&self.first),
            Some(keys) => {
                let keys = keys.iter();
                let keys = keys.map(|key| format!("{}:{}", key.number, key.position));
                keys.collect::<Vec<_>>().join(",")
            }
        };
        format!("\"{}\"", ids::fingerprint(&[&content, link]))
    }

    /// Response body: a JSON array of the documents, as stored.
    #[must_use]
    pub fn body(self) -> BoxBody {
        let Some(keys) = self.keys else {
            return array(&self.first).boxed();
        };
        let unread = keys.iter().skip(self.first.len());
        let chunks = ChunkStream {
            presentation: self.presentation,
            chunk_documents: (CHUNK_BYTES / self.average_bytes).clamp(1, MAX_CHUNK_DOCUMENTS),
            unread: unread.map(|key| key.number).collect(),
            ready: self.first,
            array: ArrayWriter::default(),
            has_ended: false,
        };
        BodyStream::new(stream::unfold(chunks, next_chunk)).boxed()
    }
}

fn length(document: &StoredDocument) -> usize {
    document.body.get().len()
}

/// Truncates a list of documents to the size of a chunk.
fn truncate(documents: &mut Vec<StoredDocument>) {
    let mut bytes = 0;
    let fits = |document: &&StoredDocument| {
        bytes += length(document);
        bytes <= CHUNK_BYTES
    };
    let count = documents.iter().take_while(fits).count();
    documents.truncate(count);
    documents.shrink_to_fit();
}

fn array(documents: &VecDeque<StoredDocument>) -> String {
    let (mut array, mut text) = (ArrayWriter::default(), String::new());
    for document in documents {
        array.push(&mut text, document.body.get());
    }
    array.end(&mut text);
    text
}

/// Stream of a page's chunks.
struct ChunkStream {
    presentation: Arc<dyn PresentationReader>,
    chunk_documents: usize,
    /// Numbers of the documents that have not been read.
    unread: VecDeque<u64>,
    ready: VecDeque<StoredDocument>,
    array: ArrayWriter,
    has_ended: bool,
}

/// Waits for the next chunk; `None` after the last one.
async fn next_chunk(mut chunks: ChunkStream) -> Option<(Result<Bytes, StoreError>, ChunkStream)> {
    if chunks.has_ended {
        return None;
    }
    while chunks.ready.is_empty() && !chunks.unread.is_empty() {
        if let Err(error) = chunks.read().await {
            tracing::warn!("list response aborted: {error}");
            chunks.has_ended = true;
            return Some((Err(error), chunks));
        }
    }
    let mut text = String::new();
    while text.len() < CHUNK_BYTES
        && let Some(document) = chunks.ready.pop_front()
    {
        chunks.array.push(&mut text, document.body.get());
    }
    if chunks.ready.is_empty() && chunks.unread.is_empty() {
        chunks.array.end(&mut text);
        chunks.has_ended = true;
    }
    Some((Ok(text.into()), chunks))
}

impl ChunkStream {
    /// Reads the next documents, in order. Documents that are no longer listed are skipped.
    async fn read(&mut self) -> Result<(), StoreError> {
        let count = self.chunk_documents.min(self.unread.len());
        let numbers: Vec<u64> = self.unread.drain(..count).collect();
        // An error is impossible: the semaphore is never closed.
        let _permit = READS.acquire().await;
        let found = self.presentation.documents(&numbers).await?;
        let mut found: HashMap<u64, StoredDocument> = found
            .into_iter()
            .map(|document| (document.number, document))
            .collect();
        let documents = numbers.iter().filter_map(|number| found.remove(number));
        self.ready.extend(documents);
        Ok(())
    }
}
