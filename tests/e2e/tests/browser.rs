//! The page at `/` in a real browser: placing and watching orders, a restart of the server without
//! missed events, parked operations, use by keyboard alone, and accessibility.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bakehouse_dev_servers::browser::WebDriver;
use bakehouse_dev_servers::node;
use bakehouse_dev_servers::skipped::skip;
use bakehouse_e2e::ledger::Load;
use bakehouse_e2e::{Client, Kind, World, in_both_worlds, ledger, stores};
use fantoccini::Locator;
use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::chromium::{self, ChromiumCommand};

in_both_worlds!(
    an_order_is_placed_and_watched_across_a_restart_of_the_server,
    parked_operations_are_shown_and_resolved,
);

const LIMIT: Duration = Duration::from_secs(20);

/// Script that returns the positions of the listed events, the latest first.
const POSITIONS: &str = "return [...document.querySelectorAll('#events li')]\
                         .map((line) => Number(line.dataset.position))";

/// Browser that shows the page.
pub(crate) struct Page {
    browser: fantoccini::Client,
    /// Driver, dropped last since that ends the browser.
    _driver: WebDriver,
}

impl Page {
    /// Opens the page; `None` if no browser is installed.
    pub(crate) async fn open(base: &str) -> Option<Self> {
        let (browser, driver) = chromium::session(&[], None).await?;
        browser.set_window_size(1280, 1600).await.expect("its size");
        browser.goto(base).await.expect("the page");
        let page = Self {
            browser,
            _driver: driver,
        };
        page.is_live().await;
        Some(page)
    }

    async fn is_live(&self) {
        self.shows("#feed-state", |text| text == "live").await;
    }

    async fn find(&self, selector: &str) -> Element {
        let found = self.browser.wait().at_most(LIMIT);
        let found = found.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.find(selector).await.click().await.expect("a click");
    }

    /// Waits until the text of an element meets a condition, and returns the text.
    pub(crate) async fn shows(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText?.trim() ?? ''";
        let is_so = |text: &Value| is_so(text.as_str().unwrap_or_default());
        let text = self.until(script, vec![json!(selector)], is_so).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the result of a script meets a condition, and returns the result.
    pub(crate) async fn until(
        &self,
        script: &str,
        arguments: Vec<Value>,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let until = Instant::now() + LIMIT;
        loop {
            let found = self.run(script, arguments.clone()).await;
            if is_so(&found) {
                return found;
            }
            assert!(Instant::now() < until, "{arguments:?}: {found}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        let result = self.browser.execute(script, arguments).await;
        result.expect("the script runs")
    }

    /// Waits until exactly the events up to a position are listed.
    pub(crate) async fn lists_all_up_to(&self, position: u64) {
        let expected: Vec<u64> = (1..=position).rev().collect();
        let expected = json!(expected);
        self.until(POSITIONS, Vec::new(), |found| *found == expected)
            .await;
    }

    async fn type_into(&self, name: &str, text: &str) {
        let field = self.find(&format!("#place-form [name={name}]")).await;
        field.clear().await.expect("cleared");
        field.send_keys(text).await.expect("typed");
    }

    /// Presses and releases one key.
    async fn press(&self, key: char) {
        let keys = KeyActions::new("keyboard".into())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        let done = self.browser.perform_actions(keys).await;
        done.expect("a key");
    }

    /// Presses the tab key until an element that matches the selector has the focus. Checks that
    /// each element on the way shows its focus.
    async fn tab_to(&self, selector: &str) {
        for _ in 0..60 {
            self.press(Key::Tab.into()).await;
            let script = "const it = document.activeElement; \
                const style = getComputedStyle(it); \
                return { here: it.matches(arguments[0]), \
                    shown: it === document.body || style.outlineStyle !== 'none', \
                    name: it.outerHTML.slice(0, 120) }";
            let at = self.run(script, vec![json!(selector)]).await;
            assert_eq!(at["shown"], true, "{at}: the focus is invisible");
            if at["here"] == true {
                return;
            }
        }
        panic!("{selector} cannot be reached by the keyboard");
    }

    /// Saves a screenshot for manual inspection.
    async fn save_screenshot(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pictures");
        std::fs::create_dir_all(&folder).expect("a folder");
        let image = self.browser.screenshot().await.expect("a screenshot");
        std::fs::write(folder.join(format!("{name}.png")), image).expect("written");
    }

    async fn set_color_scheme(&self, name: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": name }] });
        let call = json!({ "cmd": "Emulation.setEmulatedMedia", "params": features });
        let emulate = ChromiumCommand("goog/cdp/execute", call);
        self.browser.issue_cmd(emulate).await.expect("emulated");
    }

    pub(crate) async fn close(self) {
        self.browser.close().await.expect("closed");
    }
}

pub(crate) async fn place(client: &Client, count: usize) {
    for number in 0..count {
        let body = ledger::order(&format!("r-{number}"));
        let accepted = client.post(body).await.expect("an answer");
        client.settled(&accepted).await.expect("a receipt");
    }
}

async fn an_order_is_placed_and_watched_across_a_restart_of_the_server(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    // A fault is shown at its field, and the input stays.
    page.type_into("price", "a lot").await;
    page.click("#place-form button").await;
    page.shows("#place-result", |text| text.contains("price:"))
        .await;
    let invalid = page
        .find("#place-form [name=price][aria-invalid=true]")
        .await;
    let kept = invalid.prop("value").await.expect("a property");
    assert_eq!(kept.as_deref(), Some("a lot"));

    page.type_into("name", "Rye bread").await;
    page.type_into("price", "4.20").await;
    page.type_into("quantity", "3").await;
    page.click("#place-form button").await;
    page.shows("#place-result", |text| text.contains("accepted and saved"))
        .await;
    page.shows("#processing-hint", |text| {
        text == "Processed as event 1: order.created"
    })
    .await;
    page.shows("#processing", |text| {
        [
            "api-server",
            "events-writer",
            "orders-manager",
            "data-baker",
        ]
        .iter()
        .all(|stage| text.contains(stage))
    })
    .await;
    page.shows("#orders tr", |text| text.contains("12.60 EUR"))
        .await;
    page.lists_all_up_to(1).await;
    page.click("#orders button[aria-label='Order 1: paid']")
        .await;
    page.shows("#orders tr td:nth-child(2)", |text| text == "paid")
        .await;
    page.lists_all_up_to(2).await;

    // The server is killed; the page must not miss events of the meantime.
    let name = match kind {
        Kind::Embedded => "bakehouse",
        Kind::Servers => "api-server",
    };
    world.process(name).kill();
    page.shows("#feed-state", |text| text.starts_with("reconnecting"))
        .await;
    if let Kind::Servers = kind {
        let other = world.start_second("api-server").expect("another one");
        let other = Client::new(&other);
        let is_ready = async || {
            let answer = other.get("/health/ready").await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        let ready = bakehouse_e2e::world::wait(LIMIT, "another one", is_ready);
        ready.await.expect("ready");
        place(&other, 5).await;
    }
    world.start_all().expect("it starts again");
    world.ready(LIMIT).await.expect("ready again");
    let more = if let Kind::Embedded = kind { 6 } else { 1 };
    place(&client, more).await;
    page.is_live().await;
    page.lists_all_up_to(8).await;
    page.shows("#orders tr td", |text| text == "7").await;
    page.shows("#stages figcaption", |text| text.ends_with("0 events"))
        .await;
    page.save_screenshot(&format!("{kind:?}")).await;
    page.close().await;
}

async fn parked_operations_are_shown_and_resolved(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    place(&client, 2).await;
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    page.shows("#parked-hint", |text| text.starts_with("Nothing is parked"))
        .await;
    let orders = client.get("/order").await.expect("a list").json();
    let bad = orders[0]["id"].as_str().expect("an id");
    let state = stores::replace_state(&world, kind, bad, "{}").await;
    page.click("#orders button[aria-label='Order 2: paid']")
        .await;
    page.shows("#parked li .fault", |text| text.contains(bad))
        .await;
    page.shows("#events li", |text| text.contains("parked: "))
        .await;
    page.save_screenshot(&format!("{kind:?}-parked")).await;
    // The state is not yet repaired: the retry fails, and the log says so.
    page.click("#parked button[aria-label='Retry event 3']")
        .await;
    page.shows("#events li", |text| text.contains("retry failed"))
        .await;
    stores::replace_state(&world, kind, bad, &state).await;
    page.find("#parked [name=reason]")
        .await
        .send_keys("a mistake")
        .await
        .expect("typed");
    page.click("#parked button[aria-label='Discard event 3']")
        .await;
    page.shows("#parked-hint", |text| text.starts_with("Nothing is parked"))
        .await;
    let refused = "event 3 rejected: discarded by an operator: a mistake";
    page.shows("#events li", |text| text.contains(refused))
        .await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_be_done_by_the_keyboard_alone() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    // The first focusable element is a link that skips the form.
    page.tab_to(".skip").await;
    page.press(Key::Enter.into()).await;
    let script = "return document.activeElement.id";
    assert_eq!(page.run(script, Vec::new()).await, "orders-title");
    page.browser.refresh().await.expect("again");
    page.is_live().await;
    page.tab_to("[name=name]").await;
    for letter in "Bun".chars() {
        page.press(letter).await;
    }
    page.press(Key::Enter.into()).await;
    page.shows("#orders tr", |text| text.contains("7.00 EUR"))
        .await;
    let order = world.client().get("/order").await.expect("a list").json();
    assert_eq!(
        order[0]["products"][0]["name"], "Bun",
        "the previous text was selected"
    );
    page.tab_to("#orders button[aria-label='Order 1: paid']")
        .await;
    page.press(Key::Enter.into()).await;
    page.shows("#orders tr td:nth-child(2)", |text| text == "paid")
        .await;
    // The focus continues although the row of the focused button was replaced.
    page.tab_to("#search").await;
    for letter in "status".chars() {
        page.press(letter).await;
    }
    page.shows("#events-count", |text| {
        text.starts_with("1 of 1 matching events shown, 2 loaded")
    })
    .await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_accessible_in_light_and_dark() {
    let axe = node::axe().expect("axe");
    let Some(axe) = axe else {
        skip("npm");
        return;
    };
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    place(&client, 3).await;
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    // Shows all parts of the page: faults, a history, a parked operation.
    let orders = client.get("/order").await.expect("a list").json();
    let bad = orders[0]["id"].as_str().expect("an id");
    stores::replace_state(&world, Kind::Embedded, bad, "{}").await;
    page.click("#orders button[aria-label='Order 3: paid']")
        .await;
    page.find("#parked li").await;
    page.click("#orders button[aria-label='Order 2: paid']")
        .await;
    page.shows("#orders tr:nth-child(2) td:nth-child(2)", |text| {
        text == "paid"
    })
    .await;
    page.click("#orders tr:nth-child(2) button.link").await;
    page.shows("#processing-hint", |text| text.starts_with("Order 2"))
        .await;
    page.type_into("price", "a lot").await;
    page.click("#place-form button").await;
    page.shows("#place-result", |text| text.contains("price:"))
        .await;
    // New rows are highlighted by an animation.
    let animations = "return document.getAnimations() \
        .filter((one) => one.effect.getComputedTiming().iterations !== Infinity).length";
    page.until(animations, Vec::new(), |count| *count == 0)
        .await;
    for scheme in ["light", "dark"] {
        page.set_color_scheme(scheme).await;
        page.save_screenshot(&format!("accessible-{scheme}")).await;
        let script = format!("{axe}; const done = arguments[0]; axe.run().then(done, done);");
        let found = page.browser.execute_async(&script, Vec::new()).await;
        let found = found.expect("a report");
        assert!(
            found["passes"].as_array().is_some_and(|all| all.len() > 20),
            "{found}"
        );
        let faults: Vec<_> = found["violations"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|fault| format!("{}: {}", fault["help"], fault["nodes"]))
            .collect();
        assert!(faults.is_empty(), "{scheme}: {faults:#?}");
    }
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_works_with_ten_thousand_orders() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let ledger = Load::start(&world.base, 16, 10_000).finish().await;
    assert_eq!(ledger.accepted.len(), 10_000);
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    page.shows("#orders tr td", |text| text == "10000").await;
    // The page itself measures the time, so that the speed of the driver does not count.
    let script = "const done = arguments[0]; const begun = performance.now(); \
        new MutationObserver((_, it) => { \
            if (document.querySelector('#orders td').innerText === '10001') { \
                it.disconnect(); \
                requestAnimationFrame(() => done(performance.now() - begun)); \
            } \
        }).observe(document.querySelector('#orders'), { childList: true }); \
        document.querySelector('#place-form button').click();";
    let took = page.browser.execute_async(script, Vec::new()).await;
    eprintln!("from click to list: {} ms", took.expect("a time"));
    page.shows("#orders-count", |text| text.starts_with("100 of "))
        .await;
    for pages in 2..8 {
        page.click("#older").await;
        let count = format!("{pages}00 of ");
        page.shows("#orders-count", |text| text.starts_with(&count))
            .await;
    }
    page.shows("#orders tr:last-child td", |text| text == "9302")
        .await;
    place(&client, 1).await;
    page.shows("#orders tr td", |text| text == "10002").await;
    page.close().await;
}
