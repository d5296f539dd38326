//! `cargo xtask mutants`: plants each mutation of `tests/mutants/*.toml` in a copy of the work
//! tree, and checks that the test that it names fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bakehouse_dev_servers::shared::Shared;
use clap::Args;
use serde::Deserialize;
use tokio::process::Command;

use crate::workspace::{cargo, interruption, root, target};

/// Exit code of cargo-nextest when a test has failed.
const TEST_FAILED: i32 = 100;
/// Exit code of cargo-nextest when no test has that name.
const NO_TESTS: i32 = 4;
/// Package whose tests start the services, which have to be built for it.
const END_TO_END: &str = "bakehouse-e2e";

/// Options of the mutation tests.
#[derive(Args)]
pub(crate) struct Options {
    /// Plants only mutations whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// Lists the mutations without planting them.
    #[arg(long)]
    list: bool,
    /// Plants all mutations at once, to build only once. A test that passes misses its mutation; a
    /// test that fails may do so because of another mutation.
    #[arg(long)]
    together: bool,
    /// Does not run the tests without a mutation first.
    #[arg(long)]
    skip_clean_run: bool,
}

/// A change of the code, and the test that must fail with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    name: String,
    /// Path relative to the root of the workspace.
    file: String,
    /// Text to replace; occurs exactly once in the file.
    find: String,
    replace: String,
    package: String,
    /// Part of the name of the test.
    test: String,
}

#[derive(Deserialize)]
struct Table {
    mutant: Vec<Mutant>,
}

pub(crate) async fn execute(options: Options) -> Result<()> {
    let mut mutants = load(&root().join("tests/mutants"))?;
    if let Some(only) = &options.only {
        mutants.retain(|mutant| mutant.name.contains(only.as_str()));
    }
    ensure!(!mutants.is_empty(), "no mutation's name contains this text");
    if options.list {
        for mutant in &mutants {
            println!("{}: {} {}", mutant.name, mutant.package, mutant.test);
        }
        return Ok(());
    }
    let interruption = interruption()?;
    let tree = Tree::copy(options.together).await?;
    let servers = Shared::start(&target("mutants-servers")).await?;
    let outcome = tokio::select! {
        outcome = plant(&options, &mutants, &tree, servers.environment()) => outcome,
        () = interruption.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    servers.end();
    outcome
}

/// Loads all tables, sorted by file name.
fn load(folder: &Path) -> Result<Vec<Mutant>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let table: Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
        all.extend(table.mutant);
    }
    Ok(all)
}

async fn plant(
    options: &Options,
    mutants: &[Mutant],
    tree: &Tree,
    environment: &[(String, String)],
) -> Result<()> {
    if !options.skip_clean_run {
        expect_success(mutants, tree, environment).await?;
    }
    let survivors = match options.together {
        true => plant_together(mutants, tree, environment).await?,
        false => plant_each(mutants, tree, environment).await?,
    };
    ensure!(survivors.is_empty(), "not caught: {}", survivors.join(", "));
    println!("all {} mutations were caught", mutants.len());
    Ok(())
}

/// Runs every test without a mutation.
async fn expect_success(
    mutants: &[Mutant],
    tree: &Tree,
    environment: &[(String, String)],
) -> Result<()> {
    let tests: BTreeSet<_> = mutants
        .iter()
        .map(|mutant| (&mutant.package, &mutant.test))
        .collect();
    for (package, test) in tests {
        let status = tree.test(package, test, environment).await?;
        match status.code() {
            Some(0) => println!("passes without a mutation: {package} {test}"),
            Some(NO_TESTS) => bail!("{package} has no test with {test:?} in its name"),
            _ => bail!("{package} {test}: fails without a mutation ({status})"),
        }
    }
    Ok(())
}

/// Plants one mutation after the other. Returns the names of those that no test has caught.
async fn plant_each<'a>(
    mutants: &'a [Mutant],
    tree: &Tree,
    environment: &[(String, String)],
) -> Result<Vec<&'a str>> {
    let mut survivors = Vec::new();
    for mutant in mutants {
        let original = tree.plant(mutant)?;
        let caught = tree.catches(mutant, environment).await;
        fs::write(tree.folder.join(&mutant.file), original)?;
        if !caught? {
            survivors.push(mutant.name.as_str());
        }
    }
    Ok(survivors)
}

/// Plants all mutations at once. Returns the names of those that no test has caught.
async fn plant_together<'a>(
    mutants: &'a [Mutant],
    tree: &Tree,
    environment: &[(String, String)],
) -> Result<Vec<&'a str>> {
    // The first mutation of a file returns its content before all of them.
    let mut originals = BTreeMap::new();
    for mutant in mutants {
        let original = tree.plant(mutant)?;
        originals.entry(&mutant.file).or_insert(original);
    }
    let mut survivors = Vec::new();
    let mut outcome = Ok(());
    for mutant in mutants {
        match tree.catches(mutant, environment).await {
            Ok(true) => {}
            Ok(false) => survivors.push(mutant.name.as_str()),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    for (file, original) in originals {
        fs::write(tree.folder.join(file), original)?;
    }
    outcome.map(|()| survivors)
}

/// A copy of the work tree with its own target folder.
struct Tree {
    folder: PathBuf,
    target: PathBuf,
    /// True to build the whole workspace for every test, instead of only its package.
    is_whole: bool,
}

impl Tree {
    /// Copies all files that git tracks or would add. Unchanged files keep their modification time,
    /// so that cargo does not rebuild them.
    async fn copy(is_whole: bool) -> Result<Self> {
        let tree = Self {
            folder: target("mutants/tree"),
            target: target("mutants/target"),
            is_whole,
        };
        let mut list = Command::new("git");
        let arguments = ["ls-files", "-co", "--exclude-standard", "-z"];
        list.args(arguments).current_dir(root());
        let output = list.output().await.context("git")?;
        ensure!(output.status.success(), "git ls-files: {}", output.status);
        let text = String::from_utf8(output.stdout)?;
        let names: BTreeSet<&str> = text.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &names {
            let (from, to) = (root().join(name), tree.folder.join(name));
            // The file was deleted without a commit.
            let Ok(content) = fs::read(from) else {
                continue;
            };
            if fs::read(&to).ok().as_ref() != Some(&content) {
                fs::create_dir_all(to.parent().unwrap_or(&tree.folder))?;
                fs::write(&to, content)?;
            }
        }
        remove_others(&tree.folder, &tree.folder, &names)?;
        Ok(tree)
    }

    /// Plants a mutation. Returns the previous content of the file.
    fn plant(&self, mutant: &Mutant) -> Result<String> {
        let file = self.folder.join(&mutant.file);
        let original = fs::read_to_string(&file).with_context(|| mutant.file.clone())?;
        let count = original.matches(&mutant.find).count();
        ensure!(
            count == 1,
            "{}: the text to replace occurs {count} times in {}",
            mutant.name,
            mutant.file
        );
        fs::write(&file, original.replacen(&mutant.find, &mutant.replace, 1))?;
        Ok(original)
    }

    /// Runs the test of a planted mutation. Returns whether it fails.
    async fn catches(&self, mutant: &Mutant, environment: &[(String, String)]) -> Result<bool> {
        let started = Instant::now();
        let status = self
            .test(&mutant.package, &mutant.test, environment)
            .await?;
        let seconds = started.elapsed().as_secs();
        match status.code() {
            Some(TEST_FAILED) => println!("caught: {} ({seconds} s)", mutant.name),
            Some(0) => println!("SURVIVED: {} ({seconds} s)", mutant.name),
            code => bail!("{}: neither passed nor failed ({code:?})", mutant.name),
        }
        Ok(status.code() == Some(TEST_FAILED))
    }

    /// Builds and runs the tests with that name. Returns the exit status of cargo-nextest.
    async fn test(
        &self,
        package: &str,
        test: &str,
        environment: &[(String, String)],
    ) -> Result<ExitStatus> {
        let is_whole = self.is_whole || package == END_TO_END;
        if is_whole {
            // Builds the services together with the tests.
            let arguments = ["build", "--quiet", "--workspace", "--all-targets"];
            let status = self.cargo(&arguments).status().await?;
            ensure!(status.success(), "the code does not compile");
        }
        let which = match is_whole {
            true => "--workspace".to_owned(),
            false => format!("--package={package}"),
        };
        let filter = format!("package(={package}) & test(~{test})");
        let build = ["nextest", "run", "--cargo-quiet", "--no-run", &which];
        let status = self.cargo(&build).status().await?;
        ensure!(
            status.success(),
            "the code does not compile, or cargo-nextest is not installed"
        );
        let run = ["nextest", "run", "--cargo-quiet", &which, "-E", &filter];
        let mut command = self.cargo(&run);
        command.envs(environment.iter().cloned());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().await?)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo(arguments);
        command.current_dir(&self.folder);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// Removes files of an earlier copy that do not exist any more.
fn remove_others(root: &Path, folder: &Path, wanted: &BTreeSet<&str>) -> Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_others(root, &path, wanted)?;
        } else if let Ok(name) = path.strip_prefix(root)
            && !name.to_str().is_some_and(|name| wanted.contains(name))
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
