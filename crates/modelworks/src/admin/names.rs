//! From what people call things to their ids.

use account::{KeyId, OrgId, ProjectId, UserId};
use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::client::Client;

/// The id of an organisation; by default that of the key that asks.
pub async fn org(client: &Client, named: Option<&str>) -> Result<String> {
    let Some(named) = named else { return own(client, "organisation_id").await };
    if OrgId::parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    one(client.all("/admin/v1/organisations", &[("name", named)]).await?, "organisation", named)
}

/// The id of a project of an organisation; by default that of the key that asks.
pub async fn project(client: &Client, org: &str, named: Option<&str>) -> Result<String> {
    let Some(named) = named else {
        if own(client, "organisation_id").await? != org {
            bail!("say which project of the organisation with --project");
        }
        return own(client, "project_id").await;
    };
    if ProjectId::parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    let path = format!("/admin/v1/organisations/{org}/projects");
    one(client.all(&path, &[("name", named)]).await?, "project", named)
}

/// The id of a key of an organisation. Of several with one name the one that was not revoked is meant.
pub async fn key(client: &Client, org: &str, named: &str) -> Result<String> {
    if KeyId::parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    let mut found = client.all(&format!("/admin/v1/organisations/{org}/keys"), &[("name", named)]).await?;
    if found.len() > 1 {
        found.retain(|key| key["revoked_at"].is_null());
    }
    one(found, "key", named)
}

/// The id of a person of the installation, by address.
pub async fn user(client: &Client, named: &str) -> Result<String> {
    if UserId::parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    one(client.all("/admin/v1/users", &[("email", named)]).await?, "user", named)
}

/// The id of a person of an organisation, by address; none when nobody there has it.
pub async fn member(client: &Client, org: &str, named: &str) -> Result<Option<String>> {
    let found = client.all(&format!("/admin/v1/organisations/{org}/members"), &[("email", named)]).await?;
    Ok(found.first().and_then(|member| member["user_id"].as_str()).map(str::to_owned))
}

/// The id of somebody who belongs to an organisation, or did, by address or id.
pub async fn owner(client: &Client, org: &str, named: &str) -> Result<String> {
    if UserId::parse(named).is_ok() {
        return Ok(named.to_owned());
    }
    member(client, org, named)
        .await?
        .with_context(|| format!("nobody with the address `{named}` belongs to the organisation"))
}

async fn own(client: &Client, field: &str) -> Result<String> {
    let me = client.get("/admin/v1/me", &[]).await?;
    Ok(me[field].as_str().with_context(|| format!("the server did not say its {field}"))?.to_owned())
}

fn one(found: Vec<Value>, what: &str, named: &str) -> Result<String> {
    match found.as_slice() {
        [] => bail!("there is no {what} `{named}`"),
        [one] => Ok(one["id"].as_str().context("the server answered without an id")?.to_owned()),
        _ => bail!("there are {} {what}s with the name `{named}`; say which by its id", found.len()),
    }
}
