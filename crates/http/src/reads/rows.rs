//! Rows of read models, as they are kept. A list is read from the store a page at a time, as the
//! client takes it.

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

/// Rows of a list that are in memory at the same time.
const PAGE: usize = 100;

/// One row.
///
/// # Errors
/// 404 where there is none of this key; 503 when that cannot be found out now, or the
/// read model is still being made.
pub async fn row<M: ReadModel>(state: &AppState, key: &str) -> Result<HttpResponse, Problem> {
    let found = state.read_models.row(M::NAME, key).await?;
    let found = found.ok_or_else(|| Problem::not_found("there is none of this id, or not yet"))?;
    Ok(json(&mut HttpResponse::Ok(), &found.body))
}

/// All rows that carry a link, by key, as one array. If the store fails later than at the first
/// page, the answer ends before its end.
///
/// # Errors
/// 503 when that cannot be found out now, or the read model is still being made.
pub async fn rows<M: ReadModel>(state: &AppState, link: &str) -> Result<HttpResponse, Problem> {
    let mut list = List::new(state.read_models.clone(), M::NAME, link);
    let page = list.read().await?;
    let first = list.piece(&page);
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/json");
    if list.is_read {
        return Ok(answer.body(first));
    }
    let body = stream::once(std::future::ready(Ok(first)));
    let body = futures_util::StreamExt::chain(body, list.rest());
    Ok(answer.body(BodyStream::new(body)))
}

/// A list on its way to a client.
struct List {
    reader: Arc<dyn RowReader>,
    name: &'static str,
    link: String,
    array: ArrayWriter,
    /// Key of the last row that has been read.
    last: Option<String>,
    /// True if there are no more rows, or they cannot be read.
    is_read: bool,
}

impl List {
    fn new(reader: Arc<dyn RowReader>, name: &'static str, link: &str) -> Self {
        Self {
            reader,
            name,
            link: link.to_owned(),
            array: ArrayWriter::default(),
            last: None,
            is_read: false,
        }
    }

    async fn read(&mut self) -> Result<Vec<StoredRow>, StoreError> {
        let page = RowPage {
            link: &self.link,
            after: self.last.as_deref(),
            limit: PAGE,
        };
        self.reader.rows(self.name, &page).await
    }

    /// Text of the page that comes next in the array.
    fn piece(&mut self, page: &[StoredRow]) -> Bytes {
        let mut text = String::new();
        for row in page {
            self.array.push(&mut text, row.body.get());
        }
        self.is_read = page.len() < PAGE;
        if self.is_read {
            self.array.end(&mut text);
        }
        if let Some(row) = page.last() {
            self.last = Some(row.key.clone());
        }
        text.into()
    }

    /// Pieces after the first.
    fn rest(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        stream::unfold(self, async |mut list| {
            if list.is_read {
                return None;
            }
            let page = match list.read().await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!("a list ends before its end: {error}");
                    list.is_read = true;
                    return Some((Err(error), list));
                }
            };
            let piece = list.piece(&page);
            Some((Ok(piece), list))
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

    /// Store of this many rows, with a count of its reads.
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
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE + 7] {
            let rows = Arc::new(Rows {
                count,
                reads: AtomicUsize::new(0),
            });
            let mut pieces = Box::pin(List::new(rows.clone(), "model", "all").rest());
            let mut text = Vec::new();
            let mut taken = 0;
            while let Some(piece) = pieces.next().await {
                taken += 1;
                text.extend_from_slice(&piece.expect("a piece"));
                assert_eq!(rows.reads.load(Ordering::Relaxed), taken);
            }
            let found: Vec<usize> = serde_json::from_slice(&text).expect("an array");
            assert!(found.into_iter().eq(0..count), "{count}");
        }
    }
}
