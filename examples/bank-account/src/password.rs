//! Password hashing in the API layer, so that no other component handles plain passwords.

use actix_web::web;
use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, SaltString};
use bakehouse_host::prelude::*;

/// Hashes a password with Argon2id and the library's default parameters, which OWASP recommends.
/// The salt is the operation id: it is unique, and a request that is repeated with its idempotency
/// key results in the same hash.
///
/// # Errors
/// 500 if hashing fails, for example because memory is exhausted.
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
