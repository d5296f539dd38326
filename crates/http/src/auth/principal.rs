//! Who is asking.

use std::borrow::Cow;
use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bakehouse_engine::{Terms, Timestamp};

use crate::response::problem::Problem;

/// Separator of a principal's name and owner in what they hold things under.
const SEPARATOR: char = '\n';

/// What a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To read and follow.
    Read,
    /// To change.
    Write,
    /// Both, with what is anybody's, and to settle what is parked.
    Admin,
}

impl Scope {
    /// What a call of this HTTP method takes.
    #[must_use]
    pub fn of_method(method: &str) -> Self {
        match method {
            "GET" | "HEAD" => Self::Read,
            _ => Self::Write,
        }
    }

    /// As tokens name it, behind the domain's name and a colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// What a token allows: read, change, and do so with what is anybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) admin: bool,
}

/// Whoever is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Their name; none where nobody is asked.
    name: Option<String>,
    /// Who acts in their stead; none where they act themselves.
    actor: Option<String>,
    /// What they own; none where nobody is asked, or the token does not say.
    owner: Option<String>,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
}

impl Principal {
    /// Anybody, where nobody is asked who they are: may do everything.
    pub(crate) fn anybody() -> Self {
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

    /// Who a token speaks of.
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

    /// The same, with somebody acting in their stead.
    #[must_use]
    pub(crate) fn through(self, actor: Option<String>) -> Self {
        Self { actor, ..self }
    }

    /// Whether it may do what takes this scope.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        let granted = match scope {
            Scope::Read => self.scopes.read,
            Scope::Write => self.scopes.write,
            Scope::Admin => false,
        };
        self.scopes.admin || granted
    }

    /// What its idempotency keys and operations are held under: the name, and the owner
    /// where that is somebody else (a tenant), since the same key is another's there.
    ///
    /// The two cannot be confused: where the separator is in one of them, the name's length
    /// precedes it. No other holder begins with a line's end, since a name is never empty.
    #[must_use]
    pub fn holder(&self) -> Cow<'_, str> {
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

    /// Whose things alone it may see and change; `None`: everybody's.
    #[must_use]
    pub fn confined_to(&self) -> Option<&str> {
        if self.scopes.admin {
            return None;
        }
        // Without an owner a token owns nothing, which is not everything.
        Some(self.owner.as_deref().unwrap_or_default())
    }

    /// Whether something of this owner exists, as far as it is concerned.
    #[must_use]
    pub fn can_view(&self, owner: Option<&str>) -> bool {
        self.confined_to().is_none_or(|mine| owner == Some(mine))
    }

    /// For making something new, which becomes its own.
    #[must_use]
    pub fn terms_of_creation(&self) -> Terms {
        Terms {
            owner: self.owner.clone(),
            expected_version: None,
            ..self.terms()
        }
    }

    /// For changing something, which must be its own, and of this version.
    #[must_use]
    pub fn terms_of_change(&self, expected_version: Option<u64>) -> Terms {
        Terms {
            owner: self.confined_to().map(str::to_owned),
            expected_version,
            ..self.terms()
        }
    }

    /// Who asks, and in whose stead.
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

    /// When its token ends; never, where there is none.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}

/// Whoever is asking, where one may also say so later.
#[derive(Clone, Debug)]
pub(crate) enum MaybePrincipal {
    /// They have said so.
    Known(Principal),
    /// They have yet to.
    Unknown,
}

impl MaybePrincipal {
    /// Who they are, if they have said so.
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
        let visitor = request.extensions().get::<Self>().cloned();
        ready(visitor.ok_or_else(Problem::internal))
    }
}

/// What `super::guard` has found out. A route that the guard does not stand
/// before has no principal, and answers 500 rather than everything.
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
    fn keys_are_held_under_the_name_and_the_tenant() {
        let of = |owner: Option<&str>| {
            let owner = owner.map(str::to_owned);
            let principal =
                Principal::named("ada".into(), owner, Scopes::default(), Timestamp::now());
            principal.holder().into_owned()
        };
        assert_eq!(of(None), "ada");
        assert_eq!(of(Some("ada")), "ada");
        assert_ne!(of(Some("acme")), of(Some("other")));
        assert_ne!(of(Some("acme")), of(None));
        // What earlier versions have stored is found under the same.
        assert_eq!(of(Some("acme")), "ada\nacme");
    }

    fn holder(name: &str, owner: Option<&str>) -> String {
        let owner = owner.map(str::to_owned);
        let principal = Principal::named(name.into(), owner, Scopes::default(), Timestamp::now());
        principal.holder().into_owned()
    }

    proptest! {
        /// Names and owners that are made of nothing but what separates them.
        #[test]
        fn no_two_are_held_under_the_same(
            one in ("[\n0-9a]{1,4}", proptest::option::of("[\n0-9a]{1,4}")),
            other in ("[\n0-9a]{1,4}", proptest::option::of("[\n0-9a]{1,4}")),
        ) {
            // Who is their own tenant is the same with a tenant and without.
            let of = |(name, owner): &(String, Option<String>)| {
                (name.clone(), owner.clone().filter(|owner| owner != name))
            };
            let is_same = of(&one) == of(&other);
            let holders = [&one, &other].map(|(name, owner)| holder(name, owner.as_deref()));
            prop_assert_eq!(holders[0] == holders[1], is_same);
        }
    }
}
