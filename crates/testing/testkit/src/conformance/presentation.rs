//! Rules for presentation stores. A rule takes an empty store and its reader.

use std::sync::Arc;

use bakehouse_engine::ports::{
    Baking, DocumentKey, DocumentWrite, ListQuery, PresentationReader, PresentationStore, Sort,
    SortKey, StoreError,
};
use bakehouse_engine::{Facet, Frame, Position, Timestamp, to_json};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

/// Store under test, with its reader.
pub type Presentation = (Arc<dyn PresentationStore>, Arc<dyn PresentationReader>);

/// Facets of the suite's documents; the store under test must be created with them.
pub const FACETS: &[Facet] = &[
    Facet {
        name: "colour",
        member: "colour",
    },
    Facet {
        name: "maker",
        member: "maker.id",
    },
];

/// Generates the suite's tests: `presentation_suite!(name, async { (store, reader) })`.
#[macro_export]
macro_rules! presentation_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            presentation,
            $make,
            [
                nothing_can_be_read_before_it_is_opened,
                it_belongs_to_one_log,
                documents_come_back_byte_for_byte,
                lists_are_newest_first_and_paged,
                lists_can_be_sorted,
                lists_can_be_read_by_their_keys,
                lists_can_be_filtered,
                an_unlisted_document_can_still_be_read,
                frames_come_back_in_order_from_any_position,
                a_commit_from_elsewhere_is_fenced_and_changes_nothing,
                a_document_never_goes_back,
                a_document_can_be_unlisted_and_listed_again,
                a_baking_of_any_size_is_seen_whole,
                pages_go_on_while_documents_change,
            ]
        );
    };
}

/// Returns the creation time of a document; two consecutive numbers share one.
#[must_use]
pub fn at(number: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + (number / 2) as i64 * 1_000).unwrap()
}

/// Returns the owner: every third document has one.
fn owner(number: u64) -> Option<String> {
    number.is_multiple_of(3).then(|| "ada".to_owned())
}

fn document(number: u64, position: Position, created: bool) -> DocumentWrite {
    let body = json!({
        "id": format!("d-{number}"), "number": number, "position": position,
        "colour": if number.is_multiple_of(2) { "red" } else { "blue" },
        "maker": { "id": format!("m-{}", number % 5) },
        "price": "3.50", "nothing": null, "tags": ["ä", "\"quoted\"", {"deep": [1, 2]}],
    });
    DocumentWrite {
        id: format!("d-{number}"),
        number,
        position,
        version: 2 + position,
        created_at: at(number),
        owner: owner(number),
        created,
        listed: true,
        body: to_json(&body).unwrap(),
    }
}

fn frame(position: Position) -> Frame {
    let group = position.is_multiple_of(2).then(|| "even".to_owned());
    let body = json!({ "type": "counter.raised", "position": position });
    Frame {
        position,
        kind: "counter.raised".into(),
        entity_id: format!("d-{position}"),
        owner: owner(position),
        group,
        left_group: (position == 2).then(|| "odd".to_owned()),
        body: to_json(&body).unwrap(),
    }
}

/// Returns a baking of `count` different documents, one per position.
#[must_use]
pub fn baking(from: Position, count: u64) -> Baking {
    let positions = from + 1..=from + count;
    Baking {
        from,
        to: from + count,
        documents: positions.clone().map(|p| document(p, p, true)).collect(),
        frames: positions.map(frame).collect(),
    }
}

/// The head of a store that was never opened is `NotYet`, since it has no epoch.
pub async fn nothing_can_be_read_before_it_is_opened((store, reader): Presentation) {
    assert!(matches!(reader.head().await, Err(StoreError::NotYet(_))));
    assert_eq!(store.open("epoch-1").await, Ok(0));
    let head = reader.head().await.unwrap();
    assert_eq!((head.epoch.as_str(), head.position), ("epoch-1", 0));
}

/// Opening the store with another log's epoch is an error.
pub async fn it_belongs_to_one_log((store, _): Presentation) {
    store.open("epoch-1").await.unwrap();
    store.commit(&baking(0, 2)).await.unwrap();
    assert_eq!(store.open("epoch-1").await, Ok(2));
    assert!(matches!(
        store.open("epoch-2").await,
        Err(StoreError::Corrupt(_))
    ));
}

/// Documents and frames keep field order, numbers and text.
pub async fn documents_come_back_byte_for_byte((store, reader): Presentation) {
    store.open("e").await.unwrap();
    let sent = baking(0, 3);
    store.commit(&sent).await.unwrap();
    let got = reader.document("d-2").await.unwrap().unwrap();
    assert_eq!(got.body.get(), sent.documents[1].body.get());
    assert_eq!((got.number, got.position), (2, 2));
    assert!(reader.document("d-4").await.unwrap().is_none());
    let frame = reader.frames(1, 1).await.unwrap().remove(0);
    assert_eq!(frame.body.get(), sent.frames[1].body.get());
    assert_eq!(frame.group.as_deref(), Some("even"));
    assert_eq!(frame.left_group.as_deref(), Some("odd"));
    assert_eq!((&frame.owner, got.owner, got.version), (&None, None, 4));
    let owned = reader.document("d-3").await.unwrap().unwrap();
    let frame_of_owned = reader.frames(2, 1).await.unwrap().remove(0);
    assert_eq!((frame_of_owned.owner, owned.owner), (owner(3), owner(3)));
    assert_eq!(
        (frame.kind.as_str(), frame.entity_id.as_str()),
        ("counter.raised", "d-2")
    );
}

/// Keys of a list are those of its documents, which can be read by number if they are listed.
pub async fn lists_can_be_read_by_their_keys((store, reader): Presentation) {
    filled(store.as_ref()).await;
    for by in [SortKey::Created, SortKey::Updated] {
        let sort = Sort {
            by,
            descending: true,
        };
        let mut query = ListQuery {
            sort,
            ..ListQuery::newest(7)
        };
        query.past = Some(20);
        let page = reader.list(&query).await.unwrap();
        let keys: Vec<_> = page.iter().map(DocumentKey::from).collect();
        assert_eq!(reader.list_keys(&query).await.unwrap(), keys);
    }
    let mut found = reader.documents(&[3, 99, 7, 5]).await.unwrap();
    found.sort_by_key(|document| document.number);
    let numbers: Vec<u64> = found.iter().map(|document| document.number).collect();
    assert_eq!(numbers, [3, 5, 7]);
    assert_eq!(found[1].position, 26);
    assert!(reader.documents(&[]).await.unwrap().is_empty());
}

/// Reads all pages of a list; returns the numbers of the documents.
async fn pages(reader: &dyn PresentationReader, mut query: ListQuery) -> Vec<u64> {
    let mut seen = Vec::new();
    for _ in 0..100 {
        let page = reader.list(&query).await.unwrap();
        assert!(page.len() <= query.limit);
        let Some(last) = page.last() else { break };
        query.past = Some(query.sort.key(last));
        seen.extend(page.iter().map(|document| document.number));
    }
    seen
}

/// Fills the store with 25 documents, of which number 5 was changed last.
async fn filled(store: &dyn PresentationStore) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 25)).await.unwrap();
    let change = Baking {
        from: 25,
        to: 26,
        documents: vec![document(5, 26, false)],
        frames: vec![frame(26)],
    };
    store.commit(&change).await.unwrap();
}

/// Lists are ordered by descending number; each page starts after the last key of the previous one.
pub async fn lists_are_newest_first_and_paged((store, reader): Presentation) {
    filled(store.as_ref()).await;
    let seen = pages(reader.as_ref(), ListQuery::newest(10)).await;
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

/// Lists are sorted by creation or by change, ascending or descending.
pub async fn lists_can_be_sorted((store, reader): Presentation) {
    filled(store.as_ref()).await;
    let sorted = async |by, descending| {
        let sort = Sort { by, descending };
        let query = ListQuery {
            sort,
            ..ListQuery::newest(7)
        };
        pages(reader.as_ref(), query).await
    };
    let ascending: Vec<u64> = (1..=25).collect();
    assert_eq!(sorted(SortKey::Created, false).await, ascending);
    let mut updated: Vec<u64> = ascending
        .into_iter()
        .filter(|number| *number != 5)
        .collect();
    updated.push(5);
    assert_eq!(sorted(SortKey::Updated, false).await, updated);
    updated.reverse();
    assert_eq!(sorted(SortKey::Updated, true).await, updated);
}

/// Filters work in every combination and for both sort keys.
pub async fn lists_can_be_filtered((store, reader): Presentation) {
    filled(store.as_ref()).await;
    for by in [SortKey::Created, SortKey::Updated] {
        for filters in 0..32_u32 {
            let is = |bit: u32| filters & (1 << bit) != 0;
            let sort = Sort {
                by,
                descending: false,
            };
            let mut query = ListQuery {
                sort,
                ..ListQuery::newest(4)
            };
            query.owner = is(0).then(|| "ada".to_owned());
            if is(1) {
                query.facets.push((FACETS[0], "red".to_owned()));
            }
            if is(2) {
                query.facets.push((FACETS[1], "m-2".to_owned()));
            }
            query.created_after = is(3).then(|| at(4));
            query.created_before = is(4).then(|| at(20));
            let expected: Vec<u64> = (1..=25)
                .filter(|n| !is(0) || n % 3 == 0)
                .filter(|n| !is(1) || n % 2 == 0)
                .filter(|n| !is(2) || n % 5 == 2)
                .filter(|n| !is(3) || at(*n) > at(4))
                .filter(|n| !is(4) || at(*n) < at(20))
                .collect();
            let mut found = pages(reader.as_ref(), query).await;
            found.sort_unstable();
            assert_eq!(found, expected, "{by:?} {filters:05b}");
        }
    }
}

/// An unlisted document, such as a deleted order, is not in lists but can be read by id.
pub async fn an_unlisted_document_can_still_be_read((store, reader): Presentation) {
    store.open("e").await.unwrap();
    let mut sent = baking(0, 3);
    sent.documents[1].listed = false;
    store.commit(&sent).await.unwrap();
    let page = reader.list(&ListQuery::newest(2)).await.unwrap();
    let numbers: Vec<_> = page.iter().map(|document| document.number).collect();
    assert_eq!(numbers, [3, 1]);
    assert!(reader.document("d-2").await.unwrap().is_some());
}

/// Frames are read in order after any position.
pub async fn frames_come_back_in_order_from_any_position((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 7)).await.unwrap();
    store.commit(&baking(7, 5)).await.unwrap();
    let frames = reader.frames(3, 6).await.unwrap();
    let positions: Vec<_> = frames.iter().map(|frame| frame.position).collect();
    assert_eq!(positions, [4, 5, 6, 7, 8, 9]);
    assert!(reader.frames(12, 6).await.unwrap().is_empty());
    assert_eq!(reader.head().await.unwrap().position, 12);
}

/// A commit from another position is fenced, as of a second baker that is late.
pub async fn a_commit_from_elsewhere_is_fenced_and_changes_nothing((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 2)).await.unwrap();
    assert_eq!(store.commit(&baking(0, 5)).await, Err(StoreError::Fenced));
    assert_eq!(store.commit(&baking(3, 5)).await, Err(StoreError::Fenced));
    assert_eq!(reader.head().await.unwrap().position, 2);
    assert!(reader.document("d-4").await.unwrap().is_none());
}

/// An update replaces the document at a higher position; one at a lower position is fenced.
pub async fn a_document_never_goes_back((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 2)).await.unwrap();
    let update = Baking {
        from: 2,
        to: 3,
        documents: vec![document(1, 3, false)],
        frames: vec![frame(3)],
    };
    store.commit(&update).await.unwrap();
    assert_eq!(reader.document("d-1").await.unwrap().unwrap().position, 3);
    let late = Baking {
        from: 3,
        to: 4,
        documents: vec![document(1, 2, false)],
        frames: vec![frame(4)],
    };
    assert_eq!(store.commit(&late).await, Err(StoreError::Fenced));
    assert_eq!(reader.document("d-1").await.unwrap().unwrap().position, 3);
}

/// An unlisted document is in no list at once, whatever its order, and in all again once it is
/// listed.
pub async fn a_document_can_be_unlisted_and_listed_again((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 3)).await.unwrap();
    for (position, listed) in [(4, false), (5, true), (6, false)] {
        let changed = DocumentWrite {
            listed,
            ..document(2, position, false)
        };
        let change = Baking {
            from: position - 1,
            to: position,
            documents: vec![changed],
            frames: vec![frame(position)],
        };
        store.commit(&change).await.unwrap();
        for by in [SortKey::Created, SortKey::Updated] {
            let sort = Sort {
                by,
                descending: false,
            };
            let mut query = ListQuery {
                sort,
                ..ListQuery::newest(9)
            };
            for facets in [vec![], vec![(FACETS[0], "red".to_owned())]] {
                query.facets = facets;
                let page = reader.list(&query).await.unwrap();
                let keys = reader.list_keys(&query).await.unwrap();
                let found = page.iter().any(|document| document.number == 2);
                assert_eq!(found, listed, "{by:?} at {position}");
                assert_eq!(keys.len(), page.len());
            }
        }
        let by_number = reader.documents(&[2]).await.unwrap();
        assert_eq!(by_number.len(), usize::from(listed));
        let document = reader.document("d-2").await.unwrap().unwrap();
        assert_eq!(document.position, position);
    }
}

/// A baking may be empty, or larger than any that a stage writes; reads accept the limit 0.
pub async fn a_baking_of_any_size_is_seen_whole((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 0)).await.unwrap();
    assert_eq!(reader.head().await.unwrap().position, 0);
    store.commit(&baking(0, 2_500)).await.unwrap();
    assert_eq!(reader.head().await.unwrap().position, 2_500);
    assert_eq!(reader.frames(0, usize::MAX).await.unwrap().len(), 2_500);
    assert!(reader.frames(0, 0).await.unwrap().is_empty());
    assert!(reader.frames(Position::MAX, 9).await.unwrap().is_empty());
    let page = reader.list(&ListQuery::newest(3_000)).await.unwrap();
    assert_eq!(page.len(), 2_500);
    assert!(reader.list(&ListQuery::newest(0)).await.unwrap().is_empty());
    let mut large = baking(2_500, 20);
    for document in &mut large.documents {
        document.body = to_json(&json!({ "text": "x".repeat(1_024 * 1_024) })).unwrap();
    }
    store.commit(&large).await.unwrap();
    let last = reader.document("d-2520").await.unwrap().unwrap();
    assert!(last.body.get().len() > 1_024 * 1_024);
}

/// Unchanged documents are on exactly one page while others are created, changed and unlisted;
/// changed ones are on no two pages at the same position.
pub async fn pages_go_on_while_documents_change((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 30)).await.unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let (mut head, mut count) = (30, 30);
    let mut unlisted: Vec<u64> = Vec::new();
    for turn in 0..24 {
        let sort = Sort {
            by: [SortKey::Created, SortKey::Updated][turn % 2],
            descending: turn % 4 > 1,
        };
        let limit = random.random_range(1..9);
        let mut query = ListQuery {
            sort,
            ..ListQuery::newest(limit)
        };
        let listed_before: Vec<u64> = (1..=count)
            .filter(|number| !unlisted.contains(number))
            .collect();
        let (mut seen, mut touched) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let page = reader.list(&query).await.unwrap();
            let Some(last) = page.last() else { break };
            query.past = Some(sort.key(last));
            seen.extend(
                page.iter()
                    .map(|document| (document.number, document.position)),
            );
            // Changes happen during the first pages only, so that the list ends.
            if touched.len() < 12 {
                let is_new = random.random_bool(0.3);
                let number = if is_new {
                    count + 1
                } else {
                    random.random_range(1..=count)
                };
                count = count.max(number);
                head += 1;
                let listed = random.random_bool(0.8);
                let documents = vec![DocumentWrite {
                    listed,
                    ..document(number, head, is_new)
                }];
                let change = Baking {
                    from: head - 1,
                    to: head,
                    documents,
                    frames: vec![frame(head)],
                };
                store.commit(&change).await.unwrap();
                unlisted.retain(|other| *other != number);
                if !listed {
                    unlisted.push(number);
                }
                touched.push(number);
            }
        }
        assert!(
            reader.list(&query).await.unwrap().is_empty(),
            "the list does not end"
        );
        let mut distinct = seen.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len(), "{sort:?}: {seen:?}");
        for number in listed_before
            .iter()
            .filter(|number| !touched.contains(number))
        {
            let found = seen.iter().filter(|(one, _)| one == number).count();
            assert_eq!(
                found, 1,
                "{sort:?}: {number} in {seen:?}, changed: {touched:?}"
            );
        }
    }
}
