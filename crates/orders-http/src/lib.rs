//! HTTP API of orders, on top of the generic API of the engine.
//!
//! - `orders`: operations on orders, one file each;
//! - [`attachments`]: files attached to orders;
//! - `docs`: OpenAPI and AsyncAPI documents;
//! - `page`: the page at `/`, which uses only the public API.

pub mod attachments;
mod docs;
mod orders;
mod page;
mod scopes;
mod settings;
mod state;

use actix_web::web;
use bakehouse_http::ApiDefinition;
use bakehouse_orders::Orders;

use docs::{Documents, Variant};
use scopes::SCOPES;
pub use settings::OrderSettings;
pub use state::OrdersState;

/// Paths that need no token; they contain no orders.
const PUBLIC_PATHS: &[&str] = &["/", "/openapi.json", "/asyncapi.json", "/docs", "/page"];

/// Returns the API of orders: routes, scopes and public paths.
#[must_use]
pub fn api_definition(settings: OrderSettings, state: OrdersState) -> ApiDefinition {
    let documents = Documents::new(&Variant {
        currency: settings.defaults.currency,
        requires_tokens: settings.requires_tokens,
        media_types: settings.attachments.media_types.clone(),
        public_url: settings.public_url.clone(),
    });
    let settings = web::Data::new(settings);
    let state = web::Data::new(state);
    let routes = move |config: &mut web::ServiceConfig| {
        config.app_data(settings.clone()).app_data(state.clone());
        orders::routes(config);
        attachments::routes(config);
        page::routes(config);
        docs::routes(config, &documents);
    };
    ApiDefinition {
        group: Some("customer"),
        scopes: SCOPES,
        public_paths: PUBLIC_PATHS,
        ..ApiDefinition::of::<Orders>("/order-events", |id| format!("/order/{id}"), routes)
    }
}
