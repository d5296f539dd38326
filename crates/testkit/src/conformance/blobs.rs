//! What every store of blobs must keep to. A rule takes an empty one, and
//! whatever must live as long.

use std::sync::Arc;

use bakehouse_pipeline::Timestamp;
use bakehouse_pipeline::ports::{BlobEntry, Blobs};
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
