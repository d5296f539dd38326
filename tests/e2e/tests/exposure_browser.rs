//! Real browser: pages of other sites cannot use the API, and the server's own pages work behind a
//! proxy and under their content security policy.

use std::time::{Duration, Instant};

use bakehouse_dev_servers::browser::WebDriver;
use bakehouse_e2e::{Client, Kind, Proxy, World, ledger};
use fantoccini::Locator;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::chromium::{self, ChromiumCommand};

const LIMIT: Duration = Duration::from_secs(20);

/// Running browser.
struct Browser {
    client: fantoccini::Client,
    /// Driver, dropped last since that ends the browser.
    _driver: WebDriver,
}

impl Browser {
    /// Starts a browser that resolves all `*.example` hosts to this machine; `None` if no browser
    /// is installed.
    async fn start() -> Option<Self> {
        let flags = ["--host-resolver-rules=MAP *.example 127.0.0.1"];
        let logs = json!({ "browser": "ALL" });
        let (client, driver) = chromium::session(&flags, Some(logs)).await?;
        Some(Self {
            client,
            _driver: driver,
        })
    }

    async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("a page");
    }

    async fn click(&self, selector: &str) {
        let button = self.client.find(Locator::Css(selector)).await;
        let clicked = button.expect("a button").click().await;
        clicked.expect("a click");
    }

    /// Waits until the text of an element meets a condition, and returns the text.
    async fn shows(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
            let text = self.client.execute(script, vec![json!(selector)]).await;
            let text = text.expect("the script runs");
            let text = text.as_str().unwrap_or_default().trim().to_owned();
            if is_so(&text) {
                return text;
            }
            assert!(Instant::now() < until, "{selector} shows {text:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Runs an asynchronous script in the page and returns its result.
    async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; \
             (async () => {{ {script} }})().then(done, (error) => done(`failed: ${{error}}`));"
        );
        let found = self.client.execute_async(&script, arguments).await;
        found.expect("the script runs")
    }

    /// Returns the log lines of the browser about violations of the content security policy.
    async fn violations(&self) -> Vec<String> {
        let log = self
            .client
            .issue_cmd(ChromiumCommand("se/log", json!({ "type": "browser" })))
            .await
            .expect("a log");
        let lines = log.as_array().into_iter().flatten();
        let lines = lines.map(ToString::to_string);
        lines
            .filter(|line| line.contains("Content Security Policy"))
            .collect()
    }

    async fn close(self) {
        self.client.close().await.expect("closed");
    }
}

/// Starts a foreign server that returns the same page at every path, and returns its port.
async fn foreign_page() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 8192];
                let _ = socket.read(&mut head).await;
                let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\
                    Connection: close\r\n\r\n<p>hi</p>";
                let _ = socket.write_all(page.as_bytes()).await;
            });
        }
    });
    port
}

/// Tests a page whose host name resolves to the server (DNS rebinding), and a page of a foreign
/// server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_reads_and_writes_nothing() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let Some(browser) = Browser::start().await else {
        return;
    };
    let port = world.base.rsplit(':').next().expect("a port");
    let rebound = format!("http://evil.example:{port}/");
    browser.open(&rebound).await;
    browser
        .shows("body", |text| text.contains("misdirected-request"))
        .await;

    let foreign = foreign_page().await;
    browser
        .open(&format!("http://evil.example:{foreign}/"))
        .await;
    let blind = "const answer = await fetch(arguments[0], { method: 'POST', mode: 'no-cors', \
        body: arguments[1] }); return answer.type;";
    let read = "const answer = await fetch(arguments[0]); return answer.status;";
    let follow = "return await new Promise((resolve) => { \
        const socket = new WebSocket(arguments[0].replace('order', 'order-events')); \
        socket.onopen = () => resolve('open'); socket.onerror = () => resolve('refused'); });";
    for base in [rebound.clone(), format!("{}/", world.base)] {
        let target = json!(format!("{base}order"));
        let order = json!(ledger::order("blind"));
        let sent = browser.run(blind, vec![target.clone(), order]).await;
        assert_ne!(sent, "cors", "the answer is readable");
        let found = browser.run(read, vec![target.clone()]).await;
        assert!(found.to_string().contains("failed"), "{found}");
        assert_eq!(browser.run(follow, vec![target]).await, "refused");
    }
    let orders = world
        .client()
        .get("/order")
        .await
        .expect("an answer")
        .json();
    assert_eq!(orders, json!([]), "an order was written");
    let client = world.client();
    // By host: all requests with the foreign name. By origin: a write and a handshake.
    for (reason, least) in [("host", 4), ("origin", 2)] {
        let found = refused(&client, reason).await;
        assert!(found >= least, "{reason}: {found}");
    }
    // No operation is queued either.
    let placed = client.post(ledger::order("first")).await;
    let receipt = client.settled(&placed.expect("an answer")).await;
    assert_eq!(receipt.expect("a receipt")["position"], 1);
    browser.close().await;
}

/// Returns the metric of requests refused for a reason.
async fn refused(client: &Client, reason: &str) -> u64 {
    let text = client.get("/metrics").await.expect("metrics").body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let start = format!("bakehouse_http_refused_total{{reason=\"{reason}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    let count = line.unwrap_or_else(|| panic!("no {start} in {text}"));
    count.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_an_allowed_origin_uses_the_api() {
    let foreign = foreign_page().await;
    let origin = format!("http://shop.example:{foreign}");
    let settings = [("BAKEHOUSE_HTTP__CORS_ORIGINS", format!("{origin}/"))];
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let Some(browser) = Browser::start().await else {
        return;
    };
    browser.open(&origin).await;
    let place = "const answer = await fetch(arguments[0], { method: 'POST', body: arguments[1], \
        headers: { 'content-type': 'application/json', 'idempotency-key': 'k-1', \
        prefer: 'respond-async', 'x-correlation-id': '0190f1de-0000-7000-8000-000000000001', \
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', \
        'cache-control': 'no-cache', 'last-event-id': '1' } }); \
        return [answer.status, answer.headers.get('operation-location')];";
    let target = json!(format!("{}/order", world.base));
    let order = json!(ledger::order("shop"));
    let found = browser.run(place, vec![target, order]).await;
    assert_eq!(found[0], 202, "{found}");
    assert!(
        found[1]
            .as_str()
            .is_some_and(|link| link.contains("/operation/"))
    );
    browser.close().await;
}

/// Opens the page and the API documentation through a proxy that strips a prefix, without a setting
/// of the public URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_pages_work_behind_a_prefix_and_under_their_policies() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let proxy = Proxy::start(&world.base, "/shop", &[])
        .await
        .expect("a proxy");
    let Some(browser) = Browser::start().await else {
        return;
    };
    browser.open(&format!("{}/", proxy.base())).await;
    browser.shows("#feed-state", |text| text == "live").await;
    browser.click("#place-form button").await;
    browser
        .shows("#processing-hint", |text| {
            text == "Processed as event 1: order.created"
        })
        .await;
    browser
        .shows("#orders tr", |text| text.contains("7.00 EUR"))
        .await;
    browser.click("#orders button.small").await;
    browser
        .shows("#orders tr td:nth-child(2)", |text| text == "paid")
        .await;
    browser
        .shows("#stages figcaption", |text| text.ends_with("0 events"))
        .await;
    let paid = Client::new(&proxy.base()).get("/order?status=paid").await;
    let paid = paid.expect("an answer").json();
    assert_eq!(paid.as_array().map(Vec::len), Some(1));

    browser.open(&format!("{}/docs/", proxy.base())).await;
    browser
        .shows("#swagger-ui .info .title", |text| {
            text.starts_with("Bakehouse")
        })
        .await;
    let open = browser.client.wait().at_most(LIMIT);
    let open = open.for_element(Locator::Css(".opblock-summary-control"));
    open.await.expect("a call").click().await.expect("a click");
    browser
        .shows(".opblock.is-open .opblock-body", |text| {
            text.contains("Responses")
        })
        .await;
    let style = "const box = document.querySelector('.opblock-summary-method'); \
        return getComputedStyle(box).backgroundColor;";
    let colour = browser.run(style, Vec::new()).await;
    assert_ne!(colour, "rgba(0, 0, 0, 0)", "the style sheet is missing");
    let violations = browser.violations().await;
    assert!(violations.is_empty(), "{violations:#?}");
    browser.close().await;
}
