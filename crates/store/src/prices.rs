//! Prices of models, in dated versions.

use std::collections::BTreeMap;

use account::{Class, Price, PriceHistory, PriceId, PriceVersion};
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    Error, Store,
    columns::{bytes, rates, time},
};

/// Adds a version of a model's price. Versions are never changed: who was wrong adds another one.
pub(crate) async fn add_price(
    connection: &mut SqliteConnection,
    model: &str,
    version: &PriceVersion,
) -> Result<(), Error> {
    let rate = |class| version.price.rates().of(class).get();
    sqlx::query(
        "INSERT INTO prices (id, model, valid_from, input, cached_input, output, seconds, images, requests, batch_share,
                             sequence)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM prices))",
    )
    .bind(&version.id.as_bytes()[..])
    .bind(model)
    .bind(version.from.as_millis())
    .bind(rate(Class::Input))
    .bind(rate(Class::CachedInput))
    .bind(rate(Class::Output))
    .bind(rate(Class::Seconds))
    .bind(rate(Class::Images))
    .bind(rate(Class::Requests))
    .bind(version.price.batch_share())
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The prices of every model that has some.
    pub async fn prices(&self) -> Result<BTreeMap<Box<str>, PriceHistory>, Error> {
        let mut versions: BTreeMap<Box<str>, Vec<PriceVersion>> = BTreeMap::new();
        let query = sqlx::query(
            "SELECT id, model, valid_from, input, cached_input, output, seconds, images, requests, batch_share
             FROM prices ORDER BY sequence",
        );
        for row in query.fetch_all(self.readers()).await? {
            let (model, version) = version(&row)?;
            versions.entry(model).or_default().push(version);
        }
        Ok(versions.into_iter().map(|(model, versions)| (model, PriceHistory::new(versions))).collect())
    }

    /// Versions of prices in the order in which they were set, `most` of those behind `after`; only those of a model,
    /// where one is given.
    pub async fn price_page(
        &self,
        model: Option<&str>,
        after: Option<PriceId>,
        most: u32,
    ) -> Result<Vec<(Box<str>, PriceVersion)>, Error> {
        let query = sqlx::query(
            "SELECT * FROM prices
             WHERE (?1 IS NULL OR model = ?1) AND (?2 IS NULL OR sequence > (SELECT sequence FROM prices WHERE id = ?2))
             ORDER BY sequence LIMIT ?3",
        );
        let query = query.bind(model).bind(after.map(|id| id.as_bytes().to_vec())).bind(most);
        query.fetch_all(self.readers()).await?.iter().map(version).collect()
    }
}

fn version(row: &SqliteRow) -> Result<(Box<str>, PriceVersion), Error> {
    let price = Price::new(rates(row)?, row.try_get("batch_share")?);
    let price = price.map_err(|_| Error::Corrupt { what: "price" })?;
    let model: String = row.try_get("model")?;
    let id = PriceId::from_bytes(bytes(row, "id")?);
    Ok((model.into(), PriceVersion { id, from: time(row, "valid_from")?, price }))
}
