//! What is served of orders, by the settings.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bakehouse_blob_store::S3;
use bakehouse_engine::Shutdown;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{Blobs, EventLog, PresentationReader, Probe};
use bakehouse_host::settings::Mode;
use bakehouse_host::{Settings, Stages};
use bakehouse_http::ApiDefinition;
use bakehouse_orders::intake::Defaults;
use bakehouse_orders_http::attachments::AttachmentSettings;
use bakehouse_orders_http::attachments::sweep::SweepSettings;
use bakehouse_orders_http::attachments::uploads::UploadLimits;
use bakehouse_orders_http::{OrderSettings, OrdersState};

/// The API of orders, and what runs beside it: see [`Api::clean_up`].
pub struct Api {
    api: ApiDefinition,
    deps: OrdersState,
    sweep: SweepSettings,
    /// Readiness of the store of attached files.
    pub probe: Arc<dyn Probe>,
}

/// The API of orders, by the settings.
///
/// # Errors
/// When the folder of attached files cannot be made, or the settings contradict each other.
pub fn api(settings: &Settings, log: Arc<dyn EventLog>) -> Result<Api> {
    let at = &settings.attachments;
    let own = OrderSettings {
        defaults: Defaults {
            currency: settings.orders.currency,
        },
        attachments: AttachmentSettings {
            largest: at.largest,
            media_types: at.media_types.clone(),
            min_upload_rate: at.min_upload_rate,
            limits: UploadLimits {
                max_uploads: at.max_uploads,
                max_uploads_per_client: at.max_uploads_per_client,
                max_bytes_per_order: at.max_bytes_per_order,
                max_bytes_per_client: at.max_bytes_per_client,
                max_total_bytes: at.max_total_bytes,
            },
        },
        has_tokens: settings.auth.jwks.is_some(),
        public_url: settings
            .http
            .public_url
            .as_ref()
            .map(|url| url.url().clone()),
    };
    let blobs = blobs(settings)?;
    let probe = blob_probe(settings, blobs.clone());
    let deps = OrdersState::new(blobs, log, &own);
    Ok(Api {
        probe,
        api: bakehouse_orders_http::api_definition(own, deps.clone()),
        deps,
        sweep: SweepSettings {
            interval: at.sweep_interval,
            grace: at.sweep_grace,
            // Whoever has the embedded store has the folder beside it, too.
            is_alone: !settings.has_servers() && at.store.is_none(),
        },
    })
}

impl Api {
    /// Removes what uploads have left behind, until shutdown. Says what is served.
    pub fn clean_up(
        self,
        feed: Arc<Feed>,
        presentation: Arc<dyn PresentationReader>,
        stages: &mut Stages,
        shutdown: &Shutdown,
    ) -> ApiDefinition {
        let cleaning = self
            .deps
            .clean_up(feed, presentation, self.sweep, shutdown.clone());
        stages.run(cleaning);
        self.api
    }
}

/// Where attached files are.
///
/// # Errors
/// When the folder cannot be made, or the settings contradict each other.
fn blobs(settings: &Settings) -> Result<Arc<dyn Blobs>> {
    if settings.mode == Mode::Memory {
        return Ok(bakehouse_blob_store::memory());
    }
    let at = &settings.attachments;
    let Some((bucket, prefix)) = at.bucket() else {
        let folder = settings.data_dir.join("attachments");
        return Ok(bakehouse_blob_store::local(&folder)?);
    };
    let secret = at.s3_secret_access_key.as_ref();
    Ok(bakehouse_blob_store::s3(&S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: at.s3_region.clone(),
        endpoint: at.s3_endpoint.as_ref().map(|uri| uri.expose().to_owned()),
        access_key_id: at.s3_access_key_id.clone().unwrap_or_default(),
        secret_access_key: secret
            .map(|secret| secret.expose().to_owned())
            .unwrap_or_default(),
    })?)
}

/// Opens the store of attached files to be read alone: nothing is made.
///
/// # Errors
/// When the settings contradict each other.
pub fn blobs_to_read(settings: &Settings) -> Result<Option<Arc<dyn Blobs>>> {
    let is_folder = settings.attachments.bucket().is_none();
    if is_folder && !settings.data_dir.join("attachments").exists() {
        // Whatever is referred to is missing.
        return Ok(Some(bakehouse_blob_store::memory()));
    }
    blobs(settings).map(Some)
}

/// Readiness of the store of attached files: whether it takes files.
fn blob_probe(settings: &Settings, blobs: Arc<dyn Blobs>) -> Arc<dyn Probe> {
    let is_bucket = settings.attachments.bucket().is_some();
    let interval = match is_bucket {
        true => BUCKET_WRITE_INTERVAL,
        false => Duration::ZERO,
    };
    bakehouse_blob_store::probe(blobs, interval)
}

/// Interval at which a bucket is written to for readiness, which costs a request each time.
const BUCKET_WRITE_INTERVAL: Duration = Duration::from_secs(30);
