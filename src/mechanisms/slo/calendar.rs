//! Calendar-aligned periods in a time zone. The zones' rules come with the program, so a session is the same everywhere.

use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span as Civil, Unit as CivilUnit, Zoned};

use super::spec::{Span, Unit};

/// Periods that follow each other from a date on, in both directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// A period's length; months, quarters and years are those of the calendar.
    pub every: Span,
    /// When one of them begins, on the zone's clocks.
    pub start: DateTime,
    /// The zone's name in the IANA database.
    pub zone: String,
    /// The first period's beginning.
    origin: Zoned,
}

/// Why there is no calendar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not a date.
    #[error("`{0}` is no date with a time; write it as 2026-01-31 12:30:00")]
    Date(String),
    /// Not a zone.
    #[error("there is no time zone `{0}`; write a name of the IANA database, as in Europe/Berlin or UTC")]
    Zone(String),
    /// Out of range.
    #[error("the date {0} is beyond what the calendar reaches")]
    Range(String),
}

impl Calendar {
    /// Periods of `every` from `start` (as `2026-01-31 12:30:00`) in `zone`.
    ///
    /// # Errors
    /// [`CalendarError`] for what is no date or no zone.
    pub fn new(every: Span, start: &str, zone: &str) -> Result<Self, CalendarError> {
        let date: DateTime = start.trim().parse().map_err(|_| CalendarError::Date(start.to_owned()))?;
        let rules = time_zone(zone)?;
        let origin = date.to_zoned(rules).map_err(|_| CalendarError::Range(start.to_owned()))?;
        Ok(Self { every, start: date, zone: zone.to_owned(), origin })
    }

    /// The period that the moment `second` (since the epoch) is in: its first second, and the next one's.
    pub fn period(&self, second: u64) -> (u64, u64) {
        self.find(second).unwrap_or((0, u64::MAX))
    }

    fn find(&self, second: u64) -> Option<(u64, u64)> {
        let moment = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
        let now = moment.to_zoned(self.origin.time_zone().clone());
        let (unit, each) = self.step();
        let passed = self.origin.until((unit, &now)).ok()?;
        let whole = match unit {
            CivilUnit::Month => i64::from(passed.get_months()),
            CivilUnit::Day => i64::from(passed.get_days()),
            _ => passed.get_minutes(),
        };
        // Differences are rounded towards the start, and months differ: one step back is early enough.
        let mut number = whole.div_euclid(each) - 1;
        let mut from = self.begin(number)?;
        loop {
            let to = self.begin(number + 1)?;
            if to > i64::try_from(second).ok()? {
                return Some((u64::try_from(from).unwrap_or(0), u64::try_from(to).ok()?));
            }
            (from, number) = (to, number + 1);
        }
    }

    /// Counted in what, and how many of them a period has.
    fn step(&self) -> (CivilUnit, i64) {
        let count = i64::from(self.every.count);
        match self.every.unit {
            Unit::Minutes => (CivilUnit::Minute, count),
            Unit::Hours => (CivilUnit::Minute, count * 60),
            Unit::Days => (CivilUnit::Day, count),
            Unit::Weeks => (CivilUnit::Day, count * 7),
            Unit::Months => (CivilUnit::Month, count),
            Unit::Quarters => (CivilUnit::Month, count * 3),
            Unit::Years => (CivilUnit::Month, count * 12),
        }
    }

    /// When the period of this number begins, seconds since the epoch.
    fn begin(&self, number: i64) -> Option<i64> {
        let (unit, each) = self.step();
        let count = number.checked_mul(each)?;
        let span = match unit {
            CivilUnit::Month => Civil::new().try_months(count),
            CivilUnit::Day => Civil::new().try_days(count),
            _ => Civil::new().try_minutes(count),
        };
        Some(self.origin.checked_add(span.ok()?).ok()?.timestamp().as_second())
    }

    /// The zone's rules.
    pub fn time_zone(&self) -> &TimeZone {
        self.origin.time_zone()
    }
}

/// The rules of a zone of the IANA database.
///
/// # Errors
/// [`CalendarError::Zone`] when there is none of this name.
pub fn time_zone(name: &str) -> Result<TimeZone, CalendarError> {
    TimeZoneDatabase::bundled().get(name).map_err(|_| CalendarError::Zone(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(every: &str, start: &str, zone: &str) -> Calendar {
        Calendar::new(every.parse().unwrap(), start, zone).unwrap()
    }

    fn second(text: &str) -> u64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second() as u64
    }

    fn period(calendar: &Calendar, at: &str) -> [String; 2] {
        let (from, to) = calendar.period(second(at));
        [from, to].map(|end| jiff::Timestamp::from_second(end as i64).unwrap().to_string())
    }

    #[test]
    fn months_begin_at_midnight_where_the_clocks_are() {
        let months = calendar("1M", "2026-01-01 00:00:00", "Europe/Berlin");
        assert_eq!(period(&months, "2026-03-15T12:00:00Z"), ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"]);
        // The first second of a period is its own; the one before is not.
        assert_eq!(period(&months, "2026-03-31T22:00:00Z"), ["2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z"]);
        assert_eq!(period(&months, "2026-03-31T21:59:59Z")[1], "2026-03-31T22:00:00Z");
        // Also before the start.
        assert_eq!(period(&months, "2025-12-31T12:00:00Z"), ["2025-11-30T23:00:00Z", "2025-12-31T23:00:00Z"]);
    }

    #[test]
    fn a_month_from_the_31st_ends_with_the_shorter_ones() {
        let months = calendar("1M", "2026-01-31 12:00:00", "UTC");
        assert_eq!(period(&months, "2026-02-28T12:00:00Z"), ["2026-02-28T12:00:00Z", "2026-03-31T12:00:00Z"]);
        assert_eq!(period(&months, "2026-02-28T11:59:59Z"), ["2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z"]);
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        let days = calendar("1d", "2020-01-21 12:30:00", "America/New_York");
        let [from, to] = period(&days, "2026-03-08T12:00:00Z");
        assert_eq!([from.as_str(), to.as_str()], ["2026-03-07T17:30:00Z", "2026-03-08T16:30:00Z"], "23 hours");
        let weeks = calendar("2w", "2020-01-20 00:00:00", "UTC");
        let (from, to) = weeks.period(second("2026-01-01T00:00:00Z"));
        assert_eq!(to - from, 14 * 86_400);
        let quarters = calendar("1Q", "2024-01-01 00:00:00", "UTC");
        assert_eq!(period(&quarters, "2026-05-05T00:00:00Z"), ["2026-04-01T00:00:00Z", "2026-07-01T00:00:00Z"]);
        let hours = calendar("6h", "2024-01-01 00:00:00", "UTC");
        assert_eq!(period(&hours, "2026-05-05T07:00:00Z"), ["2026-05-05T06:00:00Z", "2026-05-05T12:00:00Z"]);
    }

    #[test]
    fn what_is_no_date_or_no_zone_is_told() {
        let every = "1M".parse().unwrap();
        assert_eq!(Calendar::new(every, "soon", "UTC"), Err(CalendarError::Date("soon".into())));
        let zone = Calendar::new(every, "2026-01-01 00:00:00", "Mars/Olympus");
        assert_eq!(zone, Err(CalendarError::Zone("Mars/Olympus".into())));
    }
}
