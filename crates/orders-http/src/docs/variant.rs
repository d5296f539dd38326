//! Settings that the description of the API depends on.

use bakehouse_orders::money::Currency;
use url::Url;

/// Settings that the documents depend on.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// Currency of orders that do not name one.
    pub(crate) currency: Currency,
    /// True if requests need a bearer token.
    pub(crate) requires_tokens: bool,
    /// Accepted media types of attached files.
    pub(crate) media_types: Vec<String>,
    /// Public base URL of the API, if it differs from the server's own.
    pub(crate) public_url: Option<Url>,
}
