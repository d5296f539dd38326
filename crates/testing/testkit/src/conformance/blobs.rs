//! What every store of blobs must keep to. A rule takes an empty one, and
//! whatever must live as long.

use std::sync::Arc;

use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{BlobEntry, Blobs};
use bytes::Bytes;
use futures_util::TryStreamExt;

/// Writes the suite's tests: `blobs_suite!(name, async { (blobs, guard) })`.
#[macro_export]
macro_rules! blobs_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            blobs,
            $make,
            [
                what_was_written_is_read,
                nobody_sees_what_is_not_finished,
                a_new_name_takes_the_place_of_an_old_one,
                what_was_removed_is_gone,
                what_is_there_is_listed_with_its_age,
                what_is_below_a_folder_is_listed_and_nothing_beside_it,
                a_writer_that_is_gone_leaves_what_was_there,
                of_two_writers_the_last_to_finish_is_read,
                what_is_not_there_cannot_be_renamed,
            ]
        );
    };
}

/// `count` parts of a mebibyte and a half, all different.
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

/// None at all, one byte, and more than goes in one request.
pub async fn what_was_written_is_read<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
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

/// Half a file is no file.
pub async fn nobody_sees_what_is_not_finished<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
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

/// Uploads get their final name at the end.
pub async fn a_new_name_takes_the_place_of_an_old_one<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "upload", &parts(5)).await;
    write(blobs.as_ref(), "final", &parts(1)).await;
    blobs.rename("upload", "final").await.unwrap();
    assert_eq!(read(blobs.as_ref(), "final").await, Some(parts(5).concat()));
    assert_eq!(read(blobs.as_ref(), "upload").await, None);
}

/// Once or twice.
pub async fn what_was_removed_is_gone<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "a", &parts(1)).await;
    blobs.remove("a").await.unwrap();
    assert_eq!(read(blobs.as_ref(), "a").await, None);
    blobs.remove("a").await.unwrap();
}

/// By its whole name; what is not finished is not there.
pub async fn what_is_there_is_listed_with_its_age<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
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

/// Names that begin alike are of other folders.
pub async fn what_is_below_a_folder_is_listed_and_nothing_beside_it<G>(
    (blobs, _guard): (Arc<dyn Blobs>, G),
) {
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

/// Dropped or given up, in the middle of what was to take its place.
pub async fn a_writer_that_is_gone_leaves_what_was_there<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
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

/// Whole, not a mixture.
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

/// An error, and what has the other name keeps it.
pub async fn what_is_not_there_cannot_be_renamed<G>((blobs, _guard): (Arc<dyn Blobs>, G)) {
    write(blobs.as_ref(), "a", &parts(1)).await;
    let renamed = blobs.rename("none", "a").await;
    assert!(renamed.is_err(), "{renamed:?}");
    assert_eq!(read(blobs.as_ref(), "a").await, Some(parts(1).concat()));
    assert!(blobs.rename("none", "other").await.is_err());
    assert_eq!(read(blobs.as_ref(), "other").await, None);
}
