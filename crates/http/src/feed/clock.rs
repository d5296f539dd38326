//! Times that a connection lives by.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use tokio::time::Instant;

use crate::auth::Principal;

/// When the principal's token ends; a long time from now, where there is none.
pub(super) fn expiry(principal: &Principal) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let left = principal.expires_at().map_or(FAR, |time| {
        let left = time.millis().saturating_sub(Timestamp::now().millis());
        Duration::from_millis(left.try_into().unwrap_or_default())
    });
    Instant::now() + left.min(FAR)
}
