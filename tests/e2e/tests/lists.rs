//! Lists: pages, filters, sort orders, conditional requests, and memory used by large pages.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bakehouse_e2e::{Client, Kind, World, in_both_worlds};
use serde_json::{Value, json};

in_both_worlds!(
    pages_cover_the_whole_list,
    filters_and_sorts_hold_on_every_page,
    a_cursor_is_bound_to_its_query,
    unchanged_lists_are_answered_not_modified,
    large_pages_are_complete_and_use_little_memory_while_unread,
);

/// Places orders of two customers in turn; every third is paid.
async fn fill(client: &Client, count: usize) -> Vec<Value> {
    let mut last = None;
    for number in 0..count {
        let body = json!({
            "products": [{ "name": "Tea", "price": 1 }],
            "customer": { "id": format!("c/{} & co", number % 2) },
            "reference": format!("r-{number}"),
        });
        let accepted = client.post(body.to_string()).await.expect("an answer");
        last = Some(accepted.clone());
        if number % 3 == 0 {
            let status = format!("{}/status", accepted.header("location"));
            let paid = client.put(&status, &[], r#"{"status":"paid"}"#).await;
            last = Some(paid.expect("an answer"));
        }
    }
    let receipt = client
        .settled(&last.expect("some"))
        .await
        .expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    let all = client
        .get("/order?limit=100")
        .await
        .expect("an answer")
        .json();
    all.as_array().expect("an array").clone()
}

/// Reads the page at `path` and all that follow it.
async fn pages(client: &Client, path: &str) -> Vec<Value> {
    let mut path = Some(path.to_owned());
    let mut all = Vec::new();
    while let Some(this) = path {
        let answer = client.get(&this).await.expect("an answer");
        assert_eq!(answer.status, 200, "{this}");
        all.extend(answer.json().as_array().expect("an array").clone());
        path = answer.next_page();
        assert!(all.len() <= 100, "too many pages");
    }
    all
}

async fn pages_cover_the_whole_list(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let all = fill(&client, 25).await;
    let numbers: Vec<u64> = all
        .iter()
        .filter_map(|order| order["number"].as_u64())
        .collect();
    assert_eq!(numbers, (1..=25).rev().collect::<Vec<_>>());
    assert_eq!(pages(&client, "/order?limit=7").await, all);
    let first = client.get("/order").await.expect("an answer");
    assert_eq!(first.json().as_array().map(Vec::len), Some(20));
    // Orders placed between two pages do not shift the second one.
    let path = first.next_page().expect("a next page");
    fill(&client, 3).await;
    assert_eq!(pages(&client, &path).await, all[20..]);
}

async fn filters_and_sorts_hold_on_every_page(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let all = fill(&client, 25).await;
    let check = async |query: &str, passes: &dyn Fn(&Value) -> bool| {
        let expected: Vec<Value> = all.iter().filter(|order| passes(order)).cloned().collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{query}"
        );
        let found = pages(&client, &format!("/order?limit=4&{query}")).await;
        assert_eq!(found, expected, "{query}");
    };
    check("status=paid", &|order| order["status"] == "paid").await;
    let customer = "customer=c%2F1%20%26%20co";
    check(customer, &|order| order["customer"]["id"] == "c/1 & co").await;
    let both = format!("{customer}&status=placed");
    check(&both, &|order| {
        order["customer"]["id"] == "c/1 & co" && order["status"] == "placed"
    })
    .await;
    let time = all[10]["created_at"].as_str().expect("a time");
    let (after, before) = (
        format!("created_after={time}"),
        format!("created_before={time}"),
    );
    check(&after, &|order| order["created_at"].as_str() > Some(time)).await;
    check(&before, &|order| order["created_at"].as_str() < Some(time)).await;

    let mut oldest = all.clone();
    oldest.reverse();
    assert_eq!(
        pages(&client, "/order?limit=6&sort=created_at").await,
        oldest
    );
    let mut latest = all.clone();
    latest.sort_by_key(|order| std::cmp::Reverse(order["position"].as_u64()));
    assert_eq!(
        pages(&client, "/order?limit=6&sort=-updated_at").await,
        latest
    );
}

async fn a_cursor_is_bound_to_its_query(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    fill(&client, 6).await;
    let answer = client
        .get("/order?limit=2&status=placed")
        .await
        .expect("an answer");
    let path = answer.next_page().expect("a next page");
    let (_, cursor) = path.split_once("cursor=").expect("a cursor");
    for (query, pointer) in [
        (format!("cursor={cursor}"), "/query/cursor"),
        (format!("cursor={cursor}&status=paid"), "/query/cursor"),
        (
            format!("cursor={cursor}&status=placed&sort=created_at"),
            "/query/cursor",
        ),
        ("cursor=5".to_owned(), "/query/cursor"),
        ("limit=101".to_owned(), "/query/limit"),
        ("limit=5&limit=6".to_owned(), "/query/limit"),
        ("status=lost".to_owned(), "/query/status"),
        ("customer=".to_owned(), "/query/customer"),
        ("created_after=yesterday".to_owned(), "/query/created_after"),
        ("sort=total".to_owned(), "/query/sort"),
        ("colour=red".to_owned(), "/query/colour"),
    ] {
        let answer = client
            .get(&format!("/order?{query}"))
            .await
            .expect("an answer");
        assert_eq!(answer.status, 400, "{query}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
    // The page size may change from page to page.
    let larger = format!("/order?limit=50&status=placed&cursor={cursor}");
    assert_eq!(client.get(&larger).await.expect("an answer").status, 200);
}

async fn unchanged_lists_are_answered_not_modified(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let all = fill(&client, 5).await;
    let list = client.get("/order").await.expect("an answer");
    let known = [("If-None-Match", list.header("etag"))];
    let same = client.get_with("/order", &known).await.expect("an answer");
    assert_eq!((same.status.as_u16(), same.body.len()), (304, 0));
    let order = format!("/order/{}", all[0]["id"].as_str().expect("an id"));
    let head = client
        .send(hyper::Method::HEAD, &order, &[], "")
        .await
        .expect("an answer");
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("etag"), "\"1\"");
    fill(&client, 1).await;
    let changed = client.get_with("/order", &known).await.expect("an answer");
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), list.header("etag"));
}

/// Returns the body of an order whose document is larger than 100 KB.
fn large_order(reference: usize) -> String {
    let name = "x".repeat(190);
    let products: Vec<Value> = (0..250)
        .map(|_| json!({ "name": name, "price": "1" }))
        .collect();
    json!({ "products": products, "reference": format!("r-{reference}") }).to_string()
}

async fn large_pages_are_complete_and_use_little_memory_while_unread(kind: Kind) {
    const ORDERS: usize = 40;
    const UNREAD: usize = 60;
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut last = None;
    for number in 0..ORDERS {
        last = Some(client.post(large_order(number)).await.expect("an answer"));
    }
    let last = last.expect("some");
    client.settled(&last).await.expect("a receipt");
    let page = client.get("/order?limit=25").await.expect("an answer");
    assert_eq!(page.status, 200);
    let references = |answer: &Value| -> Vec<String> {
        let orders = answer.as_array().expect("an array").iter();
        orders.map(|order| order["reference"].to_string()).collect()
    };
    let expected: Vec<String> = (0..ORDERS).rev().map(|n| format!("\"r-{n}\"")).collect();
    assert_eq!(references(&page.json()), expected[..25]);
    let next = page.next_page().expect("there is more");
    let rest = client.get(&next).await.expect("an answer");
    assert_eq!(references(&rest.json()), expected[25..]);
    assert_eq!(rest.next_page(), None);
    let known = [("If-None-Match", page.header("etag"))];
    let again = client.get_with("/order?limit=25", &known).await;
    assert_eq!(again.expect("an answer").status, 304);
    // A document is the same as in the list.
    let first = page.json()[0].clone();
    let path = format!("/order/{}", first["id"].as_str().expect("an id"));
    assert_eq!(client.get(&path).await.expect("an answer").json(), first);

    let program = world.names()[0];
    let pid = world.process(program).pid().expect("it runs");
    let before = resident_bytes(pid);
    let address = world.base.trim_start_matches("http://").to_owned();
    let request = format!("GET /order?limit=100 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        let mut stream = TcpStream::connect(&address).expect("a connection");
        stream.write_all(request.as_bytes()).expect("sent");
        unread.push(stream);
    }
    // Waits until every response has begun.
    for mut stream in &unread {
        let mut line = [0; "HTTP/1.1 200".len()];
        let limit = Some(Duration::from_secs(60));
        stream.set_read_timeout(limit).expect("set");
        stream.read_exact(&mut line).expect("a status line");
        assert_eq!(&line, b"HTTP/1.1 200");
    }
    let grown = resident_bytes(pid).saturating_sub(before);
    // A whole page is about four megabytes.
    let max_growth = 64 * 1024 * 1024;
    assert!(
        grown < max_growth,
        "{grown} bytes for {UNREAD} unread pages"
    );
    assert_eq!(
        client.get("/order?limit=1").await.expect("served").status,
        200
    );
}

/// Returns the resident memory of a process in bytes.
fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: u64 = kilobytes.expect("a figure").parse().expect("a number");
    kilobytes * 1024
}
