//! The one writer: a task that owns the one connection that writes, and commits in groups.
//!
//! What waits is written in one transaction, so that the disk is synchronised once for all of it. Only after that commit
//! is anybody told. Settlements are data and are tried again until they are durable; other work is done once or refused.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use sqlx::SqliteConnection;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    Config, Error,
    notices::Spent,
    settlement::{self, OpenRequest, Settled, UsageRow},
};

/// Most settlements of one transaction.
const GROUP: usize = 256;

/// Work other than settlements that may wait.
const MAX_WORK: usize = 64;

/// Between two attempts while nothing can be written.
const PAUSE: Duration = Duration::from_millis(100);

/// What a work leaves behind: it is told whether the commit came to be.
type Answer = Box<dyn FnOnce(bool) + Send>;
type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<Answer, Error>> + Send>;

/// A handle on the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    rows: mpsc::Sender<Message>,
    work: mpsc::Sender<Work>,
    failing: Arc<AtomicBool>,
    task: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

enum Message {
    Open(OpenRequest),
    Settle(Box<UsageRow>, oneshot::Sender<Result<Settled, Error>>),
}

/// A request's place in the writer's queue. What is handed over through it cannot fail to arrive.
pub struct Slot {
    opening: Option<mpsc::OwnedPermit<Message>>,
    settlement: mpsc::OwnedPermit<Message>,
}

impl Slot {
    /// Says that the request has a lease. Nobody waits for it: it is there to be found at the next start, should the process
    /// end before the request.
    pub fn open(&mut self, request: OpenRequest) {
        if let Some(permit) = self.opening.take() {
            permit.send(Message::Open(request));
        }
    }

    /// Hands over how the request ended. The answer comes when it is durable; who does not want it drops it.
    pub fn settle(self, row: UsageRow) -> oneshot::Receiver<Result<Settled, Error>> {
        let (reply, answer) = oneshot::channel();
        self.settlement.send(Message::Settle(Box::new(row), reply));
        answer
    }
}

impl Writer {
    /// Starts the task.
    pub(crate) fn start(connection: SqliteConnection, config: &Config) -> Self {
        // Each request may send two messages: that it began and that it ended.
        let (rows, rows_inbox) = mpsc::channel(2 * config.max_open_requests.max(1));
        let (work, work_inbox) = mpsc::channel(MAX_WORK);
        let failing = Arc::new(AtomicBool::new(false));
        let task = Task {
            connection,
            rows: rows_inbox,
            work: work_inbox,
            pending: Vec::new(),
            spent: Spent::default(),
            failing: Arc::clone(&failing),
            durable_within: config.durable_within,
        };
        let task = Arc::new(std::sync::Mutex::new(Some(tokio::spawn(task.run()))));
        Self { rows, work, failing, task }
    }

    pub(crate) fn reserve(&self) -> Result<Slot, Error> {
        if self.failing.load(Ordering::Acquire) {
            return Err(Error::NotDurable);
        }
        let permit = || self.rows.clone().try_reserve_owned().map_err(|_| Error::NotDurable);
        Ok(Slot { settlement: permit()?, opening: Some(permit()?) })
    }

    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Error>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                match work(connection).await {
                    Ok(value) => Ok(Box::new(move |durable: bool| {
                        let _ = reply.send(if durable { Ok(value) } else { Err(Error::NotDurable) });
                    }) as Answer),
                    Err(error) if error.is_refusal() => {
                        let _ = reply.send(Err(error));
                        Err(Error::Closed)
                    }
                    Err(error) => {
                        let _ = reply.send(Err(Error::NotDurable));
                        Err(error)
                    }
                }
            })
        });
        self.work.send(work).await.map_err(|_| Error::Closed)?;
        answer.await.unwrap_or(Err(Error::NotDurable))
    }

    /// Waits for the task's end: it writes what was handed over and leaves when no handle is left.
    pub(crate) async fn close(self) {
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        drop((self.rows, self.work));
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

/// Something to be written, and who waits for it since when.
struct Pending {
    row: UsageRow,
    reply: Option<oneshot::Sender<Result<Settled, Error>>>,
    since: Instant,
}

struct Task {
    connection: SqliteConnection,
    rows: mpsc::Receiver<Message>,
    work: mpsc::Receiver<Work>,
    pending: Vec<Pending>,
    spent: Spent,
    failing: Arc<AtomicBool>,
    durable_within: Duration,
}

impl Task {
    async fn run(mut self) {
        let mut opened = Vec::new();
        loop {
            let mut work = None;
            if self.pending.is_empty() && opened.is_empty() {
                let fails = self.failing.load(Ordering::Acquire);
                tokio::select! {
                    Some(message) = self.rows.recv() => self.take(message, &mut opened),
                    Some(asked) = self.work.recv() => work = Some(asked),
                    // As long as it fails nobody sends: it is tried without.
                    () = tokio::time::sleep(PAUSE), if fails => {}
                    // Nobody is left who could send.
                    else => break,
                }
            }
            while self.pending.len() < GROUP && opened.len() < GROUP {
                match self.rows.try_recv() {
                    Ok(message) => self.take(message, &mut opened),
                    Err(_) => break,
                }
            }
            let mut works: Vec<Work> = work.into_iter().collect();
            while let Ok(work) = self.work.try_recv() {
                works.push(work);
            }
            self.commit(&mut opened, works).await;
            let abandoned = self.pending.iter().all(|pending| pending.reply.is_none());
            if self.rows.is_closed() && self.failing.load(Ordering::Acquire) && abandoned {
                tracing::error!(
                    settlements = self.pending.len(),
                    "closed while the data folder could not be written to"
                );
                return;
            }
        }
    }

    fn take(&mut self, message: Message, opened: &mut Vec<OpenRequest>) {
        match message {
            Message::Open(request) => opened.push(request),
            Message::Settle(row, reply) => {
                self.pending.push(Pending { row: *row, reply: Some(reply), since: Instant::now() });
            }
        }
    }

    /// One transaction for all that waits, and the answers.
    async fn commit(&mut self, opened: &mut Vec<OpenRequest>, works: Vec<Work>) {
        let mut answers = Vec::new();
        match self.transaction(opened, works, &mut answers).await {
            Ok(settled) => {
                if self.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the data folder can be written to again");
                }
                opened.clear();
                for (pending, settled) in self.pending.drain(..).zip(settled) {
                    if let Some(reply) = pending.reply {
                        let _ = reply.send(settled);
                    }
                }
                answers.into_iter().for_each(|answer| answer(true));
            }
            Err(error) => {
                let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
                self.spent.clear();
                if !self.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(error = &error as &dyn std::error::Error, "the data folder cannot be written to");
                }
                answers.into_iter().for_each(|answer| answer(false));
                for pending in &mut self.pending {
                    if pending.since.elapsed() >= self.durable_within
                        && let Some(reply) = pending.reply.take()
                    {
                        let _ = reply.send(Err(Error::NotDurable));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn transaction(
        &mut self,
        opened: &[OpenRequest],
        works: Vec<Work>,
        answers: &mut Vec<Answer>,
    ) -> Result<Vec<Result<Settled, Error>>, Error> {
        let connection = &mut self.connection;
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        if self.failing.load(Ordering::Acquire) {
            // A transaction that writes nothing succeeds on any disk.
            sqlx::raw_sql("UPDATE schema_version SET version = version").execute(&mut *connection).await?;
        }
        // What begins and ends in one group need not be noted as begun.
        let ended: HashSet<_> = self.pending.iter().map(|pending| pending.row.request).collect();
        let mut noted = HashSet::new();
        for request in opened {
            if ended.contains(&request.request) {
                noted.insert(request.request);
            } else {
                settlement::open(connection, request).await?;
            }
        }
        let rows: Vec<&UsageRow> = self.pending.iter().map(|pending| &pending.row).collect();
        let settled = settlement::settle(connection, &rows, &noted, &mut self.spent).await?;
        for work in works {
            sqlx::raw_sql("SAVEPOINT work").execute(&mut *connection).await?;
            match work(&mut *connection).await {
                Ok(answer) => answers.push(answer),
                Err(Error::Closed) => {
                    sqlx::raw_sql("ROLLBACK TO work").execute(&mut *connection).await?;
                }
                Err(error) => return Err(error),
            }
            sqlx::raw_sql("RELEASE work").execute(&mut *connection).await?;
        }
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        Ok(settled)
    }
}
