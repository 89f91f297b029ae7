//! Intervals of datetimes: each unit is kept apart, because months and days have no fixed length.
//!
//! # Layout
//! MessagePack extension 6: one byte with the number of units that are not zero, then for each its
//! number and its value as MessagePack integers. In memory it is the cdata `struct interval`.

use std::fmt;

use super::msgpack::{EXT_INTERVAL, Reader, write_ext, write_int};

/// What becomes of a day that the month reached by adding months does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i32)]
pub enum Adjust {
    /// `excess`: it carries over into the month after.
    #[default]
    Excess = 0,
    /// `none`: it becomes the last day.
    Limit = 1,
    /// `last`: the same, and a last day stays a last day.
    Snap = 2,
}

impl Adjust {
    /// The adjustment of this number.
    pub fn by_number(number: i64) -> Option<Adjust> {
        [Adjust::Excess, Adjust::Limit, Adjust::Snap]
            .into_iter()
            .find(|adjust| *adjust as i64 == number)
    }
}

/// An interval. Units that Lua keeps in doubles hold whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Interval {
    /// Seconds.
    pub second: f64,
    /// Minutes.
    pub minute: f64,
    /// Hours.
    pub hour: f64,
    /// Days.
    pub day: f64,
    /// Weeks.
    pub week: i32,
    /// Months.
    pub month: i32,
    /// Years.
    pub year: i32,
    /// Nanoseconds.
    pub nanosecond: i32,
    /// How months are added.
    pub adjust: Adjust,
}

/// The largest difference of two datetimes in years, which bounds every unit.
const YEARS_MAX: i64 = 5_879_611 + 5_879_610;
const DAYS_MAX: i64 = (YEARS_MAX as f64 * 365.25) as i64;

/// The unit that left its bounds, and whether it is above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// Name of the unit.
    pub unit: &'static str,
    /// What it would have been.
    pub value: i64,
}

impl OutOfRange {
    /// Whether the value is too large rather than too small.
    pub fn is_above(&self) -> bool {
        self.value > 0
    }
}

/// Names of the units by their numbers on the wire.
pub const UNITS: [&str; 8] =
    ["years", "months", "weeks", "days", "hours", "minutes", "seconds", "nanoseconds"];

impl Interval {
    /// Decodes the payload of the extension.
    pub fn unpack(payload: &[u8]) -> Option<Interval> {
        let (&count, body) = payload.split_first()?;
        let mut reader = Reader::new(body);
        let mut interval = Interval::default();
        for _ in 0..count {
            let field = reader.read_uint()?;
            let value = reader.read_int()?;
            let small = || i32::try_from(value).ok();
            match field {
                0 => interval.year = small()?,
                1 => interval.month = small()?,
                2 => interval.week = small()?,
                3 => interval.day = value as f64,
                4 => interval.hour = value as f64,
                5 => interval.minute = value as f64,
                6 => interval.second = value as f64,
                7 => interval.nanosecond = small()?,
                8 => interval.adjust = Adjust::by_number(value)?,
                _ => return None,
            }
        }
        reader.is_empty().then_some(interval)
    }

    /// Unit values by their numbers on the wire.
    fn units(&self) -> [i64; 9] {
        [
            self.year as i64,
            self.month as i64,
            self.week as i64,
            self.day as i64,
            self.hour as i64,
            self.minute as i64,
            self.second as i64,
            self.nanosecond as i64,
            self.adjust as i64,
        ]
    }

    /// Appends the interval as MessagePack.
    pub fn write(&self, out: &mut Vec<u8>) {
        let units = self.units();
        let mut payload = vec![units.iter().filter(|&&value| value != 0).count() as u8];
        for (field, value) in units.into_iter().enumerate().filter(|&(_, value)| value != 0) {
            payload.push(field as u8);
            write_int(&mut payload, value);
        }
        write_ext(out, EXT_INTERVAL, &payload);
    }

    /// Reads an interval, leaving the reader in place when the next value is none.
    pub fn read(reader: &mut Reader<'_>) -> Option<Interval> {
        let mut ahead = *reader;
        let (EXT_INTERVAL, payload) = ahead.read_ext()? else { return None };
        let interval = Interval::unpack(payload)?;
        *reader = ahead;
        Some(interval)
    }

    /// `self + other`, unit by unit; the adjustment is that of `self`.
    pub fn add(&self, other: &Interval) -> Result<Interval, OutOfRange> {
        self.combine(other, 1)
    }

    /// `self - other`, unit by unit; the adjustment is that of `self`.
    pub fn sub(&self, other: &Interval) -> Result<Interval, OutOfRange> {
        self.combine(other, -1)
    }

    fn combine(&self, other: &Interval, sign: i64) -> Result<Interval, OutOfRange> {
        let (mine, theirs) = (self.units(), other.units());
        const BOUNDS: [i64; 8] = [
            YEARS_MAX,
            YEARS_MAX * 12,
            DAYS_MAX / 7,
            DAYS_MAX,
            DAYS_MAX * 24,
            DAYS_MAX * 24 * 60,
            DAYS_MAX * 86_400,
            i32::MAX as i64,
        ];
        let mut sum = [0; 8];
        for (index, bound) in BOUNDS.into_iter().enumerate() {
            let value = mine[index].saturating_add(theirs[index].saturating_mul(sign));
            if value.abs() > bound {
                return Err(OutOfRange { unit: UNITS[index], value });
            }
            sum[index] = value;
        }
        let [year, month, week, day, hour, minute, second, nanosecond] = sum;
        Ok(Interval {
            second: second as f64,
            minute: minute as f64,
            hour: hour as f64,
            day: day as f64,
            // The bounds above fit 32 bits.
            week: week as i32,
            month: month as i32,
            year: year as i32,
            nanosecond: nanosecond as i32,
            adjust: self.adjust,
        })
    }
}

/// `+1 years, 2 months, -3 days`: the first unit has a sign, and an empty interval is `0 seconds`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECONDS: usize = 6;
        let units = self.units();
        let mut first = true;
        for (index, name) in UNITS.into_iter().enumerate() {
            let value = units[index];
            // Seconds stand for an interval that has no larger unit.
            if value == 0 && !(index == SECONDS && first) {
                continue;
            }
            match first {
                true => write!(f, "{value:+} {name}")?,
                false => write!(f, ", {value} {name}")?,
            }
            first = false;
        }
        Ok(())
    }
}

/// Fuzz target: what unpacks comes back.
pub fn fuzz(data: &[u8]) {
    if let Some(interval) = Interval::unpack(data) {
        let mut out = Vec::new();
        interval.write(&mut out);
        assert_eq!(
            Interval::read(&mut Reader::new(&out)).map(|back| back.units()),
            Some(interval.units())
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_tarantools() {
        let interval = Interval { year: 1, month: -2, second: 5.0, ..Interval::default() };
        assert_eq!(interval.to_string(), "+1 years, -2 months, 5 seconds");
        assert_eq!(Interval::default().to_string(), "+0 seconds");
        let nanoseconds = Interval { nanosecond: 7, ..Interval::default() };
        assert_eq!(nanoseconds.to_string(), "+0 seconds, 7 nanoseconds");
    }

    #[test]
    fn wire_form_has_only_units_that_are_set() {
        let interval =
            Interval { year: 1, day: -300.0, adjust: Adjust::Limit, ..Interval::default() };
        let mut out = Vec::new();
        interval.write(&mut out);
        assert_eq!(out, [0xc7, 9, 6, 3, 0, 1, 3, 0xd1, 0xfe, 0xd4, 8, 1]);
        assert_eq!(Interval::read(&mut Reader::new(&out)), Some(interval));
        for bad in [&[][..], &[1], &[1, 9, 1], &[1, 8, 3], &[0, 1], &[1, 0, 0xc0]] {
            assert_eq!(Interval::unpack(bad), None);
        }
    }

    #[test]
    fn sums_are_bounded_per_unit() {
        let year = Interval { year: 11_000_000, ..Interval::default() };
        assert_eq!(year.add(&year), Err(OutOfRange { unit: "years", value: 22_000_000 }));
        assert_eq!(year.sub(&year), Ok(Interval::default()));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(data in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&data);
        }
    }
}
