//! What every presentation store must keep to. A rule takes both ends of an
//! empty one.

use std::sync::Arc;

use bakehouse_pipeline::ports::{
    Baking, DocumentWrite, ListQuery, PresentationReader, PresentationStore, StoreError,
};
use bakehouse_pipeline::{Frame, Position, to_json};
use serde_json::json;

/// The store under test.
pub type Presentation = (Arc<dyn PresentationStore>, Arc<dyn PresentationReader>);

/// Writes the suite's tests: `presentation_suite!(name, async { (store, reader) })`.
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
                what_is_not_listed_can_still_be_fetched,
                frames_come_back_in_order_from_any_position,
                a_commit_from_elsewhere_is_fenced_and_changes_nothing,
                a_document_never_goes_back,
            ]
        );
    };
}

fn document(number: u64, position: Position, created: bool) -> DocumentWrite {
    let body = json!({
        "id": format!("d-{number}"), "number": number, "position": position,
        "price": "3.50", "nothing": null, "tags": ["ä", "\"quoted\"", {"deep": [1, 2]}],
    });
    DocumentWrite {
        id: format!("d-{number}"),
        number,
        position,
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
        group,
        body: to_json(&body).unwrap(),
    }
}

fn baking(from: Position, count: u64) -> Baking {
    let positions = from + 1..=from + count;
    Baking {
        from,
        to: from + count,
        documents: positions.clone().map(|p| document(p, p, true)).collect(),
        frames: positions.map(frame).collect(),
    }
}

/// Not even where it stands: there is no log yet that it could stand in.
pub async fn nothing_can_be_read_before_it_is_opened((store, reader): Presentation) {
    assert!(matches!(
        reader.head().await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(store.open("epoch-1").await, Ok(0));
    let head = reader.head().await.unwrap();
    assert_eq!((head.epoch.as_str(), head.position), ("epoch-1", 0));
}

/// Positions of another log would be nonsense here.
pub async fn it_belongs_to_one_log((store, _): Presentation) {
    store.open("epoch-1").await.unwrap();
    store.commit(&baking(0, 2)).await.unwrap();
    assert_eq!(store.open("epoch-1").await, Ok(2));
    assert!(matches!(
        store.open("epoch-2").await,
        Err(StoreError::Corrupt(_))
    ));
}

/// Field order, numbers and text included.
pub async fn documents_come_back_byte_for_byte((store, reader): Presentation) {
    store.open("e").await.unwrap();
    let sent = baking(0, 2);
    store.commit(&sent).await.unwrap();
    let got = reader.document("d-2").await.unwrap().unwrap();
    assert_eq!(got.body.get(), sent.documents[1].body.get());
    assert_eq!((got.number, got.position), (2, 2));
    assert!(reader.document("d-3").await.unwrap().is_none());
    let frame = reader.frames(1, 1).await.unwrap().remove(0);
    assert_eq!(frame.body.get(), sent.frames[1].body.get());
    assert_eq!(frame.group.as_deref(), Some("even"));
    assert_eq!(
        (frame.kind.as_str(), frame.entity_id.as_str()),
        ("counter.raised", "d-2")
    );
}

/// By number; the next page starts below the last one's smallest.
pub async fn lists_are_newest_first_and_paged((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 25)).await.unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = reader.list(&ListQuery { limit: 10, before }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        seen.extend(page.iter().map(|document| document.number));
    }
    assert_eq!(seen, (1..=25).rev().collect::<Vec<_>>());
}

/// Deleted orders are hidden, not gone.
pub async fn what_is_not_listed_can_still_be_fetched((store, reader): Presentation) {
    store.open("e").await.unwrap();
    let mut sent = baking(0, 3);
    sent.documents[1].listed = false;
    store.commit(&sent).await.unwrap();
    let query = ListQuery {
        limit: 2,
        before: None,
    };
    let page = reader.list(&query).await.unwrap();
    let numbers: Vec<_> = page.iter().map(|document| document.number).collect();
    assert_eq!(numbers, [3, 1]);
    assert!(reader.document("d-2").await.unwrap().is_some());
}

/// The feed's history.
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

/// Two bakers, one of them late.
pub async fn a_commit_from_elsewhere_is_fenced_and_changes_nothing((store, reader): Presentation) {
    store.open("e").await.unwrap();
    store.commit(&baking(0, 2)).await.unwrap();
    assert_eq!(store.commit(&baking(0, 5)).await, Err(StoreError::Fenced));
    assert_eq!(store.commit(&baking(3, 5)).await, Err(StoreError::Fenced));
    assert_eq!(reader.head().await.unwrap().position, 2);
    assert!(reader.document("d-4").await.unwrap().is_none());
}

/// An update is written over the document, at a higher position.
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
