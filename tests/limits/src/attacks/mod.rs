//! The attacks, one file for each kind.

mod bodies;
mod connections;
mod full_speed;
mod reads;
mod strangers;
mod uploads;

use crate::attack::Attack;

/// Returns all attacks.
pub(crate) fn all() -> Vec<Attack> {
    let kinds = [
        bodies::attacks(),
        connections::attacks(),
        reads::attacks(),
        full_speed::attacks(),
        strangers::attacks(),
        uploads::attacks(),
    ];
    kinds.into_iter().flatten().collect()
}
