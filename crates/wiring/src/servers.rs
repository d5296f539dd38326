//! MongoDB and RabbitMQ by the settings.

use anyhow::Result;
use bakehouse_mongodb::{PresentationDatabase, SourceDatabase};
use bakehouse_orders::Orders;
use bakehouse_pipeline::Domain;
use bakehouse_rabbitmq::Broker;
use bakehouse_service::{SecretUri, Settings};

/// Collections of source orders, and of presentation documents.
const ORDERS: &str = "orders";

/// The source database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub async fn source(settings: &Settings) -> Result<SourceDatabase> {
    let at = mongodb(settings, settings.source_uri()?);
    Ok(SourceDatabase::new(&at, ORDERS).await?)
}

/// The presentation database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub async fn presentation(settings: &Settings) -> Result<PresentationDatabase> {
    let at = mongodb(settings, settings.presentation_uri()?);
    Ok(PresentationDatabase::new(&at, ORDERS, Orders::FACETS).await?)
}

fn mongodb(settings: &Settings, uri: &SecretUri) -> bakehouse_mongodb::Settings {
    bakehouse_mongodb::Settings {
        uri: uri.expose().to_owned(),
        app_name: settings.instance.clone(),
        initiate_replica_set: settings.mongodb.initiate_replica_set,
    }
}

/// The broker.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub fn broker(settings: &Settings) -> Result<Broker> {
    Ok(Broker::new(&bakehouse_rabbitmq::Settings {
        uri: settings.amqp_uri()?.expose().to_owned(),
        connection_name: settings.instance.clone(),
        domain: Orders::NAME,
        prefix: settings.amqp.prefix.clone(),
        confirm_timeout: settings.amqp.confirm_timeout,
        prefetch: settings.amqp.prefetch,
    })?)
}
