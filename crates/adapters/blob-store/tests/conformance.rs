//! Conformance of the folder and S3 adapters to the suite of blob stores.

use bakehouse_blob_store::{S3, local, s3};
use bakehouse_dev_servers::s3::S3Server;
use bakehouse_engine::model::ids;

bakehouse_testkit::blobs_suite!(folder, async {
    // The suite removes the folder when its test ends.
    let folder = tempfile::TempDir::with_prefix("bakehouse-blobs-").expect("a folder");
    (local(&folder.path().join("new")).expect("it opens"), folder)
});

bakehouse_testkit::blobs_suite!(s3_server, async {
    let server = S3Server::start().await.expect("it listens");
    let settings = S3 {
        bucket: server.bucket.clone(),
        prefix: format!("part/{}", ids::fresh()),
        region: "eu-north-1".into(),
        endpoint: Some(server.endpoint.clone()),
        access_key_id: server.access_key.clone(),
        secret_access_key: server.secret_key.clone(),
    };
    (s3(&settings).expect("it opens"), server)
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_an_error_that_does_not_show_it() {
    let server = S3Server::start().await.expect("it listens");
    let settings = S3 {
        bucket: server.bucket.clone(),
        prefix: String::new(),
        region: "eu-north-1".into(),
        endpoint: Some(server.endpoint.clone()),
        access_key_id: server.access_key.clone(),
        secret_access_key: "not-the-secret".into(),
    };
    let blobs = s3(&settings).expect("it opens");
    let Err(error) = blobs.read("a").await else {
        panic!("it was let in");
    };
    assert!(!error.to_string().contains("not-the-secret"), "{error}");
}
