//! `GET /order`: presentation documents, newest first, a page at a time.

use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_pipeline::ports::{ListQuery, StoredDocument};

use crate::problem::{InputFault, Problem};
use crate::server::Doors;

const DEFAULT_LIMIT: usize = 20;
const HIGHEST_LIMIT: usize = 100;

pub(super) async fn list(
    request: HttpRequest,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let query = parse(request.query_string())?;
    // One more than asked for tells whether there is a next page.
    let wanted = ListQuery {
        limit: query.limit + 1,
        ..query
    };
    let mut page = doors.presentation.list(&wanted).await?;
    let has_next = page.len() > query.limit;
    page.truncate(query.limit);
    let mut answer = HttpResponse::Ok();
    if let Some(last) = page.last().filter(|_| has_next) {
        answer.insert_header((LINK, next_link(query.limit, last.number)));
    }
    Ok(answer.content_type("application/json").body(array(&page)))
}

fn next_link(limit: usize, number: u64) -> String {
    format!("</order?limit={limit}&cursor={number:x}>; rel=\"next\"")
}

/// The documents' own bytes between brackets.
fn array(page: &[StoredDocument]) -> String {
    let bodies: Vec<&str> = page.iter().map(|document| document.body.get()).collect();
    format!("[{}]", bodies.join(","))
}

fn parse(query: &str) -> Result<ListQuery, Problem> {
    let mut parsed = ListQuery {
        limit: DEFAULT_LIMIT,
        before: None,
    };
    let mut faults = Vec::new();
    for (key, value) in pairs(query) {
        let outcome = match key {
            "limit" => limit(value).map(|limit| parsed.limit = limit),
            "cursor" => cursor(value).map(|number| parsed.before = Some(number)),
            _ => Err("unknown parameter; known are limit and cursor".into()),
        };
        if let Err(detail) = outcome {
            let pointer = format!("/query/{key}");
            faults.push(InputFault { pointer, detail });
        }
    }
    if faults.is_empty() {
        return Ok(parsed);
    }
    Err(Problem::invalid(faults))
}

/// Names and values of a query string; all that are known here need no decoding.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=HIGHEST_LIMIT).contains(limit));
    limit.ok_or_else(|| format!("expected a whole number from 1 to {HIGHEST_LIMIT}"))
}

fn cursor(text: &str) -> Result<u64, String> {
    let expected = "expected a cursor as given in a Link header";
    u64::from_str_radix(text, 16).map_err(|_| expected.to_owned())
}
