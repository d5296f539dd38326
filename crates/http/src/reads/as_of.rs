//! An entity as it was: from the nearest snapshot on, page by page.

use bakehouse_engine::ports::{Selection, SummaryQuery};
use bakehouse_engine::stages::bake::Fold;
use bakehouse_engine::{Domain, Json, Position, Timestamp};

use crate::response::problem::Problem;
use crate::state::AppState;

/// Events that are in memory at the same time.
const PAGE: usize = 32;

/// The document of the entity of this id and number after everything up to a position that
/// has been executed; `None`: it was not there yet.
///
/// # Errors
/// 503 when that cannot be found out now, 500 when the log contradicts itself.
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
            tracing::warn!(id, "a snapshot is passed over: {error}");
            Fold::new(None, number)?
        }
    };
    loop {
        let after = fold.position();
        let page = state.log.executed(id, after, position, PAGE).await?;
        let parked = match Fold::<D>::needs_parked(&page) {
            true => state.log.held(&[id]).await?,
            false => Vec::new(),
        };
        fold.extend(&page, &parked)?;
        if page.len() < PAGE {
            return Ok(fold.document()?);
        }
    }
}

/// The last position up to `head` that was stored by then; 0: none was. Times never decrease
/// along the log, so that a few looks find it.
///
/// # Errors
/// 503 when that cannot be found out now.
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
        let events = state.log.summaries(&query).await?;
        let is_by_then = |event: &bakehouse_engine::LogEntry| event.creation_time <= time;
        if events.first().is_some_and(is_by_then) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}
