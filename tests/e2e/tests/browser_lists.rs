//! Lists of the page at `/` that are longer than one page of results, or change while they load.

use bakehouse_e2e::{Kind, World, ledger};
use hyper::Method;
use serde_json::{Value, json};

use crate::browser::{Page, place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_shows_the_latest_request() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    place(&client, 2).await;
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    // Delays the first answer, fails the second request, and holds the third answer back until
    // some time after the first. Records all texts of the counter.
    let script = "const originalFetch = window.fetch; let calls = 0; let late; \
        const isLate = new Promise((resolve) => (late = resolve)); \
        const counted = document.querySelector('#orders-count'); \
        window.texts = []; \
        new MutationObserver(() => window.texts.push(counted.textContent)) \
            .observe(counted, { childList: true, characterData: true, subtree: true }); \
        window.fetch = async (path, options) => { \
            if (!String(path).startsWith('/order?')) { return originalFetch(path, options); } \
            calls += 1; \
            if (calls === 1) { \
                await new Promise((resolve) => setTimeout(resolve, 500)); \
                const answer = await originalFetch(path, options); \
                const text = await answer.text(); \
                setTimeout(late, 500); \
                return new Response(text, { status: answer.status, headers: answer.headers }); \
            } \
            if (calls === 2) { throw new TypeError('cut'); } \
            await isLate; \
            return originalFetch(path, options); \
        }; \
        const filter = document.querySelector('#status-filter'); \
        for (const status of ['cancelled', 'placed']) { \
            filter.value = status; \
            filter.dispatchEvent(new Event('change')); \
        }";
    page.run(script, Vec::new()).await;
    let is_loaded = |texts: &Value| texts.to_string().contains("\"2 of");
    let texts = page
        .until("return window.texts", Vec::new(), is_loaded)
        .await;
    let mut texts: Vec<String> = serde_json::from_value(texts).expect("texts");
    texts.dedup();
    let is_right =
        texts.len() == 2 && texts[0].contains("cannot be reached") && texts[1].starts_with("2 of");
    assert!(is_right, "{texts:?}");
    // An order deleted while the list loads does not reappear.
    let placed = client.get("/order?limit=1").await.expect("a list").json();
    let id = placed[0]["id"].as_str().expect("an id").to_owned();
    let script = "const originalFetch = window.fetch; \
        window.fetch = async (path, options) => { \
            const answer = await originalFetch(path, options); \
            if (String(path).startsWith('/order?')) { \
                await new Promise((resolve) => (window.releaseAnswer = resolve)); \
            } \
            return answer; \
        }; \
        document.querySelector('#status-filter').dispatchEvent(new Event('change'));";
    page.run(script, Vec::new()).await;
    let path = format!("/order/{id}");
    let deleted = client.send(Method::DELETE, &path, &[], "").await;
    let deleted = deleted.expect("an answer");
    client.settled(&deleted).await.expect("a receipt");
    page.lists_all_up_to(3).await;
    page.run("window.releaseAnswer()", Vec::new()).await;
    page.shows("#orders-count", |text| text.starts_with("1 of 1"))
        .await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_shown_page_by_page() {
    const CHANGES: usize = 120;
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let placed = client.post(ledger::order("r-0")).await.expect("an answer");
    client.settled(&placed).await.expect("a receipt");
    let order = placed.header("location").to_owned();
    for number in 1..=CHANGES {
        let body = ledger::order(&format!("r-{number}"));
        let changed = client.put(&order, &[], body).await.expect("an answer");
        assert_eq!(changed.status, 202);
        if number == CHANGES {
            client.settled(&changed).await.expect("a receipt");
        }
    }
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    page.click("#orders tr button.link").await;
    page.shows("#processing-hint", |text| {
        text == "Order 1: first 100 events"
    })
    .await;
    page.click("#processing-more").await;
    page.shows("#processing-hint", |text| text == "Order 1: 121 events")
        .await;
    let shown = page.run(
        "return [document.querySelectorAll('#processing li').length, \
            document.querySelector('#processing-more').hidden]",
        Vec::new(),
    );
    assert_eq!(shown.await, json!([2 * (CHANGES + 1), true]));
    page.close().await;
}
