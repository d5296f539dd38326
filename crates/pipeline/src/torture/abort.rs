//! Places to end at.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Names a place, and how often it is passed before: `NAME:COUNT`.
const VARIABLE: &str = "TORTURE_ABORT_AT";

struct Sentence {
    place: String,
    left: AtomicU32,
}

/// A place between two writes: the process may end here, at once, with nothing tidied up.
pub fn point(place: &'static str) {
    static SENTENCE: OnceLock<Option<Sentence>> = OnceLock::new();
    let sentence = SENTENCE.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?));
    let Some(sentence) = sentence.as_ref().filter(|one| one.place == place) else {
        return;
    };
    if sentence.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        eprintln!("ending at {place}");
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<Sentence> {
    let (place, count) = text.rsplit_once(':')?;
    Some(Sentence {
        place: place.to_owned(),
        left: AtomicU32::new(count.parse().ok()?),
    })
}
