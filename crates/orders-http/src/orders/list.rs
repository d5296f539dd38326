//! `GET /order`: presentation documents of orders, in pages.

use actix_web::http::header::LINK;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{DocumentKey, ListQuery, Sort, SortKey};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads::Listing;
use bakehouse_http::request::conditional::{etag, is_known};
use bakehouse_http::request::query::{DEFAULT_LIMIT, Parameters, limit, text};
use bakehouse_http::response::problem::{InputFault, Problem};
use bakehouse_orders::{CUSTOMER, Document, STATUS, Status};

use super::cursor::Cursor;
use crate::docs::parts::{IfNoneMatch, ListParameters, NotModified};

/// List orders
///
/// Returns one page; deleted orders are left out. The `Link` header contains the next page.
#[utoipa::path(
    get,
    path = "/order",
    tag = "orders",
    params(ListParameters, IfNoneMatch),
    responses(
        (status = 200, description = "A page of orders", body = [Document], headers(
            ("ETag" = String, description = "Tag of this page"),
            ("Link" = Option<String>, description = "The next page, if there is one"),
        )),
        NotModified,
    )
)]
pub(super) async fn list(
    request: HttpRequest,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let query = parse(request.query_string(), &principal)?;
    let listing = Listing::read(state.presentation.clone(), &query).await?;
    let link = listing
        .next()
        .map(|last| next_link(request.query_string(), &query, last));
    let tag = listing.tag(link.as_deref().unwrap_or_default());
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header(etag(&tag))
            .finish());
    }
    let mut answer = HttpResponse::Ok();
    answer.insert_header(etag(&tag));
    if let Some(link) = link {
        answer.insert_header((LINK, link));
    }
    Ok(answer.content_type("application/json").body(listing.body()))
}

/// Returns a `Link` header that repeats the request with the cursor after this page.
fn next_link(query_string: &str, query: &ListQuery, last: DocumentKey) -> String {
    let cursor = Cursor::after(query, last).to_string();
    let others = url::form_urlencoded::parse(query_string.as_bytes());
    let others = others.filter(|(name, _)| name != "cursor");
    let next = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("cursor", &cursor)
        .finish();
    format!("</order?{next}>; rel=\"next\"")
}

fn parse(query: &str, principal: &Principal) -> Result<ListQuery, Problem> {
    let mut parameters = Parameters::of(query);
    let limit = parameters.take("limit", limit);
    let cursor = parameters.take("cursor", Cursor::parse);
    let status = parameters.take("status", status);
    let customer = parameters.take("customer", text);
    let created_after = parameters.take("created_after", time);
    let created_before = parameters.take("created_before", time);
    let sort = parameters.take("sort", sort);
    parameters.finish()?;
    let status = status.map(|status| (STATUS, status.to_string()));
    let customer = customer.map(|customer| (CUSTOMER, customer));
    let mut query = ListQuery {
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        sort: sort.unwrap_or(Sort::NEWEST_FIRST),
        past: None,
        owner: principal.restricted_to_owner().map(str::to_owned),
        facets: status.into_iter().chain(customer).collect(),
        created_after,
        created_before,
    };
    if let Some(cursor) = cursor {
        query.past = Some(cursor.past(&query).map_err(|detail| {
            Problem::invalid(vec![InputFault {
                pointer: "/query/cursor".into(),
                detail,
            }])
        })?);
    }
    Ok(query)
}

fn status(text: &str) -> Result<Status, String> {
    text.parse()
        .map_err(|error: bakehouse_orders::UnknownStatus| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .map_err(|_| "expected a time of RFC 3339, such as 2026-01-31T12:00:00Z".to_owned())
}

fn sort(text: &str) -> Result<Sort, String> {
    let (descending, name) = match text.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let by = match name {
        "created_at" => SortKey::Created,
        "updated_at" => SortKey::Updated,
        _ => {
            let expected = "expected created_at or updated_at, with a leading - for latest first";
            return Err(expected.to_owned());
        }
    };
    Ok(Sort { by, descending })
}
