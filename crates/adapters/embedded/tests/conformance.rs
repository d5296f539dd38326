//! The embedded store keeps to the rules of every door.

use std::path::Path;
use std::sync::Arc;

use bakehouse_embedded::{Embedded, OpenError};
use bakehouse_pipeline::ids;
use bakehouse_pipeline::ports::Leases;
use bakehouse_testkit::conformance::generations::Twofold;
use bakehouse_testkit::conformance::presentation::FACETS;
use bakehouse_testkit::conformance::schedule::Consumers;
use tempfile::TempDir;

/// A store in a folder of its own, within the build's folder for test data: the
/// doors that a rule is given must outlive this function.
fn fresh() -> Embedded {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(ids::fresh().to_string());
    Embedded::open(&folder, FACETS).expect("a fresh store opens")
}

bakehouse_testkit::event_log_suite!(event_log, async { fresh().log() });

bakehouse_testkit::source_suite!(source, async {
    let store = fresh();
    (store.log(), store.source())
});

bakehouse_testkit::presentation_suite!(presentation, async {
    let store = fresh();
    (store.presentation(), store.reader())
});

fn twofold(store: &Embedded) -> Twofold {
    Twofold {
        presentation: store.presentation(),
        reader: store.reader(),
        presentations: store.presentation_generations(),
        log: store.log(),
        source: store.source(),
        sources: store.source_generations(),
    }
}

bakehouse_testkit::generations_suite!(generations, async { twofold(&fresh()) });

bakehouse_testkit::generations_suite!(generations_in_memory, async {
    twofold(&Embedded::in_memory(FACETS).expect("memory"))
});

bakehouse_testkit::rows_suite!(rows, async {
    let store = fresh();
    (store.rows(), store.row_reader())
});

bakehouse_testkit::rows_suite!(rows_in_memory, async {
    let store = Embedded::in_memory(FACETS).expect("memory");
    (store.rows(), store.row_reader())
});

bakehouse_testkit::states_suite!(states, async {
    let store = fresh();
    (store.rows(), store.notifications())
});

bakehouse_testkit::leases_suite!(leases, async { fresh().leases() as Arc<dyn Leases> });

bakehouse_testkit::notifications_suite!(notifications, async { fresh().notifications() });

bakehouse_testkit::schedule_suite!(schedule, async {
    let store = fresh();
    let scheduler = store.scheduler();
    let consumers: Consumers = Box::new(move || store.consumer());
    (scheduler, consumers)
});

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let folder = TempDir::new().expect("a temporary folder");
    let first = Embedded::open(folder.path(), FACETS).expect("opens");
    assert!(matches!(
        Embedded::open(folder.path(), FACETS),
        Err(OpenError::InUse { .. })
    ));
    drop(first);
    assert!(Embedded::open(folder.path(), FACETS).is_ok());
}
