//! The attacks, a file for each kind.

mod bodies;
mod connections;
mod reads;
mod uploads;

use crate::attack::Attack;

/// All of them.
pub(crate) fn all() -> Vec<Attack> {
    let kinds = [
        bodies::attacks(),
        connections::attacks(),
        reads::attacks(),
        uploads::attacks(),
    ];
    kinds.into_iter().flatten().collect()
}
