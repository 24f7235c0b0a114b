//! `backup` and `restore`: the rows, the pepper and the admin key's hash of a data folder.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, Result};

use crate::{admin_key, tenants};

/// Copies what cannot be made again. A server may use the data folder meanwhile.
pub async fn backup(data_dir: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    store::backup(data_dir, folder).await.with_context(|| format!("copying {}", data_dir.display()))?;
    copy(&data_dir.join(admin_key::FILE), &folder.join(admin_key::FILE))?;
    said(&format!("the data folder {} is copied to {}", data_dir.display(), folder.display()))
}

/// Brings a copy into a data folder that has no rows.
pub fn restore(data_dir: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(data_dir).with_context(|| format!("making {}", data_dir.display()))?;
    let _lock = tenants::lock(data_dir)?;
    store::restore(folder, data_dir).with_context(|| format!("restoring {}", folder.display()))?;
    copy(&folder.join(admin_key::FILE), &data_dir.join(admin_key::FILE))?;
    said(&format!("{} is restored; start it with `modelworks serve`", data_dir.display()))
}

/// Without the file the next start makes another admin key, so it need not be there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.exists() {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    }
    Ok(())
}

fn said(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}
