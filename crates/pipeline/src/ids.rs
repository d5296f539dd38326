//! Identifiers: fresh ones, and ones that a key always leads to again.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A new time-ordered identifier.
#[must_use]
pub fn fresh() -> Uuid {
    Uuid::now_v7()
}

/// The identifier that `parts` always lead to, UUIDv7 in form: its time is 0
/// and its 74 other bits come from SHA-256.
///
/// This is how one idempotency key means one operation without any look-up:
/// every api-server computes the same ids from it, at once and for ever, and
/// the log's unique index does the rest.
#[must_use]
pub fn derived(parts: &[&str]) -> Uuid {
    let digest = digest(parts);
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    uuid::Builder::from_unix_timestamp_millis(0, &random).into_uuid()
}

/// 128 bits of SHA-256 over `parts` as hex: equal only for equal content.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> String {
    digest(parts)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Each part is preceded by its length, so that ("ab","c") and ("a","bc") differ.
fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_stable_distinct_and_version_7() {
        assert_eq!(derived(&["a", "b"]), derived(&["a", "b"]));
        assert_ne!(derived(&["a", "b"]), derived(&["ab", ""]));
        assert_eq!(derived(&["a"]).get_version_num(), 7);
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["x"]).len(), 32);
    }
}
