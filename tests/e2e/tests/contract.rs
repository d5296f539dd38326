//! Contract tests: schemathesis generates valid and invalid requests from the API description and
//! checks every answer against it.

use std::path::Path;

use bakehouse_dev_servers::python;
use bakehouse_e2e::{Issuer, Kind, World};

/// Calls that must succeed at least once. No link of the description leads to a receipt.
const MUST_SUCCEED: [(&str, &str); 6] = [
    ("POST", "/order"),
    ("GET", "/order"),
    ("GET", "/order/{id}"),
    ("PUT", "/order/{id}"),
    ("DELETE", "/order/{id}"),
    ("GET", "/order/{id}/history"),
];

/// Runs all checks of schemathesis on all calls, with a token if there is one.
async fn check(world: &World, token: Option<&str>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let mut command = python::schemathesis(&folder).expect("schemathesis");
    command
        // Failures are stored in the current directory, which is temporary.
        .current_dir(world.folder())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .arg("--config-file")
        .arg(folder.join("schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", world.base))
        .args(["--max-examples", "40", "--continue-on-failure"])
        // The cases are the same in each run.
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
    // A server that refuses all requests would match its description as well.
    let metrics = world.client().get("/metrics").await.expect("an answer");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (method, route) in MUST_SUCCEED {
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

/// Returns the setting that allows only text files: generated files are text, whatever their type.
fn any_text() -> (&'static str, String) {
    (
        "BAKEHOUSE_ATTACHMENTS__MEDIA_TYPES",
        "text/plain".to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_services_match_their_description() {
    let world = World::start_with(Kind::Servers, &[any_text()]).await;
    let world = world.expect("it starts");
    check(&world, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_all_in_one_matches_its_description_with_tokens() {
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
