//! Values in and out of columns.

use account::{Class, Counts, Nano, PerClass, Timestamp};
use sqlx::{Row, sqlite::SqliteRow};

use crate::Error;

/// 16 or 32 bytes: an id or a hash.
pub(crate) fn bytes<const N: usize>(row: &SqliteRow, column: &'static str) -> Result<[u8; N], Error> {
    let value: Vec<u8> = row.try_get(column)?;
    value.try_into().map_err(|_| Error::Corrupt { what: column })
}

/// The same, where there may be none.
pub(crate) fn bytes_if<const N: usize>(row: &SqliteRow, column: &'static str) -> Result<Option<[u8; N]>, Error> {
    let value: Option<Vec<u8>> = row.try_get(column)?;
    value.map(|value| value.try_into().map_err(|_| Error::Corrupt { what: column })).transpose()
}

/// A moment.
pub(crate) fn time(row: &SqliteRow, column: &'static str) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_millis(row.try_get(column)?))
}

/// A moment, where there may be none.
pub(crate) fn time_if(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_millis))
}

/// An amount.
pub(crate) fn nano(row: &SqliteRow, column: &'static str) -> Result<Nano, Error> {
    Ok(Nano::new(row.try_get(column)?))
}

/// A count, which columns hold as a signed number.
pub(crate) fn count(row: &SqliteRow, column: &'static str) -> Result<u64, Error> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| Error::Corrupt { what: column })
}

/// Counts by class: columns have the classes' names.
pub(crate) fn counts(row: &SqliteRow) -> Result<Counts, Error> {
    let mut counts = Counts::default();
    for class in Class::ALL {
        counts = counts.with(class, count(row, class.as_str())?);
    }
    Ok(counts)
}

/// Rates by class, from the same columns.
pub(crate) fn rates(row: &SqliteRow) -> Result<PerClass<Nano>, Error> {
    let mut rates = PerClass::default();
    for class in Class::ALL {
        rates = rates.with(class, nano(row, class.as_str())?);
    }
    Ok(rates)
}

/// A count as columns hold it. No counter of ours reaches the end of the range.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
