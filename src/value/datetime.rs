//! Datetimes: a moment, and the offset and zone that it is shown in.
//!
//! # Layout
//! MessagePack extension 4, little endian: seconds of Unix time as `i64`; then, unless all are
//! zero, nanoseconds `i32`, minutes east of UTC `i16` and the zone's number `i16`. In memory it is
//! the cdata `struct datetime`, whose seconds are a double.

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hasher;

use super::calendar::{self, DAY_SECONDS, Date, RATA_DIE_1970};
use super::interval::{Adjust, Interval, OutOfRange};
use super::msgpack::{EXT_DATETIME, Reader, write_ext};
use super::timezone;

/// Lowest day: days are counted in 32 bits from the year 1, which bounds the dates.
pub const DAY_MIN: i64 = i32::MIN as i64 - RATA_DIE_1970;
/// Highest day.
pub const DAY_MAX: i64 = i32::MAX as i64 - RATA_DIE_1970;
/// Lowest seconds of Unix time: -5879610-06-22.
pub const EPOCH_MIN: i64 = DAY_MIN * DAY_SECONDS;
/// Highest seconds of Unix time: 5879611-07-11.
pub const EPOCH_MAX: i64 = DAY_MAX * DAY_SECONDS;
/// Lowest offset in minutes: UTC-12.
pub const OFFSET_MIN: i16 = -12 * 60;
/// Highest offset in minutes: UTC+14.
pub const OFFSET_MAX: i16 = 14 * 60;
/// Nanoseconds of a second.
pub const SECOND_NANOSECONDS: i32 = 1_000_000_000;

/// A moment with the offset it is shown in. Order and equality are those of the moment.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Datetime {
    /// Seconds of Unix time, a whole number.
    pub epoch: f64,
    /// Nanoseconds on top.
    pub nanosecond: i32,
    /// Minutes east of UTC.
    pub offset: i16,
    /// Number of the zone, 0 for none.
    pub zone: i16,
}

/// The fields that a datetime's clock and calendar show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Day of the local date, from 1970-01-01.
    pub day_number: i64,
    /// The local date.
    pub date: Date,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
}

impl Datetime {
    /// Decodes the payload of the extension; `None` unless it is valid.
    pub fn unpack(payload: &[u8]) -> Option<Datetime> {
        let (epoch, tail) = payload.split_first_chunk::<8>()?;
        let mut datetime =
            Datetime { epoch: i64::from_le_bytes(*epoch) as f64, ..Datetime::default() };
        if let [a, b, c, d, offset_low, offset_high, zone_low, zone_high] = *tail {
            datetime.nanosecond = i32::from_le_bytes([a, b, c, d]);
            datetime.offset = i16::from_le_bytes([offset_low, offset_high]);
            datetime.zone = i16::from_le_bytes([zone_low, zone_high]);
        } else if !tail.is_empty() {
            return None;
        }
        datetime.is_valid().then_some(datetime)
    }

    /// Whether all fields are within their bounds.
    pub fn is_valid(&self) -> bool {
        (EPOCH_MIN as f64..=EPOCH_MAX as f64).contains(&self.epoch)
            && (0..2 * SECOND_NANOSECONDS as i64).contains(&(self.nanosecond as i64))
            && (OFFSET_MIN..=OFFSET_MAX).contains(&self.offset)
            && (0..=timezone::INDEX_MAX).contains(&self.zone)
    }

    /// Appends the datetime as MessagePack.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut payload = [0; 16];
        payload[..8].copy_from_slice(&(self.epoch as i64).to_le_bytes());
        payload[8..12].copy_from_slice(&self.nanosecond.to_le_bytes());
        payload[12..14].copy_from_slice(&self.offset.to_le_bytes());
        payload[14..].copy_from_slice(&self.zone.to_le_bytes());
        let short = payload[8..] == [0; 8];
        write_ext(out, EXT_DATETIME, if short { &payload[..8] } else { &payload });
    }

    /// Reads a datetime, leaving the reader in place when the next value is none.
    pub fn read(reader: &mut Reader<'_>) -> Option<Datetime> {
        let mut ahead = *reader;
        let (EXT_DATETIME, payload) = ahead.read_ext()? else { return None };
        let datetime = Datetime::unpack(payload)?;
        *reader = ahead;
        Some(datetime)
    }

    /// The datetime whose calendar shows this day and second of day at this offset.
    pub fn from_local(day: i64, second_of_day: i64, nanosecond: i32, offset: i16) -> Datetime {
        let epoch = day * DAY_SECONDS + second_of_day - offset as i64 * 60;
        Datetime { epoch: epoch as f64, nanosecond, offset, zone: 0 }
    }

    fn local_seconds(&self) -> i64 {
        self.epoch as i64 + self.offset as i64 * 60
    }

    /// The calendar and clock at the datetime's offset.
    pub fn parts(&self) -> Parts {
        let seconds = self.local_seconds();
        let day_number = seconds.div_euclid(DAY_SECONDS);
        let second_of_day = seconds.rem_euclid(DAY_SECONDS);
        Parts {
            day_number,
            date: calendar::date(day_number),
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }

    /// Whether daylight saving is on in its zone.
    pub fn is_dst(&self) -> bool {
        timezone::by_index(self.zone).is_some_and(|zone| zone.offset_at(self.epoch as i64).1)
    }

    /// The moment `interval` later, or earlier with `sign` -1. `Err` tells whether it is beyond
    /// the last rather than before the first date.
    pub fn add(&self, interval: &Interval, sign: i64) -> Result<Datetime, OutOfRange> {
        let mut seconds = self.local_seconds();
        let mut day = seconds.div_euclid(DAY_SECONDS);
        let second_of_day = seconds.rem_euclid(DAY_SECONDS);
        for months in [interval.year as i64 * 12, interval.month as i64] {
            if months != 0 {
                let about = day as f64 + (sign * months) as f64 * (365.25 / 12.0);
                check("days", about, DAY_MIN, DAY_MAX)?;
                day = add_months(day, sign * months, interval.adjust);
            }
        }
        for days in [interval.week as f64 * 7.0, interval.day] {
            check("days", day as f64 + sign as f64 * days, DAY_MIN, DAY_MAX)?;
            day += sign * days as i64;
        }
        seconds = day * DAY_SECONDS + second_of_day;
        for (count, unit) in [(interval.hour, 3600), (interval.minute, 60), (interval.second, 1)] {
            let delta = sign as f64 * count * unit as f64;
            check("seconds", seconds as f64 + delta, EPOCH_MIN, EPOCH_MAX)?;
            seconds += delta as i64;
        }
        let nanoseconds = self.nanosecond as i64 + sign * interval.nanosecond as i64;
        seconds += nanoseconds.div_euclid(SECOND_NANOSECONDS as i64);
        check("seconds", seconds as f64, EPOCH_MIN, EPOCH_MAX)?;
        let offset = match timezone::by_index(self.zone) {
            Some(zone) => zone.offset_at(seconds).0,
            None => self.offset,
        };
        Ok(Datetime {
            epoch: (seconds - offset as i64 * 60) as f64,
            nanosecond: nanoseconds.rem_euclid(SECOND_NANOSECONDS as i64) as i32,
            offset,
            zone: self.zone,
        })
    }

    /// `self - other`, unit by unit of their calendars.
    pub fn sub(&self, other: &Datetime) -> Result<Interval, OutOfRange> {
        let mut difference = self.to_interval();
        difference.minute -= (self.offset - other.offset) as f64;
        difference.sub(&other.to_interval())
    }

    fn to_interval(self) -> Interval {
        let parts = self.parts();
        Interval {
            second: parts.second as f64,
            minute: parts.minute as f64,
            hour: parts.hour as f64,
            day: parts.date.day as f64,
            week: 0,
            month: parts.date.month as i32,
            // Valid datetimes have years of 23 bits.
            year: parts.date.year as i32,
            nanosecond: self.nanosecond,
            adjust: Adjust::Limit,
        }
    }

    /// Hashes the moment, consistently with order.
    pub fn hash_moment<H: Hasher>(&self, state: &mut H) {
        state.write_i64(self.epoch as i64);
        state.write_i32(self.nanosecond);
    }
}

fn check(unit: &'static str, value: f64, min: i64, max: i64) -> Result<(), OutOfRange> {
    if (min as f64..=max as f64).contains(&value) {
        return Ok(());
    }
    Err(OutOfRange { unit, value: value as i64 })
}

fn add_months(day: i64, months: i64, adjust: Adjust) -> i64 {
    let date = calendar::date(day);
    let index = date.year * 12 + date.month - 1 + months;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) + 1);
    let last = calendar::month_days(year, month);
    let was_last = date.day == calendar::month_days(date.year, date.month);
    let day = match adjust {
        Adjust::Excess => date.day,
        Adjust::Limit => date.day.min(last),
        Adjust::Snap if was_last => last,
        Adjust::Snap => date.day.min(last),
    };
    calendar::day_number(Date { year, month, day })
}

impl PartialEq for Datetime {
    fn eq(&self, other: &Datetime) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Datetime {}

impl PartialOrd for Datetime {
    fn partial_cmp(&self, other: &Datetime) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Datetime {
    fn cmp(&self, other: &Datetime) -> Ordering {
        // A whole number, so the total order is the numeric one.
        self.epoch.total_cmp(&other.epoch).then(self.nanosecond.cmp(&other.nanosecond))
    }
}

/// ISO 8601 with as many digits of the fraction as needed, then the zone, the offset or `Z`.
impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { date, hour, minute, second, .. } = self.parts();
        // C's %04d counts the sign.
        write!(f, "{:04}-{:02}-{:02}", date.year, date.month, date.day)?;
        write!(f, "T{hour:02}:{minute:02}:{second:02}")?;
        match self.nanosecond {
            0 => {}
            nanosecond if nanosecond % 1_000_000 == 0 => {
                write!(f, ".{:03}", nanosecond / 1_000_000)?
            }
            nanosecond if nanosecond % 1000 == 0 => write!(f, ".{:06}", nanosecond / 1000)?,
            nanosecond => write!(f, ".{nanosecond:09}")?,
        }
        if let Some(zone) = timezone::by_index(self.zone) {
            let space = if zone.name().len() > 1 { " " } else { "" };
            return write!(f, "{space}{}", zone.name());
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs();
        write!(f, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

/// Fuzz target: what unpacks comes back and prints.
pub fn fuzz(data: &[u8]) {
    if let Some(datetime) = Datetime::unpack(data) {
        let mut out = Vec::new();
        datetime.write(&mut out);
        assert_eq!(Datetime::read(&mut Reader::new(&out)), Some(datetime));
        let _ = datetime.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::iso8601;
    use proptest::prelude::*;

    fn datetime(text: &str) -> Datetime {
        iso8601::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error:?}")).0
    }

    #[test]
    fn wire_form_is_short_without_zone_and_fraction() {
        let mut out = Vec::new();
        datetime("1970-01-01T00:00:01").write(&mut out);
        assert_eq!(out, [0xd7, 4, 1, 0, 0, 0, 0, 0, 0, 0]);
        out.clear();
        datetime("1970-01-01T00:00:00+0100").write(&mut out);
        assert_eq!(out[..2], [0xd8, 4]);
        assert_eq!(out[14..16], [60, 0]);
        for bad in [&[0; 7][..], &[0; 9], &[0xff; 16], &[0x7f; 8]] {
            assert!(Datetime::unpack(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn order_ignores_the_offset() {
        assert_eq!(datetime("2000-01-01T12:00Z"), datetime("2000-01-01T14:00+0200"));
        assert!(datetime("2000-01-01T12:00:00.1Z") > datetime("2000-01-01T12:00Z"));
        assert!(datetime("-0001-01-01T00:00Z") < datetime("0001-01-01T00:00Z"));
    }

    #[test]
    fn months_adjust_the_day() {
        let month = |adjust| Interval { month: 1, adjust, ..Interval::default() };
        let after = |text, adjust| datetime(text).add(&month(adjust), 1).unwrap().to_string();
        assert_eq!(after("2024-01-31T00:00Z", Adjust::Limit), "2024-02-29T00:00:00Z");
        assert_eq!(after("2024-01-31T00:00Z", Adjust::Excess), "2024-03-02T00:00:00Z");
        assert_eq!(after("2024-02-29T00:00Z", Adjust::Snap), "2024-03-31T00:00:00Z");
        assert_eq!(after("2024-02-29T00:00Z", Adjust::Limit), "2024-03-29T00:00:00Z");
    }

    #[test]
    fn sums_carry_and_stay_in_range() {
        let interval =
            Interval { hour: 23.0, second: 59.0, nanosecond: 600_000_000, ..Interval::default() };
        let start = datetime("2024-02-28T01:00:00.5Z");
        let end = start.add(&interval, 1).unwrap();
        assert_eq!(end.to_string(), "2024-02-29T00:01:00.100Z");
        assert_eq!(end.add(&interval, -1).unwrap(), start);
        let year = Interval { year: 6_000_000, ..Interval::default() };
        assert!(start.add(&year, 1).unwrap_err().is_above());
        assert!(!start.add(&year, -1).unwrap_err().is_above());
    }

    #[test]
    fn differences_are_by_unit() {
        let difference = datetime("2024-03-01T10:00+0300").sub(&datetime("2023-01-31T09:00Z"));
        assert_eq!(
            difference.unwrap().to_string(),
            "+1 years, 2 months, -30 days, 1 hours, -180 minutes"
        );
    }

    #[test]
    fn zones_follow_daylight_saving() {
        let winter = datetime("2024-03-30T12:00 Europe/Berlin");
        assert!(!winter.is_dst());
        let day = Interval { day: 1.0, ..Interval::default() };
        let summer = winter.add(&day, 1).unwrap();
        assert_eq!((summer.offset, summer.is_dst()), (120, true));
        assert_eq!(summer.to_string(), "2024-03-31T12:00:00 Europe/Berlin");
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(data in proptest::collection::vec(any::<u8>(), 0..17)) {
            fuzz(&data);
        }

        #[test]
        fn text_round_trips(epoch in EPOCH_MIN..EPOCH_MAX, nanosecond in 0..SECOND_NANOSECONDS) {
            let value = Datetime { epoch: epoch as f64, nanosecond, ..Datetime::default() };
            prop_assert_eq!(datetime(&value.to_string()), value);
        }
    }
}
