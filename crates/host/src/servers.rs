//! Adapters for MongoDB and RabbitMQ, created from the settings.
use std::sync::Arc;

use anyhow::Result;
use bakehouse_engine::ports::{Backlog, QueueInspector};
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_mongodb::{PresentationDatabase, SourceDatabase};
use bakehouse_rabbitmq::Broker;

use crate::Adapters;
use crate::{SecretUri, Settings};

/// Creates the adapters of both databases and the broker, without connecting yet.
///
/// # Errors
/// An error if a URI is not set or invalid.
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

/// Name of the collection of source entities, and of presentation documents: `orders`.
fn collection<D: Domain>() -> String {
    format!("{}s", D::NAME)
}

/// Creates the adapter of the source database.
///
/// # Errors
/// An error if its URI is not set or invalid.
pub(crate) async fn source<D: Domain>(settings: &Settings) -> Result<SourceDatabase> {
    let settings = mongodb(settings, settings.source_uri()?);
    Ok(SourceDatabase::new(&settings, &collection::<D>()).await?)
}

/// Creates the adapter of the presentation database.
///
/// # Errors
/// An error if its URI is not set or invalid.
pub(crate) async fn presentation<D: Domain>(settings: &Settings) -> Result<PresentationDatabase> {
    let settings = mongodb(settings, settings.presentation_uri()?);
    Ok(PresentationDatabase::new(&settings, &collection::<D>(), D::FACETS).await?)
}

fn mongodb(settings: &Settings, uri: &SecretUri) -> bakehouse_mongodb::Settings {
    bakehouse_mongodb::Settings {
        uri: uri.expose().to_owned(),
        app_name: settings.instance.clone(),
        initiate_replica_set: settings.mongodb.initiate_replica_set,
    }
}

/// Creates a reader of the length of the broker's schedule queue, for programs that do not use the
/// broker otherwise.
///
/// # Errors
/// An error if its URI is not set or invalid.
pub(crate) fn backlog<D: Domain>(settings: &Settings) -> Result<Arc<dyn Backlog>> {
    Ok(bakehouse_rabbitmq::backlog(&rabbitmq::<D>(settings)?)?)
}

/// Creates a reader of the policies and arguments of the broker's queues, for an audit; `None` if
/// `amqp.management_uri` is not set.
///
/// # Errors
/// An error if a URI is not set or invalid.
pub(crate) fn queue_inspector<D: Domain>(
    settings: &Settings,
) -> Result<Option<Arc<dyn QueueInspector>>> {
    Ok(bakehouse_rabbitmq::queue_inspector(&rabbitmq::<D>(
        settings,
    )?)?)
}

/// Creates the adapter of the broker.
///
/// # Errors
/// An error if its URI is not set or invalid.
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
