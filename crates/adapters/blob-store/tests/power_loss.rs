//! Power losses: finished blobs in a folder, and their names, are on disk.

use std::path::Path;

use bakehouse_blob_store::local;
use bakehouse_dev_servers::power_loss::{
    by_seed, is_recorded, kept, nothing_unsynced, rerun, wait_for_the_end,
};
use bakehouse_engine::ports::{Blobs, StoreError};
use bytes::Bytes;
use futures_util::TryStreamExt;
use tempfile::TempDir;

/// Number of blobs that are written before the power loss.
const COUNT: usize = 12;
/// Size of a blob in bytes: larger than a page, and not a multiple of it.
const SIZE: usize = 3 * 4_096 + 17;

async fn write(blobs: &dyn Blobs, name: &str) -> Result<(), StoreError> {
    let mut writer = blobs.begin(name).await?;
    writer.write(content(name)).await?;
    writer.finish().await
}

fn content(name: &str) -> Bytes {
    let bytes = name.bytes().cycle();
    Bytes::from(bytes.take(SIZE).collect::<Vec<u8>>())
}

/// Writes each blob in one folder and moves it to another, as an upload does.
async fn keep_blobs(root: &Path) {
    let blobs = local(&root.join("blobs")).expect("it opens");
    for number in 0..COUNT {
        let name = format!("orders/{number}/file");
        let upload = format!("uploads/{number}");
        let mut writer = blobs.begin(&upload).await.expect("begun");
        writer.write(content(&name)).await.expect("written");
        writer.finish().await.expect("finished");
        blobs.rename(&upload, &name).await.expect("renamed");
        kept(&name);
        let direct = format!("direct-{number}");
        write(blobs.as_ref(), &direct).await.expect("written");
        kept(&direct);
    }
    wait_for_the_end();
}

async fn expect_blobs(root: &Path, names: &[String]) {
    let blobs = local(&root.join("blobs")).expect("it opens");
    for name in names {
        let blob = blobs.read(name).await.expect("an answer");
        let blob = blob.unwrap_or_else(|| panic!("{name} is not on disk"));
        let bytes: Vec<Bytes> = blob.bytes.try_collect().await.expect("bytes");
        assert!(bytes.concat() == content(name), "{name} has other bytes");
    }
}

#[tokio::test]
async fn a_finished_blob_survives_a_power_loss() {
    let test = "a_finished_blob_survives_a_power_loss";
    if is_recorded() {
        return keep_blobs(Path::new(
            &std::env::var("POWER_LOSS_ROOT").expect("a folder"),
        ))
        .await;
    }
    let folder = TempDir::new().expect("a folder");
    for seed in 0..3 {
        let root = folder.path().join(seed.to_string());
        std::fs::create_dir(&root).expect("a folder");
        let mut random = by_seed(seed);
        let mut strict = nothing_unsynced;
        let choose: &mut dyn FnMut(usize) -> usize = match seed {
            0 => &mut strict,
            _ => &mut random,
        };
        let (names, loss) = rerun(test, &root, 2 * COUNT, choose).expect("it runs");
        assert!(loss.unrecorded.is_empty(), "{loss:?}");
        assert!(loss.mapped.is_empty(), "{loss:?}");
        assert!(loss.syncs > 0, "{loss:?}");
        expect_blobs(&root, &names).await;
    }
}
