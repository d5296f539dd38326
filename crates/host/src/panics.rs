//! Reports of panics: a log line, or text on standard error before logging has started.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use crate::output::stderr;

/// Installs the panic hook. It never blocks, unlike the default one, which writes to standard error
/// directly and blocks if its reader has stopped.
pub(crate) fn install_hook() {
    set_hook(Box::new(report));
}

fn report(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let location = panic.location().map(ToString::to_string);
    let location = location.unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    if tracing::enabled!(tracing::Level::ERROR) {
        let backtrace = backtrace.map(tracing::field::display);
        tracing::error!(thread, location, backtrace, "panicked: {message}");
        return;
    }
    let mut text = format!("panicked in thread {thread} at {location}: {message}");
    if let Some(backtrace) = backtrace {
        text += &format!("\n{backtrace}");
    }
    stderr::line(&text);
}
