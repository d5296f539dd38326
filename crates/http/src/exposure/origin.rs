//! Origins of web pages, and those that may use the API.

use super::authority::Authority;

/// Origin in a normalized form, with the scheme's default port if none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    authority: Authority,
}

impl Origin {
    /// Parses an origin; `None` for `null` and anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(is_plain);
        is_scheme.then(|| Some(Self::new(scheme, Authority::parse(authority)?)))?
    }

    pub(super) fn new(scheme: &str, mut authority: Authority) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        authority.port = authority.port.or(default);
        Self { scheme, authority }
    }
}

/// Origins of pages that may use the API.
#[derive(Debug)]
pub(super) struct Origins {
    any: bool,
    listed: Vec<Origin>,
    pub(super) public: Option<Origin>,
}

impl Origins {
    pub(super) fn new(listed: &[String], public: Option<&Origin>) -> Self {
        Self {
            any: listed.iter().any(|origin| origin == "*"),
            listed: listed
                .iter()
                .filter_map(|text| Origin::parse(text))
                .collect(),
            public: public.cloned(),
        }
    }

    /// Checks whether pages of any origin are allowed.
    pub(super) fn allow_any(&self) -> bool {
        self.any
    }

    /// Checks whether pages of any other origin than the server's own are allowed.
    pub(super) fn allow_others(&self) -> bool {
        self.any || !self.listed.is_empty()
    }

    /// Checks whether pages of this origin are allowed by the settings.
    pub(super) fn contain(&self, origin: &str) -> bool {
        self.any || Origin::parse(origin).is_some_and(|origin| self.listed.contains(&origin))
    }
}
