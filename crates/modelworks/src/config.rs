//! Settings of `serve`: flags and environment, then the TOML file, then defaults. Everything is checked before a port is bound.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use gateway::Certificate;
use ipnet::IpNet;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::{
    cli::{self, EdgeArgs, EngineArgs, InstructionSet, KvType, ServeArgs, Switch},
    machine,
    providers::{self, ProviderSettings, ProviderTable},
    size,
};

/// The model that a first start pulls.
pub const DEFAULT_MODEL: &str = "smollm2-135m";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of the server, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the server answers, and to whom.
    pub edge: Edge,
    /// With whom people sign in.
    pub providers: Vec<ProviderSettings>,
    /// Models that are loaded at the start.
    pub models: Vec<String>,
    /// How models are run.
    pub engine: local::Options,
    /// What running requests get after the first signal.
    pub grace: Duration,
    /// How long responses are kept; zero keeps none.
    pub response_retention: Duration,
}

/// Where the server answers, and to whom.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where browsers find the server: scheme, host and, where it is not the usual one, port.
    pub public_url: Option<Box<str>>,
    /// The address that alone answers administration.
    pub admin_listen: Option<SocketAddr>,
    /// What clients are shown, if they are to speak TLS.
    pub certificate: Option<Certificate>,
    /// Proxies that are believed who their client is.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose pages may call.
    pub cors_origins: Vec<HeaderValue>,
    /// Private networks to which webhooks may be sent.
    pub webhook_networks: Vec<IpNet>,
}

/// The TOML file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    admin_listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    trusted_proxies: Option<Vec<String>>,
    cors_origins: Option<Vec<String>>,
    webhook_networks: Option<Vec<String>>,
    model: Option<Vec<String>>,
    threads: Option<usize>,
    context: Option<u64>,
    kv_memory: Option<String>,
    inter_token_latency: Option<u64>,
    speculation: Option<Switch>,
    kv_type: Option<KvType>,
    instruction_set: Option<InstructionSet>,
    max_sequences: Option<usize>,
    max_queue: Option<usize>,
    grace: Option<u64>,
    response_days: Option<u32>,
    #[serde(default)]
    oidc: BTreeMap<String, ProviderTable>,
}

impl Settings {
    /// Merges flags (which hold the environment already) over the file that they name.
    pub fn resolve(args: ServeArgs) -> Result<Self> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => File::default(),
        };
        let edge = edge(args.edge, &file)?;
        let providers = providers::check(file.oidc, edge.public_url.as_deref())?;
        let kv_memory = match (args.engine.kv_memory, &file.kv_memory) {
            (Some(bytes), _) => Some(bytes),
            (None, Some(text)) => {
                Some(size::parse(text).map_err(anyhow::Error::msg).context("kv_memory in the configuration")?)
            }
            (None, None) => None,
        };
        let engine = EngineArgs {
            threads: args.engine.threads.or(file.threads),
            context: args.engine.context.or(file.context),
            kv_memory,
            inter_token_latency: args.engine.inter_token_latency.or(file.inter_token_latency),
            speculation: args.engine.speculation.or(file.speculation),
            kv_type: args.engine.kv_type.or(file.kv_type),
            instruction_set: args.engine.instruction_set.or(file.instruction_set),
        };
        let models = if args.models.is_empty() { file.model.unwrap_or_default() } else { args.models };
        Ok(Self {
            edge,
            providers,
            models: if models.is_empty() { vec![DEFAULT_MODEL.to_owned()] } else { models },
            engine: engine_options(
                &engine,
                args.max_sequences.or(file.max_sequences).unwrap_or(32),
                args.max_queue.or(file.max_queue).unwrap_or(256),
            )?,
            grace: Duration::from_secs(args.grace.or(file.grace).unwrap_or(30)),
            response_retention: DAY * args.response_days.or(file.response_days).unwrap_or(30),
        })
    }
}

/// As the file would say it.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { edge, providers, models, engine, grace, response_retention } = self;
        writeln!(f, "listen = \"{}\"", edge.listen)?;
        if let Some(url) = &edge.public_url {
            writeln!(f, "public_url = \"{url}\"")?;
        }
        if let Some(admin) = edge.admin_listen {
            writeln!(f, "admin_listen = \"{admin}\"")?;
        }
        if let Some(certificate) = &edge.certificate {
            let (chain, key) = certificate.files();
            writeln!(f, "tls_cert = {chain:?}\ntls_key = {key:?}")?;
        }
        let text = |networks: &[IpNet]| networks.iter().map(IpNet::to_string).collect::<Vec<_>>();
        let (proxies, webhooks) = (text(&edge.trusted_proxies), text(&edge.webhook_networks));
        let origins: Vec<&str> = edge.cors_origins.iter().filter_map(|origin| origin.to_str().ok()).collect();
        writeln!(f, "trusted_proxies = {proxies:?}\ncors_origins = {origins:?}")?;
        writeln!(f, "webhook_networks = {webhooks:?}\nmodel = {models:?}")?;
        writeln!(f, "threads = {}", engine.threads)?;
        if let Some(context) = engine.context_length {
            writeln!(f, "context = {context}")?;
        }
        if let Some(bytes) = engine.kv_bytes {
            writeln!(f, "kv_memory = \"{bytes}\"")?;
        }
        let kv_type = match engine.kv_type {
            local::KvType::F32 => "f32",
            local::KvType::F16 => "f16",
            local::KvType::I8 => "i8",
        };
        let level = engine.level.map_or("auto".to_owned(), |level| level.to_string());
        let speculation = if engine.speculation { "on" } else { "off" };
        writeln!(f, "kv_type = \"{kv_type}\"\ninstruction_set = \"{level}\"\nspeculation = \"{speculation}\"")?;
        writeln!(f, "inter_token_latency = {}", engine.inter_token_latency.as_millis())?;
        writeln!(f, "response_days = {}", response_retention.as_secs() / DAY.as_secs())?;
        writeln!(
            f,
            "max_sequences = {}\nmax_queue = {}\ngrace = {}",
            engine.max_sequences,
            engine.max_queue,
            grace.as_secs()
        )?;
        // Tables come last.
        providers.iter().try_for_each(|provider| provider.fmt(f))
    }
}

/// Checks what concerns addresses and callers.
fn edge(args: EdgeArgs, file: &File) -> Result<Edge> {
    let certificate =
        match (args.tls_cert.as_ref().or(file.tls_cert.as_ref()), args.tls_key.as_ref().or(file.tls_key.as_ref())) {
            (Some(chain), Some(key)) => Some(Certificate::read(chain, key).context("--tls-cert and --tls-key")?),
            (None, None) => None,
            (Some(_), None) => {
                bail!("--tls-cert is given, but not --tls-key, the file of the certificate's private key")
            }
            (None, Some(_)) => bail!("--tls-key is given, but not --tls-cert, the file of the certificate"),
        };
    let trusted_proxies = networks("trusted_proxies", args.trusted_proxies, &file.trusted_proxies)?;
    let webhook_networks = networks("webhook_networks", args.webhook_networks, &file.webhook_networks)?;
    let origins =
        if args.cors_origins.is_empty() { file.cors_origins.clone().unwrap_or_default() } else { args.cors_origins };
    let listen = args.listen.or(file.listen).unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 8080).into());
    let admin_listen = args.admin_listen.or(file.admin_listen);
    ensure!(
        admin_listen.is_none_or(|admin| admin != listen || admin.port() == 0),
        "--admin-listen and --listen are both {listen}; leave --admin-listen away to have one address for all"
    );
    let cors_origins = origins.iter().map(|text| cors_origin(text)).collect::<Result<_>>()?;
    let public_url = args.public_url.as_ref().or(file.public_url.as_ref()).map(|text| public_url(text)).transpose()?;
    Ok(Edge { listen, public_url, admin_listen, certificate, trusted_proxies, cors_origins, webhook_networks })
}

/// Networks of the command line, or else of the file, where they are called `name`.
fn networks(name: &str, told: Vec<IpNet>, file: &Option<Vec<String>>) -> Result<Vec<IpNet>> {
    let Some(listed) = file.as_ref().filter(|_| told.is_empty()) else { return Ok(told) };
    let read =
        |text: &String| cli::network(text).map_err(anyhow::Error::msg).with_context(|| format!("{name} has `{text}`"));
    listed.iter().map(read).collect()
}

/// The origin (RFC 6454) of an address of nothing but scheme, host and perhaps port, as browsers write it.
fn origin(text: &str) -> Option<String> {
    let url: reqwest::Url = text.parse().ok()?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (matches!(url.scheme(), "http" | "https") && bare).then(|| url.origin().ascii_serialization())
}

/// An origin that is compared with what browsers say, and so is written as they do.
fn cors_origin(text: &str) -> Result<HeaderValue> {
    ensure!(
        origin(text).is_some_and(|origin| origin == text) && !text.contains('*'),
        "--cors-origin is `{text}`; an origin is written as browsers do, such as https://app.example.org or \
         http://localhost:3000, without a path"
    );
    HeaderValue::from_str(text).with_context(|| format!("--cors-origin is `{text}`"))
}

fn public_url(text: &str) -> Result<Box<str>> {
    let origin = origin(text).with_context(|| {
        format!(
            "--public-url is `{text}`; it must be http:// or https:// and a host, such as https://models.example.org"
        )
    })?;
    Ok(origin.into())
}

/// Checks what concerns the engine and fills the rest from what the machine grants.
pub fn engine_options(args: &EngineArgs, max_sequences: usize, max_queue: usize) -> Result<local::Options> {
    let threads = args.threads.unwrap_or_else(machine::cpus);
    ensure!((1..=1024).contains(&threads), "--threads is {threads}; it must be between 1 and 1024");
    ensure!((1..=4096).contains(&max_sequences), "--max-sequences is {max_sequences}; it must be between 1 and 4096");
    ensure!(max_queue <= 1 << 20, "--max-queue is {max_queue}; it must be at most {}", 1 << 20);
    ensure!(args.context != Some(0), "--context is 0; a model needs at least one token of context");
    let inter_token_latency = args.inter_token_latency.unwrap_or(50);
    ensure!(
        (5..=10_000).contains(&inter_token_latency),
        "--inter-token-latency is {inter_token_latency} ms; it must be between 5 and 10000"
    );
    let level = level(args.instruction_set.unwrap_or_default());
    if let Some(level) = level {
        level.check().context("--instruction-set")?;
    }
    Ok(local::Options {
        level,
        threads,
        context_length: args.context,
        kv_bytes: args.kv_memory,
        kv_type: match args.kv_type.unwrap_or_default() {
            KvType::F16 => local::KvType::F16,
            KvType::I8 => local::KvType::I8,
        },
        max_sequences,
        max_queue,
        inter_token_latency: Duration::from_millis(inter_token_latency),
        speculation: args.speculation == Some(Switch::On),
        available_bytes: machine::memory(),
    })
}

/// The level that an instruction set is; `None` leaves the choice.
fn level(set: InstructionSet) -> Option<local::Level> {
    match set {
        InstructionSet::Auto => None,
        InstructionSet::Scalar => Some(local::Level::Scalar),
        InstructionSet::Avx2 => Some(local::Level::Avx2),
        InstructionSet::Avx512 => Some(local::Level::Avx512),
        InstructionSet::Avx512Vnni => Some(local::Level::Avx512Vnni),
        InstructionSet::Amx => Some(local::Level::Amx),
    }
}

fn read(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("reading the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {} is not valid", path.display()))
}

/// The data folder: as told, or where the XDG base directory specification puts user data.
pub fn data_dir(told: Option<PathBuf>) -> Result<PathBuf> {
    if let Some(told) = told {
        return Ok(told);
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("modelworks"))
        .context("neither --data-dir nor $XDG_DATA_HOME nor $HOME says where the data folder is; give --data-dir")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn config(text: &str) -> Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modelworks.toml");
        fs::write(&path, text).unwrap();
        Settings::resolve(ServeArgs { config: Some(path), ..ServeArgs::default() })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modelworks.toml");
        fs::write(
            &path,
            "listen = '127.0.0.1:1'\nthreads = 3\nkv_memory = '64M'\nkv_type = 'i8'\nspeculation = 'on'\nresponse_days = 7\nmodel = ['a', 'b']",
        )
        .unwrap();
        let edge = EdgeArgs { listen: Some(([127, 0, 0, 1], 2).into()), ..EdgeArgs::default() };
        let args = ServeArgs { config: Some(path), edge, ..ServeArgs::default() };
        let settings = Settings::resolve(args).unwrap();
        assert_eq!(settings.edge.listen.port(), 2);
        assert_eq!(settings.engine.threads, 3);
        assert_eq!(settings.engine.kv_bytes, Some(64 << 20));
        assert_eq!(settings.engine.kv_type, local::KvType::I8);
        assert_eq!(settings.engine.max_sequences, 32);
        assert_eq!(settings.engine.inter_token_latency, Duration::from_millis(50));
        assert!(settings.engine.speculation && !Settings::resolve(ServeArgs::default()).unwrap().engine.speculation);
        assert_eq!(settings.models, ["a", "b"]);
        assert_eq!(settings.response_retention, 7 * DAY);
        let default = gateway::Config::default().response_retention;
        assert_eq!(Settings::resolve(ServeArgs::default()).unwrap().response_retention, default);
    }

    #[test]
    fn settings_are_printed_as_a_file_that_says_the_same() {
        let text = "listen = '127.0.0.1:1'\npublic_url = 'https://models.example.org'\nadmin_listen = '[::1]:2'\ntrusted_proxies = ['10.0.0.0/8', '::1']\nwebhook_networks = ['10.1.0.0/16']\nthreads = 3\n\
                    cors_origins = ['https://app.example.org', 'http://localhost:3000']\nkv_memory = '64M'\nkv_type = 'i8'\n\
                    speculation = 'on'\nmodel = ['a', 'b']\ncontext = 512\ninter_token_latency = 80\nmax_sequences = 4\n\
                    instruction_set = 'scalar'\nmax_queue = 9\ngrace = 7\nresponse_days = 3";
        let printed = config(text).unwrap().to_string();
        assert_eq!(config(&printed).unwrap().to_string(), printed);
        for setting in text.replace('\'', "\"").replace("64M", "67108864").replace("::1\"]", "::1/128\"]").lines() {
            assert!(printed.contains(setting), "{setting} is not in {printed}");
        }
        config(&config("").unwrap().to_string()).unwrap();
    }

    #[test]
    fn the_public_address_is_what_browsers_call_it() {
        let origin = |text: &str| public_url(text).unwrap();
        assert_eq!(&*origin("https://Models.Example.org/"), "https://models.example.org");
        assert_eq!(&*origin("https://models.example.org:443"), "https://models.example.org");
        assert_eq!(&*origin("http://localhost:8080"), "http://localhost:8080");
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_reason() {
        for (text, reason) in [
            ("lisen = '127.0.0.1:1'", "lisen"),
            ("kv_memory = 'much'", "much"),
            ("kv_type = 'i4'", "kv_type"),
            ("instruction_set = 'sse2'", "instruction_set"),
            ("threads = 0", "--threads"),
            ("context = 0", "--context"),
            ("inter_token_latency = 4", "--inter-token-latency"),
            ("speculation = true", "speculation"),
            ("model = 'a'", "model"),
            ("tls_cert = 'server.pem'", "--tls-key"),
            ("tls_key = 'server.key'", "--tls-cert"),
            ("tls_cert = 'absent.pem'\ntls_key = 'absent.key'", "absent.pem"),
            ("trusted_proxies = ['10.0.0.0/40']", "10.0.0.0/40"),
            ("webhook_networks = ['intranet']", "webhook_networks has `intranet`"),
            ("cors_origins = ['*']", "--cors-origin"),
            ("cors_origins = ['https://app.example.org/']", "without a path"),
            ("cors_origins = ['https://App.example.org']", "--cors-origin"),
            ("listen = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:1'", "--admin-listen"),
            ("public_url = 'models.example.org'", "--public-url"),
            ("public_url = 'ftp://models.example.org'", "--public-url"),
            ("public_url = 'https://models.example.org/console'", "--public-url"),
            ("[oidc.one]\nissuer = 'https://a.example'\nclient_id = 'us'", "--public-url"),
        ] {
            let error = format!("{:#}", config(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_instruction_set_is_spelt_alike_everywhere_and_refused_where_it_is_not_there() {
        assert_eq!(config("instruction_set = 'auto'").unwrap().engine.level, None);
        for set in InstructionSet::value_variants() {
            let name = set.to_possible_value().unwrap().get_name().to_owned();
            let Some(level) = level(*set) else { continue };
            assert_eq!(level.to_string(), name);
            let settings = config(&format!("instruction_set = '{name}'"));
            if local::Level::available().contains(&level) {
                assert_eq!(settings.unwrap().engine.level, Some(level));
            } else {
                let error = format!("{:#}", settings.unwrap_err());
                assert!(error.contains("--instruction-set") && error.contains(&name), "{error}");
            }
        }
    }
}
