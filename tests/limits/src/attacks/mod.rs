//! The attacks, a file for each kind.

mod bodies;
mod connections;
mod full_speed;
mod reads;
mod strangers;
mod uploads;

use crate::attack::Attack;

/// All of them.
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
