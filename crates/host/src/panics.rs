//! Panics: told as a log line, or as a message while there is no log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use crate::output::stderr;

/// Reports panics without waiting for standard error. The default hook writes to it directly,
/// and blocks where nobody reads it.
pub(crate) fn report() {
    set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string);
    let place = place.unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    if tracing::enabled!(tracing::Level::ERROR) {
        let backtrace = backtrace.map(tracing::field::display);
        tracing::error!(thread, place, backtrace, "panicked: {message}");
        return;
    }
    let mut text = format!("panicked in thread {thread} at {place}: {message}");
    if let Some(backtrace) = backtrace {
        text += &format!("\n{backtrace}");
    }
    stderr::line(&text);
}
