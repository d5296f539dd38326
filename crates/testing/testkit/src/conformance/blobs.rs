//! Rules for blob stores. A rule takes an empty store and a guard, such as its server, that must
//! live as long.

use std::sync::Arc;

use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{BlobEntry, Blobs};
use bytes::Bytes;
use futures_util::TryStreamExt;

/// Generates the suite's tests: `blobs_suite!(name, async { (blobs, guard) })`.
#[macro_export]
macro_rules! blobs_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            blobs,
            $make,
            [
                a_written_blob_is_read,
                an_unfinished_blob_is_not_readable,
                a_rename_replaces_the_existing_blob,
                a_removed_blob_is_gone,
                blobs_are_listed_with_their_age,
                blobs_below_a_folder_are_listed,
                an_abandoned_writer_changes_nothing,
                of_two_writers_the_last_to_finish_is_read,
                renaming_a_missing_blob_fails,
            ]
        );
    };
}

/// Returns `count` different parts of 1.5 MiB each.
fn parts(count: u8) -> Vec<Bytes> {
    (0..count)
        .map(|part| Bytes::from(vec![part; 1_536 * 1_024]))
        .collect()
}

async fn write(blobs: &dyn Blobs, name: &str, parts: &[Bytes]) {
    let mut writer = blobs.begin(name).await.unwrap();
    for part in parts {
        writer.write(part.clone()).await.unwrap();
    }
    writer.finish().await.unwrap();
}

async fn read(blobs: &dyn Blobs, name: &str) -> Option<Vec<u8>> {
    let blob = blobs.read(name).await.unwrap()?;
    let parts: Vec<Bytes> = blob.bytes.try_collect().await.unwrap();
    let bytes = parts.concat();
    assert_eq!(blob.size, bytes.len() as u64);
    Some(bytes)
}

/// Blobs of no bytes, one byte, and more than one request may carry are read as written.
pub async fn a_written_blob_is_read<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    assert_eq!(read(blobs.as_ref(), "a/none").await, None);
    for (name, parts) in [
        ("a/empty", Vec::new()),
        ("a/one", vec![Bytes::from_static(b"1")]),
        ("a/large", parts(9)),
    ] {
        write(blobs.as_ref(), name, &parts).await;
        assert_eq!(
            read(blobs.as_ref(), name).await,
            Some(parts.concat()),
            "{name}"
        );
    }
}

/// A blob is not readable before it is finished, or after it was aborted.
pub async fn an_unfinished_blob_is_not_readable<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    for count in [1, 9] {
        let mut writer = blobs.begin("half").await.unwrap();
        for part in parts(count) {
            writer.write(part).await.unwrap();
        }
        assert_eq!(read(blobs.as_ref(), "half").await, None);
        writer.abort().await;
        assert_eq!(read(blobs.as_ref(), "half").await, None);
    }
}

/// A rename replaces the blob of the new name.
pub async fn a_rename_replaces_the_existing_blob<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "upload", &parts(5)).await;
    write(blobs.as_ref(), "final", &parts(1)).await;
    blobs.rename("upload", "final").await.unwrap();
    assert_eq!(read(blobs.as_ref(), "final").await, Some(parts(5).concat()));
    assert_eq!(read(blobs.as_ref(), "upload").await, None);
}

/// A removed blob is gone; removing it again is no error.
pub async fn a_removed_blob_is_gone<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "a", &parts(1)).await;
    blobs.remove("a").await.unwrap();
    assert_eq!(read(blobs.as_ref(), "a").await, None);
    blobs.remove("a").await.unwrap();
}

/// Blobs are listed by their full name and age; unfinished ones are not listed.
pub async fn blobs_are_listed_with_their_age<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    let names = async || {
        let entries: Vec<BlobEntry> = blobs.list().try_collect().await.unwrap();
        let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        names
    };
    assert!(names().await.is_empty());
    write(blobs.as_ref(), "a/b/one", &parts(1)).await;
    write(blobs.as_ref(), "two", &parts(1)).await;
    let unfinished = blobs.begin("three").await.unwrap();
    assert_eq!(names().await, ["a/b/one", "two"]);
    unfinished.abort().await;
    let entries: Vec<BlobEntry> = blobs.list().try_collect().await.unwrap();
    // A store may know whole seconds only.
    let age = Timestamp::now().millis() - entries[0].since.millis();
    assert!((-1_000..60_000).contains(&age), "{age}");
}

/// Names that only share a prefix with the folder are not listed.
pub async fn blobs_below_a_folder_are_listed<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    for name in ["a/b", "a/c/d", "ab/x", "a-b", "b"] {
        write(blobs.as_ref(), name, &parts(1)).await;
    }
    for (folder, expected) in [
        ("a", &["a/b", "a/c/d"][..]),
        ("a/c", &["a/c/d"]),
        ("ab", &["ab/x"]),
        ("none", &[]),
    ] {
        let entries: Vec<BlobEntry> = blobs.list_below(folder).try_collect().await.unwrap();
        let mut names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
        names.sort();
        assert_eq!(names, expected, "{folder}");
    }
}

/// A writer that is dropped or aborted leaves the existing blob unchanged.
pub async fn an_abandoned_writer_changes_nothing<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "a", &parts(1)).await;
    for is_dropped in [false, true] {
        let mut writer = blobs.begin("a").await.unwrap();
        for part in parts(5) {
            writer.write(part).await.unwrap();
        }
        match is_dropped {
            true => drop(writer),
            false => writer.abort().await,
        }
        assert_eq!(read(blobs.as_ref(), "a").await, Some(parts(1).concat()));
    }
}

/// The last of two concurrent writers to finish wins; the contents are not mixed.
pub async fn of_two_writers_the_last_to_finish_is_read<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    let mut first = blobs.begin("a").await.unwrap();
    let mut second = blobs.begin("a").await.unwrap();
    first.write(Bytes::from_static(b"first")).await.unwrap();
    second
        .write(Bytes::from_static(b"second, and longer"))
        .await
        .unwrap();
    second.finish().await.unwrap();
    let expected = b"second, and longer".to_vec();
    assert_eq!(read(blobs.as_ref(), "a").await, Some(expected));
    first.finish().await.unwrap();
    assert_eq!(read(blobs.as_ref(), "a").await, Some(b"first".to_vec()));
}

/// Renaming a missing blob is an error, and leaves the blob of the new name unchanged.
pub async fn renaming_a_missing_blob_fails<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "a", &parts(1)).await;
    let renamed = blobs.rename("none", "a").await;
    assert!(renamed.is_err(), "{renamed:?}");
    assert_eq!(read(blobs.as_ref(), "a").await, Some(parts(1).concat()));
    assert!(blobs.rename("none", "other").await.is_err());
    assert_eq!(read(blobs.as_ref(), "other").await, None);
}
