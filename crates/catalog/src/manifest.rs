//! What the data folder says about one model: `models/<name>.json`.

use serde::{Deserialize, Serialize};

use crate::{Digest, FileName, Name};

/// The version that this program writes and reads.
const VERSION: u32 = 1;
/// Longest manifest that is read, in bytes.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// A model's files and where they came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    /// As in the file's own name.
    name: String,
    /// What was asked for, in canonical spelling: pulling the same again may replace this model.
    pub(crate) reference: String,
    /// The source that the files came from.
    pub(crate) source: String,
    /// Of the file, or of the list of files when there are several.
    pub(crate) digest: Digest,
    /// Unix seconds at which the pull finished.
    pub(crate) created: u64,
    /// At least one.
    pub(crate) files: Vec<File>,
}

/// One file: a name in the model's folder, and the blob that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) name: FileName,
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

impl Manifest {
    /// `files` is not empty, and no two have one name; they are kept in order of their names.
    pub(crate) fn new(name: &Name, reference: String, source: String, created: u64, mut files: Vec<File>) -> Self {
        files.sort_by(|left, right| left.name.cmp(&right.name));
        let digest = digest(&files);
        Self { version: VERSION, name: name.to_string(), reference, source, digest, created, files }
    }

    /// Reads and checks `bytes`, the manifest of `name`.
    pub(crate) fn parse(name: &Name, bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.version != VERSION {
            return Err(format!("its version is {}, but this program reads version {VERSION}", manifest.version));
        }
        if manifest.name != name.as_str() {
            return Err(format!("it is about `{}`", manifest.name.escape_debug()));
        }
        if manifest.files.is_empty() {
            return Err("it lists no file".to_owned());
        }
        if !manifest.files.is_sorted_by(|left, right| left.name < right.name) {
            return Err("its files are out of order, or two have the same name".to_owned());
        }
        if manifest.digest != digest(&manifest.files) {
            return Err("its digest does not fit its files".to_owned());
        }
        Ok(manifest)
    }

    /// The JSON text.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("strings and integers always become JSON");
        text.push(b'\n');
        text
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    /// The file to give to a loader; none when it takes the folder.
    pub(crate) fn main_file(&self) -> Option<&FileName> {
        // In order of names: of a split, the first part.
        self.files.iter().map(|file| &file.name).find(|name| name.as_str().ends_with(".gguf"))
    }

    /// The name of the folder that shows the files under their names: of content and names, so that it never changes.
    pub(crate) fn folder(&self) -> String {
        listing_digest(&self.files).hex()
    }
}

fn digest(files: &[File]) -> Digest {
    match files {
        [file] => file.digest,
        files => listing_digest(files),
    }
}

fn listing_digest(files: &[File]) -> Digest {
    let lines: String = files.iter().map(|file| format!("{}  {}\n", file.digest.hex(), file.name)).collect();
    Digest::of(lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &Name) -> Manifest {
        let file = |name: &str| File { name: name.parse().unwrap(), digest: Digest::of(name.as_bytes()), bytes: 3 };
        let files = vec![file("m-00002-of-00002.gguf"), file("m-00001-of-00002.gguf")];
        Manifest::new(name, "hf:o/r:m".to_owned(), "hub".to_owned(), 7, files)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let name: Name = "m".parse().unwrap();
        let written = manifest(&name);
        assert_eq!(Manifest::parse(&name, &written.to_json()), Ok(written.clone()));
        assert_eq!(written.main_file().unwrap().as_str(), "m-00001-of-00002.gguf");
        assert_eq!(written.bytes(), 6);
    }

    #[test]
    fn a_manifest_that_lies_is_refused() {
        let name: Name = "m".parse().unwrap();
        let text = String::from_utf8(manifest(&name).to_json()).unwrap();
        let lies = [
            ("\"version\": 1", "\"version\": 2"),
            ("\"name\": \"m\"", "\"name\": \"n\""),
            ("m-00001-of-00002.gguf", "../../m.gguf"),
            ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"),
            ("sha256:", "sha512:"),
            ("\"files\": [", "\"files\": []}["),
        ];
        for (truth, lie) in lies {
            assert!(text.contains(truth));
            assert!(Manifest::parse(&name, text.replacen(truth, lie, 1).as_bytes()).is_err(), "{lie}");
        }
        for cut in 0..text.trim_end().len() {
            assert!(Manifest::parse(&name, &text.as_bytes()[..cut]).is_err(), "{cut}");
        }
    }
}
