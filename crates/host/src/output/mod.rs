//! Standard output and standard error, whatever they are: closed, full, non-blocking, or a
//! pipe that nobody reads. `print!` and `eprint!` panic on most of these; nothing in a
//! program uses them.

mod descriptor;
pub(crate) mod stderr;
pub(crate) mod stdout;
