//! `strftime` for templates that tell the model the date.

use std::fmt::Write;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `format` as Python's `datetime.strftime` fills it in, in English and in coordinated universal time.
///
/// # Errors
/// A directive that is not known, by name.
pub(crate) fn strftime(unix_time: u64, format: &str) -> Result<String, String> {
    let days = (unix_time / 86_400) as i64;
    let second = unix_time % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (year, month, day) = civil(days);
    let day_of_year = days - days_before(year) + 1;
    let month_name = MONTHS[month as usize - 1];
    let weekday = (days % 7) as usize;
    let mut out = String::with_capacity(format.len() + 16);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = characters.next();
        // `%-d` leaves out the zero in front.
        let bare = directive == Some('-');
        if bare {
            directive = characters.next();
        }
        let mut number = |value: i64, width: usize| {
            let width = if bare { 0 } else { width };
            // Writing to a string cannot fail.
            let _ = write!(out, "{value:0width$}");
        };
        match directive {
            Some('Y') => number(year, 4),
            Some('y') => number(year % 100, 2),
            Some('m') => number(month, 2),
            Some('d') => number(day, 2),
            Some('j') => number(day_of_year, 3),
            Some('H') => number(hour as i64, 2),
            Some('I') => number((hour as i64 + 11) % 12 + 1, 2),
            Some('M') => number(minute as i64, 2),
            Some('S') => number(second as i64, 2),
            Some('B') => out.push_str(month_name),
            Some('b') => out.push_str(&month_name[..3]),
            Some('A') => out.push_str(WEEKDAYS[weekday]),
            Some('a') => out.push_str(&WEEKDAYS[weekday][..3]),
            Some('p') => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            Some('F') => out.push_str(&strftime(unix_time, "%Y-%m-%d")?),
            Some('T') => out.push_str(&strftime(unix_time, "%H:%M:%S")?),
            // Python's, for a time that knows no zone.
            Some('Z' | 'z') => {}
            Some('%') => out.push('%'),
            Some(other) => return Err(format!("strftime_now does not know `%{other}`")),
            None => return Err("strftime_now: the format ends in `%`".to_owned()),
        }
    }
    Ok(out)
}

/// Year, month and day of a count of days since 1970-01-01, which is not negative.
fn civil(days: i64) -> (i64, i64, i64) {
    // The calendar repeats every 400 years.
    let (cycle, mut days) = (days / 146_097, days % 146_097);
    // At most one too high, because 400 years have less than 365 leap days.
    let mut year = 1970 + days / 365;
    while days_before(year) > days {
        year -= 1;
    }
    days -= days_before(year);
    let leap = days_before(year + 1) - days_before(year) == 366;
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year + cycle * 400, month, days + 1)
}

/// Days from 1970-01-01 to the first of a year.
fn days_before(year: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_time: u64, format: &str, expect: &str) {
        assert_eq!(strftime(unix_time, format).unwrap(), expect, "{unix_time} {format}");
    }

    #[test]
    fn directives_are_filled_in_as_python_does() {
        // 2023-11-14 22:13:20, a Tuesday.
        let time = 1_700_000_000;
        check(time, "%d %b %Y", "14 Nov 2023");
        check(time, "%A, %B %-d, %y; %a %j %I:%M %p", "Tuesday, November 14, 23; Tue 318 10:13 PM");
        check(time, "%F %T|%H:%M:%S%Z%z 100%%", "2023-11-14 22:13:20|22:13:20 100%");
        check(time, "é%%d", "é%d");
        check(0, "%F %a %I %p %-m %-H", "1970-01-01 Thu 12 AM 1 0");
    }

    #[test]
    fn leap_years_and_their_ends() {
        for (time, date) in [
            (68_169_600, "1972-02-29"),
            (951_782_400, "2000-02-29"),
            (978_220_800, "2000-12-31"),
            (1_709_164_800, "2024-02-29"),
            (1_735_603_200, "2024-12-31"),
            (1_735_689_600, "2025-01-01"),
            (4_107_542_400, "2100-03-01"),
            (4_107_456_000, "2100-02-28"),
        ] {
            check(time, "%F", date);
        }
        assert!(strftime(u64::MAX, "%F").is_ok());
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        assert_eq!(strftime(0, "%Q").unwrap_err(), "strftime_now does not know `%Q`");
        assert!(strftime(0, "100%").unwrap_err().contains("ends in `%`"));
    }
}
