//! Uploads: too many files, files for deleted orders, and uploads that stall.

use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_e2e::{Client, ledger};
use futures_util::{FutureExt, StreamExt, stream};
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attack::{Attack, nothing};
use crate::bounds::Bounds;
use crate::target::{Access, Target};

const MIB: u64 = 1024 * 1024;
/// Default limit of a file's size, in bytes.
const FILE: usize = 10 * 1024 * 1024;
/// Bytes that the log, its WAL and other files may take in addition.
const OTHER_FILES: u64 = 16 * MIB;
/// Number of uploads for one order.
const UPLOADS: usize = 70;
/// Number of uploads that stall.
const STALLED: usize = 100;
/// Bytes that each of them sends before it stalls.
const SENT: usize = 5 * 1024 * 1024;
/// Time for which they stay open.
const HOLD_TIME: Duration = Duration::from_secs(3);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "70 files of 10 MiB for one order",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| too_many_files(target).boxed(),
            bounds: Bounds {
                memory: Some(32 * MIB),
                // attachments.max_bytes_per_order
                disk: Some(100 * MIB + OTHER_FILES),
                others_wait: Some(Duration::from_secs(2)),
                ..Bounds::default()
            },
        },
        Attack {
            name: "files for a deleted order",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| files_for_a_deleted_order(target).boxed(),
            bounds: Bounds {
                memory: Some(32 * MIB),
                disk: Some(OTHER_FILES),
                disk_left: Some(OTHER_FILES),
                others_wait: Some(Duration::from_secs(2)),
                ..Bounds::default()
            },
        },
        Attack {
            name: "files for an order that is deleted meanwhile",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| files_refused_at_execution(target).boxed(),
            bounds: Bounds {
                memory: Some(32 * MIB),
                disk: Some(8 * FILE as u64 + OTHER_FILES),
                disk_left: Some(OTHER_FILES),
                ..Bounds::default()
            },
        },
        Attack {
            name: "100 uploads that stall",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| stalled_uploads(target).boxed(),
            bounds: Bounds {
                // Refused uploads cost the buffer of a connection that drains the body.
                memory: Some(STALLED as u64 * MIB / 2),
                descriptors: Some(2 * STALLED as u64 + 50),
                // attachments.max_uploads_per_client
                disk: Some(16 * SENT as u64 + OTHER_FILES),
                disk_left: Some(OTHER_FILES),
                others_wait: Some(Duration::from_secs(2)),
                ..Bounds::default()
            },
        },
    ]
}

fn form(size: usize) -> Vec<u8> {
    let head = "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                Content-Type: text/plain\r\n\r\n";
    [head.as_bytes(), &vec![b'a'; size], b"\r\n--limit--\r\n"].concat()
}

async fn place(client: &Client) -> Result<String> {
    let accepted = client.post(ledger::order("attacked")).await?;
    client.settled(&accepted).await?;
    Ok(accepted.header("location").to_owned())
}

async fn delete(client: &Client, order: &str) -> Result<()> {
    let deleted = client.send(Method::DELETE, order, &[], "").await?;
    client.settled(&deleted).await?;
    Ok(())
}

/// Sends so many uploads. Returns the status of each answer.
async fn upload_all(client: &Client, order: &str, count: usize) -> Result<Vec<u16>> {
    let path = format!("{order}/attachments");
    let body = bytes::Bytes::from(form(FILE - 1024));
    let headers = [("Content-Type", "multipart/form-data; boundary=limit")];
    let uploads = (0..count).map(|_| client.send(Method::POST, &path, &headers, body.clone()));
    let answers: Vec<_> = stream::iter(uploads).buffer_unordered(8).collect().await;
    let statuses = answers
        .into_iter()
        .map(|answer| Ok(answer?.status.as_u16()));
    statuses.collect()
}

async fn too_many_files(target: Target) -> Result<()> {
    let client = target.client();
    let order = place(&client).await?;
    let statuses = upload_all(&client, &order, UPLOADS).await?;
    let count = |status: u16| statuses.iter().filter(|one| **one == status).count();
    ensure!(count(202) <= 10, "too many were accepted: {statuses:?}");
    ensure!(count(202) + count(409) == UPLOADS, "{statuses:?}");
    Ok(())
}

async fn files_for_a_deleted_order(target: Target) -> Result<()> {
    let client = target.client();
    let order = place(&client).await?;
    delete(&client, &order).await?;
    let statuses = upload_all(&client, &order, UPLOADS).await?;
    ensure!(statuses.iter().all(|status| *status == 409), "{statuses:?}");
    Ok(())
}

async fn start_upload(target: &Target, order: &str, length: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(&target.address).await?;
    let head = format!(
        "POST {order}/attachments HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary=limit\r\n\r\n",
        target.address
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

async fn status(stream: &mut TcpStream) -> Result<String> {
    let mut head = [0; 12];
    tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut head)).await??;
    Ok(String::from_utf8_lossy(&head[9..]).into_owned())
}

/// Uploads files whose order is deleted after the checks at acceptance.
async fn files_refused_at_execution(target: Target) -> Result<()> {
    let client = target.client();
    let order = place(&client).await?;
    let body = form(FILE - 1024);
    let (first, rest) = body.split_at(FILE / 2);
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = start_upload(&target, &order, body.len()).await?;
        stream.write_all(first).await?;
        streams.push(stream);
    }
    delete(&client, &order).await?;
    for stream in &mut streams {
        stream.write_all(rest).await?;
        let status = status(stream).await?;
        ensure!(status == "202", "answered {status}");
    }
    Ok(())
}

async fn stalled_uploads(target: Target) -> Result<()> {
    let client = target.client();
    let order = place(&client).await?;
    let body = form(FILE - 1024);
    let starting = (0..STALLED).map(|_| async {
        let mut stream = start_upload(&target, &order, body.len()).await?;
        // Fails if the server has refused and closed the upload.
        let _ = stream.write_all(&body[..SENT]).await;
        anyhow::Ok(stream)
    });
    let streams = futures_util::future::join_all(starting).await;
    tokio::time::sleep(HOLD_TIME).await;
    let mut refused = 0;
    for stream in streams {
        let mut stream = stream?;
        let mut head = [0; 12];
        let read = tokio::time::timeout(Duration::from_millis(10), stream.read(&mut head)).await;
        // A closed connection without an answer is a refusal as well.
        refused += usize::from(read.is_ok());
    }
    ensure!(refused >= STALLED - 16, "only {refused} were refused");
    Ok(())
}
