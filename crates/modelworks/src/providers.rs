//! The providers with which people sign in: tables `[oidc.NAME]` of the TOML file.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use account::{Email, ListedDomain, OrgId, Role};
use anyhow::{Context, Result, bail, ensure};
use oidc::{ClientSecret, Issuer, Limits};
use serde::Deserialize;

/// Most providers.
const MOST: usize = 16;

/// Most listed domains of one.
const MOST_DOMAINS: usize = 1000;

/// Longest name of a provider, in its two forms, in bytes.
const MOST_NAME: usize = 32;
const MOST_DISPLAY_NAME: usize = 128;

/// Most bytes of a client's id or secret.
const MOST_CLIENT: usize = 4096;

/// One table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderTable {
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    client_secret_env: Option<String>,
    display_name: Option<String>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    domains: BTreeMap<String, DomainTable>,
}

/// What people of a domain become.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DomainTable {
    organisation: String,
    role: String,
}

/// Where a client's secret is.
#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Variable(String),
}

/// A provider, checked.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    name: Box<str>,
    display_name: Box<str>,
    oidc: oidc::Settings,
    secret: Source,
    domains: Vec<ListedDomain>,
}

/// Checks the tables. Providers send people back to `public_url`.
pub fn check(tables: BTreeMap<String, ProviderTable>, public_url: Option<&str>) -> Result<Vec<ProviderSettings>> {
    ensure!(tables.len() <= MOST, "there are {} providers ([oidc.NAME]); at most {MOST} are allowed", tables.len());
    ensure!(
        tables.is_empty() || public_url.is_some(),
        "[oidc.NAME] needs --public-url, the address to which the provider sends people back"
    );
    let mut all: Vec<ProviderSettings> = Vec::new();
    for (name, table) in tables {
        let settings = provider(&name, table).with_context(|| format!("[oidc.{name}]"))?;
        // A person's subject at an issuer is one, whoever asks for it.
        if let Some(same) = all.iter().find(|other| other.oidc.issuer == settings.oidc.issuer) {
            bail!("[oidc.{}] and [oidc.{name}] have the same issuer; one of them has to go", same.name);
        }
        all.push(settings);
    }
    Ok(all)
}

/// The providers, to be asked once somebody comes.
pub fn providers(settings: Vec<ProviderSettings>, public_url: Option<&str>) -> Result<control::Providers> {
    let Some(origin) = public_url.filter(|_| !settings.is_empty()) else { return Ok(control::Providers::default()) };
    let tls = catalog::tls()?;
    let provider = |settings: ProviderSettings| {
        let ProviderSettings { name, display_name, oidc, domains, .. } = settings;
        let oidc = oidc::Provider::new(oidc, Limits::default(), tls.clone())?;
        Ok(control::Provider::new(name, display_name, oidc, domains))
    };
    Ok(control::Providers::new(origin, settings.into_iter().map(provider).collect::<Result<_>>()?))
}

fn provider(name: &str, table: ProviderTable) -> Result<ProviderSettings> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(plain),
        "the name of a provider is 1 to {MOST_NAME} lower-case letters, digits and hyphens"
    );
    let client_id = table.client_id;
    ensure!(
        (1..=MOST_CLIENT).contains(&client_id.len()) && !client_id.contains(char::is_control),
        "client_id is 1 to {MOST_CLIENT} bytes without control characters"
    );
    let display_name = table.display_name.unwrap_or_else(|| name.to_owned());
    ensure!(
        (1..=MOST_DISPLAY_NAME).contains(&display_name.len()) && !display_name.contains(char::is_control),
        "display_name is 1 to {MOST_DISPLAY_NAME} bytes without control characters"
    );
    let secret = match (table.client_secret_file, table.client_secret_env) {
        (Some(path), None) => Source::File(path),
        (None, Some(variable)) => Source::Variable(variable),
        _ => bail!("set either client_secret_file or client_secret_env; the secret itself has no place in this file"),
    };
    let scopes = table.scopes.unwrap_or_else(|| vec!["email".to_owned()]);
    // RFC 6749, section 3.3.
    let is_scope = |scope: &String| {
        !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
    };
    ensure!(
        scopes.len() <= 32 && scopes.iter().all(is_scope) && scopes.iter().map(String::len).sum::<usize>() <= 1024,
        "scopes are at most 32 words, such as [\"email\"]; `openid` is always asked for"
    );
    ensure!(table.domains.len() <= MOST_DOMAINS, "at most {MOST_DOMAINS} domains can be listed");
    let oidc = oidc::Settings {
        issuer: Issuer::parse(&table.issuer)?,
        client_id: client_id.into(),
        client_secret: secret.read()?,
        scopes: scopes.into_iter().map(Into::into).collect(),
    };
    let domains = table.domains.into_iter().map(|(domain, table)| listed(domain, &table)).collect::<Result<_>>()?;
    Ok(ProviderSettings { name: name.into(), display_name: display_name.into(), oidc, secret, domains })
}

fn listed(domain: String, table: &DomainTable) -> Result<ListedDomain> {
    let email = Email::parse(&format!("x@{domain}"));
    ensure!(
        email.is_ok_and(|email| email.domain() == domain),
        "`{domain}` is no domain as it stands behind the `@` of an address, in lower case"
    );
    // An organisation's own people may rename it; its id stays.
    let org = OrgId::parse(&table.organisation)
        .with_context(|| format!("`organisation` of the domain `{domain}`; `modelworks org list` shows ids"))?;
    let role = Role::parse(&table.role).with_context(|| format!("`role` of the domain `{domain}`"))?;
    Ok(ListedDomain { domain: domain.into(), org, role })
}

impl Source {
    fn read(&self) -> Result<ClientSecret> {
        let text = match self {
            Self::File(path) => {
                fs::read_to_string(path).with_context(|| format!("reading client_secret_file {}", path.display()))?
            }
            Self::Variable(name) => {
                std::env::var(name).ok().with_context(|| format!("client_secret_env: ${name} is not set"))?
            }
        };
        let text = text.trim();
        ensure!(
            (1..=MOST_CLIENT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '),
            "the client secret is 1 to {MOST_CLIENT} visible ASCII characters"
        );
        Ok(ClientSecret::new(text))
    }
}

/// As the file would say it: where the secret is, not what it is.
impl fmt::Display for ProviderSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, display_name, oidc, secret, domains } = self;
        writeln!(f, "\n[oidc.{name}]\nissuer = {:?}\nclient_id = {:?}", oidc.issuer.as_str(), oidc.client_id)?;
        match secret {
            Source::File(path) => writeln!(f, "client_secret_file = {path:?}")?,
            Source::Variable(variable) => writeln!(f, "client_secret_env = {variable:?}")?,
        }
        writeln!(f, "display_name = {display_name:?}\nscopes = {:?}", oidc.scopes)?;
        for ListedDomain { domain, org, role } in domains {
            writeln!(f, "domains.{domain:?} = {{ organisation = \"{org}\", role = {:?} }}", role.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: Option<&str> = Some("https://models.example.org");

    /// Checks tables; `SECRET` is a file with one.
    fn checked(text: &str, public_url: Option<&str>) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "marked-client-secret\n").unwrap();
        let tables = toml::from_str(&text.replace("SECRET", path.to_str().unwrap()))?;
        let settings = check(tables, public_url)?;
        assert!(!format!("{settings:?}").contains("marked"), "{settings:?}");
        Ok(settings.iter().map(ToString::to_string).collect::<String>().replace(path.to_str().unwrap(), "SECRET"))
    }

    fn table(name: &str, more: &str) -> String {
        format!(
            "[{name}]\nissuer = 'https://{name}.example/v2'\nclient_id = 'us'\nclient_secret_file = 'SECRET'\n{more}\n"
        )
    }

    #[test]
    fn a_provider_is_printed_as_a_table_that_says_the_same_but_not_its_secret() {
        let org = OrgId::from_bytes([7; 16]);
        let more = format!(
            "display_name = 'Ann’s \"directory\"'\nscopes = ['email', 'profile']\n\
             domains.'example.org' = {{ organisation = '{org}', role = 'member' }}\n\
             domains.'example.com' = {{ organisation = '{org}', role = 'owner' }}"
        );
        let printed = checked(&(table("one", &more) + &table("two", "")), URL).unwrap();
        assert!(printed.contains("issuer = \"https://one.example/v2\"") && !printed.contains("marked"), "{printed}");
        assert!(printed.contains("display_name = \"two\"\nscopes = [\"email\"]"), "{printed}");
        assert_eq!(checked(&printed.replace("[oidc.", "["), URL).unwrap(), printed);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_reason() {
        let org = OrgId::from_bytes([7; 16]);
        let domain = |domain: &str, org: &str, role: &str| {
            table("one", &format!("domains.'{domain}' = {{ organisation = '{org}', role = '{role}' }}"))
        };
        let secret = |line: &str| table("one", "").replace("client_secret_file = 'SECRET'", line);
        for (text, reason) in [
            (table("One", ""), "lower-case"),
            (table("one", "").replace("https://one", "http://one"), "names no provider"),
            (table("one", "more = 1"), "more"),
            (table("one", "scopes = ['open id']"), "scopes"),
            (table("one", "display_name = ''"), "display_name"),
            (table("one", "").replace("'us'", "''"), "client_id"),
            (secret(""), "client_secret_file or client_secret_env"),
            (
                secret("client_secret_file = 'SECRET'\nclient_secret_env = 'X'"),
                "client_secret_file or client_secret_env",
            ),
            (secret("client_secret = 'marked'"), "client_secret"),
            (secret("client_secret_file = '/absent'"), "/absent"),
            (secret("client_secret_env = 'MODELWORKS_TEST_ABSENT'"), "MODELWORKS_TEST_ABSENT"),
            (domain("Example.org", &org.to_string(), "member"), "lower case"),
            (domain("ann@example.org", &org.to_string(), "member"), "no domain"),
            (domain("example.org", "Acme", "member"), "org list"),
            (domain("example.org", &org.to_string(), "operator"), "a role is one of"),
            (table("one", "") + &table("two", "").replace("two.example", "one.example"), "same issuer"),
            ((0..17).map(|number| table(&format!("p{number}"), "")).collect(), "at most 16"),
        ] {
            let error = format!("{:#}", checked(&text, URL).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = format!("{:#}", checked(&table("one", ""), None).unwrap_err());
        assert!(error.contains("--public-url"), "{error}");
        assert_eq!(checked("", None).unwrap(), "");
    }
}
