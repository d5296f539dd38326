//! Identifiers: random ones, and ones that are derived from a key.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Returns a new time-ordered identifier.
#[must_use]
pub fn fresh() -> Uuid {
    Uuid::now_v7()
}

/// Derives an identifier from `parts`. It has the form of a UUIDv7 with time 0; the other 74 bits
/// come from SHA-256.
///
/// An idempotency key therefore needs no lookup: every api-server derives the same ids, and the
/// log's unique index drops duplicates.
#[must_use]
pub fn derived(parts: &[&str]) -> Uuid {
    let digest = digest(parts);
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    uuid::Builder::from_unix_timestamp_millis(0, &random).into_uuid()
}

/// Returns a new identifier of an operation, recognisable as issued to `holder`.
///
/// The last 32 of its 122 free bits are a checksum of the others and the holder. Any api-server can
/// therefore distinguish an operation that is not in the log yet from one that was never accepted,
/// without shared state. The checksum is no secret: a forged id affects only its own sender.
#[must_use]
pub fn issued(holder: &str) -> Uuid {
    checked(fresh(), holder)
}

/// Derives the identifier of an operation from a holder's idempotency key. It is recognisable as
/// issued to the holder; the other 90 free bits come from SHA-256.
#[must_use]
pub fn issued_for_key(holder: &str, key: &str) -> Uuid {
    let digest = digest(&["operation", holder, key]);
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&digest[..6]);
    let mut random = [0; 10];
    random.copy_from_slice(&digest[6..16]);
    let millis = u64::from_be_bytes(millis);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    checked(id, holder)
}

/// Checks whether an identifier was issued to a holder.
#[must_use]
pub fn is_issued(id: Uuid, holder: &str) -> bool {
    checked(id, holder) == id
}

/// Replaces the last 32 bits of an identifier by the checksum.
fn checked(id: Uuid, holder: &str) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[12..].fill(0);
    let rest = Uuid::from_bytes(bytes).to_string();
    bytes[12..].copy_from_slice(&digest(&["issued", holder, &rest])[..4]);
    Uuid::from_bytes(bytes)
}

/// Returns 128 bits of SHA-256 over `parts`, as hex.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> String {
    digest(parts)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Hashes the parts. Each is preceded by its length, so that ("ab","c") and ("a","bc") differ.
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
    fn issued_ids_are_known_to_their_holder_alone() {
        for id in [issued("ada"), issued_for_key("ada", "k")] {
            assert!(is_issued(id, "ada") && !is_issued(id, "bob"));
            assert_eq!(id.get_version_num(), 7);
        }
        assert!(!is_issued(fresh(), "ada"));
        assert_ne!(issued_for_key("ada", "k"), issued_for_key("bob", "k"));
        assert_eq!(issued_for_key("ada", "k"), issued_for_key("ada", "k"));
    }

    #[test]
    fn fingerprints_tell_parts_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["x"]).len(), 32);
    }
}
