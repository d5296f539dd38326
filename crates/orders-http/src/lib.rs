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

use std::sync::Arc;

use actix_web::web;
use bakehouse_engine::Shutdown;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{Blobs, EventLog, PresentationReader};
use bakehouse_http::ApiDefinition;
use bakehouse_orders::Orders;
use bakehouse_orders::parse::Defaults;
use url::Url;

use attachments::AttachmentSettings;
use attachments::pending::Pending;
use attachments::sweep::{self, SweepSettings};
use attachments::uploads::Uploads;
use docs::{Documents, Variant};

/// Settings of the orders API.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// Default values for members that an order leaves out.
    pub defaults: Defaults,
    /// Rules for attached files.
    pub attachments: AttachmentSettings,
    /// True if requests need a bearer token.
    pub requires_tokens: bool,
    /// Public base URL of the API, if it differs from the server's own.
    pub public_url: Option<Url>,
}

/// Shared state of the orders API, in addition to the state of every domain's API.
#[derive(Clone)]
pub struct OrdersState {
    /// Store of attached files.
    blobs: Arc<dyn Blobs>,
    uploads: Arc<Uploads>,
    pending: Arc<Pending>,
}

impl OrdersState {
    /// Creates the state on these stores.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, log: Arc<dyn EventLog>, settings: &OrderSettings) -> Self {
        let uploads = Uploads::new(settings.attachments.limits);
        Self {
            pending: Pending::new(blobs.clone(), log, uploads.clone()),
            blobs,
            uploads,
        }
    }

    /// Deletes bytes that no order refers to, until shutdown: those of rejected operations when the
    /// feed reports them, all others in the sweep.
    pub async fn clean_up(
        self,
        feed: Arc<Feed>,
        presentation: Arc<dyn PresentationReader>,
        settings: SweepSettings,
        shutdown: Shutdown,
    ) {
        let follow_feed = self.pending.clone().run(feed, shutdown.clone());
        let sweeps = sweep::run(self.pending, presentation, settings, shutdown);
        futures_util::future::join(follow_feed, sweeps).await;
    }
}

/// Prefix of the token scopes.
const SCOPES: &str = "orders";

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
