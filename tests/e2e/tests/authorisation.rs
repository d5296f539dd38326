//! Authorisation matrix: every route with every role of callers. The routes come from the API
//! description and from the code; a route without a row fails, and so does a row without a route.

use std::collections::BTreeSet;
use std::path::Path;

use bakehouse_e2e::callers::{Caller, Role, callers};
use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::{Answer, Client, Feed, Issuer, Kind, World, in_both_worlds, ledger, stores};
use hyper::Method;
use serde_json::Value;

in_both_worlds!(every_route_answers_every_kind_of_caller);

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// Class of callers that a route serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// All callers, without a token.
    Public,
    /// All callers with a token of the required scope.
    Scoped,
    /// Readers; the answer contains only what their tenant owns.
    Listed,
    /// Callers of the tenant that owns the target; others get 404.
    Owned,
    /// Operators.
    Operator,
}

use Access::{Listed, Operator, Owned, Public, Scoped};
/// Method, path as in the API description, access, and status for callers that are served.
type Row = (Method, &'static str, Access, u16);

const ROWS: &[Row] = &[
    (Method::GET, "/order", Listed, 200),
    (Method::POST, "/order", Scoped, 202),
    (Method::GET, "/order/{id}", Owned, 200),
    (Method::PUT, "/order/{id}", Owned, 202),
    (Method::DELETE, "/order/{id}", Owned, 202),
    (Method::PUT, "/order/{id}/status", Owned, 202),
    (Method::GET, "/order/{id}/history", Owned, 200),
    (Method::GET, "/order/{id}/notifications", Owned, 200),
    (Method::GET, "/order/{id}/attachments", Owned, 200),
    (Method::POST, "/order/{id}/attachments", Owned, 202),
    (
        Method::GET,
        "/order/{id}/attachments/{attachment_id}",
        Owned,
        200,
    ),
    (
        Method::DELETE,
        "/order/{id}/attachments/{attachment_id}",
        Owned,
        202,
    ),
    (Method::GET, "/operation/{id}", Owned, 200),
    (Method::GET, "/correlation/{id}", Listed, 200),
    (Method::GET, "/parked", Operator, 200),
    (Method::POST, "/parked/{operation_id}/retry", Operator, 202),
    (
        Method::POST,
        "/parked/{operation_id}/discard",
        Operator,
        202,
    ),
    (Method::GET, "/rebuilds", Operator, 200),
    (Method::POST, "/rebuilds/{name}", Operator, 202),
    (Method::DELETE, "/rebuilds/{name}", Operator, 204),
    (Method::GET, "/read-models", Operator, 200),
    (Method::POST, "/read-models/{name}/rebuild", Operator, 404),
    (Method::GET, "/health/live", Public, 200),
    (Method::GET, "/health/ready", Public, 200),
    (Method::GET, "/metrics", Public, 200),
];

/// Routes missing from the API description.
const UNDESCRIBED: &[Row] = &[
    (Method::GET, "/order-events", Scoped, 200),
    (Method::GET, "/", Public, 200),
    (Method::GET, "/page/{name}", Public, 200),
    (Method::GET, "/docs", Public, 301),
    (Method::GET, "/docs/{file:.*}", Public, 200),
    (Method::GET, "/openapi.json", Public, 200),
    (Method::GET, "/asyncapi.json", Public, 200),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(UNDESCRIBED)
}

/// Returns the expected status of the caller.
fn expected(caller: &Caller, (method, _, access, status): &Row) -> u16 {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match (*access, caller.role) {
        (Public, _) => *status,
        (_, Role::Unauthenticated) => 401,
        (_, Role::Unauthorized) => 403,
        (_, Role::Writer) if is_read => 403,
        (_, Role::Reader) if !is_read => 403,
        (_, Role::Operator) => *status,
        (Operator, _) => 403,
        (Owned, Role::Outsider) => 404,
        _ => *status,
    }
}

fn is_served(caller: &Caller, row: &Row) -> bool {
    let refusals = [401, 403, 404];
    !refusals.contains(&expected(caller, row)) || caller.role == Role::Operator
}

fn owns(caller: &Caller) -> bool {
    !matches!(
        caller.role,
        Role::Unauthenticated | Role::Unauthorized | Role::Outsider
    )
}

/// Values for the placeholders of a row's path: an order of the owner and its dependent ids.
struct Target {
    order: String,
    operation: String,
    attachment: String,
    parked: String,
    correlation: String,
}

impl Target {
    fn path(&self, pattern: &str) -> String {
        let id = match pattern.split('/').nth(1) {
            Some("operation") => &self.operation,
            Some("correlation") => &self.correlation,
            _ => &self.order,
        };
        let name = match pattern.split('/').nth(1) {
            Some("page") => "style.css",
            Some("rebuilds") => "presentation",
            _ => "none",
        };
        pattern
            .replace("{id}", id)
            .replace("{attachment_id}", &self.attachment)
            .replace("{operation_id}", &self.parked)
            .replace("{name}", name)
            .replace("{file:.*}", "")
    }
}

struct Setup {
    world: World,
    client: Client,
    callers: Vec<Caller>,
    /// Requests so far: each has its own address, since invalid tokens are counted by address.
    sent: std::cell::Cell<u32>,
    /// Messages about all unexpected answers.
    faults: std::cell::RefCell<Vec<String>>,
}

impl Setup {
    fn check(&self, is_so: bool, fault: &str) {
        if !is_so {
            self.faults.borrow_mut().push(fault.to_owned());
        }
    }

    fn token(&self, name: &str) -> &str {
        let found = self.callers.iter().find(|caller| caller.name == name);
        &found.expect("a caller of that name").token
    }

    /// Sends a valid request for the route. Only the head of the answer is read for the feed.
    async fn send(&self, token: &str, method: &Method, pattern: &str, path: &str) -> Answer {
        let number = self.sent.get();
        self.sent.set(number + 1);
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        let authorization = bearer(token);
        let is_upload = *method == Method::POST && pattern.ends_with("/attachments");
        let (media_type, body) = if is_upload {
            ("multipart/form-data; boundary=x", FILE.to_owned())
        } else if pattern.ends_with("/status") {
            ("application/json", r#"{"status":"paid"}"#.to_owned())
        } else if pattern.ends_with("/discard") {
            ("application/json", r#"{"reason":"a test"}"#.to_owned())
        } else if matches!(*method, Method::POST | Method::PUT) && pattern.starts_with("/order") {
            ("application/json", ledger::order("matrix"))
        } else {
            ("application/json", String::new())
        };
        let mut headers = vec![("X-Forwarded-For", address.as_str())];
        if !body.is_empty() {
            headers.push(("Content-Type", media_type));
        }
        if !token.is_empty() {
            headers.push(("Authorization", &authorization));
        }
        let is_feed = pattern == "/order-events";
        if is_feed {
            headers.push(("Accept", "text/event-stream"));
            let head = self.client.head_of(method.clone(), path, &headers, body);
            return head.await.expect("an answer");
        }
        let answer = self.client.send(method.clone(), path, &headers, body).await;
        answer.expect("an answer")
    }

    async fn get(&self, caller: &str, path: &str, wait: bool) -> Answer {
        let authorization = bearer(self.token(caller));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Prefer", "wait=20"),
        ];
        let headers = if wait { &headers[..] } else { &headers[..1] };
        let answer = self.client.get_with(path, headers).await;
        answer.expect("an answer")
    }

    /// Places an order of the owner, with the attachment or parked operation that the route needs.
    async fn target(&self, pattern: &str) -> Target {
        let correlation = uuid::Uuid::new_v4().to_string();
        let authorization = bearer(self.token("owner"));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("X-Correlation-ID", correlation.as_str()),
        ];
        let placed = self
            .client
            .post_with("/order", &headers, ledger::order("target"));
        let placed = placed.await.expect("an answer");
        assert_eq!(placed.status, 202, "{placed:?}");
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let operation = placed.header("operation-location").to_owned();
        let receipt = self.get("owner", &operation, true).await;
        assert_eq!(receipt.json()["status"], "baked");
        let mut target = Target {
            order: last(placed.header("location")),
            operation: last(&operation),
            // Ids of missing objects at first.
            attachment: correlation.clone(),
            parked: correlation.clone(),
            correlation,
        };
        if pattern.contains("{attachment_id}") {
            target.attachment = self.attach(&target.order).await;
        }
        if pattern.contains("{operation_id}") {
            target.parked = self.park(&target.order).await;
        }
        target
    }

    async fn attach(&self, order: &str) -> String {
        let path = format!("/order/{order}/attachments");
        let token = self.token("owner").to_owned();
        let sent = self.send(&token, &Method::POST, "/attachments", &path);
        let accepted = sent.await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let path = accepted.header("location").to_owned();
        assert_eq!(self.get("owner", &path, true).await.status, 200);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Makes an operation of the order fail so that it is parked, and returns its id.
    async fn park(&self, order: &str) -> String {
        let world = &self.world;
        stores::replace_state(world, world.kind, order, r#"{"nonsense":1}"#).await;
        let path = format!("/order/{order}/status");
        let token = self.token("owner").to_owned();
        let accepted = self.send(&token, &Method::PUT, "/status", &path).await;
        let receipt = accepted.header("operation-location").to_owned();
        let receipt = self.get("owner", &receipt, true).await.json();
        assert_eq!(receipt["status"], "parked", "{receipt}");
        receipt["operation_id"].as_str().expect("an id").to_owned()
    }

    /// Returns the state that a refused request must not change. Waits for a new order first, so
    /// that an operation accepted by mistake has been executed.
    async fn state(&self, target: &Target) -> Vec<Value> {
        self.target("").await;
        let mut seen = Vec::new();
        let order = format!("/order/{}", target.order);
        let (history, files) = (format!("{order}/history"), format!("{order}/attachments"));
        for path in [history.as_str(), &files, "/parked?limit=100", "/rebuilds"] {
            let answer = self.get("operator", path, false).await;
            assert_eq!(answer.status, 200, "{path}");
            let mut value = answer.json();
            for part in value.as_array_mut().expect("a list") {
                // The progress of the log is not compared.
                let part = part.as_object_mut().expect("an object");
                if path == "/rebuilds" {
                    part.retain(|name, _| !["position", "of"].contains(&name.as_str()));
                }
            }
            seen.push(value);
        }
        seen
    }
}

const FILE: &str = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";

async fn every_route_answers_every_kind_of_caller(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.push(("BAKEHOUSE_AUTH__OWNER_CLAIM", "tenant".into()));
    settings.push(("BAKEHOUSE_HTTP__TRUSTED_PROXIES", "127.0.0.1".into()));
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let setup = Setup {
        client: world.client(),
        world,
        callers: callers(&issuer),
        sent: std::cell::Cell::default(),
        faults: std::cell::RefCell::default(),
    };
    assert_rows_are_complete(&setup.client).await;
    for row in rows() {
        check(&setup, row).await;
    }
    other_methods_are_refused(&setup).await;
    a_websocket_takes_a_token(&setup).await;
    let faults = setup.faults.into_inner();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Checks that the described routes are exactly those that have a row.
async fn assert_rows_are_complete(client: &Client) {
    let described = client.get("/openapi.json").await.expect("an answer").json();
    let mut routes = BTreeSet::new();
    for (path, calls) in described["paths"].as_object().expect("paths") {
        let calls = calls.as_object().expect("calls");
        let methods = calls.keys().map(|name| name.to_uppercase());
        let methods = methods.filter(|name| METHODS.contains(&name.as_str()));
        routes.extend(methods.map(|method| format!("{method} {path}")));
    }
    let named = |(method, path, ..): &Row| format!("{method} {path}");
    let rows: BTreeSet<String> = ROWS.iter().map(named).collect();
    assert_eq!(rows, routes, "rows (left) and described routes (right)");
}

async fn check(setup: &Setup, row: &Row) {
    let (method, pattern, access, _) = row;
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    let mut target = setup.target(pattern).await;
    let before = match changes {
        true => setup.state(&target).await,
        false => Vec::new(),
    };
    let (served, refused): (Vec<&Caller>, Vec<&Caller>) = setup
        .callers
        .iter()
        .partition(|caller| is_served(caller, row));
    for caller in refused {
        let path = target.path(pattern);
        let answer = setup.send(&caller.token, method, pattern, &path).await;
        is_refused(setup, row, caller, &answer);
        head_is_the_same(setup, row, caller, &path).await;
    }
    if changes {
        let is_same = setup.state(&target).await == before;
        setup.check(
            is_same,
            &format!("{method} {pattern}: a refused request changed something"),
        );
    }
    for (number, caller) in served.into_iter().enumerate() {
        if changes && number > 0 {
            target = setup.target(pattern).await;
        }
        let path = target.path(pattern);
        let answer = setup.send(&caller.token, method, pattern, &path).await;
        let status = expected(caller, row);
        let context = format!("{method} {pattern}: {}: {answer:?}", caller.name);
        setup.check(
            answer.status == status,
            &format!("{context}: expected {status}"),
        );
        head_is_the_same(setup, row, caller, &path).await;
        if *access == Listed {
            let text = String::from_utf8_lossy(&answer.body);
            let has_it = text.contains(&target.order);
            let may_have_it = owns(caller);
            setup.check(has_it == may_have_it, &context);
        }
    }
}

fn is_refused(setup: &Setup, row: &Row, caller: &Caller, answer: &Answer) {
    let (method, pattern, ..) = row;
    let context = format!("{method} {pattern}: {}: {answer:?}", caller.name);
    let status = expected(caller, row);
    setup.check(
        answer.status == status,
        &format!("{context}: expected {status}"),
    );
    let is_problem = answer.header("content-type") == "application/problem+json";
    setup.check(is_problem, &context);
    let challenge = answer.header("www-authenticate");
    let has_challenge = match status {
        401 => challenge.starts_with("Bearer"),
        403 if caller.name != "no tenant" => challenge.contains("insufficient_scope"),
        _ => true,
    };
    setup.check(has_challenge, &context);
}

async fn head_is_the_same(setup: &Setup, row: &Row, caller: &Caller, path: &str) {
    let (method, pattern, ..) = row;
    if *method == Method::GET && *pattern != "/order-events" {
        let answer = setup
            .send(&caller.token, &Method::HEAD, pattern, path)
            .await;
        let status = expected(caller, row);
        let context = format!("HEAD {pattern}: {}: expected {status}", caller.name);
        setup.check(answer.status == status, &context);
    }
}

/// Checks that methods that a route does not offer are refused, after authentication.
async fn other_methods_are_refused(setup: &Setup) {
    let target = setup.target("").await;
    let paths: BTreeSet<&str> = rows().map(|(_, path, ..)| *path).collect();
    for pattern in paths {
        let of_path = || rows().filter(|(_, path, ..)| *path == pattern);
        let is_public = of_path().any(|(_, _, access, _)| *access == Public);
        let is_offered = |method: &Method| of_path().any(|(offered, ..)| offered == method);
        let path = target.path(pattern);
        let all = METHODS.map(|name| name.parse::<Method>().expect("a method"));
        for method in all.iter().filter(|method| !is_offered(method)) {
            for (name, status) in [("operator", 405), ("no token", 401), ("no scope", 403)] {
                let token = setup.token(name).to_owned();
                let answer = setup.send(&token, method, "", &path).await;
                let expected = if is_public { 405 } else { status };
                let context =
                    format!("{method} {pattern}: {name}: expected {expected}: {answer:?}");
                setup.check(answer.status == expected, &context);
            }
        }
    }
    for (name, status) in [("operator", 404), ("owner", 404), ("no token", 401)] {
        let token = setup.token(name).to_owned();
        let answer = setup.send(&token, &Method::GET, "", "/nowhere").await;
        assert_eq!(answer.status, status, "{name}");
    }
}

async fn a_websocket_takes_a_token(setup: &Setup) {
    let row = (Method::GET, "/order-events", Scoped, 200);
    for caller in &setup.callers {
        let opened = Feed::open_with(&setup.world.base, "", Some(&caller.token)).await;
        let is_right = opened.is_ok() == is_served(caller, &row);
        setup.check(is_right, &format!("a websocket: {}", caller.name));
    }
}

/// Checks that routes which the code adds without a description have a row as well.
#[test]
fn every_route_of_the_code_has_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let paths: BTreeSet<&str> = rows().map(|(_, path, ..)| *path).collect();
    let mut routes = 0;
    for folder in ["crates/http/src", "crates/orders-http/src"] {
        for file in sources(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a file");
            for after in text.split("web::resource(").skip(1) {
                let name = file.display();
                match after
                    .strip_prefix('"')
                    .and_then(|rest| rest.split('"').next())
                {
                    Some(path) => assert!(paths.contains(path), "{name}: {path} has no row"),
                    // The paths of the feed and of the two descriptions are arguments.
                    None => assert!(
                        ["feed/mod.rs", "docs/mod.rs"]
                            .iter()
                            .any(|known| file.ends_with(known)),
                        "{name}: a route whose path this test cannot see"
                    ),
                }
                routes += 1;
            }
        }
    }
    assert!(routes > 20, "{routes}");
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let (folders, files): (Vec<_>, Vec<_>) = entries
        .map(|entry| entry.path())
        .partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| sources(folder));
    let files = files.into_iter();
    files
        .filter(|file| file.extension().is_some_and(|end| end == "rs"))
        .chain(below)
        .collect()
}
