//! Command line of a program: parses it, loads the settings, and runs the service or a command
//! to its exit code.

mod arguments;
mod reference;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
pub(crate) use arguments::{AdminArguments, Parked, ParkedTask, Part, Rebuild, Task};
use arguments::{Arguments, Command, TASKS};
use bakehouse_engine::Shutdown;
use clap::builder::StyledStr;
use clap::{CommandFactory, FromArgMatches};
use futures_util::future::LocalBoxFuture;
pub use reference::listed_and_known_settings;

use crate::output::{stderr, stdout};
use crate::settings::{Configuration, DomainSettings, InvalidSetting, Unset};
use crate::{Settings, files, healthcheck, logging, panics, shutdown};

/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of an invalid command line or invalid settings; clap uses the same.
const MISUSED: u8 = 2;

/// Program: a service, and commands for operators.
pub(crate) struct Program<S> {
    /// Name of the executable.
    pub(crate) name: &'static str,
    /// Description, one sentence.
    pub(crate) about: &'static str,
    /// Prefixes of the settings that it reads; empty: all.
    pub(crate) settings: Vec<&'static str>,
    /// Address of its health checks, if it has any.
    pub(crate) health: fn(&Settings) -> Option<SocketAddr>,
    /// Domain whose folder and queues are apart from others': see [`Settings::in_namespace`].
    pub(crate) namespace: Option<&'static str>,
    /// Checks of the settings beyond those of [`DomainSettings::check`].
    pub(crate) check: Check<S>,
    /// Runs a command for operators; `Ok(false)`: it failed, or found inconsistencies. `None`: the
    /// program has no access to all stores.
    pub(crate) commands: Option<RunTask<S>>,
}

/// Function that checks settings.
pub(crate) type Check<S> = Box<dyn Fn(&Configuration<S>) -> Result<()>>;

/// Function that runs a command.
pub(crate) type RunTask<S> =
    Box<dyn Fn(Configuration<S>, Task) -> LocalBoxFuture<'static, Result<bool>>>;

impl<S: DomainSettings> Program<S> {
    /// Runs the program to its exit code: 0 after an orderly end, 1 after a failure, 2 for wrong
    /// arguments or settings.
    pub(crate) fn start(
        self,
        run: impl AsyncFnOnce(Configuration<S>, Shutdown) -> Result<()>,
    ) -> ExitCode {
        panics::install_hook();
        files::restrict_umask();
        let code = match self.parse() {
            Ok(arguments) => self.dispatch(arguments, run),
            Err(error) => self.print_parse_result(&error),
        };
        stderr::flush(stderr::FLUSH_TIMEOUT);
        code
    }

    fn dispatch(
        &self,
        arguments: Arguments,
        run: impl AsyncFnOnce(Configuration<S>, Shutdown) -> Result<()>,
    ) -> ExitCode {
        if let Some(Command::Completions { shell }) = arguments.command {
            return self.print_completions(shell);
        }
        let loaded = Configuration::<S>::load(arguments.config.as_deref());
        let (mut configuration, warnings) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.report_error(&error, MISUSED),
        };
        for warning in warnings {
            stderr::line(&format!("{}: warning: {warning}", self.name));
        }
        if let Some(name) = self.namespace {
            configuration.host = configuration.host.in_namespace(name);
        }
        if arguments.print_config {
            return self.print_config(&configuration);
        }
        let outcome = match arguments.command {
            None | Some(Command::Serve) => return self.serve(configuration, run),
            Some(Command::CheckConfig) => match (self.check)(&configuration) {
                Ok(()) => return self.print("ok: the settings are valid\n"),
                Err(error) => return self.report_error(&error, MISUSED),
            },
            Some(Command::Task(task)) => return self.run_task(configuration, task),
            Some(Command::Healthcheck) => match (self.health)(&configuration.host) {
                Some(address) => healthcheck::ask(address),
                None => Err(anyhow!(
                    "health.bind: not set, so there is no server to ask"
                )),
            },
            Some(Command::Completions { .. }) => Ok(()),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => self.report_error(&error, code_of(&error)),
        }
    }

    fn run_task(&self, configuration: Configuration<S>, task: Task) -> ExitCode {
        let Some(run_task) = &self.commands else {
            let error = anyhow!("this command needs both databases; run it with api-server");
            return self.report_error(&error, MISUSED);
        };
        let runtime = match tokio::runtime::Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return self.report_error(&error.into(), FAILED),
        };
        match runtime.block_on(run_task(configuration, task)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(FAILED),
            Err(error) => self.report_error(&error, code_of(&error)),
        }
    }

    /// The command line with this program's commands and settings.
    fn command(&self) -> clap::Command {
        let mut command = Arguments::command()
            .name(self.name)
            .about(self.about)
            .version(env!("CARGO_PKG_VERSION"))
            .after_help(self.examples())
            .after_long_help(format!(
                "{}\n\n{}",
                self.examples(),
                reference::text::<S>(&self.settings)
            ));
        if self.commands.is_none() {
            for task in TASKS {
                command = command.mut_subcommand(task, |task| task.hide(true));
            }
        }
        command
    }

    fn examples(&self) -> String {
        let name = self.name;
        let mut text = format!(
            "Examples:\n  \
             {name}                                run with the settings of the environment\n  \
             {name} --config {name}.toml check-config\n  \
             {name} --print-config                 print the settings in effect\n"
        );
        if self.commands.is_some() {
            text += &format!("  {name} doctor\n  {name} parked --url https://orders.example\n");
        }
        text + "\n-h lists commands and options, --help all settings as well."
    }

    fn parse(&self) -> Result<Arguments, clap::Error> {
        Arguments::from_arg_matches(&self.command().try_get_matches()?)
    }

    /// Prints the text of `--help` or `--version`, or the error of the command line.
    fn print_parse_result(&self, error: &clap::Error) -> ExitCode {
        let text = error.render();
        if error.use_stderr() {
            stderr::line(styled(&text, std::io::stderr().is_terminal()).trim_end());
            return ExitCode::from(MISUSED);
        }
        self.print(&styled(&text, std::io::stdout().is_terminal()))
    }

    fn report_error(&self, error: &anyhow::Error, code: u8) -> ExitCode {
        stderr::line(&format!("{}: {error:#}", self.name));
        ExitCode::from(code)
    }

    /// Prints the whole output of a command. A reader that has closed it is no failure.
    fn print(&self, text: &str) -> ExitCode {
        match stdout::print(text) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => self.report_error(&error, FAILED),
        }
    }

    fn print_completions(&self, shell: clap_complete::Shell) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut self.command(), self.name, &mut script);
        self.print(&String::from_utf8_lossy(&script))
    }

    fn print_config(&self, configuration: &Configuration<S>) -> ExitCode {
        let text = configuration.to_toml().map(|table| toml::to_string(&table));
        match text {
            Ok(Ok(text)) => self.print(&text),
            Ok(Err(error)) => self.report_error(&error.into(), FAILED),
            Err(error) => self.report_error(&error, FAILED),
        }
    }

    /// Runs the service. Once it logs, its error at exit has the format of log lines.
    fn serve(
        &self,
        configuration: Configuration<S>,
        run: impl AsyncFnOnce(Configuration<S>, Shutdown) -> Result<()>,
    ) -> ExitCode {
        let checked = (self.check)(&configuration);
        let started = checked.and_then(|()| logging::start(&configuration.host.log));
        let format = match started {
            Ok(format) => format,
            Err(error) => return self.report_error(&error, code_of(&error)),
        };
        match self.run_service(configuration, run) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                stderr::line(&logging::error_line(self.name, &error, format));
                ExitCode::from(code_of(&error))
            }
        }
    }

    fn run_service(
        &self,
        configuration: Configuration<S>,
        run: impl AsyncFnOnce(Configuration<S>, Shutdown) -> Result<()>,
    ) -> Result<()> {
        files::raise_open_files_limit();
        bakehouse_http::metrics::install();
        let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
        runtime.spawn(stderr::publish_losses());
        let outcome = runtime.block_on(async {
            let shutdown = shutdown::on_signal()?;
            let (service, instance) = (self.name, &configuration.host.instance);
            tracing::info!(
                service,
                instance,
                version = env!("CARGO_PKG_VERSION"),
                "starting"
            );
            run(configuration, shutdown).await
        });
        // Not awaited: a pending connection attempt must not delay the exit.
        runtime.shutdown_background();
        tracing::info!(service = self.name, "ended");
        outcome
    }
}

/// Exit code of an error.
fn code_of(error: &anyhow::Error) -> u8 {
    if error.is::<Unset>() || error.is::<InvalidSetting>() {
        MISUSED
    } else {
        FAILED
    }
}

/// Text with colours on a terminal, unless `NO_COLOR` is set.
fn styled(text: &StyledStr, is_terminal: bool) -> String {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_terminal && !is_plain {
        text.ansi().to_string()
    } else {
        text.to_string()
    }
}
