//! The Hugging Face hub, or a server that speaks its API.
//!
//! `GET /api/models/<repository>/revision/<revision>` lists a repository; `/<repository>/resolve/<revision>/<path>` is a
//! file. The hub's own answer describes the file in `X-Linked-Etag` (SHA-256 of a large file), `X-Linked-Size` and
//! `X-Repo-Commit`, and usually redirects to another host, which has the bytes.
//! Source: <https://huggingface.co/docs/hub/api> and the headers that `huggingface_hub` reads.

use std::{fmt, str::FromStr};

use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::{Context, Expected, Failure, GGUF_MAGIC};
use crate::{
    Digest, FileName, choice,
    download::{Download, download},
    http::{Http, HttpError},
    manifest,
};

/// The revision that is asked for first; what it is at that moment is then used for all files.
const REVISION: &str = "main";
/// Longest path of a file, in bytes.
const MOST_PATH_BYTES: usize = 512;

/// `owner/name` of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repository(String);

impl Repository {
    /// Behind the slash.
    pub(crate) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for Repository {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=96).contains(&part.len())
                && part.bytes().all(allowed)
                && !part.starts_with(['.', '-'])
                && !part.contains("..")
        };
        match text.split_once('/') {
            Some((owner, name)) if is_part(owner) && is_part(name) => Ok(Self(text.to_owned())),
            _ => Err("a repository is written `owner/name`".to_owned()),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The path of a file in a repository: segments without `.`, `..` and control characters, the last a plain file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubPath(String);

impl HubPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn file_name(&self) -> FileName {
        choice::flat_name(&self.0).expect("checked when the path was parsed")
    }
}

impl FromStr for HubPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_segment = |segment: &str| {
            !segment.is_empty()
                && segment != "."
                && segment != ".."
                && !segment.contains(|c: char| c == '\\' || c.is_control())
        };
        if text.len() > MOST_PATH_BYTES || !text.split('/').all(is_segment) {
            return Err(format!("`{}` is not the path of a file", text.escape_debug()));
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        last.parse::<FileName>().map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}

/// Files of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFiles {
    pub(crate) repository: Repository,
    /// A commit, or [`REVISION`].
    pub(crate) revision: String,
    pub(crate) paths: Vec<HubPath>,
    /// Of a known model: what each file has to be, in the order of the paths. Otherwise empty.
    pub(crate) expected: Vec<Expected>,
}

impl HubFiles {
    /// The file at `path`, with all its parts when it is split.
    pub(crate) fn new(repository: Repository, path: &HubPath) -> Result<Self, String> {
        let paths = choice::split_paths(path.as_str())?.iter().map(|path| path.parse()).collect::<Result<_, _>>()?;
        Ok(Self { repository, revision: REVISION.to_owned(), paths, expected: Vec::new() })
    }

    /// Files of which it is known what they have to be.
    pub(crate) fn known(repository: Repository, paths: Vec<HubPath>, expected: Vec<Expected>) -> Self {
        Self { repository, revision: REVISION.to_owned(), paths, expected }
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        let Context { folder, http, reporter, limits, .. } = context;
        if self.paths.len() > limits.files {
            return Err(Failure::Source(format!(
                "the model has {} files, more than {}",
                self.paths.len(),
                limits.files
            )));
        }
        let mut described = Vec::new();
        let mut revision = self.revision.clone();
        for (number, path) in self.paths.iter().enumerate() {
            let file = self.describe(http, &revision, path, self.expected.get(number)).await?;
            // All files of one commit, also when somebody pushes another meanwhile.
            if let Some(commit) = file.commit.clone().filter(|commit| is_commit(commit)) {
                revision = commit;
            }
            described.push(file);
        }
        let total = described.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.bytes?));
        reporter.total(total);
        if let Some(total) = total {
            let here = |file: &&Described| file.digest.is_some_and(|digest| folder.blob(digest).exists());
            let have: u64 = described.iter().filter(here).filter_map(|file| file.bytes).sum();
            let partial: u64 = described.iter().filter_map(|file| folder.partial_bytes(file.digest?)).sum();
            folder.need(total.saturating_sub(have).saturating_sub(partial))?;
        }
        let mut files = Vec::new();
        let mut before = 0;
        for (number, (path, file)) in self.paths.iter().zip(described).enumerate() {
            let name = self.expected.get(number).map_or_else(|| path.file_name(), |expected| expected.file.clone());
            let want = Download {
                url: self.url(http, &revision, path),
                digest: file.digest,
                bytes: file.bytes,
                magic: if path.as_str().ends_with(".gguf") { GGUF_MAGIC } else { b"" },
                before,
                total_known: total.is_some(),
            };
            let stored = download(http, folder, want, reporter).await?;
            before += stored.bytes;
            files.push(manifest::File { name, digest: stored.digest, bytes: stored.bytes });
        }
        Ok(files)
    }

    fn url(&self, http: &Http, revision: &str, path: &HubPath) -> Url {
        http.hub_url(&[&self.repository.0, "resolve", revision, path.as_str()])
    }

    async fn describe(
        &self,
        http: &Http,
        revision: &str,
        path: &HubPath,
        expected: Option<&Expected>,
    ) -> Result<Described, Failure> {
        let url = self.url(http, revision, path);
        let answer = http.send(Method::HEAD, &url, None).await;
        let linked = answer.map_err(|error| explain(http, &self.repository, Some(path), error))?.linked;
        let digest = linked.etag.as_deref().and_then(|etag| etag.parse::<Digest>().ok());
        let Some(expected) = expected else {
            return Ok(Described { digest, bytes: linked.bytes, commit: linked.commit });
        };
        let differs = digest.is_some_and(|digest| digest != expected.digest)
            || linked.bytes.is_some_and(|bytes| bytes != expected.bytes);
        if differs {
            return Err(Failure::Source(format!("the file {} there is not the expected one any more", path.as_str())));
        }
        Ok(Described { digest: Some(expected.digest), bytes: Some(expected.bytes), commit: linked.commit })
    }
}

struct Described {
    digest: Option<Digest>,
    bytes: Option<u64>,
    commit: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// Lists a repository and chooses the files that make a model, by the rule of [`choice::choose`].
pub(crate) async fn choose_files(http: &Http, repository: &Repository) -> Result<HubFiles, Failure> {
    let url = http.hub_url(&["api/models", &repository.0, "revision", REVISION]);
    let listing: Listing = http.json(&url).await.map_err(|error| explain(http, repository, None, error))?;
    let paths: Vec<String> = listing.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
    let chosen = choice::choose(&paths).map_err(Failure::Source)?;
    let paths = chosen.iter().map(|path| path.parse()).collect::<Result<_, _>>().map_err(Failure::Source)?;
    let revision = listing.sha.filter(|sha| is_commit(sha)).unwrap_or_else(|| REVISION.to_owned());
    Ok(HubFiles { repository: repository.clone(), revision, paths, expected: Vec::new() })
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the hub's refusals mean, and what to do about them.
fn explain(http: &Http, repository: &Repository, path: Option<&HubPath>, error: HttpError) -> Failure {
    let HttpError { reason, status, .. } = error;
    let advice = match (status, http.has_token()) {
        (Some(StatusCode::UNAUTHORIZED), false) => {
            format!("the repository {repository} does not exist, or needs a token: set HF_TOKEN")
        }
        (Some(StatusCode::UNAUTHORIZED), true) => {
            format!("the repository {repository} does not exist, or the token in HF_TOKEN is not valid")
        }
        (Some(StatusCode::FORBIDDEN), _) => {
            format!("the owner of {repository} grants access on request: ask on its page, and set HF_TOKEN")
        }
        (Some(StatusCode::NOT_FOUND), _) => match path {
            Some(path) => format!("there is no file {} in {repository}", path.as_str()),
            None => format!("there is no repository {repository}"),
        },
        _ => return Failure::Source(reason),
    };
    Failure::Source(format!("{reason}: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_and_paths_cannot_leave_their_place() {
        for text in ["a", "a/", "/b", "a/b/c", "../b", "a/..", "a/b..c", "a b/c", "a/-b", "a/b?x", "ä/b"] {
            assert!(text.parse::<Repository>().is_err(), "{text}");
        }
        assert_eq!("QuantFactory/SmolLM2-135M.x_y".parse::<Repository>().unwrap().name(), "SmolLM2-135M.x_y");
        for text in ["", "/a", "a/", "../a", "a/../b", "a//b", "a\\b", "a/.b", "a/b\n", &"a/".repeat(300)] {
            assert!(text.parse::<HubPath>().is_err(), "{text}");
        }
        assert_eq!("q4 k/m.gguf".parse::<HubPath>().unwrap().file_name().as_str(), "m.gguf");
    }
}
