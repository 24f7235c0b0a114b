//! Many corrections after a wrong price, in parts that each are whole: what was cut off is completed by doing it again.

use std::collections::HashMap;

use account::{
    Nano, OrgId,
    ledger::{Entry, Line, Rerated, Rerating, Standing},
};
use sqlx::{Row, SqliteConnection};

use crate::{
    Act, Correction, Error, Store, audit,
    columns::{count, nano, stored},
    ledger,
};

/// Lines that are looked at in one transaction.
const TURN: u64 = 500;

/// Which lines are rated again, and how.
#[derive(Debug, Clone)]
pub struct Reratings {
    /// In whose chain.
    pub org: OrgId,
    /// Number of the first line.
    pub first: u64,
    /// Number of the last line.
    pub last: u64,
    /// How.
    pub how: Rerating,
}

/// What rating again changes, or has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    /// Charges that it is about.
    pub charges: u64,
    /// Those that are corrected.
    pub corrected: u64,
    /// Those that stay because somebody agreed on them.
    pub agreed: u64,
    /// What the corrected ones come to before.
    pub before: i128,
    /// What is added to the balance.
    pub added: i128,
}

/// A charge, what it comes to, and what becomes of it.
struct Looked {
    number: u64,
    net: Nano,
    rerated: Rerated,
}

impl Difference {
    fn add(&mut self, looked: &Looked) {
        match looked.rerated {
            Rerated::Other => return,
            Rerated::Agreed => self.agreed += 1,
            Rerated::Right => {}
            Rerated::Wrong { amount, .. } => {
                self.corrected += 1;
                self.before += i128::from(looked.net.get());
                self.added += i128::from(amount.get());
            }
        }
        self.charges += 1;
    }
}

impl Store {
    /// Says what rating again would change. Nothing is written.
    pub async fn preview_rerating(&self, asked: &Reratings) -> Result<Difference, Error> {
        let mut difference = Difference::default();
        for (first, last) in asked.parts() {
            let connection = &mut *self.readers().acquire().await?;
            look(connection, asked, first, last).await?.iter().for_each(|looked| difference.add(looked));
        }
        Ok(difference)
    }

    /// Corrects what is wrong, part by part. `told` hears of each correction once it is durable.
    pub async fn rerate(
        &self,
        asked: &Reratings,
        act: Act,
        told: impl Fn(&Correction) + Send,
    ) -> Result<Difference, Error> {
        let mut difference = Difference::default();
        let mut note = Some(act.clone());
        for (first, last) in asked.parts() {
            let (asked, act, note) = (asked.clone(), act.clone(), note.take());
            let (part, corrections) = self
                .write(move |connection| {
                    Box::pin(async move {
                        if let Some(act) = note {
                            let object = format!("{} in {}", asked.how.model, asked.org);
                            audit::note(&mut *connection, Some(asked.org), "ledger.rerate", &object, &act).await?;
                        }
                        correct(connection, &asked, first, last, &act).await
                    })
                })
                .await?;
            corrections.iter().for_each(&told);
            difference.charges += part.charges;
            difference.corrected += part.corrected;
            difference.agreed += part.agreed;
            difference.before += part.before;
            difference.added += part.added;
        }
        Ok(difference)
    }
}

impl Reratings {
    fn parts(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        let last = self.last;
        (self.first..=last).step_by(TURN as usize).map(move |first| (first, last.min(first + TURN - 1)))
    }
}

/// What becomes of the charges from line `first` to `last`.
async fn look(
    connection: &mut SqliteConnection,
    asked: &Reratings,
    first: u64,
    last: u64,
) -> Result<Vec<Looked>, Error> {
    let org = &asked.org.as_bytes()[..];
    let query = sqlx::query(
        "SELECT corrects, SUM(amount) AS amount, MAX(agreed) AS agreed FROM corrections
         WHERE org = ? AND corrects >= ? AND corrects <= ? GROUP BY corrects",
    );
    let mut corrected = HashMap::new();
    for row in query.bind(org).bind(stored(first)).bind(stored(last)).fetch_all(&mut *connection).await? {
        corrected.insert(count(&row, "corrects")?, (nano(&row, "amount")?, row.try_get::<i64, _>("agreed")? != 0));
    }
    let query = sqlx::query("SELECT line FROM ledger WHERE org = ? AND number >= ? AND number <= ? ORDER BY number");
    let mut looked = Vec::new();
    for row in query.bind(org).bind(stored(first)).bind(stored(last)).fetch_all(connection).await? {
        let line = Line::parse(row.try_get("line")?).map_err(|_| Error::Corrupt { what: "line of the ledger" })?;
        let Entry::Charge(charge) = &line.entry else { continue };
        let (amount, agreed) = corrected.get(&line.number).copied().unwrap_or((Nano::ZERO, false));
        let net = line.amount.plus(amount).map_err(account::ledger::AppendError::from)?;
        let rerated = asked.how.of(charge, Standing { net, agreed }).map_err(account::ledger::AppendError::from)?;
        looked.push(Looked { number: line.number, net, rerated });
    }
    Ok(looked)
}

async fn correct(
    connection: &mut SqliteConnection,
    asked: &Reratings,
    first: u64,
    last: u64,
    act: &Act,
) -> Result<(Difference, Vec<Correction>), Error> {
    let (mut difference, mut corrections) = (Difference::default(), Vec::new());
    let mut head = ledger::head(&mut *connection, asked.org).await?;
    for looked in look(&mut *connection, asked, first, last).await? {
        difference.add(&looked);
        let Rerated::Wrong { terms, amount } = looked.rerated else { continue };
        let line = head.correct(asked.org, act.at, looked.number, Some(terms), amount)?;
        ledger::append(&mut *connection, &line).await?;
        head = line.head();
        corrections.push(Correction { org: asked.org, corrects: looked.number, terms: Some(terms), amount });
    }
    Ok((difference, corrections))
}
