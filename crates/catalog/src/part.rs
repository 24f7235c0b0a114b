//! One download in progress: a file in `partial/`, and beside it a note of what it is a part of.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::{
    Digest, Error, crash,
    digest::hash_all,
    durable,
    folder::{Folder, blob_name},
    lock::Lock,
};

/// Bytes that are written between two moments at which they are brought to the disk and noted as good.
const SYNCED_EVERY: u64 = 64 << 20;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 20;
/// Longest note that is read, in bytes.
const NOTE_BYTES: u64 = 1 << 16;

/// A file that is not whole yet. Its methods block.
pub(crate) struct Part {
    folder: Arc<Folder>,
    /// Nobody else writes this file while it is open here.
    _lock: Lock,
    file: File,
    path: PathBuf,
    note: Note,
    hasher: sha2::Sha256,
    length: u64,
    /// What the whole has to be, when that is known beforehand.
    known: Option<Digest>,
    /// Whether some of it came from an earlier attempt.
    resumed: bool,
}

/// What a server said about the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Names the content across servers, such as the hub's `X-Linked-Etag`.
    pub(crate) identity: Option<String>,
    /// The strong ETag of the server that sends the bytes.
    pub(crate) etag: Option<String>,
    /// Bytes that are on the disk for certain. What a power cut left behind them may be anything.
    synced: u64,
}

/// A whole file, in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// What came of checking a whole file.
pub(crate) enum Finished {
    Stored(Stored),
    /// Its digest is another one; the file is gone.
    Mismatch {
        found: Digest,
    },
}

impl Part {
    /// Continues the download `key`, or starts it. What is there is read once, for the digest.
    pub(crate) fn open(folder: Arc<Folder>, lock: Lock, key: &str, known: Option<Digest>) -> Result<Self, Error> {
        let path = folder.partial().join(key);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::folder("open the download", &path))?;
        crash::point();
        let length = file.metadata().map_err(Error::folder("read the download", &path))?.len();
        let note = read_note(&note_path(&path));
        let good = match (known, &note) {
            // The digest decides in the end.
            (Some(_), _) => length,
            (None, Note { etag: Some(_), synced, .. }) => length.min(*synced),
            (None, _) => 0,
        };
        let mut hasher = sha2::Sha256::new();
        let length =
            hash_all(&mut (&mut file).take(good), &mut hasher).map_err(Error::folder("read the download", &path))?;
        let mut part = Self { folder, _lock: lock, file, path, note, hasher, length, known, resumed: length > 0 };
        part.cut()?;
        Ok(part)
    }

    /// Bytes that are here.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Whether some of the bytes came from an earlier attempt, perhaps of another process.
    pub(crate) fn was_resumed(&self) -> bool {
        self.resumed
    }

    /// The digest of the bytes that are here.
    pub(crate) fn digest(&self) -> Digest {
        Digest::finish(self.hasher.clone())
    }

    /// What was noted when the bytes that are here came.
    pub(crate) fn note(&self) -> &Note {
        &self.note
    }

    /// Whether the bytes that are here may be continued: by what was noted, or because the digest decides.
    pub(crate) fn can_resume(&self) -> bool {
        self.length > 0 && (self.known.is_some() || self.note.etag.is_some())
    }

    /// Notes what the bytes that follow are a part of.
    pub(crate) fn begin(&mut self, identity: Option<String>, etag: Option<String>) -> Result<(), Error> {
        let note = Note { identity, etag, synced: self.note.synced };
        if note != self.note {
            self.note = note;
            self.write_note()?;
        }
        Ok(())
    }

    /// Throws away what is here.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        self.length = 0;
        self.resumed = false;
        self.hasher = sha2::Sha256::new();
        self.note = Note::default();
        durable::remove_file(&note_path(&self.path))?;
        self.cut()
    }

    fn cut(&mut self) -> Result<(), Error> {
        let cut = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
        cut.map(|_| ()).map_err(Error::folder("write the download", &self.path))
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.folder.disk.write(&mut self.file, bytes);
        written.map_err(|error| self.folder.write_error(&self.path, error))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        if self.length.saturating_sub(self.note.synced) >= SYNCED_EVERY {
            self.sync()?;
            self.note.synced = self.length;
            self.write_note()?;
        }
        Ok(())
    }

    /// Appends all of `source`, at most `most` bytes; `on_length` is told the length now and then. A source that has more
    /// is an error of kind `FileTooLarge`.
    pub(crate) fn write_all_of(
        &mut self,
        source: &mut dyn Read,
        most: u64,
        mut on_length: impl FnMut(u64),
    ) -> Result<(), CopyError> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(CopyError::Source(error)),
            };
            if read == 0 {
                return Ok(());
            }
            if self.length + read as u64 > most {
                return Err(CopyError::Source(io::ErrorKind::FileTooLarge.into()));
            }
            self.write(&buffer[..read]).map_err(CopyError::Ours)?;
            on_length(self.length);
        }
    }

    /// The first bytes, fewer when there are fewer.
    pub(crate) fn first_bytes(&mut self, count: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let read = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.by_ref().take(count as u64).read_to_end(&mut bytes))
            .and_then(|_| self.file.seek(SeekFrom::Start(self.length)));
        read.map(|_| bytes).map_err(Error::folder("read the download", &self.path))
    }

    /// Checks the digest, and moves the file among the blobs when it is right.
    pub(crate) fn finish(self) -> Result<Finished, Error> {
        let found = self.digest();
        if self.known.is_some_and(|known| known != found) {
            self.discard()?;
            return Ok(Finished::Mismatch { found });
        }
        self.sync()?;
        // The note first: without the file it would be about nothing, the file without it is only less well known.
        durable::remove_file(&note_path(&self.path))?;
        durable::rename(&self.path, &self.folder.blob(found))?;
        Ok(Finished::Stored(Stored { digest: found, bytes: self.length }))
    }

    /// Removes the file.
    pub(crate) fn discard(self) -> Result<(), Error> {
        durable::remove_file(&note_path(&self.path))?;
        durable::remove_file(&self.path).map(|_| ())
    }

    fn sync(&self) -> Result<(), Error> {
        crash::point();
        // A file system may find only now that it has no room.
        self.file.sync_all().map_err(|error| self.folder.write_error(&self.path, error))
    }

    fn write_note(&self) -> Result<(), Error> {
        let json = serde_json::to_vec(&self.note).expect("strings and integers always become JSON");
        durable::write(&note_path(&self.path), &json)
    }
}

/// Why a copy failed: reading or writing.
pub(crate) enum CopyError {
    Source(io::Error),
    Ours(Error),
}

/// The blob of `digest`, when it is there already. It was checked when it came.
pub(crate) fn stored(folder: &Folder, digest: Digest) -> Option<Stored> {
    let metadata = fs::metadata(folder.blob(digest)).ok()?;
    metadata.is_file().then_some(Stored { digest, bytes: metadata.len() })
}

/// The key of a download whose digest is known, or not: then of the address it comes from.
pub(crate) fn key(known: Option<Digest>, address: &str) -> String {
    known.map_or_else(|| format!("url-{}", Digest::of(address.as_bytes()).hex()), blob_name)
}

fn note_path(path: &std::path::Path) -> PathBuf {
    path.with_extension("json")
}

fn read_note(path: &std::path::Path) -> Note {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(NOTE_BYTES).read_to_end(&mut text));
    match read {
        Ok(_) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Note::default(),
    }
}
