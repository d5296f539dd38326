//! What the API says of itself, held against what it does: schemathesis makes
//! requests, good and bad, from the description, and checks every answer.

use std::path::Path;

use bakehouse_dev_servers::python;
use bakehouse_e2e::{Issuer, Kind, World};

/// Calls that have to succeed at least once. No link of the description leads to a receipt.
const REACHED: [(&str, &str); 6] = [
    ("POST", "/order"),
    ("GET", "/order"),
    ("GET", "/order/{id}"),
    ("PUT", "/order/{id}"),
    ("DELETE", "/order/{id}"),
    ("GET", "/order/{id}/history"),
];

/// Runs every check on every call.
async fn check(world: &World, token: Option<&str>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let mut command = python::schemathesis(&folder).expect("schemathesis");
    command
        // It remembers failures where it runs; nothing is to be left behind.
        .current_dir(world.folder())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", world.base))
        .args(["--max-examples", "40", "--continue-on-failure"])
        // The same cases every time.
        .args([
            "--seed",
            "20260131",
            "--generation-database",
            "none",
            "--no-color",
        ]);
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let run = tokio::task::spawn_blocking(move || command.output());
    let output = run.await.expect("it runs").expect("it starts");
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{report}\n{errors}\n{}",
        world.logs()
    );
    assert!(report.contains("Stateful"), "{report}");
    // A server that refused everything would keep to its description, too.
    let metrics = world.client().get("/metrics").await.expect("an answer");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (method, route) in REACHED {
        let labels = [format!("method=\"{method}\""), format!("route=\"{route}\"")];
        let is_success = |line: &&str| {
            line.starts_with("bakehouse_http_requests_total{")
                && labels.iter().all(|label| line.contains(label.as_str()))
                && line.contains("status=\"2")
        };
        let found = metrics.lines().find(is_success);
        assert!(
            found.is_some(),
            "{method} {route} never succeeded\n{report}"
        );
    }
}

/// Files made up from a description are text; no image, whatever they are called.
fn any_text() -> (&'static str, String) {
    (
        "BAKEHOUSE_ATTACHMENTS__MEDIA_TYPES",
        "text/plain".to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_services_keep_to_their_description() {
    let world = World::start_with(Kind::Servers, &[any_text()]).await;
    let world = world.expect("it starts");
    check(&world, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_all_in_one_keeps_to_its_description_and_asks_for_tokens() {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.push(any_text());
    let world = World::start_with(Kind::Embedded, &settings)
        .await
        .expect("it starts");
    let token = issuer
        .token("ada", "orders:read orders:write")
        .expect("a token");
    check(&world, Some(&token)).await;
}
