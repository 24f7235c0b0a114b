//! Moments and the organisation's calendar. Nothing here asks for the time.

use std::{fmt, time::Duration};

use jiff::{Span, tz::TimeZone};
use thiserror::Error;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a moment is written as in RFC 3339, such as `2026-01-31T23:59:59Z`")]
pub struct InvalidTimestamp;

/// A text that is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a month is written as `2026-11`")]
pub struct InvalidMonth;

impl Timestamp {
    /// Reads a moment as RFC 3339 writes it, with its offset. Fractions of a millisecond are cut off.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        Ok(Self::from_millis(moment.as_millisecond()))
    }

    /// From milliseconds since 1970. Moments outside of the years 1 to 9998 become the nearest inside.
    pub const fn from_millis(millis: i64) -> Self {
        // Well inside of what the calendar knows, in every zone.
        const MOST: i64 = 253_370_764_800_000;
        const LEAST: i64 = -62_135_596_800_000;
        Self(if millis > MOST {
            MOST
        } else if millis < LEAST {
            LEAST
        } else {
            millis
        })
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// So much later.
    pub fn after(self, wait: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` until this; zero when it lies behind.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A stretch of time: from its start up to, but without, its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    /// The first moment.
    pub start: Timestamp,
    /// The first moment after it; `None` when it never ends.
    pub end: Option<Timestamp>,
}

impl Period {
    /// All of time.
    pub const EVER: Self = Self { start: Timestamp::from_millis(i64::MIN), end: None };

    /// Whether the moment lies in it.
    pub fn contains(&self, moment: Timestamp) -> bool {
        self.start <= moment && self.end.is_none_or(|end| moment < end)
    }
}

/// An IANA time zone, such as `Europe/Berlin`. The rules are compiled in, so that a bill does not depend on the machine.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A name that the IANA database does not have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{name}` is no time zone of the IANA database; it has names such as `UTC` and `Europe/Berlin`")]
pub struct UnknownZone {
    /// The name that was asked for.
    pub name: String,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of that name.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone { name: name.chars().take(64).collect() };
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        // Otherwise the name could not be kept.
        zone.iana_name().is_some().then_some(Self(zone)).ok_or_else(unknown)
    }

    /// Its name in the IANA database.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The hour of the zone's clocks that holds `moment`. Where clocks differ from UTC by a part of an hour, so do hours.
    pub fn hour(&self, moment: Timestamp) -> Period {
        const HOUR: i64 = 3_600_000;
        let offset = jiff::Timestamp::from_millisecond(moment.0).map_or(0, |now| self.0.to_offset(now).seconds());
        let start = moment.0 - (moment.0 + i64::from(offset) * 1000).rem_euclid(HOUR);
        Period { start: Timestamp(start), end: Some(Timestamp(start + HOUR)) }
    }

    /// The calendar day that holds `moment`: 23 or 25 hours where clocks are changed.
    pub fn day(&self, moment: Timestamp) -> Period {
        self.period(moment, |date| date, Span::new().days(1))
    }

    /// The calendar month that is written as `2026-11`.
    pub fn parse_month(&self, text: &str) -> Result<Period, InvalidMonth> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) =
            text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2).ok_or(InvalidMonth)?;
        let year: i16 = if digits(year) { year.parse().map_err(|_| InvalidMonth)? } else { return Err(InvalidMonth) };
        let month: i8 =
            if digits(month) { month.parse().map_err(|_| InvalidMonth)? } else { return Err(InvalidMonth) };
        let first =
            jiff::civil::Date::new(year, month, 1).ok().filter(|_| (1..=9998).contains(&year)).ok_or(InvalidMonth)?;
        Ok(self.month(self.first_moment(first).ok_or(InvalidMonth)?))
    }

    /// The calendar month that holds `moment`.
    pub fn month(&self, moment: Timestamp) -> Period {
        self.period(moment, |date| date.first_of_month(), Span::new().months(1))
    }

    /// The first moment of a day; where midnight is skipped, the one after.
    fn first_moment(&self, date: jiff::civil::Date) -> Option<Timestamp> {
        let start = self.0.to_ambiguous_zoned_datetime(date.into()).compatible().ok()?;
        Some(Timestamp(start.timestamp().as_millisecond()))
    }

    fn period(&self, moment: Timestamp, first: fn(jiff::civil::Date) -> jiff::civil::Date, length: Span) -> Period {
        let bounds = || {
            let now = jiff::Timestamp::from_millisecond(moment.0).ok()?;
            let date = first(self.0.to_datetime(now).date());
            Some((self.first_moment(date)?, self.first_moment(date.checked_add(length).ok()?)?))
        };
        // `Timestamp` keeps to moments for which this is known.
        bounds().map_or(Period::EVER, |(start, end)| Period { start, end: Some(end) })
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn check(period: Period, start: &str, end: &str) {
        assert_eq!(period, Period { start: at(start), end: Some(at(end)) }, "{}", period.start);
    }

    #[test]
    fn days_and_months_follow_the_calendar_of_the_zone() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let night = at("2026-03-01T23:30:00Z");
        check(berlin.day(night), "2026-03-01T23:00:00Z", "2026-03-02T23:00:00Z");
        check(Zone::UTC.day(night), "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        check(berlin.month(at("2026-02-28T22:59:59.999Z")), "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z");
        check(berlin.month(at("2026-02-28T23:00:00Z")), "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
        check(Zone::UTC.month(at("2026-12-31T23:59:59Z")), "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn hours_begin_when_the_clocks_of_the_zone_strike() {
        let moment = at("2026-03-01T23:50:00Z");
        check(Zone::UTC.hour(moment), "2026-03-01T23:00:00Z", "2026-03-02T00:00:00Z");
        let kathmandu = Zone::parse("Asia/Kathmandu").unwrap();
        check(kathmandu.hour(moment), "2026-03-01T23:15:00Z", "2026-03-02T00:15:00Z");
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        check(berlin.hour(at("2026-03-29T00:59:59.999Z")), "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z");
    }

    #[test]
    fn days_on_which_clocks_change_have_other_lengths() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        check(berlin.day(at("2026-03-29T12:00:00Z")), "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check(berlin.day(at("2026-10-25T12:00:00Z")), "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Here midnight itself was skipped, so the day begins at one.
        let cairo = Zone::parse("Africa/Cairo").unwrap();
        check(cairo.day(at("2024-04-26T12:00:00Z")), "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z");
    }

    #[test]
    fn moments_read_back_and_other_texts_are_refused() {
        for text in ["2026-03-01T23:30:00Z", "1970-01-01T00:00:00.001Z", "2026-03-01T23:30:00+01:00"] {
            let moment = Timestamp::parse(text).unwrap();
            assert_eq!(Timestamp::parse(&moment.to_string()), Ok(moment), "{text}");
        }
        assert_eq!(Timestamp::parse("2026-03-01T01:00:00+01:00"), Timestamp::parse("2026-03-01T00:00:00Z"));
        for text in ["", "now", "2026-03-01", "2026-03-01T23:30:00", "2026-13-01T00:00:00Z", "1764086400"] {
            assert_eq!(Timestamp::parse(text), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn months_are_read_in_the_zone_and_other_texts_are_refused() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        check(berlin.parse_month("2026-02").unwrap(), "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z");
        let kiritimati = Zone::parse("Pacific/Kiritimati").unwrap();
        check(kiritimati.parse_month("2026-12").unwrap(), "2026-11-30T10:00:00Z", "2026-12-31T10:00:00Z");
        for text in ["", "2026", "2026-13", "2026-00", "2026-1", "26-01", "2026-01-01", "+026-01", "9999-01", "0000-01"]
        {
            assert_eq!(Zone::UTC.parse_month(text), Err(InvalidMonth), "{text}");
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["", "Mars/Olympus", "../../etc/passwd", "'; DROP TABLE usage; --", "local"] {
            assert!(Zone::parse(name).is_err(), "{name}");
        }
        assert_eq!(Zone::parse("Asia/Kathmandu").unwrap().name(), "Asia/Kathmandu");
        assert_eq!(Zone::UTC.name(), "UTC");
    }

    proptest! {
        /// Neighbouring periods meet: no moment is in two or in none.
        #[test]
        fn every_moment_is_in_one_day_and_one_month(
            millis in proptest::num::i64::ANY,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"]),
        ) {
            let (zone, moment) = (Zone::parse(zone).unwrap(), Timestamp::from_millis(millis));
            for of in [Zone::day, Zone::month] {
                let period = of(&zone, moment);
                prop_assert!(period.contains(moment));
                let end = period.end.unwrap();
                let next = of(&zone, end);
                prop_assert_eq!(next.start, end);
                prop_assert_eq!(of(&zone, Timestamp::from_millis(end.as_millis() - 1)), period);
            }
        }
    }
}
