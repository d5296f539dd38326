//! The JavaScript client: its own tests and types, and its behaviour against the real server, which
//! includes resuming after a crash, reporting gaps and stopping on final errors.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use bakehouse_dev_servers::node;
use bakehouse_dev_servers::skipped::skip;
use bakehouse_e2e::{Issuer, Kind, World, in_both_worlds, ledger};
use serde_json::{Value, json};

in_both_worlds!(
    it_resumes_after_the_server_was_killed,
    it_sends_its_token_and_stops_on_final_errors,
);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/js")
}

/// Runs a command to its end; returns `None` if the program is not installed.
fn run(command: &mut Command) -> Option<()> {
    let output = match command.current_dir(folder()).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(&command.get_program().to_string_lossy());
            return None;
        }
        Err(error) => panic!("{command:?}: {error}"),
    };
    let output_text = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&output_text).into_owned();
    assert!(output.status.success(), "{command:?}: {output_text}");
    Some(())
}

#[test]
fn npm_test_passes_with_nothing_installed() {
    run(Command::new("npm").arg("test"));
}

#[test]
fn type_declarations_compile() {
    let Some(mut compiler) = node::typescript().expect("the compiler") else {
        skip("npm");
        return;
    };
    run(compiler.args(["--project", "test"]));
}

/// Checks that each block of code in the client's README is a valid module.
#[test]
fn readme_examples_are_valid_modules() {
    let text = std::fs::read_to_string(folder().join("README.md")).expect("a file");
    let work = tempfile::TempDir::new().expect("a folder");
    let blocks = text.split("```js\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let file = work.path().join("block.mjs");
        std::fs::write(&file, block).expect("written");
        run(Command::new("node").arg("--check").arg(&file));
    }
}

/// Script in Node.js that runs the client and prints what it reports.
struct Script {
    child: Child,
    lines: Receiver<Value>,
}

impl Script {
    /// Starts the script; returns `None` if Node.js 20 or later is not installed.
    fn start(base: &str, options: &Value) -> Option<Self> {
        let mut options = options.clone();
        // Node.js has a WebSocket since version 22; earlier versions need a package.
        if let Some(socket) = node::websocket().expect("the package `ws`") {
            options["socket"] = json!(socket.display().to_string());
        }
        let started = Command::new("node")
            .arg(folder().join("test/print.mjs"))
            .arg(format!("{base}/order-events"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                skip("Node.js");
                return None;
            }
            Err(error) => panic!("node: {error}"),
        };
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Some(Self { child, lines })
    }

    /// Returns all lines up to and including the first that matches.
    fn until(&self, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(30));
            let line = line.unwrap_or_else(|_| panic!("nothing after {seen:#?}"));
            let is_last = matches(&line);
            seen.push(line);
            if is_last {
                return seen;
            }
        }
    }

    fn until_state(&self, name: &str) -> Vec<Value> {
        self.until(|line| line["kind"] == "state" && line["value"]["name"] == name)
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn positions(lines: &[Value]) -> Vec<u64> {
    let events = lines.iter().filter(|line| line["kind"] == "event");
    events
        .filter_map(|line| line["value"]["position"].as_u64())
        .collect()
}

/// Checks that a client closed within its own callback does not reconnect.
#[test]
fn closing_within_a_callback_is_final() {
    let unreachable = "http://127.0.0.1:9";
    let Some(script) = Script::start(unreachable, &json!({ "closeAt": "waiting" })) else {
        return;
    };
    let seen = script.until_state("closed");
    let names: Vec<&Value> = seen.iter().map(|line| &line["value"]["name"]).collect();
    // The first state is reported before the client can be closed.
    assert_eq!(names, ["connecting", "waiting", "closed"]);
    let more = script.lines.recv_timeout(Duration::from_secs(3));
    assert_eq!(
        more,
        Err(RecvTimeoutError::Timeout),
        "it reconnected or crashed"
    );
}

async fn it_resumes_after_the_server_was_killed(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let place = async |reference: String| {
        let placed = client
            .post(ledger::order(&reference))
            .await
            .expect("an answer");
        client.settled(&placed).await.expect("a receipt");
    };
    for number in 1..=5 {
        place(format!("r-{number}")).await;
    }
    let Some(script) = Script::start(&world.base, &json!({ "since": 0 })) else {
        return;
    };
    let mut seen = script.until_state("live");
    assert_eq!(positions(&seen), [1, 2, 3, 4, 5]);
    let api_server = world.names()[0];
    for attempt in 0..3 {
        world.process(api_server).kill();
        seen.extend(script.until_state("waiting"));
        world.process(api_server).start().expect("it starts again");
        world.ready(Duration::from_secs(30)).await.expect("ready");
        place(format!("after-{attempt}")).await;
        seen.extend(script.until(|line| line["value"]["position"] == 6 + attempt));
    }
    assert_eq!(positions(&seen), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert!(seen.iter().all(|line| line["kind"] != "gap"), "{seen:#?}");
}

async fn it_sends_its_token_and_stops_on_final_errors(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let token = issuer.token("ada", "orders:read").expect("a token");
    let Some(script) = Script::start(&world.base, &json!({ "token": token, "since": 0 })) else {
        return;
    };
    script.until_state("live");
    let wrong = Script::start(&world.base, &json!({ "token": "nonsense" })).expect("Node.js");
    let last = wrong.until_state("closed").pop().expect("a state");
    assert_eq!(last["value"]["error"], 4401);
    let filter = json!({ "token": token, "filter": { "types": ["order.paid"] } });
    let wrong = Script::start(&world.base, &filter).expect("Node.js");
    let last = wrong.until_state("closed").pop().expect("a state");
    assert_eq!(last["value"]["error"], 4400);
    // A position of another log is reported as a gap; the client continues at the current head.
    let lost = json!({ "token": token, "since": 99, "epoch": "another" });
    let lost = Script::start(&world.base, &lost).expect("Node.js");
    let seen = lost.until_state("live");
    let gap = seen.iter().find(|line| line["kind"] == "gap");
    assert_eq!(gap.expect("a gap")["value"]["after"], 99);
}
