//! The command line and the frame around every service's run.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bakehouse_engine::Shutdown;
use clap::builder::StyledStr;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use futures_util::future::LocalBoxFuture;

use crate::output::{stderr, stdout};
use crate::settings::Unset;
use crate::{Settings, files, healthcheck, logging, panics, reference, shutdown};

/// Something went wrong while running.
const FAILED: u8 = 1;
/// The command line or the settings are wrong; clap uses the same.
const MISUSED: u8 = 2;

/// A service.
#[derive(Clone, Copy)]
pub struct Service {
    /// Its program's name.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Where it answers health checks, if it does.
    pub health: fn(&Settings) -> Option<SocketAddr>,
    /// The domain that it is all of, where that is not the one that this workspace
    /// is about: see [`Settings::of_domain`].
    pub domain: Option<&'static str>,
    /// Does what an operator asks for beside serving, and says whether all is well; where
    /// the program has the stores for it.
    pub operate: Option<Operate>,
}

/// How a task is done: see [`Service::operate`].
pub type Operate =
    &'static (dyn Fn(Settings, Task) -> LocalBoxFuture<'static, Result<bool>> + Sync);

/// What an operator may ask for beside serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Compares all that is stored with what the log says; changes nothing, and the services
    /// may be at work: exit code 0 if no inconsistency is found, else 1 (docs/doctor.md)
    Doctor {
        /// Prints what was found as JSON
        #[arg(long)]
        json: bool,
        /// Leaves out what takes long: the store's check of its own file, and the bytes of
        /// attached files
        #[arg(long)]
        quick: bool,
    },
    /// Copies the embedded store and its attachments, of one moment; it may be at work
    Backup {
        /// Where to
        folder: PathBuf,
    },
    /// What has been set aside at a server that runs: see it, try it again, give it up
    Parked(Parked),
    /// Makes what is read anew from the log, at a server that runs, while it goes on being
    /// read and written
    Replay(Replay),
    /// Makes an embedded store of a copy, where there is none; another log from there on
    Restore {
        /// Where the copy is
        folder: PathBuf,
        /// Sends notifications that were pending in the copy; without it they are marked as
        /// not sent, since the store that the copy is of may have sent them
        #[arg(long)]
        resume_notifications: bool,
    },
}

/// Where operators are served.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct AdminArguments {
    /// Where the server is, such as https://orders.example; by default where http.bind says
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// Holds an operator's token, where one is asked for
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
}

/// What is to be made anew.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Replay {
    /// Where it is asked.
    #[command(flatten)]
    pub counter: AdminArguments,
    /// Which part; without it, tells how far the last round of each has come
    #[arg(value_enum)]
    pub part: Option<Part>,
    /// Gives up the round that is under way; what is read stays as it is
    #[arg(long, requires = "part")]
    pub give_up: bool,
    /// Does not wait for the end of the round
    #[arg(long, requires = "part")]
    pub no_wait: bool,
}

/// A part of what is stored that can be made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What orders-manager has made: the orders themselves
    Source,
    /// What data-baker has made: documents, lists, and the feed's history
    Presentation,
}

impl Part {
    /// Its name, as servers know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Presentation => "presentation",
        }
    }
}

/// What is asked about operations that have been set aside.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Parked {
    /// Where it is asked.
    #[command(flatten)]
    pub counter: AdminArguments,
    /// What.
    #[command(subcommand)]
    pub what: Option<ParkedTask>,
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ParkedTask {
    /// Position, operation, order and reason of each (the default)
    List,
    /// Executes what is parked of the order, in order, until one gets stuck again
    Retry {
        /// The operation's id: the first that is parked of its order
        operation: String,
    },
    /// Refuses the operation; what is parked behind it goes on
    Discard {
        /// The operation's id: the first that is parked of its order
        operation: String,
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
}

#[derive(Parser)]
struct Arguments {
    /// TOML file with settings
    #[arg(long, value_name = "FILE", env = "BAKEHOUSE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Prints the settings that hold, secrets hidden, and ends
    #[arg(long, global = true)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service (the default)
    Serve,
    /// Asks the running service whether it is ready: exit code 0 if so, 1 if not
    Healthcheck,
    #[command(flatten)]
    Task(Task),
}

/// Runs a service from the command line to its exit code: 0 after an orderly
/// end, 1 after a failure, 2 for wrong arguments or settings.
pub fn main(service: Service, run: impl AsyncFnOnce(Settings, Shutdown) -> Result<()>) -> ExitCode {
    panics::report();
    files::keep_private();
    let code = match parse(service) {
        Ok(arguments) => dispatch(service, arguments, run),
        Err(error) => explain(service, &error),
    };
    stderr::flush(stderr::FLUSH_TIMEOUT);
    code
}

fn dispatch(
    service: Service,
    arguments: Arguments,
    run: impl AsyncFnOnce(Settings, Shutdown) -> Result<()>,
) -> ExitCode {
    let settings = match Settings::load(arguments.config.as_deref()) {
        Ok(settings) => settings,
        Err(error) => return complain(service, &error, MISUSED),
    };
    let settings = match service.domain {
        Some(name) => settings.of_domain(name),
        None => settings,
    };
    if arguments.print_config {
        return print_config(service, &settings);
    }
    let outcome = match arguments.command {
        None | Some(Command::Serve) => serve(service, settings, run),
        Some(Command::Task(task)) => return operate(service, settings, task),
        Some(Command::Healthcheck) => match (service.health)(&settings) {
            Some(address) => healthcheck::ask(address),
            None => Err(anyhow::anyhow!(
                "health.bind is not set, so there is nobody to ask"
            )),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Unset>() => complain(service, &error, MISUSED),
        Err(error) => complain(service, &error, FAILED),
    }
}

fn operate(service: Service, settings: Settings, task: Task) -> ExitCode {
    let Some(operate) = service.operate else {
        let error = anyhow::anyhow!("this program has not all stores: ask api-server");
        return complain(service, &error, MISUSED);
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return complain(service, &error.into(), FAILED),
    };
    match runtime.block_on(operate(settings, task)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) if error.is::<Unset>() => complain(service, &error, MISUSED),
        Err(error) => complain(service, &error, FAILED),
    }
}

fn parse(service: Service) -> Result<Arguments, clap::Error> {
    let command = Arguments::command()
        .name(service.name)
        .about(service.about)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(reference::text());
    Arguments::from_arg_matches(&command.try_get_matches()?)
}

/// Prints what was asked for instead of a run, `--help` or `--version`; or what is wrong with
/// the command line.
fn explain(service: Service, error: &clap::Error) -> ExitCode {
    let text = error.render();
    if error.use_stderr() {
        stderr::line(styled(&text, std::io::stderr().is_terminal()).trim_end());
        return ExitCode::from(MISUSED);
    }
    print(service, &styled(&text, std::io::stdout().is_terminal()))
}

/// With colours on a terminal, unless `NO_COLOR` is set.
fn styled(text: &StyledStr, is_terminal: bool) -> String {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_terminal && !is_plain {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}

fn complain(service: Service, error: &anyhow::Error, code: u8) -> ExitCode {
    stderr::line(&format!("{}: {error:#}", service.name));
    ExitCode::from(code)
}

/// Prints the whole output of a command. A reader that has closed it is no failure.
fn print(service: Service, text: &str) -> ExitCode {
    match stdout::print(text) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => complain(service, &error, FAILED),
    }
}

fn print_config(service: Service, settings: &Settings) -> ExitCode {
    match toml::to_string(settings) {
        Ok(text) => print(service, &text),
        Err(error) => complain(service, &error.into(), FAILED),
    }
}

fn serve(
    service: Service,
    settings: Settings,
    run: impl AsyncFnOnce(Settings, Shutdown) -> Result<()>,
) -> Result<()> {
    logging::start(&settings.log)?;
    files::allow_many();
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.spawn(stderr::publish_losses());
    let outcome = runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        let (service, instance) = (service.name, &settings.instance);
        tracing::info!(
            service,
            instance,
            version = env!("CARGO_PKG_VERSION"),
            "starting"
        );
        run(settings, shutdown).await
    });
    // A connection attempt that hangs is no reason to hang as well.
    runtime.shutdown_background();
    tracing::info!(service = service.name, "ended");
    outcome
}
