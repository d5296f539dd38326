//! Arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Command for operators.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Task {
    /// Checks that all stores agree with the log; changes nothing, and works while the services
    /// run: exit code 0 if no inconsistency is found, else 1 (docs/doctor.md)
    Doctor {
        /// Prints the findings as JSON
        #[arg(long)]
        json: bool,
        /// Skips slow checks: the store's check of its own file, and the bytes of attached files
        #[arg(long)]
        quick: bool,
    },
    /// Copies the embedded store and its attachments as of one moment; works while it is in use
    Backup {
        /// Folder of the copy
        folder: PathBuf,
    },
    /// Lists parked operations of a running server, retries or discards them
    Parked(Parked),
    /// Rebuilds the output of a stage from the log, on a running server that stays available
    #[command(alias = "replay")]
    Rebuild(Rebuild),
    /// Creates an embedded store from a copy; its log is another one from then on
    Restore {
        /// Folder of the copy
        folder: PathBuf,
        /// Sends notifications that were pending in the copy; by default they are marked as
        /// withheld, since the original store may have sent them
        #[arg(long)]
        resume_notifications: bool,
    },
}

/// Names of the commands of [`Task`].
pub(super) const TASKS: [&str; 5] = ["doctor", "backup", "parked", "rebuild", "restore"];

/// Server that a command is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct AdminArguments {
    /// URL of the server, such as https://orders.example [default: http.bind of the settings]
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// File with an operator's token, if the server requires tokens
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) token_file: Option<PathBuf>,
}

/// Arguments of `rebuild`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct Rebuild {
    /// Server.
    #[command(flatten)]
    pub(crate) server: AdminArguments,
    /// Part to rebuild; without it, prints the last rebuild of each part
    #[arg(value_enum)]
    pub(crate) part: Option<Part>,
    /// Cancels the rebuild in progress; the current output stays in use
    #[arg(long, requires = "part", alias = "give-up")]
    pub(crate) cancel: bool,
    /// Returns without waiting for the end of the rebuild
    #[arg(long, requires = "part")]
    pub(crate) no_wait: bool,
}

/// Part of what is stored that can be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Output of orders-manager: the current state of every entity
    Source,
    /// Output of data-baker: documents, lists, and the history of the feed
    Presentation,
}

impl Part {
    /// Name of the part in the API.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Presentation => "presentation",
        }
    }
}

/// Arguments of `parked`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct Parked {
    /// Server.
    #[command(flatten)]
    pub(crate) server: AdminArguments,
    /// Command.
    #[command(subcommand)]
    pub(crate) task: Option<ParkedTask>,
}

/// Command on parked operations.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum ParkedTask {
    /// Prints position, operation, entity and reason of each (the default)
    List,
    /// Executes the parked operations of an entity in order, until one is parked again
    Retry {
        /// Id of the first parked operation of the entity
        operation: String,
    },
    /// Rejects the operation and executes those of its entity that are parked after it
    Discard {
        /// Id of the first parked operation of the entity
        operation: String,
        /// Reason, which the sender of the operation can see
        #[arg(long)]
        reason: String,
    },
}

/// Command line of every program.
#[derive(Parser)]
pub(super) struct Arguments {
    /// TOML file with settings
    #[arg(long, value_name = "FILE", env = "BAKEHOUSE_CONFIG", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Prints the settings in effect, secrets hidden, and exits
    #[arg(long, global = true)]
    pub(super) print_config: bool,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Commands of every program.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Runs the service (the default)
    Serve,
    /// Checks the settings without starting anything: exit code 0 if they are valid, else 2
    CheckConfig,
    /// Asks the running service whether it is ready: exit code 0 if so, 1 if not
    Healthcheck,
    /// Prints a script that completes commands and options in a shell
    Completions {
        /// Shell
        #[arg(value_enum)]
        shell: Shell,
    },
    #[command(flatten)]
    Task(Task),
}
