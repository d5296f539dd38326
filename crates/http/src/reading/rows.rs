//! Rows of read models, as they are kept.

use actix_web::HttpResponse;
use bakehouse_pipeline::follow::ReadModel;
use bakehouse_pipeline::ports::{RowPage, StoredRow};

use super::json;
use crate::problem::Problem;
use crate::server::Doors;

/// Rows that a list is read by at a time.
const PAGE: usize = 1_000;

/// One row.
///
/// # Errors
/// 404 where there is none of this key; 503 when that cannot be found out now, or the
/// read model is still being made.
pub async fn row<M: ReadModel>(doors: &Doors, key: &str) -> Result<HttpResponse, Problem> {
    let found = doors.read_models.row(M::NAME, key).await?;
    let found = found.ok_or_else(|| Problem::not_found("there is none of this id, or not yet"))?;
    Ok(json(&mut HttpResponse::Ok(), &found.body))
}

/// All rows that carry a link, by key, as one array.
///
/// # Errors
/// 503 when that cannot be found out now, or the read model is still being made.
pub async fn rows<M: ReadModel>(doors: &Doors, link: &str) -> Result<HttpResponse, Problem> {
    let mut all: Vec<StoredRow> = Vec::new();
    loop {
        let page = RowPage {
            link,
            after: all.last().map(|row| row.key.as_str()),
            limit: PAGE,
        };
        let more = doors.read_models.rows(M::NAME, &page).await?;
        let is_last = more.len() < PAGE;
        all.extend(more);
        if is_last {
            break;
        }
    }
    let bodies: Vec<&str> = all.iter().map(|row| row.body.get()).collect();
    let array = format!("[{}]", bodies.join(","));
    Ok(HttpResponse::Ok()
        .content_type("application/json")
        .body(array))
}
