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

/// A new operation's identifier, recognisable as issued to `holder`.
///
/// The last 32 of its 122 free bits are a checksum of the others and the
/// holder. So every api-server can tell an operation that is still on its way to
/// the log from one that nobody ever accepted, without sharing any memory of
/// it. It is no secret: who makes up a matching one fools nobody but themselves.
#[must_use]
pub fn issued(holder: &str) -> Uuid {
    checked(fresh(), holder)
}

/// The operation's identifier that a holder's idempotency key always leads to,
/// likewise recognisable; its 90 other free bits come from SHA-256.
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

/// Whether the identifier was issued to this holder.
#[must_use]
pub fn is_issued(id: Uuid, holder: &str) -> bool {
    checked(id, holder) == id
}

fn checked(id: Uuid, holder: &str) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[12..].fill(0);
    let rest = Uuid::from_bytes(bytes).to_string();
    bytes[12..].copy_from_slice(&digest(&["issued", holder, &rest])[..4]);
    Uuid::from_bytes(bytes)
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
