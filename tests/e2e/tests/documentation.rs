//! Code blocks of the documentation: command lines parse, settings load, JSON is valid, and calls
//! with curl succeed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use bakehouse_e2e::process::command;
use bakehouse_e2e::repository::root;
use bakehouse_e2e::world::SERVICES;
use bakehouse_e2e::{Kind, World};
use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

/// Programs of other projects, whose command lines are not checked.
const FOREIGN_PROGRAMS: [&str; 3] = ["docker", "npx", "rabbitmqctl"];
/// Page whose code the tests of `tutorial` compare with the source files.
const TUTORIAL: &str = "your-own-domain.md";

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs"))
        .expect("a folder")
        .flatten();
    let docs = docs.map(|entry| entry.path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let top = ["README.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    docs.chain(top).collect()
}

/// Returns the code blocks of a page, as language and code.
fn blocks(page: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(page).expect("a page");
    let fenced = text.split("```").skip(1).step_by(2);
    let split = fenced.filter_map(|block| block.split_once('\n'));
    split
        .map(|(language, code)| (language.to_owned(), code.to_owned()))
        .collect()
}

/// Returns the code blocks of one language, as name of the page and code.
fn blocks_of(language: &str) -> Vec<(String, String)> {
    let pages = pages().into_iter();
    let all = pages.flat_map(|page| {
        let name = page
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        blocks(&page)
            .into_iter()
            .map(move |block| (name.clone(), block))
    });
    all.filter(|(_, (found, _))| found == language)
        .map(|(page, (_, code))| (page, code))
        .collect()
}

/// Splits a shell script into commands and their words; handles quotes, comments and separators.
fn commands(script: &str) -> Vec<Vec<String>> {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    let mut word: Option<String> = None;
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let quoted: String = letters.by_ref().take_while(|end| *end != letter).collect();
                word.get_or_insert_default().push_str(&quoted);
            }
            '#' if word.is_none() => while letters.next_if(|next| *next != '\n').is_some() {},
            '\n' | '&' | '|' | ';' => {
                words.extend(word.take());
                if !words.is_empty() {
                    all.push(std::mem::take(&mut words));
                }
            }
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        all.push(words);
    }
    all
}

fn help(program: &str, arguments: &[&str]) -> String {
    let output = command(program).args(arguments).arg("--help").output();
    let output = output.expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a program with `--print-config`, which only parses its command line and settings.
fn parse(program: &str, arguments: &[String]) -> Output {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("bakehouse.toml");
    fs::write(&file, "").expect("written");
    let mut command = command(program);
    let mut is_file = false;
    for argument in arguments {
        match is_file {
            true => command.arg(&file),
            false => command.arg(argument),
        };
        is_file = argument == "--config";
    }
    let output = command.arg("--print-config").current_dir(folder.path());
    output.output().expect("it runs")
}

fn check_cargo(line: &str, words: &[&str]) {
    match words {
        ["xtask", task, rest @ ..] => {
            let rest: &[&str] = rest;
            let (own, passed_on) = match rest.iter().position(|word| *word == "--") {
                Some(at) => (&rest[..at], &rest[at + 1..]),
                None => (rest, &rest[..0]),
            };
            let mut texts = vec![(help("bakehouse-tasks", &[task]), own)];
            if *task == "torture" {
                texts.push((help("bakehouse-torture", &[]), passed_on));
            }
            for (text, words) in texts {
                for word in words {
                    assert!(
                        text.contains(word) || !word.starts_with("--"),
                        "{line}: {word}"
                    );
                }
            }
        }
        ["run" | "build", options @ ..] => {
            for pair in options
                .windows(2)
                .filter(|pair| ["-p", "--bin"].contains(&pair[0]))
            {
                let built = command(pair[1]).arg("--help").output();
                assert!(built.is_ok(), "{line}: {}", pair[1]);
            }
        }
        // Tools of cargo, whose command lines are theirs to check.
        ["fmt" | "clippy" | "nextest" | "install", ..] => {}
        _ => panic!("{line}: not known to this test"),
    }
}

#[test]
fn command_lines_can_be_run() {
    let variables = help("bakehouse", &[]);
    let mut checked = 0;
    for (page, script) in blocks_of("sh") {
        for words in commands(&script) {
            let line = format!("{page}: {}", words.join(" "));
            let inner = words[1..].join(" ");
            let inner = inner
                .strip_prefix("$(")
                .and_then(|text| text.strip_suffix(')'));
            let words = match inner {
                Some(inner) if words[0] == "eval" => commands(inner).remove(0),
                _ => words,
            };
            let texts: Vec<&str> = words.iter().map(String::as_str).collect();
            let program = texts[0].rsplit('/').next().unwrap_or_default();
            let is_own =
                SERVICES.contains(&program) || ["bakehouse", "notifier"].contains(&program);
            match program {
                "cargo" => check_cargo(&line, &texts[1..]),
                "sh" => assert!(root().join(texts[1]).is_file(), "{line}"),
                "export" => {
                    let name = texts[1].split('=').next().unwrap_or_default();
                    assert!(variables.contains(&format!(" {name}\n")), "{line}");
                }
                _ if is_own => {
                    let output = parse(program, &words[1..]);
                    let errors = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{line}: {errors}");
                }
                // Run by `calls_are_answered`.
                "curl" => {}
                other => assert!(
                    FOREIGN_PROGRAMS.contains(&other) || other == "grep",
                    "{line}"
                ),
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
    // Wrong command lines must be refused.
    for wrong in [
        "doctor --quik",
        "parked retry",
        "rebuild orders",
        "replay orders",
        "backup",
    ] {
        let words: Vec<String> = wrong.split(' ').map(str::to_owned).collect();
        assert!(!parse("bakehouse", &words).status.success(), "{wrong}");
    }
}

#[test]
fn settings_can_be_loaded() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("bakehouse.toml");
    let mut checked = 0;
    for (page, text) in blocks_of("toml") {
        if page == TUTORIAL || text.contains("[[mutant]]") {
            continue;
        }
        fs::write(&file, &text).expect("written");
        let mut command = command("bakehouse");
        let output = command
            .arg("--config")
            .arg(&file)
            .arg("--print-config")
            .output();
        let output = output.expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {text}\n{errors}");
        checked += 1;
    }
    assert!(checked > 6, "{checked}");
}

#[test]
fn json_is_valid() {
    let all = blocks_of("json");
    assert!(!all.is_empty());
    for (page, text) in all {
        let parsed = serde_json::from_str::<Value>(&text);
        assert!(parsed.is_ok(), "{page}: {parsed:?} {text}");
    }
}

/// HTTP request that a curl command makes.
struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// Parses a command line of curl; `$LOCATION` is replaced by `location`.
fn call(words: &[String], location: &str) -> Call {
    let mut call = Call {
        method: Method::GET,
        path: String::new(),
        headers: Vec::new(),
        body: String::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().expect("a value").clone();
        match word.as_str() {
            "-i" | "-N" => {}
            "-X" => call.method = value().parse().expect("a method"),
            "-H" => {
                let header = value();
                let (name, value) = header.split_once(": ").expect("a header");
                call.headers.push((name.to_owned(), value.to_owned()));
            }
            "-d" => {
                call.body = value();
                if call.method == Method::GET {
                    call.method = Method::POST;
                }
            }
            url => {
                let path = url.strip_prefix("http://127.0.0.1:8080");
                let path = path.unwrap_or_else(|| panic!("{url}: not known to this test"));
                call.path = path.replace("$LOCATION", location);
            }
        }
    }
    call
}

/// Makes all calls of a page, in order. Returns their number.
async fn calls(world: &World, page: &str) -> usize {
    let client = world.client();
    let mut location = String::new();
    let mut count = 0;
    for (name, script) in blocks_of("sh") {
        let lines = commands(&script).into_iter();
        for words in lines.filter(|words| name == page && words[0] == "curl") {
            let Call {
                method,
                path,
                headers,
                body,
            } = call(&words[1..], &location);
            let headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let answer = client.head_of(method, &path, &headers, body).await;
            let answer = answer.expect("an answer");
            assert!(answer.status.is_success(), "{words:?}: {answer:?}");
            let created = answer.header("location").to_owned();
            if !created.is_empty() {
                location = created;
                let wait = [("Prefer", "wait=20")];
                client.get_with(&location, &wait).await.expect("an answer");
            }
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    assert_eq!(calls(&world, "README.md").await, 3);
    assert_eq!(calls(&world, "http-api.md").await, 5);
    assert_eq!(calls(&world, "feed.md").await, 3);
    let world = World::start_domain(Kind::Embedded, &["todo"], "/todo-events").await;
    let world = world.expect("it starts");
    assert_eq!(calls(&world, TUTORIAL).await, 3);
}
