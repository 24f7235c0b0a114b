//! `user`: people, what they are in an organisation, and how they come in.

use std::io;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use wire::admin::{MemberChange, NewInvite, NewMember, NewPassword, NewUser, Role, Secret, UserChange};

use super::{
    client::Client,
    command::InOrg,
    expiry, names,
    perform::{ORGANISATIONS, Show},
};

const USERS: &str = "/admin/v1/users";

/// `user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make somebody known; they set their password with what `user reset` prints, or with --password.
    Create(NewUserArgs),
    /// List the people of the installation, or of an organisation with their roles.
    List {
        /// Only those of this organisation, by name or id.
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
    /// Give somebody another role in an organisation, or the first one. Their sessions end.
    Role {
        /// Their address.
        email: String,
        /// What they will be.
        role: RoleName,
        #[command(flatten)]
        of: InOrg,
    },
    /// Say whether somebody runs the installation. Their sessions end.
    Operator {
        /// Their address.
        email: String,
        /// `yes` or `no`.
        #[arg(value_parser = ["yes", "no"])]
        answer: String,
    },
    /// Take somebody out of an organisation, or, without --org, out of the installation.
    Remove {
        /// Their address.
        email: String,
        /// Only out of this organisation, by name or id.
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
    },
    /// Set somebody's password; it is read from standard input, so that no history keeps it. Their sessions end.
    Password {
        /// Their address.
        email: String,
    },
    /// Make a token with which somebody sets their password once, within a day, and show it, this once.
    Reset {
        /// Their address.
        email: String,
        /// Print the token and nothing else.
        #[arg(long)]
        quiet: bool,
    },
    /// List the accounts at OpenID providers by which somebody signs in.
    Identities {
        /// Their address.
        email: String,
    },
    /// Take such an account away from somebody. Their sessions end.
    Unlink {
        /// Their address.
        email: String,
        /// The account's id, which `user identities` shows.
        identity: String,
    },
    /// Make an invitation into an organisation and show its token, this once. Nothing is sent.
    Invite {
        /// For whom: nobody with another address accepts it.
        email: String,
        /// What they will be.
        #[arg(long, value_name = "ROLE")]
        role: RoleName,
        #[command(flatten)]
        of: InOrg,
        /// When it ends, such as 24h, at most 30d [default: 7d].
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// Print the token and nothing else.
        #[arg(long)]
        quiet: bool,
    },
    /// List the invitations into an organisation.
    Invites {
        #[command(flatten)]
        of: InOrg,
    },
    /// Take an invitation back.
    Uninvite {
        /// The invitation's id.
        invite: String,
        #[command(flatten)]
        of: InOrg,
    },
}

/// `user create`.
#[derive(Debug, Args)]
pub struct NewUserArgs {
    /// The address by which they are known.
    pub email: String,
    /// They run the installation.
    #[arg(long)]
    pub operator: bool,
    /// Read their password from standard input, so that no history keeps it.
    #[arg(long)]
    pub password: bool,
    /// They belong to this organisation, by name or id.
    #[arg(long, value_name = "ORG", requires = "role")]
    pub org: Option<String>,
    /// What they are there.
    #[arg(long, value_name = "ROLE", requires = "org")]
    pub role: Option<RoleName>,
}

/// What somebody is in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleName {
    /// Whose organisation it is.
    Owner,
    /// Runs it for the owner.
    Admin,
    /// Works with models.
    Member,
    /// Looks on.
    Viewer,
    /// Pays.
    Billing,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Owner => Self::Owner,
            RoleName::Admin => Self::Admin,
            RoleName::Member => Self::Member,
            RoleName::Viewer => Self::Viewer,
            RoleName::Billing => Self::Billing,
        }
    }
}

/// Carries a command out.
pub async fn perform(client: &Client, show: Show, command: UserCommand) -> Result<()> {
    match command {
        UserCommand::Create(args) => create(client, show, args).await,
        UserCommand::List { org: None } => {
            let columns = [("address", "email"), ("operator", "operator"), ("id", "id"), ("made", "created_at")];
            show.list(&columns, client.all(USERS, &[]).await?)
        }
        UserCommand::List { org } => {
            let org = names::org(client, org.as_deref()).await?;
            let mut rows = client.all(&format!("{ORGANISATIONS}/{org}/members"), &[]).await?;
            rows.sort_by(|one, other| one["email"].as_str().cmp(&other["email"].as_str()));
            show.list(&[("address", "email"), ("role", "role"), ("id", "user_id")], rows)
        }
        UserCommand::Role { email, role, of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            match names::member(client, &org, &email).await? {
                Some(user) => {
                    let change = MemberChange { role: Some(role.into()) };
                    show.one(&client.patch(&format!("{ORGANISATIONS}/{org}/members/{user}"), &change).await?)
                }
                None => {
                    let user_id = names::user(client, &email).await?;
                    show.one(&join(client, &org, user_id, role).await?)
                }
            }
        }
        UserCommand::Operator { email, answer } => {
            let path = format!("{USERS}/{}", names::user(client, &email).await?);
            show.one(&client.patch(&path, &UserChange { operator: Some(answer == "yes") }).await?)
        }
        UserCommand::Remove { email, org: None } => {
            client.delete(&format!("{USERS}/{}", names::user(client, &email).await?), true).await
        }
        UserCommand::Remove { email, org } => {
            let org = names::org(client, org.as_deref()).await?;
            let user = names::owner(client, &org, &email).await?;
            client.delete(&format!("{ORGANISATIONS}/{org}/members/{user}"), true).await
        }
        UserCommand::Password { email } => {
            let user = names::user(client, &email).await?;
            let password = read_password()?;
            let reset = client.post(&format!("{USERS}/{user}/reset"), &json!({})).await?;
            let token = reset["secret"].as_str().context("the server answered without the token")?;
            let body = NewPassword { token: Secret::new(token), password };
            client.post("/admin/v1/resets/accept", &body).await.map(drop)
        }
        UserCommand::Reset { email, quiet } => {
            let user = names::user(client, &email).await?;
            show.issued(&client.post(&format!("{USERS}/{user}/reset"), &json!({})).await?, quiet)
        }
        UserCommand::Identities { email } => {
            let columns = [
                ("issuer", "issuer"),
                ("subject", "subject"),
                ("address verified", "email_verified"),
                ("linked", "created_at"),
                ("id", "id"),
            ];
            let user = names::user(client, &email).await?;
            show.list(&columns, client.all(&format!("{USERS}/{user}/identities"), &[]).await?)
        }
        UserCommand::Unlink { email, identity } => {
            let user = names::user(client, &email).await?;
            client.delete(&format!("{USERS}/{user}/identities/{identity}"), false).await
        }
        UserCommand::Invite { email, role, of, expires, quiet } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let expires_at = expires.as_deref().map(|when| expiry::moment(when, store::now())).transpose()?;
            let new = NewInvite { email, role: role.into(), expires_at };
            show.issued(&client.post(&format!("{ORGANISATIONS}/{org}/invites"), &new).await?, quiet)
        }
        UserCommand::Invites { of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            let columns = [
                ("address", "email"),
                ("role", "role"),
                ("expires", "expires_at"),
                ("accepted by", "accepted_by"),
                ("id", "id"),
            ];
            show.list(&columns, client.all(&format!("{ORGANISATIONS}/{org}/invites"), &[]).await?)
        }
        UserCommand::Uninvite { invite, of } => {
            let org = names::org(client, of.org.as_deref()).await?;
            client.delete(&format!("{ORGANISATIONS}/{org}/invites/{invite}"), false).await
        }
    }
}

async fn create(client: &Client, show: Show, args: NewUserArgs) -> Result<()> {
    let NewUserArgs { email, operator, password, org, role } = args;
    // Before anything is made.
    let org = match org {
        Some(org) => Some(names::org(client, Some(&org)).await?),
        None => None,
    };
    let password = password.then(read_password).transpose()?;
    let user = client.post(USERS, &NewUser { email, operator: operator.then_some(true), password }).await?;
    if let (Some(org), Some(role)) = (org, role) {
        let id = user["id"].as_str().context("the server answered without an id")?;
        join(client, &org, id.to_owned(), role).await?;
    }
    show.one(&user)
}

async fn join(client: &Client, org: &str, user_id: String, role: RoleName) -> Result<Value> {
    client.post(&format!("{ORGANISATIONS}/{org}/members"), &NewMember { user_id, role: role.into() }).await
}

/// The first line of standard input.
fn read_password() -> Result<Secret> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("reading the password")?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}
