//! `pull`, `list`, `show` and `rm`.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use catalog::{Catalog, KNOWN, Name, Reference};
use inference::Task;

use crate::{progress_bar, size};

/// Fetches a model. One that this engine cannot run is removed again: it would only be in the way.
pub async fn pull(catalog: &Catalog, reference: &str, name: Option<String>) -> Result<Name> {
    let reference: Reference = reference.parse()?;
    let name = name.map(|name| name.parse::<Name>()).transpose()?;
    let label = name.as_ref().map_or_else(|| reference.to_string(), Name::to_string);
    let name = progress_bar::watch(&label, catalog.pull(reference, name)?).await?;
    let path = catalog.model(name.as_str()).and_then(|entry| entry.path).with_context(|| absent(catalog, &name))?;
    if let Err(error) = local::summarize(&path) {
        catalog.remove(&name)?;
        return Err(error).with_context(|| format!("`{name}` came, but cannot be run, and was removed"));
    }
    Ok(name)
}

/// The files of a model on disk; one that is known by name is pulled first.
pub async fn ensure(catalog: &Catalog, name: &str) -> Result<PathBuf> {
    if let Some(path) = catalog.model(name).and_then(|entry| entry.path) {
        return Ok(path);
    }
    let parsed: Name = name.parse()?;
    if catalog::known(&parsed).is_none() {
        bail!(absent(catalog, &parsed));
    }
    pull(catalog, name, None).await?;
    catalog.model(name).and_then(|entry| entry.path).with_context(|| absent(catalog, &parsed))
}

/// Lists what is on disk and what has a known source.
pub fn list(catalog: &Catalog, out: &mut dyn Write) -> Result<()> {
    let models = catalog.models();
    for model in &models {
        let source = model.source.as_deref().unwrap_or("-");
        writeln!(out, "{:<28} {:>10}  {source}", model.name, size::show(model.bytes))?;
    }
    let problems = catalog.problems();
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    if models.is_empty() && problems.is_empty() {
        writeln!(out, "No model is on disk yet.")?;
    }
    let absent = KNOWN.iter().filter(|known| models.iter().all(|model| model.name != known.name));
    for known in absent {
        writeln!(out, "{:<28} {:>10}  not on disk: modelworks pull {0}", known.name, size::show(known.bytes()))?;
    }
    Ok(())
}

/// Shows what is known of a model on disk.
pub fn show(catalog: &Catalog, name: &str, out: &mut dyn Write) -> Result<()> {
    let name: Name = name.parse()?;
    let entry = catalog.model(name.as_str()).with_context(|| absent(catalog, &name))?;
    let path = entry.path.as_deref().unwrap_or(Path::new("-"));
    let summary = local::summarize(path)?;
    let description = &summary.description;
    let defaults = &description.defaults;
    let mut row = |what: &str, value: String| writeln!(out, "{what:<18} {value}");
    row("name", entry.name)?;
    row("source", entry.source.unwrap_or_else(|| "-".into()))?;
    row("digest", entry.digest.unwrap_or_else(|| "-".into()))?;
    row("files", path.display().to_string())?;
    row("architecture", description.architecture.clone())?;
    row("parameters", format!("{:.1} M", description.parameters as f64 / 1e6))?;
    row("context", format!("{} tokens", description.context_length))?;
    row("vocabulary", format!("{} tokens", description.vocabulary))?;
    row("weights on disk", size::show(summary.file_bytes))?;
    row("weights in memory", size::show(description.weight_bytes))?;
    match &summary.task {
        Task::Generate => {}
        Task::Embed(dimensions) => return Ok(row("makes", format!("vectors of {} numbers", dimensions.full))?),
        Task::Rank => return Ok(row("makes", "scores of pairs of texts".into())?),
    }
    row("chat template", if summary.chat { "yes" } else { "no" }.into())?;
    let per_token = description.kv_block_bytes / local::TOKENS_PER_KV_BLOCK;
    row("KV cache", format!("{} a token", size::show(per_token)))?;
    let default = |value: Option<f32>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    row("temperature", default(defaults.temperature))?;
    row("top_p", default(defaults.top_p))?;
    Ok(())
}

/// Removes a model from disk.
pub fn remove(catalog: &Arc<Catalog>, name: &str) -> Result<()> {
    let name: Name = name.parse()?;
    catalog.model(name.as_str()).with_context(|| absent(catalog, &name))?;
    catalog.remove(&name)?;
    Ok(())
}

/// Why there is no model of this name: it is damaged, or there is none.
fn absent(catalog: &Catalog, name: &Name) -> String {
    let none = || format!("there is no model `{name}` on disk; `modelworks list` shows what there is");
    catalog.problem(name).unwrap_or_else(none)
}
