//! Places to end at, or to be stopped at.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What happens at a place, by the variable that names it, and how often it is passed
/// before: `NAME:COUNT`.
const SENTENCES: [(&str, fn()); 3] = [
    ("TORTURE_ABORT_AT", end),
    ("TORTURE_STOP_AT", stop),
    ("TORTURE_PANIC_AT", fail),
];

/// Maximum time that a message on standard error may take.
const TELL_TIMEOUT: Duration = Duration::from_millis(200);

struct Sentence {
    place: String,
    left: AtomicU32,
    carry_out: fn(),
}

/// A place between two writes: the process may end here, at once, with nothing tidied up;
/// or stand still until somebody lets it go on, by when others have taken over.
pub fn point(place: &'static str) {
    static SENTENCE: OnceLock<Option<Sentence>> = OnceLock::new();
    let sentence = SENTENCE.get_or_init(|| SENTENCES.into_iter().find_map(parse));
    let Some(sentence) = sentence.as_ref().filter(|one| one.place == place) else {
        return;
    };
    if sentence.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        tell(place);
        (sentence.carry_out)();
    }
}

/// Says so on standard error, directly, since the process ends before its log is written;
/// but does not wait where nobody reads it.
fn tell(place: &'static str) {
    let (told, is_told) = std::sync::mpsc::channel();
    let telling = move || {
        let _ = writeln!(std::io::stderr(), "at {place}");
        let _ = told.send(());
    };
    if std::thread::Builder::new().spawn(telling).is_ok() {
        let _ = is_told.recv_timeout(TELL_TIMEOUT);
    }
}

fn end() {
    std::process::abort();
}

fn stop() {
    // All of its threads, as if it had been sent from outside.
    let _ = kill(Pid::this(), Signal::SIGSTOP);
}

/// Panics in the thread that is there.
fn fail() {
    panic!("asked for by TORTURE_PANIC_AT");
}

fn parse((variable, carry_out): (&str, fn())) -> Option<Sentence> {
    let text = std::env::var(variable).ok()?;
    let (place, count) = text.rsplit_once(':')?;
    Some(Sentence {
        place: place.to_owned(),
        left: AtomicU32::new(count.parse().ok()?),
        carry_out,
    })
}
