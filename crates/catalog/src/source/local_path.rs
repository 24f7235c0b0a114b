//! A file or folder of this machine. It is copied: a link would let a later change of the original change the model.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, Failure, GGUF_MAGIC, blocking};
use crate::{
    FileName, choice,
    download::wrong_magic,
    folder::Folder,
    lock::{self, Lock, Mode},
    manifest,
    part::{self, CopyError, Finished, Part},
    progress::{Reporter, Stage},
};

/// A GGUF file (of a split, any part) or a folder with one, or with safetensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalPath {
    pub(crate) path: PathBuf,
}

impl LocalPath {
    pub(crate) fn describe(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        let Context { folder, reporter, limits, .. } = context;
        let path = self.path.clone();
        let originals = blocking(move || originals(&path)).await?.map_err(Failure::Source)?;
        if originals.len() > limits.files {
            return Err(Failure::Source(format!(
                "the model has {} files, more than {}",
                originals.len(),
                limits.files
            )));
        }
        let total = originals.iter().map(|original| original.bytes).sum();
        reporter.total(Some(total));
        folder.need(total)?;
        let mut files = Vec::new();
        let mut before = 0;
        for original in originals {
            let key = part::key(None, &original.path.to_string_lossy());
            let waits = || reporter.stage(Stage::Waiting);
            let lock = lock::lock(&folder.partial_lock(&key), Mode::Exclusive, waits).await?;
            let (folder, reporter, most) = (folder.clone(), reporter.clone(), limits.file_bytes);
            let file = blocking(move || copy(folder, lock, &key, original, most, before, &reporter)).await??;
            before += file.bytes;
            files.push(file);
        }
        Ok(files)
    }
}

struct Original {
    path: PathBuf,
    name: FileName,
    bytes: u64,
    /// Whether it has to be a GGUF: also when it was named, whatever it is called.
    gguf: bool,
}

/// The files that make the model at `path`.
fn originals(path: &Path) -> Result<Vec<Original>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let (folder, names, named) = if fs::metadata(path).map_err(failed)?.is_dir() {
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if name.ends_with("_Pooling") && path.join(&name).join("config.json").is_file() {
                names.push(format!("{name}/config.json"));
            }
            names.push(name);
        }
        // The order of a folder is that of its file system.
        names.sort();
        (path, choice::choose(&names)?, false)
    } else {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let folder = path.parent().unwrap_or(Path::new("."));
        match name.ends_with(".gguf") {
            true => (folder, choice::split_paths(&name)?, true),
            false => (folder, vec![name.into_owned()], true),
        }
    };
    let original = |name: &String| {
        let path = folder.join(name);
        let metadata = fs::metadata(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if !metadata.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        let name = choice::flat_name(name)
            .or_else(|| FileName::sanitised(name))
            .ok_or_else(|| format!("{} has no usable name", path.display()))?;
        let gguf = named || name.as_str().ends_with(".gguf");
        Ok(Original { path, name, bytes: metadata.len(), gguf })
    };
    names.iter().map(original).collect()
}

fn copy(
    folder: Arc<Folder>,
    lock: Lock,
    key: &str,
    original: Original,
    most: u64,
    before: u64,
    reporter: &Reporter,
) -> Result<manifest::File, Failure> {
    let Original { path, mut name, gguf, .. } = original;
    let failed = |error: std::io::Error| Failure::Source(format!("cannot read {}: {error}", path.display()));
    let mut source = File::open(&path).map_err(failed)?;
    let mut part = Part::open(folder, lock, key, None)?;
    part.restart()?;
    if let Err(error) = part.write_all_of(&mut source, most, |length| reporter.done(before + length)) {
        // Never continued: reading it again costs nothing.
        part.discard()?;
        return Err(match error {
            CopyError::Source(error) => failed(error),
            CopyError::Ours(error) => error.into(),
        });
    }
    if gguf {
        let first = part.first_bytes(GGUF_MAGIC.len())?;
        if first != GGUF_MAGIC {
            part.discard()?;
            return Err(Failure::Source(wrong_magic(GGUF_MAGIC, &first)));
        }
        if !name.as_str().ends_with(".gguf") {
            let longer = FileName::sanitised(&format!("{name}.gguf"));
            name = longer.ok_or_else(|| Failure::Source(format!("{} has no usable name", path.display())))?;
        }
    }
    match part.finish()? {
        Finished::Stored(stored) => Ok(manifest::File { name, digest: stored.digest, bytes: stored.bytes }),
        Finished::Mismatch { found } => Err(Failure::mismatch(None, found)),
    }
}
