//! Command line of the programs: output and exit codes.

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

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_lists_the_settings_of_the_program_with_their_variables() {
    for name in SERVICES.iter().chain(&["bakehouse"]) {
        let output = run(name, &["--help"], &[]);
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        for word in [
            "--config",
            "--print-config",
            "check-config",
            "Examples:",
            "log.filter",
            "BAKEHOUSE_MONGODB__SOURCE_URI",
        ] {
            assert!(text.contains(word), "{name} --help lacks {word}");
        }
        let has_api = ["bakehouse", "api-server"].contains(name);
        let lists = |key: &str| text.contains(&format!("\n  {key} "));
        assert_eq!(lists("http.bind"), has_api, "{name}: {text}");
        assert_eq!(text.contains("  doctor "), has_api, "{name}: {text}");
        let is = |program: &str| [program, "bakehouse"].contains(name);
        assert_eq!(
            lists("writer.max_batch"),
            is("events-writer"),
            "{name}: {text}"
        );
        assert_eq!(lists("webhook.secret"), is("notifier"), "{name}: {text}");
        let short = run(name, &["-h"], &[]);
        let short = String::from_utf8_lossy(&short.stdout).into_owned();
        assert!(!short.contains("log.filter"), "{name}: {short}");
    }
}

#[test]
fn settings_are_checked_without_a_start() {
    let output = run("bakehouse", &["check-config"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(output.stdout, b"ok: the settings are valid\n");
    let cases = [
        (
            "bakehouse",
            "BAKEHOUSE_LOG__FILTER",
            "info,=,=",
            "log.filter",
        ),
        (
            "bakehouse",
            "BAKEHOUSE_EMAIL__EVENTS",
            "order.paid",
            "email.events",
        ),
        (
            "orders-manager",
            "BAKEHOUSE_AMQP__URI",
            "amqp://a",
            "mongodb.source_uri",
        ),
        (
            "notifier",
            "BAKEHOUSE_AMQP__URI",
            "amqp://a",
            "mongodb.source_uri",
        ),
    ];
    for (program, variable, value, word) in cases {
        let output = run(program, &["check-config"], &[(variable, value)]);
        assert_eq!(output.status.code(), Some(2), "{word}: {}", errors(&output));
        assert!(
            errors(&output).contains(word),
            "{word}: {}",
            errors(&output)
        );
    }
}

#[test]
fn settings_by_a_former_name_work_with_a_warning() {
    let former = [("BAKEHOUSE_FEED__PLACES", "7")];
    let output = run("bakehouse", &["--print-config"], &former);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("max_subscribers = 7"), "{text}");
    let warning = "bakehouse: warning: feed.places (BAKEHOUSE_FEED__PLACES): renamed to \
                   feed.max_subscribers (BAKEHOUSE_FEED__MAX_SUBSCRIBERS)";
    assert!(errors(&output).starts_with(warning), "{}", errors(&output));
}

#[test]
fn a_former_command_works() {
    for arguments in [&["replay", "--help"][..], &["rebuild", "--help"]] {
        let output = run("bakehouse", arguments, &[]);
        assert!(output.status.success(), "{}", errors(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("--cancel"), "{text}");
    }
}

#[test]
fn completion_scripts_contain_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run("bakehouse", &["completions", shell], &[]);
        assert!(output.status.success(), "{}", errors(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            text.contains("check-config") && text.contains("doctor"),
            "{shell}: {text}"
        );
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
fn invalid_settings_are_reported_with_exit_code_2() {
    type Case = (
        &'static str,
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        &'static str,
    );
    let cases: [Case; 8] = [
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
        (
            "bakehouse",
            &[],
            &[("BAKEHOUSE_LOG__FILTER", "info,=,=")],
            "log.filter",
        ),
        (
            "notifier",
            &[],
            &[
                ("BAKEHOUSE_MONGODB__SOURCE_URI", "mongodb://a/source"),
                ("BAKEHOUSE_MONGODB__PRESENTATION_URI", "mongodb://a/baked"),
                ("BAKEHOUSE_AMQP__URI", "amqp://a"),
            ],
            "email.uri",
        ),
    ];
    for (name, arguments, environment, word) in cases {
        let output = run(name, arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{word}: {}", errors(&output));
        assert!(
            errors(&output).contains(word),
            "{word}: {}",
            errors(&output)
        );
    }
}

#[test]
fn failed_starts_are_reported_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run("bakehouse", &[], &[("BAKEHOUSE_HTTP__BIND", &address)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains(&address), "{}", errors(&output));
    drop(taken);
    let output = run(
        "bakehouse",
        &["healthcheck"],
        &[("BAKEHOUSE_HTTP__BIND", &address)],
    );
    assert_eq!(output.status.code(), Some(1));
    let output = run("bakehouse", &[], &[("BAKEHOUSE_DATA_DIR", "/proc/nowhere")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("/proc/nowhere"),
        "{}",
        errors(&output)
    );
}
