//! S3 server for a single test: s3s, which stores objects as files.

use anyhow::Result;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Running server with one bucket; stopped when dropped.
pub struct S3Server {
    /// URL of the server.
    pub endpoint: String,
    /// Name of the bucket.
    pub bucket: String,
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: String,
    task: JoinHandle<()>,
    _folder: TempDir,
}

impl S3Server {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If it cannot listen, or its folder cannot be created.
    pub async fn start() -> Result<Self> {
        let folder = TempDir::with_prefix("bakehouse-s3-")?;
        let (bucket, access_key, secret_key) = ("attachments", "tester", "a-secret-for-tests");
        std::fs::create_dir(folder.path().join(bucket))?;
        let files = FileSystem::new(folder.path()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
        let service = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = Builder::new(TokioExecutor::new());
                    let _ = connection
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Ok(Self {
            endpoint,
            bucket: bucket.into(),
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            task,
            _folder: folder,
        })
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
