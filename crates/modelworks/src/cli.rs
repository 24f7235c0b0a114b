//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use serde::Deserialize;

use crate::{admin::AdminCommand, size};

/// Model-as-a-Service in one binary: its own engine for the CPU behind the APIs of OpenAI and Anthropic.
#[derive(Debug, Parser)]
#[command(
    name = "modelworks",
    version,
    max_term_width = 100,
    after_help = "First steps:\n  modelworks serve                       pulls the default model and answers on http://127.0.0.1:8080\n  \
                  modelworks run smollm2-135m            chat in the terminal, without a server\n  \
                  modelworks pull hf:OWNER/REPO:FILE     fetch a model from Hugging Face\n\n\
                  Models and the admin key's hash live in the data folder; `modelworks serve --help` says where."
)]
pub struct Cli {
    #[command(flatten)]
    pub data: DataDir,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const SERVE_HELP: &str = "\
The first start makes an admin key and shows it once, on a terminal; elsewhere it writes it to admin.key in the data folder,
which only its owner reads. Otherwise only its hash is kept, in admin-key.hash. For
containers, the environment variable MODELWORKS_BOOTSTRAP_KEY (32 characters or more) sets the first key instead.
The first SIGTERM or Ctrl-C lets running requests finish, the second ends at once.";

const PULL_HELP: &str = "\
Examples:
  modelworks pull smollm2-135m                         a name that `modelworks list` shows
  modelworks pull hf:OWNER/REPO                        of several GGUF files the one with about 4 bits a weight
  modelworks pull hf:OWNER/REPO:FILE.gguf --name NAME  a certain file
  modelworks pull https://example.org/model.gguf
  modelworks pull ./model.gguf                         is copied; a folder with config.json and safetensors, too

HF_ENDPOINT and HF_TOKEN are honoured. A pull that was cut goes on where it was when it is run again; files of a model
that is here already are checked, and damaged ones brought again.";

const RUN_HELP: &str = "\
Examples:
  modelworks run smollm2-135m                          chat: Ctrl-C stops an answer, /clear forgets, Ctrl-D leaves
  modelworks run smollm2-135m \"Why is the sky blue?\"   one answer
  modelworks run smollm2-135m < prompt.txt             the same, from a file";

/// Where everything lives.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// Data folder [default: $XDG_DATA_HOME/modelworks or ~/.local/share/modelworks].
    #[arg(long, global = true, env = "MODELWORKS_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve models over HTTP until SIGTERM or Ctrl-C.
    #[command(after_help = SERVE_HELP)]
    Serve(ServeArgs),
    /// Fetch a model: a known NAME, hf:OWNER/REPO or hf:OWNER/REPO:FILE, https://…, or a local path.
    #[command(after_help = PULL_HELP)]
    Pull {
        /// What to fetch.
        reference: String,
        /// Name to keep it under; taken from the reference when absent.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// List the models on disk and the names that `pull` knows.
    List,
    /// Show what is known of a model: architecture, sizes, context, memory.
    Show {
        /// A model on disk.
        name: String,
    },
    /// Remove a model from disk.
    Rm {
        /// A model on disk.
        name: String,
    },
    #[command(flatten)]
    Admin(AdminCommand),
    /// Look at the settings of `serve` without serving.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Chat with a model in the terminal; with a prompt, answer it and leave.
    #[command(after_help = RUN_HELP)]
    Run(RunArgs),
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the settings that `serve` would have with the same flags, environment and file, and print them.
    Check(ServeArgs),
}

/// How models are run.
#[derive(Debug, Clone, Default, Args)]
pub struct EngineArgs {
    /// Threads that compute [default: the CPUs granted].
    #[arg(long, env = "MODELWORKS_THREADS", value_name = "N")]
    pub threads: Option<usize>,
    /// Tokens of context [default: the model's own, as far as memory allows].
    #[arg(long, env = "MODELWORKS_CONTEXT", value_name = "N")]
    pub context: Option<u64>,
    /// Memory of the KV cache, such as 512M or 2G [default: a quarter of what weights leave, at most eight contexts].
    #[arg(long, env = "MODELWORKS_KV_MEMORY", value_name = "SIZE", value_parser = size::parse)]
    pub kv_memory: Option<u64>,
    /// Milliseconds between two tokens of a stream that prompts of others may cause; more makes prompts quicker [default: 50].
    #[arg(long, env = "MODELWORKS_INTER_TOKEN_LATENCY", value_name = "MS")]
    pub inter_token_latency: Option<u64>,
    /// Guess the next tokens of answers that repeat themselves or their prompt; the answers stay the same [default: off].
    #[arg(long, env = "MODELWORKS_SPECULATION", value_name = "on|off")]
    pub speculation: Option<Switch>,
    /// How the KV cache stores a number: i8 holds almost twice the tokens of f16 in the same memory, a little less exactly
    /// [default: f16].
    #[arg(long, env = "MODELWORKS_KV_TYPE", value_name = "TYPE", value_enum, hide_possible_values = true)]
    pub kv_type: Option<KvType>,
    /// Instruction set to compute with, for measurements: scalar, avx2, avx512, avx512-vnni, amx. Answers do not depend on it
    /// [default: auto, the best that this CPU computes right with].
    #[arg(long, env = "MODELWORKS_INSTRUCTION_SET", value_name = "NAME", value_enum, hide_possible_values = true)]
    pub instruction_set: Option<InstructionSet>,
}

/// Where the server answers, and to whom.
#[derive(Debug, Clone, Default, Args)]
pub struct EdgeArgs {
    /// Address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "MODELWORKS_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Where browsers find the server, such as `https://models.example.org`, if that is not where it listens. With https their
    /// cookies are sent over nothing else.
    #[arg(long, env = "MODELWORKS_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Another address, which alone answers /admin/v1 then [default: --listen answers that, too].
    #[arg(long, env = "MODELWORKS_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// PEM file of the server's certificate and those that issued it: clients speak TLS. SIGHUP reads it again.
    #[arg(long, env = "MODELWORKS_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, env = "MODELWORKS_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Network of proxies, such as 10.0.0.0/8, whose X-Forwarded-For is believed; may be given several times [default: none].
    #[arg(long = "trusted-proxy", env = "MODELWORKS_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Origin, such as `https://app.example.org`, whose pages may call the public API; may be given several times [default: none].
    #[arg(long = "cors-origin", env = "MODELWORKS_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Network, such as 10.1.0.0/16, to which webhooks may be sent although it is private, and without TLS; may be given several
    /// times [default: none].
    #[arg(long = "webhook-network", env = "MODELWORKS_WEBHOOK_NETWORKS", value_name = "NETWORK", value_delimiter = ',', value_parser = network)]
    pub webhook_networks: Vec<IpNet>,
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    On,
    Off,
}

/// Instruction set to compute with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum InstructionSet {
    /// The best that this CPU computes right with.
    #[default]
    Auto,
    /// None: plain Rust.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512.
    #[value(name = "avx512")]
    #[serde(rename = "avx512")]
    Avx512,
    /// AVX-512 with VNNI.
    #[value(name = "avx512-vnni")]
    #[serde(rename = "avx512-vnni")]
    Avx512Vnni,
    /// AMX for 8-bit integers.
    Amx,
}

/// How the KV cache stores a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// IEEE 754 binary16.
    #[default]
    F16,
    /// 8 bits, with a scale for each token and head.
    I8,
}

/// `serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub edge: EdgeArgs,
    /// Model to pull, if need be, and to load at the start; may be given several times [default: smollm2-135m].
    #[arg(long = "model", env = "MODELWORKS_MODEL", value_name = "NAME", value_delimiter = ',')]
    pub models: Vec<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Sequences that run at once [default: 32].
    #[arg(long, env = "MODELWORKS_MAX_SEQUENCES", value_name = "N")]
    pub max_sequences: Option<usize>,
    /// Sequences that may wait; more are answered 429 [default: 256].
    #[arg(long, env = "MODELWORKS_MAX_QUEUE", value_name = "N")]
    pub max_queue: Option<usize>,
    /// Seconds that running requests get after SIGTERM [default: 30].
    #[arg(long, env = "MODELWORKS_GRACE", value_name = "SECONDS")]
    pub grace: Option<u64>,
    /// Days for which responses are kept; 0 keeps none [default: 30].
    #[arg(long, env = "MODELWORKS_RESPONSE_DAYS", value_name = "DAYS")]
    pub response_days: Option<u32>,
    /// TOML file with these settings (but --data-dir), spelt with underscores: `model = ["a", "b"]`, `kv_memory = "2G"`.
    /// Flags and environment win over it.
    #[arg(long, env = "MODELWORKS_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// A model on disk, or one that `pull` knows.
    pub name: String,
    /// Answer this and leave.
    pub prompt: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Most tokens of one answer.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    /// 0 takes the most likely token each time [default: the model's own, or 0.5 where it has none].
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub temperature: Option<f32>,
    /// Makes the answer reproducible.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// A network, or one address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "a network is an address and a number of bits, such as 10.0.0.0/8".to_owned())
}

fn temperature(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=2.0).contains(value));
    value.ok_or_else(|| "a temperature is a number from 0 to 2".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// An argument that has the name of one which every command takes would be taken for it.
    #[test]
    fn no_argument_of_a_command_hides_one_of_all_commands() {
        fn walk(command: &clap::Command, global: &[String]) {
            let own = |global| command.get_arguments().filter(move |argument| argument.is_global_set() == global);
            for argument in own(false) {
                let id = argument.get_id().to_string();
                assert!(!global.contains(&id), "`{}` has an argument `{id}` of its own", command.get_name());
            }
            let inherited = global.iter().cloned().chain(own(true).map(|argument| argument.get_id().to_string()));
            let global: Vec<String> = inherited.collect();
            command.get_subcommands().for_each(|inner| walk(inner, &global));
        }
        walk(&Cli::command(), &[]);
    }

    #[test]
    fn several_models_and_sizes_are_read() {
        let cli = Cli::parse_from(["modelworks", "serve", "--model", "a", "--model", "b", "--kv-memory", "2G"]);
        let Command::Serve(args) = cli.command else { panic!("serve was parsed as {:?}", cli.command) };
        assert_eq!(args.models, ["a", "b"]);
        assert_eq!(args.engine.kv_memory, Some(2 << 30));
    }
}
