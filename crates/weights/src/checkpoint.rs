//! A model on disk, whichever form it has.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{ByteTensor, Error, Folder, Gguf, Tensor, gguf};

/// A model on disk: one GGUF file, a split GGUF, or a Hugging Face folder. Everything in it was checked when it was
/// opened.
///
/// Its files stay mapped as long as it lives. Load what is needed and drop it: a file that somebody cuts short while
/// it is mapped kills the process when the lost part is touched. [`still_whole`](Self::still_whole) narrows that.
#[derive(Debug)]
pub enum Checkpoint {
    /// One GGUF file or several.
    Gguf(Gguf),
    /// A folder with `config.json` and safetensors.
    HuggingFace(Folder),
}

impl Checkpoint {
    /// `path`: a `.gguf` file (of a split: any part), a folder with `config.json` and safetensors. What a file is, its
    /// first bytes tell, not its name.
    ///
    /// # Errors
    /// It is neither, cannot be read, or breaks its format.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io { action: "open", path: path.to_owned(), source };
        let metadata = path.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Folder::open(path).map(Self::HuggingFace);
        }
        let unknown = |problem: &str| Err(Error::NotAModel { path: path.to_owned(), problem: problem.into() });
        if !metadata.is_file() {
            return unknown("it is neither a regular file nor a folder");
        }
        let mut magic = [0; gguf::MAGIC.len()];
        match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return unknown("it is nearly empty"),
            other => other.map_err(failed)?,
        }
        if &magic == gguf::MAGIC {
            return Gguf::open(path).map(Self::Gguf);
        }
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            return unknown(
                "a safetensors file is only the tensors of one: give the folder that holds its config.json",
            );
        }
        unknown("it is not a GGUF file (those begin with \"GGUF\")")
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        match self {
            Self::Gguf(gguf) => gguf.tensor(name),
            Self::HuggingFace(folder) => folder.tensor(name),
        }
    }

    /// The tensor of bytes of a name. Only folders have any.
    pub fn raw(&self, name: &str) -> Option<ByteTensor<'_>> {
        match self {
            Self::Gguf(_) => None,
            Self::HuggingFace(folder) => folder.raw(name),
        }
    }

    /// The tensor of a name that has to be there.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub fn require(&self, name: &str) -> Result<Tensor<'_>, Error> {
        self.tensor(name).ok_or_else(|| Error::MissingTensor { name: name.to_owned() })
    }

    /// All tensors in the order of their bytes on disk, or nearly so: the order in which reading them is quick.
    pub fn tensors(&self) -> Box<dyn Iterator<Item = Tensor<'_>> + '_> {
        match self {
            Self::Gguf(gguf) => Box::new(gguf.tensors()),
            Self::HuggingFace(folder) => Box::new(folder.tensors()),
        }
    }

    /// The names of [`tensors`](Self::tensors), in the same order.
    pub fn tensor_names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.tensors().map(|tensor| tensor.name))
    }

    /// Bytes of all tensors as stored.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// Whether all files still have the length and time of modification that they had when they were opened.
    ///
    /// One system call per file, without touching the mapping, so cheap enough to ask before every tensor. Loaders ask
    /// before they read, so that a file that was cut short is an error and not the end of the process, and once more
    /// when they are done, so that a file that was overwritten meanwhile is not served. What remains is a file that
    /// shrinks between the question and the reading of that tensor.
    ///
    /// # Errors
    /// [`Error::Changed`], or the system does not say.
    pub fn still_whole(&self) -> Result<(), Error> {
        match self {
            Self::Gguf(gguf) => gguf.still_whole(),
            Self::HuggingFace(folder) => folder.still_whole(),
        }
    }
}
