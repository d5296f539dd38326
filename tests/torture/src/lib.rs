//! Torture: everything is killed, paused, cut and filled while clients place orders and
//! subscribers listen; what clients remember, outside the system, says what must be left.
//!
//! - [`clients`] with [`ledger`]: who asks, and what they remember;
//! - [`watchers`] with [`stream`], and [`partner`]: who listens, and who is notified;
//! - [`scene`] with [`proxy`] and [`disk`]: what is tortured;
//! - [`fault`]: what goes wrong next, by a seed; [`conduct`] with [`messages`]: how;
//! - [`run`]: all of that for a while;
//! - [`evidence`] with [`log`] and [`reads`]: what is looked at in the end;
//! - [`check`] with [`model`]: whether every promise was kept;
//! - [`report`]: what is told;
//! - [`teeth`]: bugs that are planted, to see whether they are found.
//!
//! Nothing of it knows a line of what is tortured: it goes by the public interface, and by
//! the stores as anybody can read them.

pub mod check;
pub mod clients;
pub mod conduct;
pub mod disk;
pub mod evidence;
pub mod fault;
pub mod hostile;
pub mod intruder;
pub mod ledger;
pub mod log;
pub mod messages;
pub mod model;
pub mod partner;
pub mod proxy;
pub mod reads;
pub mod renewal;
pub mod report;
pub mod run;
pub mod scene;
pub mod stream;
pub mod teeth;
pub mod watchers;
