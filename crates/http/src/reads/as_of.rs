//! Past states of an entity, replayed from the nearest snapshot on.

use bakehouse_engine::ports::{Selection, SummaryQuery};
use bakehouse_engine::stages::bake::Fold;
use bakehouse_engine::{Domain, Json, Position, Timestamp};

use crate::response::problem::Problem;
use crate::state::AppState;

/// Number of entries per read of the log, and in memory at the same time.
const PAGE_SIZE: usize = 32;

/// Returns the document of an entity, by id and number, as of an executed position; `None` if it
/// did not exist at that position.
///
/// # Errors
/// 503 when the stores do not answer, 500 when the log is inconsistent.
pub async fn as_of<D: Domain>(
    state: &AppState,
    id: &str,
    number: u64,
    position: Position,
) -> Result<Option<Json>, Problem> {
    let snapshot = state.progress.snapshots(&[id], position).await?.remove(id);
    let mut fold = match Fold::<D>::new(snapshot, number) {
        Ok(fold) => fold,
        Err(error) => {
            tracing::warn!(id, "ignoring an unreadable snapshot: {error}");
            Fold::new(None, number)?
        }
    };
    loop {
        let after = fold.position();
        let page = state.log.executed(id, after, position, PAGE_SIZE).await?;
        let parked = match Fold::<D>::needs_parked(&page) {
            true => state.log.ever_parked(&[id]).await?,
            false => Vec::new(),
        };
        fold.extend(&page, &parked)?;
        if page.len() < PAGE_SIZE {
            return Ok(fold.document()?);
        }
    }
}

/// Returns the last position up to `head` that was stored at this time; 0 if none was. Times
/// never decrease along the log, so that a binary search finds it.
///
/// # Errors
/// 503 when the log does not answer.
pub async fn position_at(
    state: &AppState,
    time: Timestamp,
    head: Position,
) -> Result<Position, Problem> {
    let (mut low, mut high) = (0, head);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let query = SummaryQuery {
            after: middle - 1,
            ..SummaryQuery::first(Selection::Log, 1)
        };
        let entries = state.log.summaries(&query).await?;
        let is_stored = |entry: &bakehouse_engine::LogEntry| entry.creation_time <= time;
        if entries.first().is_some_and(is_stored) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}
