//! Description of a domain's HTTP API: its routes, and the names by which clients know it.

use std::fmt;
use std::sync::Arc;

use actix_web::web::ServiceConfig;
use bakehouse_engine::Domain;
use bakehouse_engine::model::frame;
use serde::{Serialize, Serializer};

use crate::auth::Scope;

/// Function that registers a domain's routes.
type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// HTTP API of a domain: names, paths and routes.
#[derive(Clone)]
pub struct ApiDefinition {
    /// Name of an entity: [`Domain::NAME`].
    pub entity: &'static str,
    /// Types of the domain's feed frames.
    pub kinds: Vec<String>,
    /// Name of [`Domain::group`] in the feed, such as `customer`; `None` for a domain without
    /// groups.
    pub group: Option<&'static str>,
    /// Path of the feed.
    pub feed: &'static str,
    /// Prefix of the scopes: `orders` for `orders:read`, `orders:write` and `orders:admin`.
    pub scopes: &'static str,
    /// Path of an entity, by its id.
    pub location: fn(&str) -> String,
    /// Public paths: they and all paths below them are served without authentication. `/` stands
    /// for itself only.
    pub public_paths: &'static [&'static str],
    /// Registration of the domain's own routes.
    pub routes: Routes,
}

impl ApiDefinition {
    /// Creates the definition of a domain whose feed is at the path `feed` and whose entities
    /// are at the paths given by `location`.
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
            public_paths: &[],
            routes: Arc::new(routes),
        }
    }

    /// Returns an entity's id with its member name in responses, such as `order_id`.
    pub(crate) fn named(&self, id: &str) -> NamedId {
        NamedId {
            name: format!("{}_id", self.entity),
            id: id.to_owned(),
        }
    }

    /// Returns a scope's name in tokens, such as `orders:read`.
    #[must_use]
    pub fn scope(&self, scope: Scope) -> String {
        format!("{}:{}", self.scopes, scope.name())
    }
}

/// Entity id as a JSON member, to be flattened into the object that contains it.
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
        out.debug_struct("ApiDefinition")
            .field("entity", &self.entity)
            .field("feed", &self.feed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Definition for tests.
    pub(crate) fn api() -> ApiDefinition {
        let changes = ["created", "deleted", "rejected"];
        ApiDefinition {
            entity: "order",
            kinds: changes.map(|change| format!("order.{change}")).to_vec(),
            group: Some("customer"),
            feed: "/order-events",
            scopes: "orders",
            location: |id| format!("/order/{id}"),
            public_paths: &["/", "/page"],
            routes: Arc::new(|_| ()),
        }
    }
}
