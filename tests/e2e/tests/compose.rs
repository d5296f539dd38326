//! Compose file as `docker compose config` sees it: valid by the schema of the specification, and
//! its variables, files, programs and settings exist.

use std::collections::BTreeMap;
use std::fs;

use bakehouse_dev_servers::skipped::skip;
use bakehouse_dev_servers::{node, python};
use bakehouse_e2e::process::command;
use bakehouse_e2e::repository::root;
use serde_json::{Map, Value};

fn read(path: &str) -> Value {
    let text = python::yaml_to_json(&root().join(path)).expect("YAML");
    serde_json::from_str(&text).expect("JSON")
}

/// Returns the variables of `docker/.env.example` with values, as `new-env.sh` fills them in.
fn variables() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("docker/.env.example")).expect("a file");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let filled = pairs.map(|(name, value)| {
        let value = if value.is_empty() {
            "0123456789abcdef"
        } else {
            value
        };
        (name.to_owned(), value.to_owned())
    });
    filled.collect()
}

/// Substitutes `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in a text.
///
/// # Errors
/// When a variable has neither a value nor a default, or its reference is not closed.
fn substitute(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut parts = text.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inner, rest) = part
            .split_once('}')
            .ok_or("unclosed reference to a variable")?;
        let end = inner.find(':').unwrap_or(inner.len());
        let (name, modifier) = inner.split_at(end);
        match (values.get(name), modifier.strip_prefix(":-")) {
            (Some(value), _) => out.push_str(value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => return Err(format!("{name} is not in docker/.env.example")),
        }
        out.push_str(rest);
    }
    Ok(out)
}

fn substitute_all(value: &mut Value, values: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = substitute(text, values).expect("a variable"),
        Value::Array(all) => all.iter_mut().for_each(|one| substitute_all(one, values)),
        Value::Object(all) => all.values_mut().for_each(|one| substitute_all(one, values)),
        _ => {}
    }
}

fn members(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("an object")
}

#[test]
fn the_file_is_valid_by_the_specification() {
    let Some(schema) = node::compose_schema().expect("the schema") else {
        skip("npm");
        return;
    };
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut file = read("docker/compose.yaml");
    substitute_all(&mut file, &variables());
    // The schema is older than the `name` of a file.
    let name = file.as_object_mut().expect("an object").remove("name");
    assert!(name.is_some_and(|name| name.is_string()));
    let faults = validator.iter_errors(&file);
    let faults: Vec<String> = faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // The schema must refuse an unknown property.
    file["services"]["api-server"]["prots"] = serde_json::json!(["8080:8080"]);
    assert!(!validator.is_valid(&file));
    let outer = read("compose.yaml");
    assert_eq!(outer["include"], serde_json::json!(["docker/compose.yaml"]));
}

#[test]
fn everything_it_refers_to_exists() {
    let mut file = read("docker/compose.yaml");
    substitute_all(&mut file, &variables());
    let dockerfile = fs::read_to_string(root().join("docker/Dockerfile")).expect("a file");
    let help = command("bakehouse")
        .arg("--help")
        .output()
        .expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let mut programs = 0;
    for (name, service) in members(&file["services"]) {
        for network in service["networks"].as_array().expect("networks") {
            let network = network.as_str().expect("a name");
            assert!(file["networks"].get(network).is_some(), "{name}: {network}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume.as_str().and_then(|text| text.split(':').next());
            let source = source.expect("a source");
            let is_there = match source.strip_prefix("./") {
                Some(path) => root().join("docker").join(path).is_file(),
                None => file["volumes"].get(source).is_some(),
            };
            assert!(is_there, "{name}: {source}");
        }
        let Some(build) = service["build"].as_object() else {
            continue;
        };
        programs += 1;
        let path = build["dockerfile"].as_str().expect("a path");
        let context = build["context"].as_str().expect("a path");
        assert!(root().join("docker").join(context).join(path).is_file());
        let program = service["command"][0].as_str().expect("a program");
        let is_built = format!("--package {program}");
        assert!(
            dockerfile.contains(&is_built),
            "{name}: {program} is not built"
        );
        assert_eq!(service["healthcheck"]["test"][1], program, "{name}");
        let mut command = command(program);
        for (variable, value) in members(&service["environment"]) {
            let is_setting = help.contains(&format!(" {variable}\n"));
            assert!(is_setting, "{name}: there is no setting {variable}");
            // A variable without a value is passed on from the environment.
            if let Some(value) = value.as_str() {
                command.env(variable, value);
            }
        }
        let output = command.arg("--print-config").output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
    }
    assert_eq!(programs, 5);
}
