//! GET requests as an operator.

use anyhow::{Result, bail, ensure};
use bakehouse_e2e::Client;
use serde_json::Value;

use crate::clients::Identity;

/// Sends a GET request as an operator.
pub(crate) async fn read(
    client: &Client,
    operator: &Identity,
    path: &str,
) -> Result<bakehouse_e2e::Answer> {
    let headers = [("authorization", operator.authorization.as_str())];
    client.get_with(path, &headers).await
}

/// Reads all pages of a list.
pub(crate) async fn whole_list(operator: &Identity, path: &str) -> Result<Vec<Value>> {
    let client = Client::new(&operator.bases[0]);
    let mut next = Some(path.to_owned());
    let mut all = Vec::new();
    while let Some(path) = next {
        let page = read(&client, operator, &path).await?;
        ensure!(page.status == 200, "{page:?}");
        let Value::Array(documents) = page.json() else {
            bail!("no list: {page:?}");
        };
        all.extend(documents);
        next = page.next_page();
    }
    Ok(all)
}
