//! Client of a running server, for commands of operators: it uses the public API.

use std::path::Path;

use anyhow::{Context, Result, bail};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::{AdminArguments, SecretUri, Settings};

/// Server, and the token for it.
pub(crate) struct AdminClient {
    url: String,
    /// URL without secrets.
    shown: SecretUri,
    token: Option<String>,
    client: Client,
}

impl AdminClient {
    /// Creates a client of the server that the arguments name, or else the settings.
    ///
    /// # Errors
    /// An error if the file of the token cannot be read.
    pub(crate) fn new(settings: &Settings, arguments: &AdminArguments) -> Result<Self> {
        let url = match &arguments.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", settings.http.bind),
        };
        Ok(Self {
            shown: SecretUri::from(url.as_str()),
            url,
            token: arguments.token_file.as_deref().map(token).transpose()?,
            client: bakehouse_remote_feed::client()?,
        })
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.at(path))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.at(path))
    }

    pub(crate) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.at(path))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// URL of a path, without secrets.
    pub(crate) fn shown_at(&self, path: &str) -> String {
        format!("{}{path}", self.shown)
    }

    pub(crate) async fn json(&self, request: RequestBuilder) -> Result<Value> {
        Ok(self.send(request).await?.json().await?)
    }

    /// Sends a request, with the token.
    ///
    /// # Errors
    /// The detail of the server's problem document, if it sent one.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let sent = request.send().await;
        // The URL may hold a secret.
        let sent = sent.map_err(reqwest::Error::without_url);
        let answer = sent.with_context(|| format!("no answer from {}", self.shown))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        let detail = problem["detail"].as_str().or(problem["title"].as_str());
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (see --token-file)",
            _ => "",
        };
        if status.is_redirection() {
            bail!("{status}: redirects are not followed; pass the final address with --url");
        }
        bail!("{status}: {}{hint}", detail.unwrap_or("no detail"))
    }
}

fn token(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}
