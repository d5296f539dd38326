//! Expiry of a subscription's token on the monotonic clock.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use tokio::time::Instant;

use crate::auth::Principal;

/// Expiry of the principal's token; one year from now if the token has none.
pub(super) fn expiry(principal: &Principal) -> Instant {
    const MAX_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let left = principal.expires_at().map_or(MAX_LIFETIME, |time| {
        let left = time.millis().saturating_sub(Timestamp::now().millis());
        Duration::from_millis(left.try_into().unwrap_or_default())
    });
    Instant::now() + left.min(MAX_LIFETIME)
}
