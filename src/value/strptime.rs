//! Parses datetimes by a pattern: C's `strptime` in the C locale, with `%f` for the fraction.

use super::calendar::{self, DAY_SECONDS, Date};
use super::datetime::{Datetime, EPOCH_MAX, EPOCH_MIN, OFFSET_MAX, OFFSET_MIN};
use super::strftime::{MONTHS, WEEK_DAYS, compound};
use super::timezone;

/// Parses the datetime at the start of `text` by the pattern and returns its size as well. What
/// the pattern does not mention is that of 1970-01-01T00:00:00Z.
pub fn parse(text: &[u8], pattern: &str) -> Option<(Datetime, usize)> {
    let mut fields = Fields::default();
    let mut cursor = Cursor { text, position: 0 };
    fields.apply(&mut cursor, pattern)?;
    Some((fields.finish()?, cursor.position))
}

#[derive(Default)]
struct Fields {
    century: Option<i64>,
    year_of_century: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    /// From Sunday, 0 to 6.
    week_day: Option<i64>,
    /// First day of weeks (0 is Sunday) and number of the week.
    week: Option<(i64, i64)>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i32,
    /// Minutes east of UTC.
    offset: i64,
    zone: Option<timezone::Zone>,
    /// Seconds of Unix time, which overrule the rest.
    epoch: Option<i64>,
}

impl Fields {
    fn apply(&mut self, cursor: &mut Cursor<'_>, pattern: &str) -> Option<()> {
        let mut rest = pattern.bytes();
        while let Some(next) = rest.next() {
            if next.is_ascii_whitespace() {
                cursor.skip_space();
                continue;
            }
            if next != b'%' {
                cursor.eat(next)?;
                continue;
            }
            let mut conversion = rest.next()?;
            while matches!(conversion, b'E' | b'O') {
                conversion = rest.next()?;
            }
            if conversion.is_ascii_digit() {
                // A width, which only the fraction may have, and which does not matter.
                conversion = rest.find(|byte| !byte.is_ascii_digit())?;
                if conversion != b'f' {
                    return None;
                }
            }
            match compound(conversion as char) {
                Some(pattern) => self.apply(cursor, pattern)?,
                None => self.convert(cursor, conversion)?,
            }
        }
        Some(())
    }

    fn convert(&mut self, cursor: &mut Cursor<'_>, conversion: u8) -> Option<()> {
        match conversion {
            b'%' => cursor.eat(b'%')?,
            b'n' | b't' => cursor.skip_space(),
            b'A' | b'a' => self.week_day = Some(cursor.name(&WEEK_DAYS)?),
            b'B' | b'b' | b'h' => self.month = Some(cursor.name(&MONTHS)? + 1),
            b'm' => self.month = Some(cursor.number(2, 1, 12)?),
            b'd' => self.day = Some(cursor.number(2, 1, 31)?),
            b'e' => {
                cursor.skip_one_space();
                self.day = Some(cursor.number(2, 1, 31)?);
            }
            b'j' => self.year_day = Some(cursor.number(3, 1, 366)?),
            b'C' => self.century = Some(cursor.number(2, 0, 99)?),
            b'Y' | b'G' | b'y' | b'g' => return self.year(cursor, conversion),
            b'U' => self.week = Some((0, cursor.number(2, 0, 53)?)),
            b'W' => self.week = Some((1, cursor.number(2, 0, 53)?)),
            b'u' => self.week_day = Some(cursor.number(1, 1, 7)? % 7),
            b'w' => self.week_day = Some(cursor.number(1, 0, 6)?),
            b'H' => self.hour = cursor.number(2, 0, 23)?,
            b'I' => self.hour = cursor.number(2, 1, 12)?,
            b'k' | b'l' => {
                let digits = if cursor.skip_one_space() { 1 } else { 2 };
                let (min, max) = if conversion == b'k' { (0, 23) } else { (1, 12) };
                self.hour = cursor.number(digits, min, max)?;
            }
            b'M' | b'S' if cursor.at_space_or_end() => {}
            b'M' => self.minute = cursor.number(2, 0, 59)?,
            b'S' => self.second = cursor.number(2, 0, 60)?,
            b'p' => self.half_day(cursor)?,
            b'f' => self.nanosecond = cursor.fraction()?,
            b's' => self.epoch = Some(cursor.signed(18)?),
            b'Z' => return self.zone(cursor),
            b'z' => self.offset = cursor.offset()?,
            _ => return None,
        }
        Some(())
    }

    fn year(&mut self, cursor: &mut Cursor<'_>, conversion: u8) -> Option<()> {
        if cursor.at_space_or_end() {
            return Some(());
        }
        let full = matches!(conversion, b'Y' | b'G');
        let year = cursor.signed(if full { 7 } else { 2 })?;
        if full {
            self.century = Some(year / 100);
        }
        self.year_of_century = Some(year % 100);
        Some(())
    }

    /// `AM` or `PM`, for an hour that was read before.
    fn half_day(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        if self.hour > 12 {
            return None;
        }
        let afternoon = cursor.name(&["AM", "PM"])?;
        self.hour = self.hour % 12 + 12 * afternoon;
        Some(())
    }

    /// Capital letters that name a zone; there need be none.
    fn zone(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let rest = &cursor.text[cursor.position..];
        let size = rest.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        if size > 0 {
            let name = std::str::from_utf8(&rest[..size]).ok()?;
            self.zone = Some(timezone::by_name(name).ok()?);
            cursor.position += size;
        }
        Some(())
    }

    fn finish(&self) -> Option<Datetime> {
        let day = self.day_number()?;
        let second_of_day = self.hour * 3600 + self.minute * 60 + self.second;
        let mut offset = self.offset as i16;
        if let Some(zone) = self.zone {
            offset = zone.offset_at_local(day * DAY_SECONDS + second_of_day);
        }
        let mut datetime = Datetime::from_local(day, second_of_day, self.nanosecond, offset);
        datetime.zone = self.zone.map_or(0, |zone| zone.index());
        if let Some(epoch) = self.epoch {
            datetime.epoch = epoch as f64;
        }
        (EPOCH_MIN as f64..=EPOCH_MAX as f64).contains(&datetime.epoch).then_some(datetime)
    }

    fn day_number(&self) -> Option<i64> {
        let year = match (self.century, self.year_of_century) {
            (None, None) => 1970,
            (None, Some(year)) => year + if year < 69 { 2000 } else { 1900 },
            (Some(century), year) => century * 100 + year.unwrap_or(0),
        };
        let first = calendar::day_number(Date { year, month: 1, day: 1 });
        match (self.month, self.year_day, self.week) {
            (Some(month), Some(year_day), _) if self.day.is_none() => {
                // Both must mean the same month.
                let day = first + year_day - 1;
                (calendar::date(day).month == month).then_some(day)
            }
            (Some(month), _, _) => {
                calendar::checked_day_number(Date { year, month, day: self.day.unwrap_or(1) })
            }
            (None, Some(year_day), _) => Some(first + year_day - 1),
            (None, None, Some((week_start, week))) => {
                let week_day = self.week_day.unwrap_or(week_start);
                let first_week_day = calendar::week_day(first) % 7;
                let to_first_week = (week_start - first_week_day).rem_euclid(7);
                let in_week = (week_day - week_start).rem_euclid(7);
                let offset = to_first_week + (week - 1) * 7 + in_week;
                match self.week_day {
                    // The partial week before the first has no such day.
                    Some(_) if offset < 0 => None,
                    _ => Some(first + offset.max(0)),
                }
            }
            (None, None, None) => {
                calendar::checked_day_number(Date { year, month: 1, day: self.day.unwrap_or(1) })
            }
        }
    }
}

struct Cursor<'a> {
    text: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.position += 1)
    }

    fn skip_one_space(&mut self) -> bool {
        let space = self.peek().is_some_and(|byte| byte.is_ascii_whitespace());
        self.position += space as usize;
        space
    }

    fn skip_space(&mut self) {
        while self.skip_one_space() {}
    }

    fn at_space_or_end(&self) -> bool {
        self.peek().is_none_or(|byte| byte.is_ascii_whitespace())
    }

    /// One to `digits` digits.
    fn unsigned(&mut self, digits: usize) -> Option<i64> {
        let rest = &self.text[self.position..];
        let count = rest.iter().take(digits).take_while(|byte| byte.is_ascii_digit()).count();
        let value = rest[..count].iter().fold(0, |sum, digit| sum * 10 + (digit - b'0') as i64);
        self.position += count;
        (count > 0).then_some(value)
    }

    fn signed(&mut self, digits: usize) -> Option<i64> {
        let negative = self.eat(b'-').is_some();
        let value = self.unsigned(digits)?;
        Some(if negative { -value } else { value })
    }

    fn number(&mut self, digits: usize, min: i64, max: i64) -> Option<i64> {
        self.unsigned(digits).filter(|value| (min..=max).contains(value))
    }

    /// Up to nine digits of a fraction, as nanoseconds.
    fn fraction(&mut self) -> Option<i32> {
        let start = self.position;
        let value = self.unsigned(9)?;
        let missing = 9 - (self.position - start) as u32;
        Some((value * 10i64.pow(missing)) as i32)
    }

    /// The index of the name or its first three letters, in any case.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let rest = &self.text[self.position..];
        let starts = |name: &str| {
            rest.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
        };
        let short = |name: &'_ str| name.len().min(3);
        let index = names.iter().position(|name| starts(&name[..short(name)]))?;
        let name = names[index];
        self.position += if starts(name) { name.len() } else { short(name) };
        Some(index as i64)
    }

    /// `Z`, `+hh` or `+hhmm`, in minutes.
    fn offset(&mut self) -> Option<i64> {
        if self.eat(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.eat(b'-').is_some() { -1 } else { self.eat(b'+').map(|()| 1)? };
        let start = self.position;
        let value = self.unsigned(4)?;
        let minutes = match self.position - start {
            4 if value % 100 < 60 => value / 100 * 60 + value % 100,
            2 => value * 60,
            _ => return None,
        };
        let offset = sign * minutes;
        (OFFSET_MIN as i64..=OFFSET_MAX as i64).contains(&offset).then_some(offset)
    }
}

/// Fuzz target: any text by a pattern with most conversions is a datetime or nothing.
pub fn fuzz(data: &[u8]) {
    for pattern in ["%c %z", "%F %T.%f%z", "%Y-%j %Z", "%U %u %y", "%s", "%e-%b-%Y %r %W"] {
        if let Some((datetime, size)) = parse(data, pattern) {
            assert!(size <= data.len());
            let _ = super::strftime::format(&datetime, pattern);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::strftime;
    use proptest::prelude::*;

    fn parsed(text: &str, pattern: &str) -> Option<String> {
        parse(text.as_bytes(), pattern).map(|(datetime, _)| datetime.to_string())
    }

    #[test]
    fn conversions_are_cs() {
        for (text, pattern, expected) in [
            ("2024-02-29 10:11:12.5+0300", "%F %T.%f%z", "2024-02-29T10:11:12.500+0300"),
            ("Thu Jan  1 03:00:00 1970", "%c", "1970-01-01T03:00:00Z"),
            ("december 24, 12 4 PM", "%B %d, %y %I %p", "2012-12-24T16:00:00Z"),
            ("2012 359", "%Y %j", "2012-12-24T00:00:00Z"),
            ("2012 52 1", "%Y %W %u", "2012-12-24T00:00:00Z"),
            ("1356363000", "%s", "2012-12-24T15:30:00Z"),
            ("12:30 MSK", "%R %Z", "1970-01-01T12:30:00 MSK"),
            ("-0005-01-01", "%F", "-005-01-01T00:00:00Z"),
        ] {
            assert_eq!(parsed(text, pattern).as_deref(), Some(expected), "{text} {pattern}");
        }
        for (text, pattern) in
            [("2024-13-01", "%F"), ("2023-02-29", "%F"), ("+1500", "%z"), ("1", "%Q"), ("a", "b")]
        {
            assert_eq!(parsed(text, pattern), None, "{text} {pattern}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_parses_back(
            epoch in EPOCH_MIN / 8..EPOCH_MAX / 8, nanosecond in 0..1_000_000_000, offset in -720i16..840,
        ) {
            let value = Datetime { epoch: epoch as f64, nanosecond, offset, zone: 0 };
            let pattern = "%Y-%m-%dT%H:%M:%S.%9f%z";
            let text = strftime::format(&value, pattern);
            let (back, size) = parse(text.as_bytes(), pattern).unwrap();
            prop_assert_eq!((back, back.offset, size), (value, offset, text.len()));
        }

        #[test]
        fn random_text_never_panics(text in "[-0-9+:. a-zA-Z]{0,30}") {
            fuzz(text.as_bytes());
        }
    }
}
