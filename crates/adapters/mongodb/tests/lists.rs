//! No list scans the whole collection, by the server's own profile of each query.

use bakehouse_dev_servers::shared::mongodb_uri;
use bakehouse_engine::Shutdown;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{ListQuery, Sort, SortKey};
use bakehouse_mongodb::{PresentationDatabase, Settings};
use bakehouse_testkit::conformance::presentation::{FACETS, at, baking};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};

const DOCUMENTS: u64 = 3_000;
const LIMIT: usize = 20;

/// Presentation database whose operations can be profiled.
struct Profiled {
    store: PresentationDatabase,
    database: Database,
}

/// Creates and fills the database.
async fn profiled() -> Profiled {
    let name = format!("t-{}", ids::fresh());
    let uri = mongodb_uri(&name);
    let settings = Settings {
        uri: uri.clone(),
        app_name: "lists".into(),
        initiate_replica_set: false,
    };
    let store = PresentationDatabase::new(&settings, "counters", FACETS)
        .await
        .expect("a valid URI");
    assert!(store.prepare(&Shutdown::new()).await);
    store.presentation().open("e").await.expect("opened");
    for from in (0..DOCUMENTS).step_by(500) {
        let committed = store.presentation().commit(&baking(from, 500)).await;
        committed.expect("committed");
    }
    let client = Client::with_uri_str(&uri).await.expect("a client");
    let database = client.database(&name);
    Profiled { store, database }
}

impl Profiled {
    /// Runs a list query, and returns its entries in the profile.
    async fn list(&self, query: &ListQuery) -> Vec<Document> {
        let profile = self.database.collection::<Document>("system.profile");
        profile.drop().await.expect("dropped");
        self.profile(2).await;
        let page = self.store.reader().list(query).await.expect("an answer");
        assert!(!page.is_empty(), "{query:?} finds nothing");
        self.profile(0).await;
        let namespace = format!("{}.counters", self.database.name());
        let found = profile.find(doc! { "ns": namespace, "op": "query" }).await;
        let found = found.expect("a cursor").try_collect().await;
        found.expect("a profile")
    }

    async fn profile(&self, level: i32) {
        let profile = doc! { "profile": level, "slowms": 0 };
        let done = self.database.run_command(profile).await;
        done.expect("the profiling level is set");
    }
}

/// Returns every combination of filters, sorts and pages.
fn queries() -> Vec<ListQuery> {
    let mut queries = Vec::new();
    for which in 0..128_u32 {
        let is = |bit: u32| which & (1 << bit) != 0;
        let by = if is(0) {
            SortKey::Updated
        } else {
            SortKey::Created
        };
        let sort = Sort {
            by,
            descending: is(1),
        };
        let mut query = ListQuery {
            sort,
            ..ListQuery::newest(LIMIT)
        };
        query.owner = is(2).then(|| "ada".to_owned());
        if is(3) {
            query.facets.push((FACETS[0], "red".to_owned()));
        }
        if is(4) {
            query.facets.push((FACETS[1], "m-2".to_owned()));
        }
        query.created_after = is(5).then(|| at(1_000));
        query.created_before = is(5).then(|| at(2_000));
        query.past = is(6).then_some(1_500);
        queries.push(query);
    }
    queries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_list_scans_the_collection() {
    let profiled = profiled().await;
    for query in queries() {
        let operations = profiled.list(&query).await;
        assert!(!operations.is_empty());
        for operation in operations {
            let plan = operation.get_str("planSummary").expect("a plan");
            assert!(plan.starts_with("IXSCAN"), "{query:?}: {plan}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_by_one_filter_costs_little_more_than_itself() {
    let profiled = profiled().await;
    let single = queries().into_iter().filter(|query| {
        let filters = usize::from(query.owner.is_some()) + query.facets.len();
        filters <= 1 && query.sort.by == SortKey::Created
    });
    for query in single {
        let examined: i64 = profiled
            .list(&query)
            .await
            .iter()
            .map(|operation| i64::from(operation.get_i32("docsExamined").unwrap_or(i32::MAX)))
            .sum();
        // The page, and the ends of the time range. Where every third or fifth document matches,
        // the server may skip the others one by one.
        let max_examined = 5 * LIMIT as i64 + 2;
        assert!(examined <= max_examined, "{query:?}: {examined} documents");
    }
}
