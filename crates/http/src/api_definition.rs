//! What a server serves beside what it does for every domain: the names that its
//! clients know the domain by, and its routes.

use std::fmt;
use std::sync::Arc;

use actix_web::web::ServiceConfig;
use bakehouse_engine::Domain;
use bakehouse_engine::model::frame;
use serde::{Serialize, Serializer};

use crate::auth::Scope;

/// Adds a domain's routes.
type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// A domain as clients see it.
#[derive(Clone)]
pub struct ApiDefinition {
    /// What one of its entities is called: [`Domain::NAME`].
    pub entity: &'static str,
    /// Types of feed frames that there are.
    pub kinds: Vec<String>,
    /// What the feed calls [`Domain::group`], if the domain has any: `customer`.
    pub group: Option<&'static str>,
    /// Path of the feed.
    pub feed: &'static str,
    /// What scopes begin with: `orders` where they are `orders:read`,
    /// `orders:write` and `orders:admin`.
    pub scopes: &'static str,
    /// Where an entity is read, by its id.
    pub location: fn(&str) -> String,
    /// Paths, and all below them, that show nothing of anybody's: whoever asks may
    /// have them.
    pub open: &'static [&'static str],
    /// The routes of the domain's own.
    pub routes: Routes,
}

impl ApiDefinition {
    /// Of a domain: its feed is at `feed`, its entities are where `location` says.
    pub fn of<D: Domain>(
        feed: &'static str,
        location: fn(&str) -> String,
        routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static,
    ) -> Self {
        Self {
            entity: D::NAME,
            kinds: frame::kinds::<D>(),
            group: None,
            feed,
            scopes: D::NAME,
            location,
            open: &[],
            routes: Arc::new(routes),
        }
    }

    /// An entity's id under the name that answers have it by: `order_id`.
    pub(crate) fn named(&self, id: &str) -> NamedId {
        NamedId {
            name: format!("{}_id", self.entity),
            id: id.to_owned(),
        }
    }

    /// What a scope is called in tokens.
    #[must_use]
    pub fn scope(&self, scope: Scope) -> String {
        format!("{}:{}", self.scopes, scope.name())
    }
}

/// To be flattened into what has it.
pub(crate) struct NamedId {
    name: String,
    id: String,
}

impl Serialize for NamedId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(&self.name, &self.id)])
    }
}

impl fmt::Debug for ApiDefinition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Menu")
            .field("entity", &self.entity)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One to test with.
    pub(crate) fn api() -> ApiDefinition {
        let changes = ["created", "deleted", "rejected"];
        ApiDefinition {
            entity: "order",
            kinds: changes.map(|change| format!("order.{change}")).to_vec(),
            group: Some("customer"),
            feed: "/order-events",
            scopes: "orders",
            location: |id| format!("/order/{id}"),
            open: &["/", "/page"],
            routes: Arc::new(|_| ()),
        }
    }
}
