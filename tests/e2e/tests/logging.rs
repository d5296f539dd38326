//! Standard error and standard output that are closed, full, non-blocking or unread neither stop
//! nor slow down the programs.

use std::fs::File;
use std::io::{PipeReader, Read, pipe};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bakehouse_dev_servers::ports;
use bakehouse_e2e::ledger::{Load, audit, order};
use bakehouse_e2e::process::{Stderr, command};
use bakehouse_e2e::world::{SERVICES, Servers, wait};
use bakehouse_e2e::{Client, Kind, Receiver, World, in_both_worlds};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tempfile::TempDir;

in_both_worlds!(
    a_reader_that_closes_stderr_stops_nothing,
    a_full_stderr_stops_nothing,
    an_unread_stderr_stops_nothing,
    a_non_blocking_stderr_stops_nothing,
);

const TIMEOUT: Duration = Duration::from_secs(60);
const LOST_LINES: &str = "bakehouse_log_lines_lost_total";
/// Filter that logs everything, including libraries that are quiet by default.
const EVERYTHING: &str = "trace,lapin=trace,mongodb=trace,actix_server=trace";

/// Prepares a system without starting it; returns it with a client for the metrics of each process.
fn prepare(kind: Kind, stderr: Stderr, filter: &str) -> (World, Vec<(&'static str, Client)>) {
    let settings = [("BAKEHOUSE_LOG__FILTER", filter)];
    let name = format!("l{}", uuid::Uuid::now_v7().simple());
    let servers = (kind == Kind::Servers).then(|| (name.as_str(), Servers::shared(&name)));
    let mut world = World::prepare(kind, servers, &settings).expect("a world");
    world.log_to(stderr);
    let mut metrics = vec![(world.names()[0], world.client())];
    for name in world.names().iter().skip(1) {
        let bind = format!("127.0.0.1:{}", ports::free().expect("a port"));
        world.set_for(name, "BAKEHOUSE_HEALTH__BIND", &bind);
        metrics.push((name, Client::new(&format!("http://{bind}"))));
    }
    (world, metrics)
}

/// Returns the number of log lines that a process has lost; `None` if its metrics lack it.
async fn lost_lines(client: &Client) -> Option<u64> {
    let text = client.get("/metrics").await.ok()?.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(LOST_LINES));
    line?.trim().parse().ok()
}

async fn wait_for_losses(metrics: &[(&'static str, Client)]) {
    for (name, client) in metrics {
        let condition = format!("lost lines of {name}");
        wait(TIMEOUT, &condition, async || {
            lost_lines(client).await > Some(0)
        })
        .await
        .expect("they are counted");
    }
}

/// Terminates every process with SIGTERM, and checks that each shuts down without an error.
fn shut_down(world: &mut World) {
    for name in world.names() {
        let (status, _) = world.process(name).terminate(TIMEOUT).expect("it ends");
        assert!(status.success(), "{name}: {status}");
    }
}

/// Places orders, and checks that each is accepted, executed and baked once.
async fn place_orders(world: &World, orders: u64) {
    let ledger = Load::start(&world.base, 4, orders).finish().await;
    assert!(
        ledger.unknown.is_empty(),
        "{} not accepted",
        ledger.unknown.len()
    );
    let found = audit(world, &ledger, TIMEOUT).await.expect("all are there");
    assert_eq!(found, orders);
}

async fn a_reader_that_closes_stderr_stops_nothing(kind: Kind) {
    let (mut world, metrics) = prepare(kind, Stderr::Unread, "debug");
    world.begin().await.expect("it starts");
    for name in world.names() {
        world.process(name).close_stderr();
    }
    place_orders(&world, 50).await;
    for name in world.names() {
        assert!(!world.process(name).has_ended(), "{name} has ended");
    }
    shut_down(&mut world);
    // Closed from the start.
    world.log_to(Stderr::Closed);
    world.begin().await.expect("it starts");
    wait_for_losses(&metrics).await;
    let client = world.client();
    let placed = client.post(order("once more")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    shut_down(&mut world);
}

async fn a_full_stderr_stops_nothing(kind: Kind) {
    let (mut world, metrics) = prepare(kind, Stderr::Full, "info");
    world.begin().await.expect("it starts");
    place_orders(&world, 50).await;
    wait_for_losses(&metrics).await;
    shut_down(&mut world);
}

async fn an_unread_stderr_stops_nothing(kind: Kind) {
    let (mut world, metrics) = prepare(kind, Stderr::Unread, EVERYTHING);
    check_with_full_pipes(&mut world, &metrics).await;
}

async fn a_non_blocking_stderr_stops_nothing(kind: Kind) {
    let (mut world, metrics) = prepare(kind, Stderr::UnreadNonBlocking, EVERYTHING);
    check_with_full_pipes(&mut world, &metrics).await;
}

/// Fills the pipe and the buffer of every process, then checks that orders are still processed.
async fn check_with_full_pipes(world: &mut World, metrics: &[(&'static str, Client)]) {
    world.begin().await.expect("it starts");
    let load = Load::start(&world.base, 4, u64::MAX);
    wait_for_losses(metrics).await;
    let ledger = load.stop().await;
    assert!(
        ledger.unknown.is_empty(),
        "{} not accepted",
        ledger.unknown.len()
    );
    let client = world.client();
    let placed = client.post(order("after all")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    shut_down(world);
}

/// Checks that notifier delivers webhooks while its standard error is not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifier_delivers_while_stderr_is_unread() {
    let receiver = Receiver::start().await.expect("a receiver");
    let name = format!("l{}", uuid::Uuid::now_v7().simple());
    let settings = [
        ("BAKEHOUSE_WEBHOOK__URLS", receiver.url.as_str()),
        (
            "BAKEHOUSE_WEBHOOK__SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true"),
        ("BAKEHOUSE_LOG__FILTER", EVERYTHING),
    ];
    let servers = Some((name.as_str(), Servers::shared(&name)));
    let mut world = World::prepare(Kind::Servers, servers, &settings).expect("a world");
    let bind = format!("127.0.0.1:{}", ports::free().expect("a port"));
    world.set_for("notifier", "BAKEHOUSE_HEALTH__BIND", &bind);
    world.process("notifier").log_to(Stderr::Unread);
    world.begin().await.expect("it starts");
    let notifier = [("notifier", Client::new(&format!("http://{bind}")))];
    let load = Load::start(&world.base, 1, u64::MAX);
    wait_for_losses(&notifier).await;
    load.stop().await;
    let before = receiver.received().len();
    let client = world.client();
    client.post(order("after all")).await.expect("202");
    wait(TIMEOUT, "webhook", async || {
        receiver.received().len() > before
    })
    .await
    .expect("it is sent");
    let (status, _) = world
        .process("notifier")
        .terminate(TIMEOUT)
        .expect("it ends");
    assert!(status.success(), "{status}");
}

/// Returns a pipe whose reader is closed.
fn closed_pipe() -> Stdio {
    pipe().expect("a pipe").1.into()
}

fn full_device() -> Stdio {
    let full = File::options().write(true).open("/dev/full");
    full.expect("/dev/full").into()
}

/// Returns a non-blocking pipe of the smallest size, as reader and writer.
fn non_blocking_pipe() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4_096)).expect("set");
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
    (reader, writer.into())
}

fn run(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).spawn().expect("it starts");
    child.wait_with_output().expect("it ends")
}

const PROGRAMS: [&str; 6] = [
    SERVICES[0],
    SERVICES[1],
    SERVICES[2],
    SERVICES[3],
    "bakehouse",
    "notifier",
];

#[test]
fn a_closed_stdout_ends_a_command_quietly() {
    let folder = TempDir::new().expect("a folder");
    for program in PROGRAMS {
        for argument in ["--help", "--version", "--print-config"] {
            let mut command = command(program);
            let command = command.arg(argument).current_dir(folder.path());
            let output = run(command.stdout(closed_pipe()).stderr(Stdio::piped()));
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(0),
                "{program} {argument}: {message}"
            );
            assert_eq!(message, "", "{program} {argument}");
        }
    }
}

#[test]
fn a_full_stdout_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    for program in PROGRAMS {
        for argument in ["--help", "--version", "--print-config"] {
            let mut command = command(program);
            let command = command.arg(argument).current_dir(folder.path());
            let output = run(command.stdout(full_device()).stderr(Stdio::piped()));
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(1),
                "{program} {argument}: {message}"
            );
            let reason = format!("{program}: standard output: cannot be written: No space left");
            assert!(
                message.starts_with(&reason),
                "{program} {argument}: {message}"
            );
        }
    }
}

/// Checks exit codes of commands whose error message cannot be written.
#[test]
fn an_exit_code_needs_no_stderr() {
    let folder = TempDir::new().expect("a folder");
    for stderr in [closed_pipe, full_device] {
        for (argument, code) in [("--nonsense", 2), ("healthcheck", 1), ("doctor", 1)] {
            let mut command = command("bakehouse");
            command.env("BAKEHOUSE_HTTP__BIND", "127.0.0.1:9");
            let command = command.arg(argument).current_dir(folder.path());
            let output = run(command.stdout(closed_pipe()).stderr(stderr()));
            assert_eq!(output.status.code(), Some(code), "{argument}");
        }
    }
    let (_reader, writer) = pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4_096)).expect("set");
    while nix::unistd::write(&writer, &[b'x'; 4_096]).is_ok() {
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("set");
    }
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).expect("set");
    let mut command = command("bakehouse");
    let command = command.arg("doctor").current_dir(folder.path());
    let output = run(command.stdout(Stdio::null()).stderr(writer));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_slow_reader_gets_all_output() {
    let folder = TempDir::new().expect("a folder");
    let mut whole = command("bakehouse");
    let whole = run(whole
        .arg("--help")
        .current_dir(folder.path())
        .stdout(Stdio::piped()));
    // Several times the capacity of the pipe.
    assert!(whole.stdout.len() > 3 * 4_096, "{}", whole.stdout.len());
    let (mut reader, writer) = non_blocking_pipe();
    let mut command = command("bakehouse");
    let command = command.arg("--help").current_dir(folder.path());
    let mut child = command.stdout(writer).spawn().expect("it starts");
    // Drops the command, which holds a copy of the writer.
    *command = Command::new("true");
    std::thread::sleep(Duration::from_millis(300));
    let mut text = Vec::new();
    reader.read_to_end(&mut text).expect("text");
    let (text, whole) = (text.as_slice(), whole.stdout.as_slice());
    let [text, whole] = [text, whole].map(String::from_utf8_lossy);
    assert_eq!(text, whole);
    assert!(child.wait().expect("it ends").success());
}

/// Checks that the exit code of an operator command states its result although stdout is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_commands_need_no_stdout() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let placed = client.post(order("one")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    let id = receipt["order_id"].as_str().expect("an id").to_owned();
    let run_with_stdout = |arguments: &[&str], stdout: Stdio| {
        let mut command = world.operator(arguments);
        let output = run(command.stdout(stdout).stderr(Stdio::piped()));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!message.contains("panicked"), "{arguments:?}: {message}");
        (output.status.code(), message)
    };
    for task in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["parked"],
        &["rebuild"],
    ] {
        assert_eq!(
            run_with_stdout(task, closed_pipe()),
            (Some(0), String::new()),
            "{task:?}"
        );
        let (code, message) = run_with_stdout(task, full_device());
        assert_eq!(code, Some(1), "{task:?}");
        assert!(
            message.contains("standard output: cannot be written"),
            "{message}"
        );
    }
    let copy = world.folder().join("copy").display().to_string();
    assert_eq!(
        run_with_stdout(&["backup", &copy], closed_pipe()).0,
        Some(0)
    );
    bakehouse_e2e::stores::forge_document(&world, Kind::Embedded, &id).await;
    assert_eq!(run_with_stdout(&["doctor"], closed_pipe()).0, Some(1));
    assert_eq!(
        run_with_stdout(&["doctor", "--json"], closed_pipe()).0,
        Some(1)
    );
}
