//! Failpoints: points between two writes at which the process aborts, stops or panics.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Action at a failpoint, by the environment variable that selects it. The variable's value is
/// `NAME:COUNT`: the failpoint, and the pass at which the action is taken.
const ACTIONS: [(&str, fn()); 3] = [
    ("TORTURE_ABORT_AT", abort),
    ("TORTURE_STOP_AT", stop),
    ("TORTURE_PANIC_AT", panic),
];

/// Maximum time spent on writing the message to standard error.
const REPORT_TIMEOUT: Duration = Duration::from_millis(200);

/// Failpoint that the environment selects, with its action.
struct Armed {
    name: String,
    /// Passes left until the action is taken.
    left: AtomicU32,
    action: fn(),
}

/// Marks a point between two writes. If the environment selects it, the process aborts without
/// cleanup, stops until it is continued (other instances have taken over by then), or panics.
pub fn failpoint(name: &'static str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let armed = ARMED.get_or_init(|| ACTIONS.into_iter().find_map(parse));
    let Some(armed) = armed.as_ref().filter(|armed| armed.name == name) else {
        return;
    };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        report(name);
        (armed.action)();
    }
}

/// Reports the failpoint on standard error, since the process ends before its log is written.
/// Does not wait longer than [`REPORT_TIMEOUT`] if nothing reads standard error.
fn report(name: &'static str) {
    let (written, is_written) = std::sync::mpsc::channel();
    let write = move || {
        let _ = writeln!(std::io::stderr(), "at {name}");
        let _ = written.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = is_written.recv_timeout(REPORT_TIMEOUT);
    }
}

fn abort() {
    std::process::abort();
}

fn stop() {
    // Stops all threads of the process, like a signal from outside.
    let _ = kill(Pid::this(), Signal::SIGSTOP);
}

/// Panics in the calling thread.
fn panic() {
    panic!("requested by TORTURE_PANIC_AT");
}

fn parse((variable, action): (&str, fn())) -> Option<Armed> {
    let text = std::env::var(variable).ok()?;
    let (name, count) = text.rsplit_once(':')?;
    Some(Armed {
        name: name.to_owned(),
        left: AtomicU32::new(count.parse().ok()?),
        action,
    })
}
