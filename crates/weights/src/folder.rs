//! A Hugging Face folder: `config.json` and its companions, and safetensors in one file or in shards with an index.
//!
//! Files inside may be symbolic links (the hub's own cache is made of them). A name that comes from the index never
//! leaves the folder.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{ByteTensor, Error, Tensor, error::shown, safetensors::Safetensors};

/// Most bytes of `config.json` and `generation_config.json`; real ones have a few thousand.
const MOST_CONFIG_BYTES: u64 = 4 << 20;
/// Most bytes of the index; that of the largest published models has some ten million.
const MOST_INDEX_BYTES: u64 = 64 << 20;
/// Every shard stays open, and a process has a limited number of files.
const MOST_SHARDS: usize = 1024;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A Hugging Face folder. Its tensors have the names, and its q and k rows the order, of the `transformers` library.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    config: Value,
    generation_config: Option<Value>,
    shards: Vec<Safetensors>,
    /// Names and shards in the order of the shards and of the bytes in them.
    names: Vec<(String, usize)>,
    shard_of: HashMap<String, usize>,
}

/// `model.safetensors.index.json`.
#[derive(serde::Deserialize)]
struct Index {
    /// Tensor name to file name.
    weight_map: BTreeMap<String, String>,
}

impl Folder {
    /// Opens a folder and checks its JSON files and the headers of all safetensors. A folder with `model.safetensors`
    /// needs no index; when both are there, the single file is taken, as `transformers` does.
    ///
    /// # Errors
    /// A file is missing, cannot be read, is too large or breaks its format, or the index contradicts the shards.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Folder { path: path.to_owned(), problem };
        let Some(config) = json::<Value>(&path.join(CONFIG), MOST_CONFIG_BYTES)? else {
            return Err(wrong(format!("it has no {CONFIG}{}", hint(path))));
        };
        if !config.is_object() {
            return Err(wrong(format!("{CONFIG} does not hold an object")));
        }
        let generation_config = json(&path.join(GENERATION_CONFIG), MOST_CONFIG_BYTES)?;

        let mut folder = Self {
            path: path.to_owned(),
            config,
            generation_config,
            shards: Vec::new(),
            names: Vec::new(),
            shard_of: HashMap::new(),
        };
        if path.join(WEIGHTS).exists() {
            let file = Safetensors::open(&path.join(WEIGHTS))?;
            folder.names = file.tensors().map(|tensor| (tensor.name.to_owned(), 0)).collect();
            folder.shard_of = file.raw_names().map(|name| (name.to_owned(), 0)).collect();
            folder.shards.push(file);
        } else if let Some(index) = json::<Index>(&path.join(INDEX), MOST_INDEX_BYTES)? {
            folder.add_shards(index)?;
        } else {
            return Err(wrong(format!("it has neither {WEIGHTS} nor {INDEX}{}", hint(path))));
        }
        folder.shard_of.extend(folder.names.iter().cloned());
        Ok(folder)
    }

    fn add_shards(&mut self, index: Index) -> Result<(), Error> {
        let wrong = |problem: String| Error::Folder { path: self.path.clone(), problem };
        let mut by_file: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, file) in index.weight_map {
            if !is_plain_name(&file) {
                let problem = format!(
                    "{INDEX} puts tensor {} into {}, which is not the name of a safetensors file in the folder",
                    shown(&tensor),
                    shown(&file)
                );
                return Err(wrong(problem));
            }
            by_file.entry(file).or_default().push(tensor);
        }
        if by_file.len() > MOST_SHARDS {
            return Err(wrong(format!("{INDEX} names {} files, at most {MOST_SHARDS} are read", by_file.len())));
        }
        for (number, (file, tensors)) in by_file.into_iter().enumerate() {
            let shard = Safetensors::open(&self.path.join(&file))?;
            let wanted: HashSet<&str> = tensors.iter().map(String::as_str).collect();
            let there = shard.tensors().map(|tensor| tensor.name).filter(|name| wanted.contains(name));
            self.names.extend(there.map(|name| (name.to_owned(), number)));
            let raw = shard.raw_names().filter(|name| wanted.contains(name));
            self.shard_of.extend(raw.map(|name| (name.to_owned(), number)));
            let absent = |name: &&String| shard.tensor(name).is_none() && !shard.left_out().contains(name);
            if let Some(name) = tensors.iter().find(absent) {
                return Err(wrong(format!(
                    "{INDEX} puts tensor {} into {file}, which has no such tensor",
                    shown(name)
                )));
            }
            self.shards.push(shard);
        }
        Ok(())
    }

    /// Parsed `config.json`: an object.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Parsed `generation_config.json`, when it is there.
    pub fn generation_config(&self) -> Option<&Value> {
        self.generation_config.as_ref()
    }

    /// The folder itself; tokenizer and chat template files lie in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a companion file such as `tokenizer.json`, when it is there.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        let path = self.path.join(name);
        path.is_file().then_some(path)
    }

    /// A companion file parsed as JSON, bounded as `config.json` is; `None` when it is not there. A path of two parts, such
    /// as `1_Pooling/config.json`, may also stand in the folder itself, as `1_Pooling.config.json`: that is how a flat store
    /// of files keeps it.
    ///
    /// # Errors
    /// It cannot be read, is too large or is not JSON.
    pub fn companion(&self, path: &str) -> Result<Option<Value>, Error> {
        if !path.split('/').all(|part| !part.is_empty() && part != ".." && !part.contains(['\\', '\0'])) {
            return Ok(None);
        }
        match json(&self.path.join(path), MOST_CONFIG_BYTES)? {
            None if path.contains('/') => json(&self.path.join(path.replace('/', ".")), MOST_CONFIG_BYTES),
            found => Ok(found),
        }
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let &shard = self.shard_of.get(name)?;
        self.shards[shard].tensor(name)
    }

    /// The tensor of bytes of a name.
    pub fn raw(&self, name: &str) -> Option<ByteTensor<'_>> {
        let &shard = self.shard_of.get(name)?;
        self.shards[shard].raw(name)
    }

    /// All tensors, in the order of the shards' names and of the bytes in them. Tensors of integers and truth values
    /// are left out (see [`Safetensors`]), and so are those of a shard that the index does not name.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.names.iter().filter_map(|(name, shard)| self.shards[*shard].tensor(name))
    }

    /// See [`Checkpoint::still_whole`](crate::Checkpoint::still_whole).
    ///
    /// # Errors
    /// [`Error::Changed`], or the system does not say.
    pub fn still_whole(&self) -> Result<(), Error> {
        self.shards.iter().try_for_each(Safetensors::still_whole)
    }
}

/// Whether a name from the index is that of a safetensors file in the folder itself.
fn is_plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']) && !name.contains("..")
}

/// What to do about a folder without the files that are read, by what else it has.
fn hint(path: &Path) -> String {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    // Enough for any model folder, and no endless walk through another one.
    let names: Vec<_> = entries.take(1000).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let with = |suffix: &str| names.iter().find(|name| name.ends_with(suffix));
    if let Some(name) = with(".gguf") {
        format!("; {name} in it is a GGUF file: give its own path")
    } else if let Some(name) = with(".bin").or_else(|| with(".pth")).or_else(|| with(".pt")) {
        format!("; {name} in it is a pickle, which could run code when it is read: convert the model to safetensors")
    } else {
        String::new()
    }
}

/// Parses a JSON file of at most `limit` bytes; `None` when it does not exist.
fn json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<Option<T>, Error> {
    let failed = |source| Error::Io { action: "read", path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Asked before opening: opening a pipe would wait for its writer.
        Ok(metadata) if !metadata.is_file() => return Err(failed(io::ErrorKind::InvalidInput.into())),
        Ok(metadata) if metadata.len() > limit => {
            return Err(Error::TooLarge { path: path.to_owned(), found: metadata.len(), limit });
        }
        other => other.map_err(failed)?,
    };
    let mut text = Vec::new();
    // One byte more than allowed, in case it grows right now.
    File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut text)).map_err(failed)?;
    if text.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), found: text.len() as u64, limit });
    }
    serde_json::from_slice(&text).map(Some).map_err(|source| Error::Json { path: path.to_owned(), source })
}
