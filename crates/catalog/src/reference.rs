//! What can be pulled, as people write it.

use std::{fmt, path::PathBuf, str::FromStr};

use reqwest::Url;
use thiserror::Error;

use crate::{
    Digest, HubPath, InvalidName, Name, Repository,
    http::check_public,
    source::{HttpsFiles, HubFiles, LocalPath},
};

/// Something that [`crate::Catalog::pull`] can bring.
///
/// ```
/// use catalog::Reference;
///
/// let reference: Reference = "hf:owner/repo:model.Q4_K_M.gguf".parse()?;
/// assert_eq!(reference.to_string(), "hf:owner/repo:model.Q4_K_M.gguf");
/// assert!("http://example.org/model.gguf".parse::<Reference>().is_err());
/// # Ok::<(), catalog::InvalidReference>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `name`: one of [`crate::KNOWN`].
    Known(Name),
    /// `hf:owner/repo[:file]`: a repository of the hub. Without a file: of its GGUF files the one of the preferred
    /// quantisation (Q4_K_M first, a table in `choice.rs`); without GGUF files, `config.json`, the safetensors at the top
    /// and the tokenizer's files.
    Hub {
        /// The repository.
        repository: Repository,
        /// A GGUF file in it; of a split one, any part.
        path: Option<HubPath>,
    },
    /// `https://…[#sha256=<digest>]`: a GGUF file; of a split one, any part.
    Https {
        /// Without a fragment.
        url: Url,
        /// What the file has to be.
        digest: Option<Digest>,
    },
    /// Anything with a `/` in it: a GGUF file or a folder of this machine. Only the operator's own command line may say
    /// this; whoever takes references from elsewhere must refuse it.
    Path(PathBuf),
}

/// A text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot pull `{}`: {problem}", text.escape_debug())]
pub struct InvalidReference {
    /// The text, cut to a sensible length.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Longest reference, in bytes.
const MOST_BYTES: usize = 4096;

impl Reference {
    /// The name that the model gets when nobody says another.
    pub(crate) fn default_name(&self) -> Result<Name, InvalidReference> {
        let name = match self {
            Self::Known(name) => Some(name.clone()),
            Self::Hub { path: Some(path), .. } => Name::from_text(path.file_name().stem()),
            Self::Hub { repository, path: None } => {
                let lower = repository.name().to_ascii_lowercase();
                Name::from_text(lower.strip_suffix("-gguf").unwrap_or(&lower))
            }
            Self::Https { url, digest } => {
                let files = HttpsFiles::new(url, *digest).map_err(|problem| self.invalid(problem))?;
                Name::from_text(files.file_name().stem())
            }
            Self::Path(path) => {
                let last = path.file_name().unwrap_or_default().to_string_lossy();
                match crate::FileName::sanitised(&last) {
                    Some(name) => Name::from_text(name.stem()),
                    None => None,
                }
            }
        };
        name.ok_or_else(|| self.invalid("no model name can be made of it; give one".to_owned()))
    }

    fn invalid(&self, problem: String) -> InvalidReference {
        InvalidReference { text: self.to_string(), problem }
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("it has more than {MOST_BYTES} bytes"));
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            let (repository, path) = match rest.split_once(':') {
                Some((repository, path)) => (repository, Some(path)),
                None => (rest, None),
            };
            let repository: Repository = repository.parse()?;
            let path = path.map(str::parse::<HubPath>).transpose()?;
            if let Some(path) = &path {
                HubFiles::new(repository.clone(), path)?;
            }
            return Ok(Self::Hub { repository, path });
        }
        if let Some((scheme, _)) = text.split_once("://") {
            if !scheme.eq_ignore_ascii_case("https") {
                return Err(format!("only https is accepted, not `{}:`", scheme.escape_debug()));
            }
            let mut url = Url::parse(text).map_err(|error| error.to_string())?;
            let digest = match url.fragment() {
                None => None,
                Some(fragment) => {
                    let digest = fragment.strip_prefix("sha256=").and_then(|hex| hex.parse().ok());
                    Some(digest.ok_or("behind `#` only `sha256=` and 64 hex digits may stand")?)
                }
            };
            url.set_fragment(None);
            check_public(&url).map_err(|error| error.reason)?;
            HttpsFiles::new(&url, digest)?;
            return Ok(Self::Https { url, digest });
        }
        if text.contains('/') {
            return Ok(Self::Path(LocalPath { path: PathBuf::from(text) }.path));
        }
        text.parse().map(Self::Known).map_err(|error: InvalidName| {
            format!(
                "{error}; or write hf:owner/repo, an https:// address, or a path with a `/` in it, such as ./model.gguf"
            )
        })
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        Self::parse(text).map_err(|problem| InvalidReference { text: text.chars().take(200).collect(), problem })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(name) => write!(formatter, "{name}"),
            Self::Hub { repository, path: None } => write!(formatter, "hf:{repository}"),
            Self::Hub { repository, path: Some(path) } => write!(formatter, "hf:{repository}:{}", path.as_str()),
            Self::Https { url, digest: None } => write!(formatter, "{url}"),
            Self::Https { url, digest: Some(digest) } => write!(formatter, "{url}#sha256={}", digest.hex()),
            Self::Path(path) => write!(formatter, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_told_apart_and_named() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let with_digest = format!("https://example.org/a/M-1.gguf?x=y#sha256={digest}");
        let cases = [
            ("smollm2-135m", "smollm2-135m"),
            ("hf:Owner/My-Repo", "my-repo"),
            ("hf:o/r:Q4/Model-Q4_K_M-00001-of-00002.gguf", "model-q4_k_m"),
            ("https://example.org/Some%20Model.gguf", "some_20model"),
            (with_digest.as_str(), "m-1"),
            ("./model.v1.gguf", "model.v1"),
            ("/models/Folder", "folder"),
        ];
        for (text, name) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(reference.default_name().unwrap().as_str(), name, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        let cases = [
            ("", "is not a model name"),
            ("Model.gguf", "./model.gguf"),
            ("hf:owner", "owner/name"),
            ("hf:o/r:../x.gguf", "is not the path of a file"),
            ("hf:o/r:config.json", "is not a GGUF file"),
            ("http://example.org/m.gguf", "only https"),
            ("ftp://example.org/m.gguf", "only https"),
            ("https://u:p@example.org/m.gguf", "password"),
            ("https://10.0.0.1/m.gguf", "private network"),
            ("https://[::ffff:127.0.0.1]/m.gguf", "private network"),
            ("https://example.org/m.gguf#sha256=12", "64 hex digits"),
            ("https://example.org/m.gguf#x", "64 hex digits"),
            ("https://example.org/", "name of a file"),
        ];
        for (text, problem) in cases {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_reference_reads_as_it_was_written(text in "(hf:)?[a-zA-Z0-9./:_-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference.clone()));
                let _named_or_refused = reference.default_name();
            }
        }
    }
}
