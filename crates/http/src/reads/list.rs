//! A page of documents: sent as a whole where it is short, else read from the store a piece at a
//! time, as the client takes it. A client that does not read keeps one piece in memory.

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

/// Bytes of documents that a piece has, but for one that is longer by itself.
const PIECE_BYTES: usize = 64 * 1024;
/// Documents that are read before it is known how long they are.
const FIRST_DOCUMENTS: usize = 21;
/// Documents in a later piece.
const MAX_PIECE_DOCUMENTS: usize = 64;
/// Pieces that are read at the same time: each may be many times as long until it has been cut.
static READS: Semaphore = Semaphore::const_new(16);

/// A page of documents.
pub struct Listing {
    presentation: Arc<dyn PresentationReader>,
    /// Its first documents; all of them where there are no keys.
    first: VecDeque<StoredDocument>,
    /// The keys of all, where it is sent in pieces.
    keys: Option<Vec<DocumentKey>>,
    /// Bytes of a document on the average.
    average: usize,
    has_next: bool,
    last: Option<DocumentKey>,
}

impl Listing {
    /// Reads a page, or the beginning of it.
    ///
    /// # Errors
    /// 503 when the store does not answer.
    pub async fn read(
        presentation: Arc<dyn PresentationReader>,
        query: &ListQuery,
    ) -> Result<Self, Problem> {
        // One more than asked for tells whether there is a next page.
        let wanted = query.limit + 1;
        let of = |limit| ListQuery {
            limit,
            ..query.clone()
        };
        // Never closed.
        let permit = READS.acquire().await;
        let sample = wanted.min(FIRST_DOCUMENTS);
        let mut first = presentation.list(&of(sample)).await?;
        let bytes: usize = first.iter().map(length).sum();
        let average = (bytes / first.len().max(1)).max(1);
        let is_all = first.len() < sample || sample == wanted;
        let keys = if is_all && bytes <= PIECE_BYTES {
            None
        } else {
            cut(&mut first);
            let keys = presentation.list_keys(&of(wanted)).await?;
            // It may have changed between the two.
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
            average,
            has_next,
            last,
        })
    }

    /// The key of its last document, if there is a page after it.
    #[must_use]
    pub fn next(&self) -> Option<DocumentKey> {
        self.last.filter(|_| self.has_next)
    }

    /// Its entity tag; `link` is where the next page is.
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

    /// A JSON array of the documents' own bytes.
    #[must_use]
    pub fn body(self) -> BoxBody {
        let Some(keys) = self.keys else {
            return array(&self.first).boxed();
        };
        let left = keys.iter().skip(self.first.len());
        let rest = Rest {
            presentation: self.presentation,
            piece_documents: (PIECE_BYTES / self.average).clamp(1, MAX_PIECE_DOCUMENTS),
            left: left.map(|key| key.number).collect(),
            ready: self.first,
            array: ArrayWriter::default(),
            ended: false,
        };
        BodyStream::new(stream::unfold(rest, piece)).boxed()
    }
}

fn length(document: &StoredDocument) -> usize {
    document.body.get().len()
}

/// Keeps no more than a piece.
fn cut(documents: &mut Vec<StoredDocument>) {
    let mut bytes = 0;
    let fits = |document: &&StoredDocument| {
        bytes += length(document);
        bytes <= PIECE_BYTES
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

/// Rest of a list that is still to be sent.
struct Rest {
    presentation: Arc<dyn PresentationReader>,
    piece_documents: usize,
    /// Numbers of the documents that have not been read.
    left: VecDeque<u64>,
    ready: VecDeque<StoredDocument>,
    array: ArrayWriter,
    ended: bool,
}

async fn piece(mut rest: Rest) -> Option<(Result<Bytes, StoreError>, Rest)> {
    if rest.ended {
        return None;
    }
    while rest.ready.is_empty() && !rest.left.is_empty() {
        if let Err(error) = rest.read().await {
            tracing::warn!("a list ends before its end: {error}");
            rest.ended = true;
            return Some((Err(error), rest));
        }
    }
    let mut text = String::new();
    while text.len() < PIECE_BYTES
        && let Some(document) = rest.ready.pop_front()
    {
        rest.array.push(&mut text, document.body.get());
    }
    if rest.ready.is_empty() && rest.left.is_empty() {
        rest.array.end(&mut text);
        rest.ended = true;
    }
    Some((Ok(text.into()), rest))
}

impl Rest {
    /// The next documents, in order. One that lists no longer show is left out.
    async fn read(&mut self) -> Result<(), StoreError> {
        let count = self.piece_documents.min(self.left.len());
        let numbers: Vec<u64> = self.left.drain(..count).collect();
        // Never closed.
        let _permit = READS.acquire().await;
        let found = self.presentation.documents(&numbers).await?;
        let mut found: HashMap<u64, StoredDocument> =
            found.into_iter().map(|one| (one.number, one)).collect();
        let documents = numbers.iter().filter_map(|number| found.remove(number));
        self.ready.extend(documents);
        Ok(())
    }
}
