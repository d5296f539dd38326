//! Why a token is refused: for its bearer, for the log and for the metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval in which refusals for the same reason are logged once; the others are counted.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Metric that counts refusals by reason.
const METRIC: &str = "bakehouse_token_refusals_total";

/// Reason label of a token that lacks the scope of a call.
pub(crate) const SCOPE: &str = "scope";
/// Reason label of a token without the claim that names the owner.
pub(super) const OWNER: &str = "owner";
/// Reason label of a request without a token.
pub(super) const MISSING: &str = "missing";

/// Check that a token failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRefusal {
    /// Not a signed token in compact form, or one whose header or claims break the rules.
    Malformed(&'static str),
    /// A token of another kind, by its `typ`.
    Type,
    /// An algorithm that `auth.algorithms` does not allow, or that does not fit the key.
    Algorithm,
    /// A key that the issuer does not publish.
    UnknownKey,
    /// A signature by another key, or of another text.
    Signature,
    /// `exp` is over.
    Expired,
    /// `nbf` is yet to come.
    NotYetValid,
    /// Another `iss`.
    Issuer,
    /// Another `aud`.
    Audience,
}

impl TokenRefusal {
    /// Name of the check, as in problem documents, metrics and logs.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Type => "type",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }

    /// Sentence for whoever has sent the token: printable ASCII without quotes and
    /// backslashes, as `error_description` (RFC 6750, section 3) wants it.
    pub(crate) fn description(self) -> String {
        let text = match self {
            Self::Malformed(why) => return format!("the token is malformed: {why}"),
            Self::Type => "the token is of another type: its typ must be JWT or at+jwt, or absent",
            Self::Algorithm => "the token's algorithm is not accepted, or does not fit its key",
            Self::UnknownKey => "the token is signed with a key that the issuer does not publish",
            Self::Signature => "the token's signature does not match",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Issuer => "the token is from another issuer",
            Self::Audience => "the token is for another audience",
        };
        text.to_owned()
    }

    /// Counts it, and logs it unless the same was logged just now.
    pub(super) fn record(self) {
        record(self.reason(), &self.description());
    }
}

/// Counts a refusal, and logs it unless one for the same reason was logged just now: who sends
/// bad tokens all day does not fill anybody's disk. Never given any part of a token.
pub(crate) fn record(reason: &'static str, description: &str) {
    count(reason);
    if let Some(suppressed) = turn(reason, Instant::now()) {
        tracing::warn!(reason, suppressed, "request refused: {description}");
    }
}

/// Counts a refusal that is not worth a line in the log.
pub(super) fn count(reason: &'static str) {
    metrics::counter!(METRIC, "reason" => reason).increment(1);
}

/// Refusals since the last line for this reason, if it is time for the next.
fn turn(reason: &'static str, now: Instant) -> Option<u64> {
    static LINES: Mutex<BTreeMap<&'static str, (Instant, u64)>> = Mutex::new(BTreeMap::new());
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    match lines.get_mut(reason) {
        Some((last, suppressed)) if now.duration_since(*last) < LOG_INTERVAL => {
            *suppressed += 1;
            None
        }
        other => {
            let suppressed = other.map_or(0, |(_, suppressed)| *suppressed);
            lines.insert(reason, (now, 0));
            Some(suppressed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [TokenRefusal; 9] = [
        TokenRefusal::Malformed("expected three parts"),
        TokenRefusal::Type,
        TokenRefusal::Algorithm,
        TokenRefusal::UnknownKey,
        TokenRefusal::Signature,
        TokenRefusal::Expired,
        TokenRefusal::NotYetValid,
        TokenRefusal::Issuer,
        TokenRefusal::Audience,
    ];

    #[test]
    fn descriptions_have_only_characters_that_the_header_may_have() {
        for refusal in ALL {
            let text = refusal.description();
            let is_safe = |c| matches!(c, ' '..='!' | '#'..='[' | ']'..='~');
            assert!(text.chars().all(is_safe), "{text}");
            assert!(!refusal.reason().is_empty());
        }
    }

    #[test]
    fn one_line_a_reason_and_interval_with_how_many_were_left_out() {
        let now = Instant::now();
        assert_eq!(turn("test", now), Some(0));
        assert_eq!(turn("test", now), None);
        assert_eq!(turn("test", now + LOG_INTERVAL / 2), None);
        assert_eq!(turn("another test", now), Some(0));
        assert_eq!(turn("test", now + LOG_INTERVAL), Some(2));
        assert_eq!(turn("test", now + 2 * LOG_INTERVAL), Some(0));
    }
}
