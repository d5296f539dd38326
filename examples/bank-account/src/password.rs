//! Passwords into hashes, at the edge: nothing behind it ever sees one.

use actix_web::web;
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use bakehouse_host::prelude::*;

/// Argon2id with the parameters that OWASP recommends, which are the library's own.
/// The salt is the operation's identity: no other has it, and whoever repeats a
/// request under its idempotency key repeats its content.
///
/// # Errors
/// 500 when there is no memory for it.
pub(crate) async fn hash(password: String, salt: [u8; 16]) -> Result<String, Problem> {
    let hashed = web::block(move || -> Result<String, argon2::password_hash::Error> {
        let salt = SaltString::encode_b64(&salt)?;
        let hash = Argon2::default().hash_password(password.as_bytes(), &salt)?;
        Ok(hash.to_string())
    });
    hashed
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(Problem::internal)
}
