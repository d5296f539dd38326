//! Session of a real browser (Chromium), shared by the tests of pages.

use bakehouse_dev_servers::browser::WebDriver;
use bakehouse_dev_servers::skipped::skip;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// Starts Chromium with additional flags and logging preferences; `None` if it is not installed.
/// Dropping the driver ends the browser.
pub(crate) async fn session(flags: &[&str], logs: Option<Value>) -> Option<(Client, WebDriver)> {
    let Some(driver) = WebDriver::start().expect("a WebDriver") else {
        skip("chromium with its driver");
        return None;
    };
    let mut all_flags = driver.flags();
    all_flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let mut capabilities = Capabilities::new();
    capabilities.insert("goog:chromeOptions".into(), json!({ "args": all_flags }));
    if let Some(logs) = logs {
        capabilities.insert("goog:loggingPrefs".into(), logs);
    }
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&driver.url())
        .await;
    Some((client.expect("a browser"), driver))
}

/// Chromium-specific WebDriver command: its path below the session, and its arguments.
#[derive(Debug)]
pub(crate) struct ChromiumCommand(pub(crate) &'static str, pub(crate) Value);

impl WebDriverCompatibleCommand for ChromiumCommand {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/{}", self.0))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}
