//! MongoDB and RabbitMQ by the settings.

use std::sync::Arc;

use crate::{SecretUri, Settings};
use anyhow::Result;
use bakehouse_engine::ports::{Backlog, QueueInspector};
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_mongodb::{PresentationDatabase, SourceDatabase};
use bakehouse_rabbitmq::Broker;

use crate::Adapters;

/// Both databases and the broker; nothing is sent yet.
///
/// # Errors
/// When a URI is not set or cannot be used.
pub(crate) async fn open<D: Domain>(settings: &Settings, shutdown: &Shutdown) -> Result<Adapters> {
    let source = source::<D>(settings).await?;
    let presentation = presentation::<D>(settings).await?;
    let broker = broker::<D>(settings)?;
    let shutdown = shutdown.clone();
    Ok(Adapters::on_servers(
        source,
        presentation,
        &broker,
        shutdown,
    ))
}

/// The collection of source entities, and of presentation documents: `orders`.
fn collection<D: Domain>() -> String {
    format!("{}s", D::NAME)
}

/// The source database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub(crate) async fn source<D: Domain>(settings: &Settings) -> Result<SourceDatabase> {
    let at = mongodb(settings, settings.source_uri()?);
    Ok(SourceDatabase::new(&at, &collection::<D>()).await?)
}

/// The presentation database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub(crate) async fn presentation<D: Domain>(settings: &Settings) -> Result<PresentationDatabase> {
    let at = mongodb(settings, settings.presentation_uri()?);
    Ok(PresentationDatabase::new(&at, &collection::<D>(), D::FACETS).await?)
}

fn mongodb(settings: &Settings, uri: &SecretUri) -> bakehouse_mongodb::Settings {
    bakehouse_mongodb::Settings {
        uri: uri.expose().to_owned(),
        app_name: settings.instance.clone(),
        initiate_replica_set: settings.mongodb.initiate_replica_set,
    }
}

/// Depth of the broker's schedule queue, where nothing else is asked of it.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub(crate) fn backlog<D: Domain>(settings: &Settings) -> Result<Arc<dyn Backlog>> {
    Ok(bakehouse_rabbitmq::backlog(&rabbitmq::<D>(settings)?)?)
}

/// Settings of the broker's queues, for an audit; `None` where `amqp.management_uri` is not set.
///
/// # Errors
/// When a URI is not set or cannot be used.
pub(crate) fn queue_inspector<D: Domain>(
    settings: &Settings,
) -> Result<Option<Arc<dyn QueueInspector>>> {
    Ok(bakehouse_rabbitmq::queue_inspector(&rabbitmq::<D>(
        settings,
    )?)?)
}

/// The broker.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub(crate) fn broker<D: Domain>(settings: &Settings) -> Result<Broker> {
    Ok(Broker::new(&rabbitmq::<D>(settings)?)?)
}

fn rabbitmq<D: Domain>(settings: &Settings) -> Result<bakehouse_rabbitmq::Settings> {
    Ok(bakehouse_rabbitmq::Settings {
        uri: settings.amqp_uri()?.expose().to_owned(),
        connection_name: settings.instance.clone(),
        management_uri: settings
            .amqp
            .management_uri
            .as_ref()
            .map(|uri| uri.expose().to_string()),
        domain: D::NAME,
        prefix: settings.amqp.prefix.clone(),
        confirm_timeout: settings.amqp.confirm_timeout,
        prefetch: settings.amqp.prefetch,
    })
}
