//! Client calls that upload and list the attached files of an order.

use hyper::Method;
use serde_json::Value;

use crate::{Answer, Client, ledger};

/// Returns a multipart body that contains one file.
#[must_use]
pub fn form(part: &str, file_name: &str, media_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--limit\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{file_name}\"\r\n\
         Content-Type: {media_type}\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n--limit--\r\n"].concat()
}

/// Uploads a multipart form to an order.
pub async fn upload(
    client: &Client,
    order: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let form = [("Content-Type", "multipart/form-data; boundary=limit")];
    let headers = [&form, headers].concat();
    let path = format!("{order}/attachments");
    let answer = client.send(Method::POST, &path, &headers, body).await;
    answer.expect("an answer")
}

/// Places an order, waits until it is processed, and returns its path.
pub async fn place(client: &Client) -> String {
    let accepted = client.post(ledger::order("one")).await.expect("an answer");
    client.settled(&accepted).await.expect("a receipt");
    accepted.header("location").to_owned()
}

/// Returns the listed files of an order.
pub async fn files(client: &Client, order: &str) -> Value {
    let list = client.get(&format!("{order}/attachments")).await;
    list.expect("an answer").json()
}
