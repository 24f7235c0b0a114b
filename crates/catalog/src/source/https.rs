//! A GGUF file at any `https://` address.

use reqwest::Url;

use super::{Context, Failure, GGUF_MAGIC};
use crate::{
    Digest, FileName, choice,
    download::{Download, download, shown},
    manifest,
};

/// A file, with all its parts when it is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpsFiles {
    /// At least one.
    files: Vec<(Url, FileName)>,
    /// Of the only file.
    digest: Option<Digest>,
}

impl HttpsFiles {
    /// `url` has no fragment; `digest` is that of the file, when the caller knows it.
    pub(crate) fn new(url: &Url, digest: Option<Digest>) -> Result<Self, String> {
        let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
        let mut name = FileName::sanitised(last).ok_or("the address does not end in the name of a file")?;
        // The name is free (`/download?id=7`); that it is a GGUF is seen by its first bytes.
        if !name.as_str().ends_with(".gguf") {
            name =
                FileName::sanitised(&format!("{name}.gguf")).ok_or("the address does not end in the name of a file")?;
        }
        let names = choice::split_paths(name.as_str())?;
        if names.len() > 1 && digest.is_some() {
            return Err("a digest can be given for a single file only, not for one that is split".to_owned());
        }
        let file = |part: String| {
            let mut url = url.clone();
            if names.len() > 1
                && let Ok(mut segments) = url.path_segments_mut()
            {
                segments.pop().push(&part);
            }
            let part = part.parse::<FileName>().map_err(|error| error.to_string())?;
            Ok((url, part))
        };
        Ok(Self { files: names.iter().cloned().map(file).collect::<Result<_, String>>()?, digest })
    }

    /// The name of the first file.
    pub(crate) fn file_name(&self) -> &FileName {
        &self.files[0].1
    }

    pub(crate) fn describe(&self) -> String {
        shown(&self.files[0].0)
    }

    pub(crate) async fn fetch(&self, context: &Context) -> Result<Vec<manifest::File>, Failure> {
        if self.files.len() > context.limits.files {
            return Err(Failure::Source(format!("the model has more than {} files", context.limits.files)));
        }
        let mut files = Vec::new();
        let mut before = 0;
        for (url, name) in &self.files {
            let want = Download {
                url: url.clone(),
                digest: self.digest,
                bytes: None,
                magic: GGUF_MAGIC,
                before,
                // Of a split file, each part is only asked for when its turn comes.
                total_known: self.files.len() > 1,
            };
            let stored = download(&context.http, &context.folder, want, &context.reporter).await?;
            before += stored.bytes;
            files.push(manifest::File { name: name.clone(), digest: stored.digest, bytes: stored.bytes });
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_named_after_the_address() {
        let names = |url: &str| {
            let files = HttpsFiles::new(&Url::parse(url).unwrap(), None)?;
            Ok::<_, String>(files.files.iter().map(|(url, name)| format!("{url} {name}")).collect::<Vec<_>>())
        };
        assert_eq!(names("https://h/a/m.gguf?x=1").unwrap(), ["https://h/a/m.gguf?x=1 m.gguf"]);
        assert_eq!(
            names("https://h/a/..%2f..%2fetc").unwrap(),
            ["https://h/a/..%2f..%2fetc 2f.._2fetc.gguf".replace("2f.._2fetc", "_2f.._2fetc")]
        );
        assert_eq!(
            names("https://h/m-00002-of-00002.gguf").unwrap(),
            [
                "https://h/m-00001-of-00002.gguf m-00001-of-00002.gguf",
                "https://h/m-00002-of-00002.gguf m-00002-of-00002.gguf"
            ]
        );
        assert!(names("https://h/").is_err());
    }
}
