//! The store: one file of rows, one writer, several readers.

use std::{path::Path, sync::Arc, time::Duration};

use account::Pepper;
use futures::future::BoxFuture;
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{
    Error, migrations, pepper,
    writer::{Slot, Writer},
};

/// The rows' file in the data folder.
pub(crate) const FILE: &str = "modelworks.db";

/// Settings of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Requests that may have a place for their settlement at a time; more are refused.
    pub max_open_requests: usize,
    /// Connections that read.
    pub readers: u32,
    /// How long the writer waits for a lock that another program holds.
    pub busy_timeout: Duration,
    /// What nobody could make durable for this long is told to whoever waits for it. It is tried on.
    pub durable_within: Duration,
    /// Largest size of the file, in pages of 4096 bytes; `None` lets the disk decide. At the bound it behaves as a full
    /// disk.
    pub max_pages: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_open_requests: 4096,
            readers: 4,
            busy_timeout: Duration::from_secs(2),
            durable_within: Duration::from_secs(5),
            max_pages: None,
        }
    }
}

/// A handle on the rows of one data folder. Cloning it is cheap; all clones are one store, and the writer ends with the
/// last of them. The caller sees to it that no other process uses the folder.
#[derive(Clone)]
pub struct Store {
    readers: SqlitePool,
    writer: Writer,
    pepper: Arc<Pepper>,
}

impl Store {
    /// Opens the rows of a data folder, or makes them, and brings them to the latest version.
    ///
    /// # Errors
    ///
    /// [`Error::NewerSchema`] when a later version wrote them; then nothing is changed.
    pub async fn open(folder: &Path, config: Config) -> Result<Self, Error> {
        let options = options(folder, &config);
        let mut connection = options.clone().create_if_missing(true).connect().await?;
        migrations::migrate(&mut connection).await?;
        let pepper = Arc::new(pepper::open(folder)?);
        let readers = SqlitePoolOptions::new().max_connections(config.readers).min_connections(1);
        let readers = readers.connect_with(options.read_only(true)).await?;
        Ok(Self { readers, writer: Writer::start(connection, &config), pepper })
    }

    /// What secrets are hashed with.
    pub fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    /// A place for a request's settlement; taken before the request runs, so that its end can always be handed over.
    ///
    /// # Errors
    ///
    /// [`Error::NotDurable`] while rows cannot be written, or when all places are taken.
    pub fn reserve(&self) -> Result<Slot, Error> {
        self.writer.reserve()
    }

    /// Ends the writer once it has written what was handed over before. The writer is the last to leave: it moves what the
    /// log holds into the file.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Runs `work` in a transaction of the writer, and answers when that is durable. A failure of `work` takes back what it
    /// wrote, and nothing else.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        self.writer.write(work).await
    }
}

/// WAL with full synchronisation: a commit is on the disk when it returns, and readers never wait for the writer.
pub(crate) fn options(folder: &Path, config: &Config) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(config.busy_timeout)
        .foreign_keys(true)
        .disable_statement_logging();
    match config.max_pages {
        Some(pages) => options.pragma("max_page_count", pages.to_string()),
        None => options,
    }
}
