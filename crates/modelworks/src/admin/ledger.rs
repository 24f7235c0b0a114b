//! The bill, line by line: exported, and checked with the same rules as everybody's.

use std::io::{self, Write};

use account::{
    OrgId,
    ledger::{Line, LineHash, verify},
};
use anyhow::{Context, Result, bail};

use super::{
    client::Client,
    command::{InOrg, LedgerCommand},
    names,
};

/// Carries a command out; `open` is called where a server is needed.
pub async fn perform(command: &LedgerCommand, open: impl FnOnce() -> Result<Client>) -> Result<()> {
    match command {
        LedgerCommand::Export { of, csv: true } => {
            let client = open()?;
            let org = names::org(&client, of.org.as_deref()).await?;
            let path = format!("/admin/v1/organisations/{org}/ledger");
            client.copy(&path, &[("format", "csv")], &mut io::stdout().lock()).await
        }
        LedgerCommand::Export { of, csv: false } => {
            let lines = read(&open()?, of).await?;
            let mut out = io::stdout().lock();
            for line in lines {
                writeln!(out, "{line}")?;
            }
            Ok(())
        }
        LedgerCommand::Verify { of, expect_head, file } => {
            let lines = match file {
                Some(path) => {
                    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
                    text.lines().map(str::to_owned).collect()
                }
                None => read(&open()?, of).await?,
            };
            let said = check(&lines, expect_head.as_deref())?;
            Ok(writeln!(io::stdout().lock(), "{said}")?)
        }
    }
}

async fn read(client: &Client, of: &InOrg) -> Result<Vec<String>> {
    let org = names::org(client, of.org.as_deref()).await?;
    let lines = client.all(&format!("/admin/v1/organisations/{org}/ledger"), &[]).await?;
    lines.iter().map(|line| Ok(line.as_str().context("a line is no text")?.to_owned())).collect()
}

/// Checks a chain from its first line, and that an earlier end is part of it. Says how it ends.
fn check(lines: &[String], expect_head: Option<&str>) -> Result<String> {
    let expect = match expect_head {
        Some(text) => Some(LineHash::parse(text).with_context(|| format!("`{text}` is no hash: it has 64 digits"))?),
        None => None,
    };
    let org = match lines.first() {
        Some(first) => Line::parse(first).context("the first line cannot be read")?.org,
        None => OrgId::from_bytes([0; 16]),
    };
    let head = verify(org, lines.iter().map(String::as_str)).context("the ledger is not valid")?;
    if let Some(expect) = expect {
        let empty = account::ledger::Head::EMPTY.hash == expect;
        let contained = lines.iter().any(|line| Line::parse(line).is_ok_and(|line| line.hash() == expect));
        if !contained && !empty {
            bail!("no line has the hash {expect}: lines were cut off or rewritten since it was printed");
        }
    }
    Ok(format!("valid: {} lines, balance {}, head {}", head.number, head.balance, head.hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/ledger.md.
    fn example() -> Vec<String> {
        let document = include_str!("../../../../docs/ledger.md");
        document.lines().filter(|line| line.starts_with("v1 org_")).map(str::to_owned).collect()
    }

    #[test]
    fn a_chain_is_valid_with_each_of_its_ends_and_not_without_its_last_line() {
        let lines = example();
        assert_eq!(lines.len(), 5);
        let heads: Vec<String> = lines.iter().map(|line| Line::parse(line).unwrap().hash().to_string()).collect();
        for head in &heads {
            assert!(check(&lines, Some(head)).unwrap().contains(&heads[4]));
        }
        let error = check(&lines[..4], Some(&heads[4])).unwrap_err().to_string();
        assert!(error.contains("cut off"), "{error}");
        assert!(check(&lines[1..], None).is_err());
        assert!(check(&lines, Some("head")).is_err());
        assert!(check(&[], Some(&"0".repeat(64))).is_ok());
    }
}
