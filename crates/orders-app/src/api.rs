//! API of orders, created from the settings: its routes, and the store of attached files.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bakehouse_blob_store::S3;
use bakehouse_engine::ports::{Blobs, Probe};
use bakehouse_host::settings::Mode;
use bakehouse_host::{ApiContext, DomainApi, Settings};
use bakehouse_orders::parse::Defaults;
use bakehouse_orders_http::attachments::AttachmentSettings;
use bakehouse_orders_http::attachments::sweep::SweepSettings;
use bakehouse_orders_http::attachments::uploads::UploadLimits;
use bakehouse_orders_http::{OrderSettings, OrdersState};

use crate::Configuration;
use crate::settings::{Attachments, OrdersSettings};

/// Minimum interval of the readiness check's writes to a bucket, each of which costs a request.
const BUCKET_WRITE_INTERVAL: Duration = Duration::from_secs(30);

/// Creates the API of orders, and starts the removal of files that no order refers to.
///
/// # Errors
/// An error if the folder of attached files cannot be created, or its settings are invalid.
pub(crate) fn api(configuration: &Configuration, context: ApiContext<'_>) -> Result<DomainApi> {
    let attachments = &configuration.domain.attachments;
    let settings = order_settings(configuration);
    let blobs = open_blobs(configuration)?;
    let probe = blob_probe(attachments, blobs.clone());
    let state = OrdersState::new(blobs, context.log, &settings);
    let sweep = SweepSettings {
        interval: attachments.sweep_interval,
        grace: attachments.sweep_grace,
        // Only one process opens the embedded store, and the folder of files in its folder.
        is_only_process: !configuration.host.has_servers() && attachments.store.is_none(),
    };
    let shutdown = context.shutdown.clone();
    context.tasks.run(
        state
            .clone()
            .clean_up(context.feed, context.presentation, sweep, shutdown),
    );
    Ok(DomainApi {
        definition: bakehouse_orders_http::api_definition(settings, state),
        probes: vec![probe],
    })
}

fn order_settings(configuration: &Configuration) -> OrderSettings {
    let Configuration { host, domain } = configuration;
    let OrdersSettings {
        attachments,
        orders,
        ..
    } = domain;
    OrderSettings {
        defaults: Defaults {
            currency: orders.currency,
        },
        attachments: AttachmentSettings {
            max_bytes: attachments.max_bytes,
            media_types: attachments.media_types.clone(),
            min_upload_rate: attachments.min_upload_rate,
            limits: UploadLimits {
                max_uploads: attachments.max_uploads,
                max_uploads_per_client: attachments.max_uploads_per_client,
                max_bytes_per_order: attachments.max_bytes_per_order,
                max_bytes_per_client: attachments.max_bytes_per_client,
                max_total_bytes: attachments.max_total_bytes,
            },
        },
        requires_tokens: host.auth.is_on(),
        public_url: host.http.public_url.as_ref().map(|url| url.url().clone()),
    }
}

/// Opens the store of attached files.
///
/// # Errors
/// An error if the folder cannot be created, or the settings are invalid.
fn open_blobs(configuration: &Configuration) -> Result<Arc<dyn Blobs>> {
    if configuration.host.mode == Mode::Memory {
        return Ok(bakehouse_blob_store::memory());
    }
    let attachments = &configuration.domain.attachments;
    let Some((bucket, prefix)) = attachments.bucket() else {
        return Ok(bakehouse_blob_store::local(&folder(&configuration.host))?);
    };
    let secret = attachments.s3_secret_access_key.as_ref();
    let endpoint = attachments.s3_endpoint.as_ref();
    Ok(bakehouse_blob_store::s3(&S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: attachments.s3_region.clone(),
        endpoint: endpoint.map(|uri| uri.expose().to_owned()),
        access_key_id: attachments.s3_access_key_id.clone().unwrap_or_default(),
        secret_access_key: secret
            .map(|secret| secret.expose().to_owned())
            .unwrap_or_default(),
    })?)
}

/// Opens the store of attached files to be read only: nothing is created.
///
/// # Errors
/// An error if the settings are invalid.
pub(crate) fn blobs_to_read(configuration: &Configuration) -> Result<Option<Arc<dyn Blobs>>> {
    let is_folder = configuration.domain.attachments.bucket().is_none();
    if is_folder && !folder(&configuration.host).exists() {
        // Reported as files that are missing.
        return Ok(Some(bakehouse_blob_store::memory()));
    }
    open_blobs(configuration).map(Some)
}

fn folder(settings: &Settings) -> std::path::PathBuf {
    settings.data_dir.join("attachments")
}

/// Readiness check of the store of attached files: it accepts files.
fn blob_probe(attachments: &Attachments, blobs: Arc<dyn Blobs>) -> Arc<dyn Probe> {
    let interval = match attachments.bucket() {
        Some(_) => BUCKET_WRITE_INTERVAL,
        None => Duration::ZERO,
    };
    bakehouse_blob_store::probe(blobs, interval)
}
