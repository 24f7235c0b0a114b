//! A model over several GGUF files: `<name>-00001-of-00003.gguf` and so on, as llama.cpp's `gguf-split` writes them.
//!
//! Every part is a GGUF file with the keys below; the first one holds the metadata of the model.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::Part;
use crate::{Error, Metadata};

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// Every part stays open, and a process has a limited number of files; the largest published models have some 200.
const MOST_PARTS: u64 = 1024;

/// What a part says about the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// From zero.
    number: u64,
    /// At least 2.
    count: u64,
    /// Tensors of all parts.
    tensors: Option<u64>,
}

/// Whether this is a part of several.
pub(super) fn is_part(metadata: &Metadata) -> Result<bool, Error> {
    Ok(metadata.u64(COUNT)?.unwrap_or(1) > 1)
}

/// Opens the other parts of the one at `path` and returns all in order.
pub(super) fn gather(path: &Path, opened: Part) -> Result<Vec<Part>, Error> {
    let claim = claim(path, &opened.header.metadata)?;
    let Some(prefix) = prefix(path, claim) else {
        let problem = format!(
            "it says that it is part {} of {}, so its name should end in {}: give all parts the names that they were \
             published with",
            claim.number + 1,
            claim.count,
            suffix(claim.number, claim.count)
        );
        return Err(Error::Split { path: path.to_owned(), problem });
    };

    let mut opened = Some(opened);
    let mut parts = Vec::new();
    for number in 0..claim.count {
        if number == claim.number {
            parts.extend(opened.take());
            continue;
        }
        let other = sibling(path, &prefix, number, claim.count);
        if !other.exists() {
            let problem = format!("part {} of {}, {}, is missing", number + 1, claim.count, other.display());
            return Err(Error::Split { path: path.to_owned(), problem });
        }
        let part = Part::open(&other)?;
        let found = self::claim(&other, &part.header.metadata)?;
        let wanted = Claim { number, ..claim };
        if found != wanted {
            let problem = format!("it says {found}, but {} says {wanted}", path.display());
            return Err(Error::Split { path: other, problem });
        }
        parts.push(part);
    }

    let tensors: usize = parts.iter().map(|part| part.header.tensors.len()).sum();
    if let Some(wanted) = claim.tensors.filter(|&wanted| wanted != tensors as u64) {
        let problem = format!("{TENSORS:?} is {wanted}, but all parts together have {tensors} tensors");
        return Err(Error::Split { path: path.to_owned(), problem });
    }
    Ok(parts)
}

fn claim(path: &Path, metadata: &Metadata) -> Result<Claim, Error> {
    let missing = |key| Error::Split { path: path.to_owned(), problem: format!("it has no {key:?}") };
    let number = metadata.u64(NUMBER)?.ok_or_else(|| missing(NUMBER))?;
    let count = metadata.u64(COUNT)?.ok_or_else(|| missing(COUNT))?;
    let tensors = metadata.u64(TENSORS)?;
    if !(2..=MOST_PARTS).contains(&count) || number >= count {
        let problem = format!("{NUMBER:?} is {number} and {COUNT:?} is {count}; at most {MOST_PARTS} parts are read");
        return Err(Error::Split { path: path.to_owned(), problem });
    }
    Ok(Claim { number, count, tensors })
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part {} of {}", self.number + 1, self.count)?;
        match self.tensors {
            Some(tensors) => write!(f, " with {tensors} tensors in all"),
            None => Ok(()),
        }
    }
}

fn suffix(number: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}

/// What the names of all parts begin with, when the name of this one is what its number asks for.
fn prefix(path: &Path, claim: Claim) -> Option<OsString> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(&suffix(claim.number, claim.count))?.into())
}

fn sibling(path: &Path, prefix: &OsString, number: u64, count: u64) -> PathBuf {
    let mut name = prefix.clone();
    name.push(suffix(number, count));
    path.with_file_name(name)
}
