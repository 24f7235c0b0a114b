//! GGUF: one file that holds a model's metadata, tokenizer and tensors, or several that do so together.
//!
//! Versions 2 and 3, little endian; the specification is `docs/gguf.md` of the ggml project. Everything that a file
//! says is checked when it is opened; afterwards nothing can be out of bounds. A file that breaks a rule is refused
//! with the field and its offset, even where another reader would shrug.

mod cursor;
mod parse;
mod split;

use std::{collections::HashMap, path::Path};

use crate::{Error, Metadata, Tensor, error::shown, mapping::Bytes};

pub(crate) use parse::MAGIC;

/// A (split) GGUF.
#[derive(Debug)]
pub struct Gguf {
    /// In order; the first one holds the metadata.
    parts: Vec<Part>,
    /// Name to part and position in it.
    index: HashMap<String, (usize, usize)>,
}

/// One file.
#[derive(Debug)]
struct Part {
    bytes: Bytes,
    header: parse::Header,
}

impl Part {
    fn open(path: &Path) -> Result<Self, Error> {
        Self::check(Bytes::open(path)?)
    }

    fn check(bytes: Bytes) -> Result<Self, Error> {
        match parse::parse(bytes.as_slice()) {
            Ok(header) => Ok(Self { bytes, header }),
            Err(defect) => Err(Error::Format { path: bytes.path().to_owned(), defect }),
        }
    }

    fn tensor(&self, position: usize) -> Tensor<'_> {
        let info = &self.header.tensors[position];
        Tensor {
            name: &info.name,
            kind: info.kind,
            shape: &info.shape,
            bytes: &self.bytes.as_slice()[info.start..info.start + info.length],
        }
    }
}

impl Gguf {
    /// Opens a GGUF file; of a split model any part, and the others are found beside it by their names.
    ///
    /// # Errors
    /// The file cannot be read, breaks the format, or its parts are not all there or contradict each other.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let part = Part::open(path)?;
        let parts = if split::is_part(&part.header.metadata)? { split::gather(path, part)? } else { vec![part] };
        Self::join(parts)
    }

    /// A whole (not split) GGUF file that is in memory already.
    ///
    /// # Errors
    /// The bytes break the format, or are a part of a split model.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        let part = Part::check(Bytes::Memory(bytes))?;
        if split::is_part(&part.header.metadata)? {
            let path = part.bytes.path().to_owned();
            return Err(Error::Split { path, problem: "only files have other parts beside them".into() });
        }
        Self::join(vec![part])
    }

    fn join(parts: Vec<Part>) -> Result<Self, Error> {
        let mut index = HashMap::new();
        for (number, part) in parts.iter().enumerate() {
            for (position, info) in part.header.tensors.iter().enumerate() {
                if let Some((first, _)) = index.insert(info.name.clone(), (number, position)) {
                    let other = parts[first].bytes.path().display();
                    let path = part.bytes.path().to_owned();
                    return Err(Error::Split {
                        path,
                        problem: format!("tensor {} is in {other} too", shown(&info.name)),
                    });
                }
            }
        }
        Ok(Self { parts, index })
    }

    /// The key-value pairs; of a split model those of the first part, which is where they are.
    pub fn metadata(&self) -> &Metadata {
        &self.parts[0].header.metadata
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let &(part, position) = self.index.get(name)?;
        Some(self.parts[part].tensor(position))
    }

    /// All tensors in the order of the file(s).
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.parts.iter().flat_map(|part| (0..part.header.tensors.len()).map(|position| part.tensor(position)))
    }

    /// Whether all files still have the length and time of modification that they had when they were opened; see
    /// [`Checkpoint::still_whole`](crate::Checkpoint::still_whole).
    ///
    /// # Errors
    /// [`Error::Changed`], or the system does not say.
    pub fn still_whole(&self) -> Result<(), Error> {
        self.parts.iter().try_for_each(|part| part.bytes.still_whole())
    }
}
