//! Settings of the orders API.

use bakehouse_orders::parse::Defaults;
use url::Url;

use crate::attachments::AttachmentSettings;

/// Settings of the orders API.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// Default values for members that an order leaves out.
    pub defaults: Defaults,
    /// Rules for attached files.
    pub attachments: AttachmentSettings,
    /// True if requests need a bearer token.
    pub requires_tokens: bool,
    /// Public base URL of the API, if it differs from the server's own.
    pub public_url: Option<Url>,
}
