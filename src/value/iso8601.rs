//! Parses the ISO 8601 texts that Tarantool's `datetime.parse` takes.
//!
//! A date, then after `T`, `t` or a space a time, then an offset or the name of a zone. Each part
//! has a basic and an extended form (`20121224` and `2012-12-24`), and the date may be a calendar,
//! ordinal, week or quarter date. Years beyond four digits and negative ones need hyphens.

use super::calendar::{self, DAY_SECONDS, Date};
use super::datetime::{DAY_MAX, DAY_MIN, Datetime, EPOCH_MAX, EPOCH_MIN, OFFSET_MAX, OFFSET_MIN};
use super::timezone::{self, LookupError};

/// Why a text is no datetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It does not start with a date and time.
    Text,
    /// Its zone is not known or says too little.
    Zone(LookupError),
    /// Its offset is not between -12:00 and +14:00.
    Offset,
}

/// Parses the datetime at the start of `text` and returns its size as well.
pub fn parse(text: &[u8]) -> Result<(Datetime, usize), ParseError> {
    let (day, date_size) = parse_date(text).ok_or(ParseError::Text)?;
    let mut cursor = Cursor { text, position: date_size };
    let mut time = Time { second_of_day: 0, nanosecond: 0 };
    let mut zone = Offset { minutes: 0, index: 0 };
    if let Some(separator) = cursor.next() {
        if !matches!(separator, b'T' | b't' | b' ') {
            return Err(ParseError::Text);
        }
        if !cursor.is_empty() {
            time = parse_time(&mut cursor).ok_or(ParseError::Text)?;
            cursor.eat(b' ');
            let local = day * DAY_SECONDS + time.second_of_day;
            let (parsed, size) = parse_zone(&text[cursor.position..], local)?;
            zone = parsed;
            cursor.position += size;
        }
    }
    let mut datetime = Datetime::from_local(day, time.second_of_day, time.nanosecond, zone.minutes);
    datetime.zone = zone.index;
    if !(EPOCH_MIN as f64..=EPOCH_MAX as f64).contains(&datetime.epoch) {
        return Err(ParseError::Text);
    }
    Ok((datetime, cursor.position))
}

/// An offset from UTC and the zone that it comes from, 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    /// Minutes east of UTC.
    pub minutes: i16,
    /// The zone's number.
    pub index: i16,
}

/// Parses the zone (`MSK`, `Europe/Moscow`) or offset (`Z`, `+3`, `+0300`, `+03:00`) at the start
/// of `text`, for a clock that shows `local`. A text that is neither is the empty offset of size 0.
pub fn parse_zone(text: &[u8], local: i64) -> Result<(Offset, usize), ParseError> {
    if text.first().is_some_and(u8::is_ascii_alphabetic) {
        let name = std::str::from_utf8(text).map_err(|_| ParseError::Text)?;
        let zone = timezone::by_name(name).map_err(ParseError::Zone)?;
        let minutes = zone.offset_at_local(local);
        return Ok((Offset { minutes, index: zone.index() }, text.len()));
    }
    let mut cursor = Cursor { text, position: 0 };
    let Some(minutes) = parse_offset(&mut cursor) else {
        return Ok((Offset { minutes: 0, index: 0 }, 0));
    };
    if !(OFFSET_MIN as i64..=OFFSET_MAX as i64).contains(&minutes) {
        return Err(ParseError::Offset);
    }
    Ok((Offset { minutes: minutes as i16, index: 0 }, cursor.position))
}

/// Minutes east of UTC of the offset at the start of `text`, however large, and its size.
pub fn parse_any_offset(text: &[u8]) -> Option<(i64, usize)> {
    let mut cursor = Cursor { text, position: 0 };
    let minutes = parse_offset(&mut cursor)?;
    Some((minutes, cursor.position))
}

fn parse_offset(cursor: &mut Cursor<'_>) -> Option<i64> {
    let sign = match cursor.next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = match cursor.digit_count() {
        count @ (1 | 2) => {
            let hours = cursor.number(count)?;
            let minutes = match cursor.peek() {
                Some(b':') => {
                    cursor.next();
                    cursor.number(2)?
                }
                _ => 0,
            };
            (hours, minutes)
        }
        count @ (3 | 4) => (cursor.number(count - 2)?, cursor.number(2)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

struct Time {
    second_of_day: i64,
    nanosecond: i32,
}

/// `hh`, `hhmm`, `hhmmss`, `hh:mm`, `hh:mm:ss`; the last of them may have a decimal fraction.
fn parse_time(cursor: &mut Cursor<'_>) -> Option<Time> {
    let mut fields = [0; 3];
    let mut unit_seconds = 3600;
    fields[0] = match cursor.digit_count() {
        2 | 4 | 6 => cursor.number(2)?,
        _ => return None,
    };
    for (field, unit) in [(1, 60), (2, 1)] {
        let colon = cursor.peek() == Some(b':');
        if colon {
            cursor.next();
        }
        if !colon && !cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            break;
        }
        fields[field] = cursor.number(2)?;
        unit_seconds = unit;
    }
    if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = parse_fraction(cursor)? as i64 * unit_seconds;
    let [hour, minute, second] = fields;
    let midnight = hour == 24 && minute == 0 && second == 0 && fraction == 0;
    if !midnight && (hour > 23 || minute > 59 || second > 59) {
        return None;
    }
    Some(Time {
        second_of_day: hour * 3600 + minute * 60 + second + fraction / 1_000_000_000,
        nanosecond: (fraction % 1_000_000_000) as i32,
    })
}

/// Billionths after a point or comma; further digits are dropped.
fn parse_fraction(cursor: &mut Cursor<'_>) -> Option<i32> {
    if !matches!(cursor.peek(), Some(b'.' | b',')) {
        return Some(0);
    }
    cursor.next();
    let count = cursor.digit_count();
    if count == 0 {
        return None;
    }
    let kept = count.min(9);
    let value = cursor.number(kept)? * 10i64.pow(9 - kept as u32);
    cursor.position += count - kept;
    Some(value as i32)
}

/// Parses the date at the start of `text`: its day from 1970-01-01 and its size.
pub fn parse_date(text: &[u8]) -> Option<(i64, usize)> {
    let mut cursor = Cursor { text, position: 0 };
    let negative = cursor.eat(b'-');
    let digits = cursor.digit_count();
    let extended = cursor.text.get(cursor.position + digits) == Some(&b'-');
    let day = if extended {
        // The sign is one of the four characters that a year has at least.
        if !(4 - negative as usize..=7).contains(&digits) {
            return None;
        }
        let year = cursor.number(digits)?;
        cursor.next();
        parse_extended(&mut cursor, if negative { -year } else { year })?
    } else {
        if negative || digits < 4 {
            return None;
        }
        let year = cursor.number(4)?;
        parse_basic(&mut cursor, year)?
    };
    if cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    (DAY_MIN..=DAY_MAX).contains(&day).then_some((day, cursor.position))
}

/// What follows `2012-`.
fn parse_extended(cursor: &mut Cursor<'_>, year: i64) -> Option<i64> {
    match cursor.peek()? {
        b'W' => {
            cursor.next();
            let week = cursor.number(2)?;
            cursor.eat(b'-').then_some(())?;
            calendar::iso_week_day_number(year, week, cursor.number(1)?)
        }
        b'Q' => {
            cursor.next();
            let quarter = cursor.number(1)?;
            cursor.eat(b'-').then_some(())?;
            quarter_day(year, quarter, cursor.number(2)?)
        }
        _ => match cursor.digit_count() {
            3 => ordinal_day(year, cursor.number(3)?),
            2 => {
                let month = cursor.number(2)?;
                cursor.eat(b'-').then_some(())?;
                calendar::checked_day_number(Date { year, month, day: cursor.number(2)? })
            }
            _ => None,
        },
    }
}

/// What follows `2012`.
fn parse_basic(cursor: &mut Cursor<'_>, year: i64) -> Option<i64> {
    match cursor.peek()? {
        b'W' => {
            cursor.next();
            let week = cursor.number(2)?;
            calendar::iso_week_day_number(year, week, cursor.number(1)?)
        }
        b'Q' => {
            cursor.next();
            let quarter = cursor.number(1)?;
            quarter_day(year, quarter, cursor.number(2)?)
        }
        _ => match cursor.digit_count() {
            3 => ordinal_day(year, cursor.number(3)?),
            4 => {
                let (month, day) = (cursor.number(2)?, cursor.number(2)?);
                calendar::checked_day_number(Date { year, month, day })
            }
            _ => None,
        },
    }
}

fn ordinal_day(year: i64, day: i64) -> Option<i64> {
    let first = calendar::day_number(Date { year, month: 1, day: 1 });
    (1..=365 + calendar::is_leap_year(year) as i64).contains(&day).then_some(first + day - 1)
}

fn quarter_day(year: i64, quarter: i64, day: i64) -> Option<i64> {
    if !(1..=4).contains(&quarter) {
        return None;
    }
    let month = quarter * 3 - 2;
    let first = calendar::day_number(Date { year, month, day: 1 });
    let end = calendar::day_number(Date { year, month: month + 3, day: 1 });
    (1..=end - first).contains(&day).then_some(first + day - 1)
}

struct Cursor<'a> {
    text: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    fn is_empty(&self) -> bool {
        self.position >= self.text.len()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.position += 1;
        Some(byte)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += found as usize;
        found
    }

    fn digit_count(&self) -> usize {
        self.text[self.position.min(self.text.len())..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    }

    /// The number of exactly `count` digits, at most 9 of them.
    fn number(&mut self, count: usize) -> Option<i64> {
        if self.digit_count() < count {
            return None;
        }
        let digits = &self.text[self.position..self.position + count];
        self.position += count;
        Some(digits.iter().fold(0, |value, digit| value * 10 + (digit - b'0') as i64))
    }
}

/// Fuzz target: any bytes are a datetime or an error.
pub fn fuzz(data: &[u8]) {
    if let Ok((datetime, size)) = parse(data) {
        assert!(size <= data.len());
        let _ = datetime.to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_forms_of_one_moment() {
        for text in [
            "2012-12-24 16:30+0100",
            "2012-12-24 16:30+01",
            "2012-12-24 16:30:00 +01:00",
            "2012-12-24t15:30z",
            "20121224T16,5+0100",
            "20121224T163000.0+01:00",
            "2012359T1530",
            "2012-W52-1T15:30:00Z",
            "2012Q485T15:30 GMT",
            "2012-Q4-85T15:30 UTC",
            "2012-12-24T18:30 MSK",
            "2012-12-24T16:30 Europe/Berlin",
        ] {
            let parsed = parse(text.as_bytes());
            let (datetime, size) = parsed.unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!((datetime.epoch, size), (1356363000.0, text.len()), "{text}");
        }
    }

    #[test]
    fn canonical_text_round_trips() {
        for text in [
            "1970-01-01T02:00:00+0200",
            "1969-12-31T22:30:00-0130",
            "1970-01-01T00:00:00.123456789Z",
            "1970-01-01T00:00:00.123Z",
            "10000-01-01T00:00:00Z",
            "5879611-07-11T00:00:00Z",
            "-5879610-06-22T00:00:00Z",
            "2012-12-24T16:30:00 Europe/Moscow",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().0.to_string(), text);
        }
    }

    #[test]
    fn malformed_dates_are_refused() {
        for text in [
            "20121232",
            "2012-12-310",
            "2012-13-24",
            "2012367",
            "2012-000",
            "2012W533",
            "2012-W52-8",
            "2012Q495",
            "2012-Q5-85",
            "20123670",
            "201212320",
            "2012-12",
            "2012-Q4",
            "2012-Q42",
            "2012-Q1-1",
            "2012Q/* 420",
            "2012-Q-420",
            "2012Q11",
            "2012Q1234",
            "2012W12",
            "2012W1234",
            "2012W-123",
            "2012-W12",
            "2012-W12-12",
            "2012U1234",
            "2012-1234",
            "2012-X1234",
            "",
            "-",
            "2012-02-30",
        ] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
        let error = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(error("2012-12-24T25:00"), ParseError::Text);
        assert_eq!(error("2012-12-24T10:00+1401"), ParseError::Offset);
        assert_eq!(error("2012-12-24T10:00 Nowhere"), ParseError::Zone(LookupError::Unknown));
        assert_eq!(error("2012-12-24T10:00 AT"), ParseError::Zone(LookupError::Ambiguous));
    }

    #[test]
    fn a_day_ends_at_24_hours() {
        let parsed = parse(b"2012-12-24T24:00").unwrap().0;
        assert_eq!(parsed, parse(b"2012-12-25").unwrap().0);
    }

    proptest! {
        #[test]
        fn random_text_never_panics(text in "[-0-9TWQZ:.,+ a-zA-Z/]{0,40}") {
            fuzz(text.as_bytes());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            fuzz(&bytes);
        }
    }
}
