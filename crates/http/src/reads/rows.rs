//! Rows of read models, as stored. A list is read from the store page by page, as the client
//! takes it.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::BodyStream;
use bakehouse_engine::handlers::ReadModel;
use bakehouse_engine::ports::{RowPage, RowReader, StoreError, StoredRow};
use bytes::Bytes;
use futures_util::{Stream, stream};

use super::array::ArrayWriter;
use super::json;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Number of rows per read of the store, and in memory at the same time.
const PAGE_SIZE: usize = 100;

/// Responds with one row.
///
/// # Errors
/// 404 when there is no row with this key; 503 when the store does not answer, or the read model
/// has not been built yet.
pub async fn row<M: ReadModel>(state: &AppState, key: &str) -> Result<HttpResponse, Problem> {
    let found = state.read_models.row(M::NAME, key).await?;
    let found =
        found.ok_or_else(|| Problem::not_found("there is no row with this key, or not yet"))?;
    Ok(json(&mut HttpResponse::Ok(), &found.body))
}

/// Responds with all rows that carry a link, as one array ordered by key. If the store fails after
/// the first page, the response is aborted.
///
/// # Errors
/// 503 when the store does not answer, or the read model has not been built yet.
pub async fn rows<M: ReadModel>(state: &AppState, link: &str) -> Result<HttpResponse, Problem> {
    let mut list = List::new(state.read_models.clone(), M::NAME, link);
    let page = list.read().await?;
    let first = list.chunk(&page);
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    if list.is_complete {
        return Ok(response.body(first));
    }
    let body = stream::once(std::future::ready(Ok(first)));
    let body = futures_util::StreamExt::chain(body, list.rest());
    Ok(response.body(BodyStream::new(body)))
}

/// List of rows that is being sent.
struct List {
    reader: Arc<dyn RowReader>,
    name: &'static str,
    link: String,
    array: ArrayWriter,
    /// Key of the last row that has been read.
    last_key: Option<String>,
    /// True after the last row, or after an error.
    is_complete: bool,
}

impl List {
    fn new(reader: Arc<dyn RowReader>, name: &'static str, link: &str) -> Self {
        Self {
            reader,
            name,
            link: link.to_owned(),
            array: ArrayWriter::default(),
            last_key: None,
            is_complete: false,
        }
    }

    async fn read(&mut self) -> Result<Vec<StoredRow>, StoreError> {
        let page = RowPage {
            link: &self.link,
            after: self.last_key.as_deref(),
            limit: PAGE_SIZE,
        };
        self.reader.rows(self.name, &page).await
    }

    /// Renders the next page of the array.
    fn chunk(&mut self, page: &[StoredRow]) -> Bytes {
        let mut text = String::new();
        for row in page {
            self.array.push(&mut text, row.body.get());
        }
        self.is_complete = page.len() < PAGE_SIZE;
        if self.is_complete {
            self.array.end(&mut text);
        }
        if let Some(row) = page.last() {
            self.last_key = Some(row.key.clone());
        }
        text.into()
    }

    /// Stream of the remaining chunks.
    fn rest(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::unfold(self, async |mut list| {
            if list.is_complete {
                return None;
            }
            let page = match list.read().await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!("list response aborted: {error}");
                    list.is_complete = true;
                    return Some((Err(error), list));
                }
            };
            let chunk = list.chunk(&page);
            Some((Ok(chunk), list))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bakehouse_engine::handlers::Generation;
    use bakehouse_engine::ports::ModelState;
    use bakehouse_engine::to_json;
    use futures_util::StreamExt;

    use super::*;

    /// Store of `count` rows that counts its reads.
    struct Rows {
        count: usize,
        reads: AtomicUsize,
    }

    #[async_trait]
    impl RowReader for Rows {
        async fn row(&self, _: &str, _: &str) -> Result<Option<StoredRow>, StoreError> {
            Ok(None)
        }

        async fn rows(&self, _: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let start = page.after.map_or(0, |key| key.parse().expect("a number"));
            let row = |number: usize| StoredRow {
                key: format!("{:06}", number + 1),
                body: to_json(&number).expect("a number"),
            };
            let end = self.count.min(start + page.limit);
            Ok((start..end).map(row).collect())
        }

        async fn states(&self) -> Result<Vec<ModelState>, StoreError> {
            Ok(Vec::new())
        }

        async fn rebuild(&self, _: &str) -> Result<Option<Generation>, StoreError> {
            Ok(None)
        }
    }

    #[tokio::test]
    async fn a_list_is_read_as_it_is_taken() {
        for count in [
            0,
            1,
            PAGE_SIZE - 1,
            PAGE_SIZE,
            PAGE_SIZE + 1,
            5 * PAGE_SIZE + 7,
        ] {
            let rows = Arc::new(Rows {
                count,
                reads: AtomicUsize::new(0),
            });
            let mut chunks = Box::pin(List::new(rows.clone(), "model", "all").rest());
            let mut text = Vec::new();
            let mut taken = 0;
            while let Some(chunk) = chunks.next().await {
                taken += 1;
                text.extend_from_slice(&chunk.expect("a chunk"));
                assert_eq!(rows.reads.load(Ordering::Relaxed), taken);
            }
            let found: Vec<usize> = serde_json::from_slice(&text).expect("an array");
            assert!(found.into_iter().eq(0..count), "{count}");
        }
    }
}
