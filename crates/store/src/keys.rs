//! API keys: everything but their secrets.

use std::collections::{BTreeSet, HashMap};

use account::{Key, KeyId, KeyedHash, ModelAccess, OrgId, PreviousSecret, ProjectId, Scopes, Timestamp, UserId};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, bytes_if, time, time_if},
    tenants::name,
};

/// A key and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The key.
    pub key: Key,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
}

/// Which keys of an organisation are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeysOf<'a> {
    /// Only those of this project.
    pub project: Option<ProjectId>,
    /// Only those of this person.
    pub owner: Option<UserId>,
    /// Only those with this name.
    pub name: Option<&'a str>,
}

/// What is read of a key, but for its models.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT keys.id, keys.org, keys.project, keys.owner, keys.name, keys.scopes, keys.all_models, keys.expires, keys.revoked,
                    keys.created, keys.last_used, current.hash AS secret, earlier.hash AS previous,
                    earlier.until AS previous_until
             FROM keys JOIN secrets AS current ON current.key = keys.id AND current.until IS NULL
             LEFT JOIN secrets AS earlier ON earlier.key = keys.id AND earlier.until IS NOT NULL ",
            $rest
        )
    };
}

/// Adds a key.
pub(crate) async fn add_key(connection: &mut SqliteConnection, key: &Key, now: Timestamp) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO keys (id, org, project, owner, name, scopes, all_models, expires, revoked, created)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&key.id.as_bytes()[..])
    .bind(&key.org.as_bytes()[..])
    .bind(&key.project.as_bytes()[..])
    .bind(key.owner.map(|user| user.as_bytes().to_vec()))
    .bind(key.name.as_str())
    .bind(key.scopes.to_string())
    .bind(key.models == ModelAccess::All)
    .bind(key.expires.map(Timestamp::as_millis))
    .bind(key.revoked.map(Timestamp::as_millis))
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?;
    write_models(&mut *connection, key).await?;
    write_secrets(connection, key).await
}

/// Writes what can change of a key: owner, name, scopes, models, expiry, revocation, secrets.
pub(crate) async fn change_key(connection: &mut SqliteConnection, key: &Key) -> Result<(), Error> {
    let query = sqlx::query(
        "UPDATE keys SET owner = ?, name = ?, scopes = ?, all_models = ?, expires = ?, revoked = ? WHERE org = ? AND id = ?",
    );
    let done = query
        .bind(key.owner.map(|user| user.as_bytes().to_vec()))
        .bind(key.name.as_str())
        .bind(key.scopes.to_string())
        .bind(key.models == ModelAccess::All)
        .bind(key.expires.map(Timestamp::as_millis))
        .bind(key.revoked.map(Timestamp::as_millis))
        .bind(&key.org.as_bytes()[..])
        .bind(&key.id.as_bytes()[..])
        .execute(&mut *connection)
        .await?;
    if done.rows_affected() == 0 {
        return Err(Error::NotFound { what: "key" });
    }
    write_models(&mut *connection, key).await?;
    write_secrets(connection, key).await
}

impl Store {
    /// Notes when keys were last used: many at once, now and then, not one by one with each request.
    pub async fn note_use(&self, used: Vec<(KeyId, Timestamp)>) -> Result<(), Error> {
        self.write(move |connection| {
            Box::pin(async move {
                for (key, at) in used {
                    let query = sqlx::query("UPDATE keys SET last_used = ? WHERE id = ?");
                    query.bind(at.as_millis()).bind(&key.as_bytes()[..]).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Every key there is, to be looked up by hash in memory.
    pub async fn keys(&self) -> Result<Vec<Key>, Error> {
        let mut transaction = self.readers().begin().await?;
        let mut models: HashMap<[u8; 16], BTreeSet<Box<str>>> = HashMap::new();
        for row in sqlx::query("SELECT key, model FROM key_models").fetch_all(&mut *transaction).await? {
            let model: String = row.try_get("model")?;
            models.entry(bytes(&row, "key")?).or_default().insert(model.into());
        }
        let query = sqlx::query(select!(""));
        let rows = query.fetch_all(&mut *transaction).await?;
        rows.iter().map(|row| key(row, &mut models)).collect()
    }

    /// One key of an organisation.
    pub async fn key(&self, org: OrgId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        let mut transaction = self.readers().begin().await?;
        let query = sqlx::query(select!("WHERE keys.org = ? AND keys.id = ?"));
        let query = query.bind(&org.as_bytes()[..]).bind(&id.as_bytes()[..]);
        match query.fetch_optional(&mut *transaction).await? {
            Some(row) => record(&mut transaction, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Keys of an organisation in the order in which they were made, `most` of those behind `after`.
    pub async fn key_page(
        &self,
        org: OrgId,
        of: KeysOf<'_>,
        after: Option<KeyId>,
        most: u32,
    ) -> Result<Vec<KeyRecord>, Error> {
        let mut transaction = self.readers().begin().await?;
        let query = sqlx::query(select!(
            "WHERE keys.org = ?1 AND (?2 IS NULL OR keys.project = ?2) AND (?3 IS NULL OR keys.name = ?3)
                AND (?6 IS NULL OR keys.owner = ?6)
                AND (?4 IS NULL OR (keys.created, keys.id) >
                    (SELECT last.created, last.id FROM keys AS last WHERE last.org = ?1 AND last.id = ?4))
             ORDER BY keys.created, keys.id LIMIT ?5"
        ));
        let query = query.bind(&org.as_bytes()[..]).bind(of.project.map(|id| id.as_bytes().to_vec())).bind(of.name);
        let query = query.bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        let query = query.bind(of.owner.map(|id| id.as_bytes().to_vec()));
        let mut records = Vec::new();
        for row in query.fetch_all(&mut *transaction).await? {
            records.push(record(&mut transaction, &row).await?);
        }
        Ok(records)
    }

    /// The keys of a person, wherever they are, that nobody has revoked.
    pub async fn keys_of(&self, owner: UserId) -> Result<Vec<KeyRecord>, Error> {
        let mut transaction = self.readers().begin().await?;
        let query =
            sqlx::query(select!("WHERE keys.owner = ? AND keys.revoked IS NULL ORDER BY keys.created, keys.id"));
        let mut records = Vec::new();
        for row in query.bind(&owner.as_bytes()[..]).fetch_all(&mut *transaction).await? {
            records.push(record(&mut transaction, &row).await?);
        }
        Ok(records)
    }
}

async fn record(connection: &mut SqliteConnection, row: &SqliteRow) -> Result<KeyRecord, Error> {
    let id: [u8; 16] = bytes(row, "id")?;
    let mut models = HashMap::new();
    let query = sqlx::query("SELECT model FROM key_models WHERE key = ?").bind(&id[..]);
    for row in query.fetch_all(connection).await? {
        let model: String = row.try_get("model")?;
        models.entry(id).or_insert_with(BTreeSet::new).insert(model.into());
    }
    Ok(KeyRecord { key: key(row, &mut models)?, created: time(row, "created")?, last_used: time_if(row, "last_used")? })
}

fn key(row: &SqliteRow, models: &mut HashMap<[u8; 16], BTreeSet<Box<str>>>) -> Result<Key, Error> {
    let id = bytes(row, "id")?;
    let listed = models.remove(&id).unwrap_or_default();
    let previous = match row.try_get::<Option<&[u8]>, _>("previous")? {
        Some(_) => Some(PreviousSecret {
            hash: KeyedHash::from_bytes(bytes(row, "previous")?),
            until: time(row, "previous_until")?,
        }),
        None => None,
    };
    Ok(Key {
        id: KeyId::from_bytes(id),
        org: OrgId::from_bytes(bytes(row, "org")?),
        project: ProjectId::from_bytes(bytes(row, "project")?),
        owner: bytes_if(row, "owner")?.map(UserId::from_bytes),
        name: name(row)?,
        scopes: Scopes::parse(row.try_get("scopes")?).map_err(|_| Error::Corrupt { what: "scopes" })?,
        models: if row.try_get("all_models")? { ModelAccess::All } else { ModelAccess::Only(listed) },
        expires: time_if(row, "expires")?,
        revoked: time_if(row, "revoked")?,
        secret: KeyedHash::from_bytes(bytes(row, "secret")?),
        previous,
    })
}

/// Replaces the models that a key may name by those that it may name now.
async fn write_models(connection: &mut SqliteConnection, key: &Key) -> Result<(), Error> {
    let gone = sqlx::query("DELETE FROM key_models WHERE key = ?").bind(&key.id.as_bytes()[..]);
    gone.execute(&mut *connection).await?;
    if let ModelAccess::Only(models) = &key.models {
        for model in models {
            let query = sqlx::query("INSERT INTO key_models (key, model) VALUES (?, ?)");
            query.bind(&key.id.as_bytes()[..]).bind(&**model).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Replaces the hashes of a key by those that it has now.
async fn write_secrets(connection: &mut SqliteConnection, key: &Key) -> Result<(), Error> {
    let gone = sqlx::query("DELETE FROM secrets WHERE key = ?").bind(&key.id.as_bytes()[..]);
    gone.execute(&mut *connection).await?;
    let current = (&key.secret, None);
    let previous = key.previous.as_ref().map(|previous| (&previous.hash, Some(previous.until.as_millis())));
    for (hash, until) in [Some(current), previous].into_iter().flatten() {
        sqlx::query("INSERT INTO secrets (hash, key, until) VALUES (?, ?, ?)")
            .bind(&hash.as_bytes()[..])
            .bind(&key.id.as_bytes()[..])
            .bind(until)
            .execute(&mut *connection)
            .await
            .map_err(|error| Error::from(error).or_conflict("a key with this secret"))?;
    }
    Ok(())
}
