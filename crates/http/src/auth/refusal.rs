//! Reasons for which tokens are refused: problem details, log lines and metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval within which refusals for the same reason are logged once; the others are counted.
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
    /// The token is not in signed compact form, or its header or claims are malformed; with the
    /// detail.
    Malformed(&'static str),
    /// The header's `typ` is that of another kind of token.
    Type,
    /// The algorithm is not in `auth.algorithms`, or does not fit the key.
    Algorithm,
    /// The issuer does not publish the key.
    UnknownKey,
    /// The signature does not match.
    Signature,
    /// `exp` is in the past.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `iss` is not the expected issuer.
    Issuer,
    /// `aud` does not contain the expected audience.
    Audience,
}

impl TokenRefusal {
    /// Returns the name of the failed check in problem documents, metrics and logs.
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

    /// Returns a description for the client: printable ASCII without quotes and backslashes, as
    /// `error_description` requires (RFC 6750, section 3).
    pub(crate) fn description(self) -> String {
        let text = match self {
            Self::Malformed(why) => return format!("the token is malformed: {why}"),
            Self::Type => "the token has another type: its typ must be JWT or at+jwt, or absent",
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

    /// Counts the refusal, and logs it at most once per [`LOG_INTERVAL`].
    pub(super) fn record(self) {
        record(self.reason(), &self.description());
    }
}

/// Counts a refusal, and logs it at most once per reason and [`LOG_INTERVAL`], so that a client
/// that keeps sending invalid tokens does not flood the log. `description` must not contain any
/// part of a token.
pub(crate) fn record(reason: &'static str, description: &str) {
    count(reason);
    if let Some(suppressed) = log_line(reason, Instant::now()) {
        tracing::warn!(reason, suppressed, "request refused: {description}");
    }
}

/// Counts a refusal without logging it.
pub(super) fn count(reason: &'static str) {
    metrics::counter!(METRIC, "reason" => reason).increment(1);
}

/// Returns the number of refusals suppressed since the last log line for this reason if the next
/// line is due; else counts this one as suppressed.
fn log_line(reason: &'static str, now: Instant) -> Option<u64> {
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
    fn one_line_per_reason_and_interval_with_the_number_suppressed() {
        let now = Instant::now();
        assert_eq!(log_line("test", now), Some(0));
        assert_eq!(log_line("test", now), None);
        assert_eq!(log_line("test", now + LOG_INTERVAL / 2), None);
        assert_eq!(log_line("another test", now), Some(0));
        assert_eq!(log_line("test", now + LOG_INTERVAL), Some(2));
        assert_eq!(log_line("test", now + 2 * LOG_INTERVAL), Some(0));
    }
}
