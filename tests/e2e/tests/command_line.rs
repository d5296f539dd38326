//! What the programs say on the command line, and how they exit.

use std::process::Output;

use bakehouse_e2e::process::command;
use bakehouse_e2e::world::SERVICES;
use tempfile::TempDir;

fn run(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let folder = TempDir::new().expect("a folder");
    let mut command = command(name);
    command.args(arguments).envs(environment.iter().copied());
    let command = command.current_dir(folder.path());
    command.output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_lists_every_setting_with_its_variable() {
    for name in SERVICES.iter().chain(&["bakehouse"]) {
        let output = run(name, &["--help"], &[]);
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        for word in [
            "--config",
            "--print-config",
            "http.bind",
            "BAKEHOUSE_MONGODB__SOURCE_URI",
        ] {
            assert!(text.contains(word), "{name} --help lacks {word}");
        }
    }
}

#[test]
fn settings_are_printed_without_secrets() {
    let secrets = [
        ("BAKEHOUSE_AMQP__URI", "amqp://user:hunter2@host/%2f"),
        (
            "BAKEHOUSE_MONGODB__SOURCE_URI",
            "mongodb://user:hunter2@a,b/source?replicaSet=rs0",
        ),
        (
            "BAKEHOUSE_SMS__BODY",
            r#"{"key":"hunter2","to":"{to}","text":"{text}"}"#,
        ),
    ];
    let output = run("api-server", &["--print-config"], &secrets);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("host") && text.contains("poll_interval = \"200ms\""),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn what_is_wrong_with_the_settings_is_a_sentence_and_exit_code_2() {
    type Case = (
        &'static str,
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let cases: [Case; 6] = [
        (
            "bakehouse",
            &[],
            &[("BAKEHOUSE_HTTP__BIND", "nowhere")],
            "http.bind",
        ),
        (
            "bakehouse",
            &[],
            &[("BAKEHOUSE_HTTP__BIND", "0.0.0.0:0")],
            "http.allow_open_bind",
        ),
        ("bakehouse", &[], &[("BAKEHOUSE_HTPP__BIND", "x")], "htpp"),
        (
            "bakehouse",
            &["--config", "nowhere.toml"],
            &[],
            "nowhere.toml",
        ),
        ("events-writer", &[], &[], "BAKEHOUSE_MONGODB__SOURCE_URI"),
        ("bakehouse", &["--nonsense"], &[], "--nonsense"),
    ];
    for (name, arguments, environment, word) in cases {
        let output = run(name, arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{word}: {}", said(&output));
        assert!(said(&output).contains(word), "{word}: {}", said(&output));
    }
}

#[test]
fn what_cannot_be_had_is_a_sentence_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run("bakehouse", &[], &[("BAKEHOUSE_HTTP__BIND", &address)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&address), "{}", said(&output));
    drop(taken);
    let output = run(
        "bakehouse",
        &["healthcheck"],
        &[("BAKEHOUSE_HTTP__BIND", &address)],
    );
    assert_eq!(output.status.code(), Some(1));
    let output = run("bakehouse", &[], &[("BAKEHOUSE_DATA_DIR", "/proc/nowhere")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("/proc/nowhere"), "{}", said(&output));
}
