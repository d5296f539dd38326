//! The HTTP API of orders, on the engine's own.
//!
//! - `orders`: one file a call;
//! - [`attachments`]: files that belong to orders;
//! - `docs`: what the API says of itself;
//! - `page`: the page at `/`, which uses nothing but all this.

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

/// How the API of orders works.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// What an order gets that does not say otherwise.
    pub defaults: Defaults,
    /// What may be attached to an order.
    pub attachments: AttachmentSettings,
    /// Whether tokens are asked for.
    pub has_tokens: bool,
    /// URL under which clients find the API, where that is not the server's own.
    pub public_url: Option<Url>,
}

/// What it stands between, beside what every domain does.
#[derive(Clone)]
pub struct OrdersState {
    /// Where attached files are.
    blobs: Arc<dyn Blobs>,
    uploads: Arc<Uploads>,
    pending: Arc<Pending>,
}

impl OrdersState {
    /// Over these stores.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, log: Arc<dyn EventLog>, settings: &OrderSettings) -> Self {
        let uploads = Uploads::new(settings.attachments.limits);
        Self {
            pending: Pending::new(blobs.clone(), log, uploads.clone()),
            blobs,
            uploads,
        }
    }

    /// Removes bytes that no order refers to, until shutdown: those of refused operations as
    /// soon as the feed tells of them, all others at the sweeps.
    pub async fn clean_up(
        self,
        feed: Arc<Feed>,
        presentation: Arc<dyn PresentationReader>,
        settings: SweepSettings,
        shutdown: Shutdown,
    ) {
        let following = self.pending.clone().run(feed, shutdown.clone());
        let sweeping = sweep::run(self.pending, presentation, settings, shutdown);
        futures_util::future::join(following, sweeping).await;
    }
}

/// What scopes begin with.
const SCOPES: &str = "orders";

/// What anybody may have: it shows nothing of anybody's orders.
const OPEN: &[&str] = &["/", "/openapi.json", "/asyncapi.json", "/docs", "/page"];

/// What is served of orders.
#[must_use]
pub fn api_definition(settings: OrderSettings, state: OrdersState) -> ApiDefinition {
    let documents = Documents::new(&Variant {
        currency: settings.defaults.currency,
        has_tokens: settings.has_tokens,
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
        open: OPEN,
        ..ApiDefinition::of::<Orders>("/order-events", |id| format!("/order/{id}"), routes)
    }
}
