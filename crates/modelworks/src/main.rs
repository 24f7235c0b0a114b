//! The `modelworks` binary: reads flags, environment and configuration, wires the crates together, runs one command.

mod admin;
mod admin_key;
mod cli;
mod config;
mod explain;
mod listeners;
mod loader;
mod machine;
mod model_commands;
mod progress_bar;
mod providers;
mod run;
mod serve;
mod size;
mod tenants;
mod webhooks;

use std::{
    io::{self, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use catalog::Catalog;
use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command, ConfigCommand},
    config::{Settings, engine_options},
    loader::LocalLoader,
};

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough, as in `modelworks list | head -1`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn report(error: &anyhow::Error) {
    eprintln!("error: {}", explain::explain(error));
}

fn start() -> Result<()> {
    let cli = Cli::parse();
    let data_dir = config::data_dir(cli.data.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(dispatch(cli.command, &data_dir));
    // A blocking thread may still wait for the terminal or for a download that nobody wants any more.
    runtime.shutdown_background();
    result
}

async fn dispatch(command: Command, data_dir: &Path) -> Result<()> {
    log_to_stderr(matches!(command, Command::Serve(_)));
    let stdout = io::stdout;
    match command {
        Command::Serve(args) => {
            let settings = Settings::resolve(args)?;
            let catalog = open(data_dir, settings.engine.clone())?;
            serve::serve(settings, data_dir, catalog).await
        }
        Command::Config(ConfigCommand::Check(args)) => {
            let settings = Settings::resolve(args)?;
            run::say(&format!("{settings}\nThese settings are valid.\n"))
        }
        Command::Pull { reference, name } => {
            let catalog = open(data_dir, default_options()?)?;
            let name = model_commands::pull(&catalog, &reference, name).await?;
            run::say(&format!("{name} is on disk; try it: modelworks run {name}\n"))
        }
        Command::List => model_commands::list(&*open(data_dir, default_options()?)?, &mut stdout()),
        Command::Show { name } => model_commands::show(&*open(data_dir, default_options()?)?, &name, &mut stdout()),
        Command::Rm { name } => model_commands::remove(&open(data_dir, default_options()?)?, &name),
        Command::Admin(command) => admin::perform(command, data_dir).await,
        Command::Run(args) => {
            let options = engine_options(&args.engine, 1, 1)?;
            let catalog = open(data_dir, options.clone())?;
            let path = model_commands::ensure(&catalog, &args.name).await?;
            run::run(args, path, options).await
        }
    }
}

fn default_options() -> Result<local::Options> {
    engine_options(&cli::EngineArgs::default(), 1, 1)
}

fn open(data_dir: &Path, options: local::Options) -> Result<Arc<Catalog>> {
    let config = catalog::Config::from_environment(data_dir, |name| std::env::var(name).ok());
    Ok(Catalog::open(config, Arc::new(LocalLoader { options }))?)
}

/// Logs go to standard error: for people on a terminal, as JSON elsewhere. `RUST_LOG` chooses what is logged.
fn log_to_stderr(serves: bool) {
    let usual = if serves { "info" } else { "error" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
