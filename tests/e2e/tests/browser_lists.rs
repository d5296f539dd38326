//! Lists of the page at `/` that are longer than a page, or change while they are read.

use bakehouse_e2e::{Kind, World, ledger};
use hyper::Method;
use serde_json::{Value, json};

use crate::browser::{Page, place};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_what_was_asked_for_last() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    place(&client, 2).await;
    let Some(page) = Page::open(&world.base).await else {
        return;
    };
    // The next answer comes late, the one after it not at all, and the third one once the first
    // has been there for a while. Every text is remembered.
    let script = "const whole = window.fetch; let calls = 0; let late; \
        const isLate = new Promise((resolve) => (late = resolve)); \
        const counted = document.querySelector('#orders-count'); \
        window.told = []; \
        new MutationObserver(() => window.told.push(counted.textContent)) \
            .observe(counted, { childList: true, characterData: true, subtree: true }); \
        window.fetch = async (path, options) => { \
            if (!String(path).startsWith('/order?')) { return whole(path, options); } \
            calls += 1; \
            if (calls === 1) { \
                await new Promise((resolve) => setTimeout(resolve, 500)); \
                const answer = await whole(path, options); \
                const text = await answer.text(); \
                setTimeout(late, 500); \
                return new Response(text, { status: answer.status, headers: answer.headers }); \
            } \
            if (calls === 2) { throw new TypeError('cut'); } \
            await isLate; \
            return whole(path, options); \
        }; \
        const filter = document.querySelector('#status-filter'); \
        for (const status of ['cancelled', 'placed']) { \
            filter.value = status; \
            filter.dispatchEvent(new Event('change')); \
        }";
    page.run(script, Vec::new()).await;
    let is_there = |told: &Value| told.to_string().contains("\"2 of");
    let told = page.until("return window.told", Vec::new(), is_there).await;
    let mut told: Vec<String> = serde_json::from_value(told).expect("texts");
    told.dedup();
    let is_right =
        told.len() == 2 && told[0].contains("cannot be reached") && told[1].starts_with("2 of");
    assert!(is_right, "{told:?}");
    // What is deleted while the list is on its way stays so.
    let placed = client.get("/order?limit=1").await.expect("a list").json();
    let id = placed[0]["id"].as_str().expect("an id").to_owned();
    let script = "const whole = window.fetch; \
        window.fetch = async (path, options) => { \
            const answer = await whole(path, options); \
            if (String(path).startsWith('/order?')) { \
                await new Promise((resolve) => (window.letPass = resolve)); \
            } \
            return answer; \
        }; \
        document.querySelector('#status-filter').dispatchEvent(new Event('change'));";
    page.run(script, Vec::new()).await;
    let path = format!("/order/{id}");
    let gone = client.send(Method::DELETE, &path, &[], "").await;
    let gone = gone.expect("an answer");
    client.settled(&gone).await.expect("a receipt");
    page.lists_all_up_to(3).await;
    page.run("window.letPass()", Vec::new()).await;
    page.shows("#orders-count", |text| text.starts_with("1 of 1"))
        .await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_shown_a_page_at_a_time() {
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
