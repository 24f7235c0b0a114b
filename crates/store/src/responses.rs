//! Responses that are kept for whoever asked for them: what was asked and what was answered, until they expire or are
//! deleted. What their JSON means is the edge's affair.

use account::{OrgId, ProjectId, ResponseId, Tenant, Timestamp};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, time},
};

/// Most bytes of one response, its input included.
pub const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// Most responses that one continues, and most bytes of all of them. A longer conversation does not fit in any model's
/// context.
const MAX_CHAIN: usize = 1000;
const MAX_CHAIN_BYTES: usize = MAX_RESPONSE_BYTES;

/// A response, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    /// Its id.
    pub id: ResponseId,
    /// Whose it is.
    pub org: OrgId,
    /// Of which project. Other projects do not learn that it is there.
    pub project: ProjectId,
    /// The response that it continues.
    pub previous: Option<ResponseId>,
    /// When it was made.
    pub created: Timestamp,
    /// The first moment at which it is not there any more.
    pub expires: Timestamp,
    /// Whether it is still being made, in the background.
    pub running: bool,
    /// What was asked: a JSON list of items.
    pub input: Box<str>,
    /// The response as its caller reads it: a JSON object.
    pub response: Box<str>,
}

/// A response and those that it continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Oldest first.
    pub responses: Vec<StoredResponse>,
    /// Whether the first of them continues none. It is not so where an earlier one is gone, or the chain is too long.
    pub complete: bool,
}

impl StoredResponse {
    fn check(&self) -> Result<(), Error> {
        let found = self.bytes();
        if found > MAX_RESPONSE_BYTES {
            return Err(Error::TooLarge { what: "a response with its input", found, limit: MAX_RESPONSE_BYTES });
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.input.len() + self.response.len()
    }
}

impl Store {
    /// Keeps a response.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for one of more than [`MAX_RESPONSE_BYTES`].
    pub async fn keep_response(&self, response: StoredResponse) -> Result<(), Error> {
        response.check()?;
        self.write(move |connection| Box::pin(insert(connection, response))).await
    }

    /// Replaces what a response says, and whether it is still being made. One that is gone stays so: then the answer is
    /// `false`.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] for one of more than [`MAX_RESPONSE_BYTES`].
    pub async fn change_response(&self, response: StoredResponse) -> Result<bool, Error> {
        response.check()?;
        self.write(move |connection| Box::pin(update(connection, response))).await
    }

    /// One response of a project.
    pub async fn response(
        &self,
        tenant: &Tenant,
        id: ResponseId,
        now: Timestamp,
    ) -> Result<Option<StoredResponse>, Error> {
        let query = sqlx::query("SELECT * FROM responses WHERE org = ? AND project = ? AND id = ? AND expires > ?");
        let query = query.bind(&tenant.org.as_bytes()[..]).bind(&tenant.project.as_bytes()[..]);
        let query = query.bind(&id.as_bytes()[..]).bind(now.as_millis());
        query.fetch_optional(self.readers()).await?.as_ref().map(response).transpose()
    }

    /// One response of a project and all that it continues; none where it is not there itself.
    pub async fn response_chain(
        &self,
        tenant: &Tenant,
        id: ResponseId,
        now: Timestamp,
    ) -> Result<Option<Chain>, Error> {
        let Some(last) = self.response(tenant, id, now).await? else { return Ok(None) };
        let (mut previous, mut bytes) = (last.previous, last.bytes());
        let mut responses = vec![last];
        while let Some(id) = previous {
            let Some(earlier) = self.response(tenant, id, now).await? else { break };
            bytes += earlier.bytes();
            if responses.len() == MAX_CHAIN || bytes > MAX_CHAIN_BYTES {
                break;
            }
            previous = earlier.previous;
            responses.push(earlier);
        }
        responses.reverse();
        let complete = responses.first().is_some_and(|first| first.previous.is_none());
        Ok(Some(Chain { responses, complete }))
    }

    /// Deletes a response of a project; `false` where there is none.
    pub async fn delete_response(&self, tenant: &Tenant, id: ResponseId) -> Result<bool, Error> {
        let (org, project) = (tenant.org, tenant.project);
        self.write(move |connection| {
            Box::pin(async move {
                let query = sqlx::query("DELETE FROM responses WHERE org = ? AND project = ? AND id = ?");
                let query = query.bind(&org.as_bytes()[..]).bind(&project.as_bytes()[..]).bind(&id.as_bytes()[..]);
                Ok(query.execute(connection).await?.rows_affected() == 1)
            })
        })
        .await
    }

    /// Deletes up to `most` responses that have expired, whosever they are, and says how many there were.
    pub async fn delete_expired_responses(&self, now: Timestamp, most: u32) -> Result<u64, Error> {
        self.write(move |connection| {
            Box::pin(async move {
                let query = sqlx::query(
                    "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE responses.expires <= ? LIMIT ?)",
                );
                let query = query.bind(now.as_millis()).bind(most);
                Ok(query.execute(connection).await?.rows_affected())
            })
        })
        .await
    }

    /// Up to `most` responses, whosever they are, that are still being made. At a start these are the ones that the process
    /// before left behind.
    pub async fn running_responses(&self, most: u32) -> Result<Vec<StoredResponse>, Error> {
        let query = sqlx::query("SELECT * FROM responses WHERE responses.running LIMIT ?").bind(most);
        query.fetch_all(self.readers()).await?.iter().map(response).collect()
    }
}

async fn insert(connection: &mut SqliteConnection, response: StoredResponse) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO responses (id, org, project, previous, created, expires, running, input, response)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&response.id.as_bytes()[..])
    .bind(&response.org.as_bytes()[..])
    .bind(&response.project.as_bytes()[..])
    .bind(response.previous.map(|id| id.as_bytes().to_vec()))
    .bind(response.created.as_millis())
    .bind(response.expires.as_millis())
    .bind(response.running)
    .bind(&*response.input)
    .bind(&*response.response)
    .execute(connection)
    .await
    .map_err(|error| Error::from(error).or_conflict("a response of this id"))?;
    Ok(())
}

async fn update(connection: &mut SqliteConnection, response: StoredResponse) -> Result<bool, Error> {
    let query = sqlx::query("UPDATE responses SET running = ?, response = ? WHERE org = ? AND project = ? AND id = ?");
    let done = query
        .bind(response.running)
        .bind(&*response.response)
        .bind(&response.org.as_bytes()[..])
        .bind(&response.project.as_bytes()[..])
        .bind(&response.id.as_bytes()[..])
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn response(row: &SqliteRow) -> Result<StoredResponse, Error> {
    let text = |column| row.try_get::<String, _>(column).map(Box::from);
    Ok(StoredResponse {
        id: ResponseId::from_bytes(bytes(row, "id")?),
        org: OrgId::from_bytes(bytes(row, "org")?),
        project: ProjectId::from_bytes(bytes(row, "project")?),
        previous: bytes_if(row, "previous")?.map(ResponseId::from_bytes),
        created: time(row, "created")?,
        expires: time(row, "expires")?,
        running: row.try_get("running")?,
        input: text("input")?,
        response: text("response")?,
    })
}
