//! Principal of a request: its identity, scopes and owner.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bakehouse_engine::{Terms, Timestamp};

use crate::response::problem::Problem;

/// Separator of name and owner in [`Principal::subject`].
const SEPARATOR: char = '\n';

/// Permission that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Permission to read and to subscribe to the feed.
    Read,
    /// Permission to change entities.
    Write,
    /// Permission to read and change entities of every owner, and to resolve parked operations.
    Admin,
}

impl Scope {
    /// Returns the scope that a request of this HTTP method needs.
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::Read,
            _ => Self::Write,
        }
    }

    /// Returns the scope's name in tokens, which follows the domain's prefix and a colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Scopes of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) admin: bool,
}

/// Authenticated or anonymous sender of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Subject of the token; `None` if no token is required.
    name: Option<String>,
    /// Party that acts on the subject's behalf; `None` if the subject acts itself.
    actor: Option<String>,
    /// Owner of the entities that the principal may access; `None` if no token is required or the
    /// token does not name one.
    owner: Option<String>,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
}

impl Principal {
    /// Returns the principal of requests without a token, which has every scope.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: None,
            actor: None,
            owner: None,
            scopes: Scopes {
                read: true,
                write: true,
                admin: true,
            },
            expires_at: None,
        }
    }

    /// Returns the principal of a token.
    pub(crate) fn named(
        name: String,
        owner: Option<String>,
        scopes: Scopes,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            name: Some(name),
            actor: None,
            owner,
            scopes,
            expires_at: Some(expires_at),
        }
    }

    /// Sets the party that acts on the principal's behalf.
    #[must_use]
    pub(crate) fn with_actor(self, actor: Option<String>) -> Self {
        Self { actor, ..self }
    }

    /// Checks whether the principal has this scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        let granted = match scope {
            Scope::Read => self.scopes.read,
            Scope::Write => self.scopes.write,
            Scope::Admin => false,
        };
        self.scopes.admin || granted
    }

    /// Returns the namespace of the principal's idempotency keys and operations: the name, followed
    /// by the owner if it differs (a tenant), because keys are unique per tenant only.
    ///
    /// The encoding is unambiguous: if the name or the owner contains the separator, the name is
    /// preceded by a line feed and its length. No other subject begins with a line feed, since a
    /// name is never empty.
    #[must_use]
    pub fn subject(&self) -> Cow<'_, str> {
        let name = self.name.as_deref().unwrap_or_default();
        let owner = self.owner.as_deref().filter(|owner| *owner != name);
        let has_separator = |text: &str| text.contains(SEPARATOR);
        let is_ambiguous = has_separator(name) || owner.is_some_and(has_separator);
        match owner {
            None if !is_ambiguous => Cow::Borrowed(name),
            None => Cow::Owned(format!("\n{}\n{name}", name.len())),
            Some(owner) if is_ambiguous => Cow::Owned(format!("\n{}\n{name}\n{owner}", name.len())),
            Some(owner) => Cow::Owned(format!("{name}{SEPARATOR}{owner}")),
        }
    }

    /// Returns the only owner whose entities the principal may read and change; `None`: every
    /// owner.
    #[must_use]
    pub fn restricted_to_owner(&self) -> Option<&str> {
        if self.scopes.admin {
            return None;
        }
        // A token without an owner gives access to no entity, not to all of them.
        Some(self.owner.as_deref().unwrap_or_default())
    }

    /// Checks whether the principal may read an entity of this owner.
    #[must_use]
    pub fn can_view(&self, owner: Option<&str>) -> bool {
        self.restricted_to_owner()
            .is_none_or(|mine| owner == Some(mine))
    }

    /// Returns the terms of an operation that creates an entity, which the principal then owns.
    #[must_use]
    pub fn terms_of_creation(&self) -> Terms {
        Terms {
            owner: self.owner.clone(),
            expected_version: None,
            ..self.terms()
        }
    }

    /// Returns the terms of an operation that changes an entity: the principal must be its owner,
    /// unless it is not restricted to one, and the version must match if there is one.
    #[must_use]
    pub fn terms_of_change(&self, expected_version: Option<u64>) -> Terms {
        Terms {
            owner: self.restricted_to_owner().map(str::to_owned),
            expected_version,
            ..self.terms()
        }
    }

    /// Returns terms with the actor and the party on whose behalf it acts.
    fn terms(&self) -> Terms {
        match &self.actor {
            None => Terms {
                actor: self.name.clone(),
                ..Terms::default()
            },
            Some(actor) => Terms {
                actor: Some(actor.clone()),
                on_behalf_of: self.name.clone(),
                ..Terms::default()
            },
        }
    }

    /// Returns the expiry of the token; `None` for an anonymous principal.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}

/// Sender of a request that may authenticate later, in the first frame of its websocket.
#[derive(Clone, Debug)]
pub(crate) enum MaybePrincipal {
    /// Sender that is authenticated, or needs no token.
    Known(Principal),
    /// Sender that has yet to authenticate.
    Unknown,
}

impl MaybePrincipal {
    /// Returns the principal, if it is known.
    pub(crate) fn principal(&self) -> Option<Principal> {
        match self {
            Self::Known(principal) => Some(principal.clone()),
            Self::Unknown => None,
        }
    }
}

impl FromRequest for MaybePrincipal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let maybe_principal = request.extensions().get::<Self>().cloned();
        ready(maybe_principal.ok_or_else(Problem::internal))
    }
}

/// Extracts the principal found by `super::middleware`. A route without that middleware has no
/// principal and responds with 500.
impl FromRequest for Principal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let principal = request.extensions().get::<Self>().cloned();
        ready(principal.ok_or_else(Problem::internal))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_subject_is_the_name_and_the_tenant() {
        let of = |owner: Option<&str>| {
            let owner = owner.map(str::to_owned);
            let principal =
                Principal::named("ada".into(), owner, Scopes::default(), Timestamp::now());
            principal.subject().into_owned()
        };
        assert_eq!(of(None), "ada");
        assert_eq!(of(Some("ada")), "ada");
        assert_ne!(of(Some("acme")), of(Some("other")));
        assert_ne!(of(Some("acme")), of(None));
        // The format of stored operations.
        assert_eq!(of(Some("acme")), "ada\nacme");
    }

    fn subject(name: &str, owner: Option<&str>) -> String {
        let owner = owner.map(str::to_owned);
        let principal = Principal::named(name.into(), owner, Scopes::default(), Timestamp::now());
        principal.subject().into_owned()
    }

    proptest! {
        /// Uses names and owners that consist of separators and digits mostly.
        #[test]
        fn subjects_are_unique(
            one in ("[\n0-9a]{1,4}", proptest::option::of("[\n0-9a]{1,4}")),
            other in ("[\n0-9a]{1,4}", proptest::option::of("[\n0-9a]{1,4}")),
        ) {
            // An owner equal to the name is the same as no owner.
            let of = |(name, owner): &(String, Option<String>)| {
                (name.clone(), owner.clone().filter(|owner| owner != name))
            };
            let is_same = of(&one) == of(&other);
            let subjects = [&one, &other].map(|(name, owner)| subject(name, owner.as_deref()));
            prop_assert_eq!(subjects[0] == subjects[1], is_same);
        }
    }
}
