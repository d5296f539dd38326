//! Standard output and standard error that may be closed, full, non-blocking, or a pipe whose
//! reader has stopped. `print!` and `eprint!` panic or block on these, and are not used.

mod descriptor;
pub(crate) mod stderr;
pub(crate) mod stdout;
