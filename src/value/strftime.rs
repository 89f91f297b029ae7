//! Formats datetimes by a pattern: C's `strftime` in the C locale, with `%f` for the fraction.

use std::fmt::Write as _;

use super::calendar;
use super::datetime::Datetime;
use super::timezone;

/// Full names of the days, Sunday first.
pub(super) const WEEK_DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Full names of the months.
pub(super) const MONTHS: [&str; 12] = [
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

/// What a conversion that stands for several others means; the parser shares it.
pub(super) fn compound(conversion: char) -> Option<&'static str> {
    Some(match conversion {
        'c' => "%a %b %e %H:%M:%S %Y",
        'D' | 'x' => "%m/%d/%y",
        'F' => "%Y-%m-%d",
        'R' => "%H:%M",
        'r' => "%I:%M:%S %p",
        'T' | 'X' => "%H:%M:%S",
        'v' => "%e-%b-%Y",
        '+' => "%a %b %e %H:%M:%S %Z %Y",
        _ => return None,
    })
}

/// The datetime's text by the pattern. A conversion that is not known stands for its letter.
pub fn format(datetime: &Datetime, pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    write_pattern(&mut out, datetime, pattern);
    out
}

fn write_pattern(out: &mut String, datetime: &Datetime, pattern: &str) {
    let mut rest = pattern.chars();
    while let Some(next) = rest.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let mut conversion = rest.next();
        // Modifiers for alternative eras and digits, which the C locale has not.
        while let Some('E' | 'O') = conversion {
            conversion = rest.next();
        }
        match conversion {
            None => out.push('%'),
            Some('f') => write_fraction(out, datetime.nanosecond, 0),
            Some(digit @ '0'..='9') => {
                let tail = rest.as_str();
                let end = tail.find(|byte: char| !byte.is_ascii_digit()).unwrap_or(tail.len());
                let digits = format!("{digit}{}", &tail[..end]);
                rest = tail[end..].chars();
                if rest.as_str().starts_with('f') {
                    rest.next();
                    write_fraction(out, datetime.nanosecond, digits.parse().unwrap_or(9).min(9));
                } else {
                    // Only the fraction has a width.
                    out.push_str(&digits);
                }
            }
            Some(conversion) => match compound(conversion) {
                Some(pattern) => write_pattern(out, datetime, pattern),
                None => write_conversion(out, datetime, conversion),
            },
        }
    }
}

/// So many digits of the fraction; 0 is as many of 3, 6 or 9 as it takes.
fn write_fraction(out: &mut String, nanosecond: i32, width: usize) {
    let digits = format!("{nanosecond:09}");
    let width = match width {
        0 if nanosecond % 1_000_000 == 0 => 3,
        0 if nanosecond % 1000 == 0 => 6,
        0 => 9,
        width => width,
    };
    out.push_str(&digits[..width.min(digits.len())]);
}

fn write_conversion(out: &mut String, datetime: &Datetime, conversion: char) {
    let parts = datetime.parts();
    let (date, day) = (parts.date, parts.day_number);
    let hour_12 = (parts.hour + 11) % 12 + 1;
    let year_day = calendar::year_day(day);
    // From Sunday, 0 to 6.
    let week_day = calendar::week_day(day) % 7;
    let result = match conversion {
        'A' => write!(out, "{}", WEEK_DAYS[week_day as usize]),
        'a' => write!(out, "{}", &WEEK_DAYS[week_day as usize][..3]),
        'B' => write!(out, "{}", MONTHS[date.month as usize - 1]),
        'b' | 'h' => write!(out, "{}", &MONTHS[date.month as usize - 1][..3]),
        'C' => write_year(out, date.year, true, false),
        'd' => write!(out, "{:02}", date.day),
        'e' => write!(out, "{:2}", date.day),
        'G' => write_year(out, calendar::iso_week(day).0, true, true),
        'g' => write_year(out, calendar::iso_week(day).0, false, true),
        'H' => write!(out, "{:02}", parts.hour),
        'I' => write!(out, "{hour_12:02}"),
        'j' => write!(out, "{year_day:03}"),
        'k' => write!(out, "{:2}", parts.hour),
        'l' => write!(out, "{hour_12:2}"),
        'M' => write!(out, "{:02}", parts.minute),
        'm' => write!(out, "{:02}", date.month),
        'n' => out.write_char('\n'),
        'p' => out.write_str(if parts.hour >= 12 { "PM" } else { "AM" }),
        'S' => write!(out, "{:02}", parts.second),
        's' => write!(out, "{}", datetime.epoch as i64 + datetime.offset as i64 * 60),
        't' => out.write_char('\t'),
        'U' => write!(out, "{:02}", (year_day - 1 + 7 - week_day) / 7),
        'u' => write!(out, "{}", calendar::week_day(day)),
        'V' => write!(out, "{:02}", calendar::iso_week(day).1),
        'W' => write!(out, "{:02}", (year_day - 1 + 7 - (week_day + 6) % 7) / 7),
        'w' => write!(out, "{week_day}"),
        'Y' => write_year(out, date.year, true, true),
        'y' => write_year(out, date.year, false, true),
        'Z' => timezone::by_index(datetime.zone).map_or(Ok(()), |zone| out.write_str(zone.name())),
        'z' => {
            let sign = if datetime.offset < 0 { '-' } else { '+' };
            let minutes = datetime.offset.unsigned_abs();
            write!(out, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        other => out.write_char(other),
    };
    result.expect("writing to a string cannot fail");
}

/// The century, the year of the century, or both.
fn write_year(out: &mut String, year: i64, century: bool, rest: bool) -> std::fmt::Result {
    let (hundreds, below) = (year / 100, year % 100);
    if century {
        match hundreds == 0 && below < 0 {
            true => out.write_str("-0")?,
            false => write!(out, "{hundreds:02}")?,
        }
    }
    if rest {
        write!(out, "{:02}", below.abs())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::iso8601;

    fn format_text(text: &str, pattern: &str) -> String {
        format(&iso8601::parse(text.as_bytes()).unwrap().0, pattern)
    }

    #[test]
    fn conversions_are_cs() {
        let moment = "1970-01-01T03:00:00+0300";
        for (pattern, expected) in [
            ("%A %a %B %b %h", "Thursday Thu January Jan Jan"),
            ("%c", "Thu Jan  1 03:00:00 1970"),
            ("%D %Ex %EX %Ey %EY", "01/01/70 01/01/70 03:00:00 70 1970"),
            ("%d %Od %e %F %H %I", "01 01  1 1970-01-01 03 03"),
            ("%j %k %l %M %m %p", "001  3  3 00 01 AM"),
            ("%R %r %S %T", "03:00 03:00:00 AM 00 03:00:00"),
            ("%U %u %V %G %g %v", "00 4 01 1970 70  1-Jan-1970"),
            ("%W %w %C %y %z %% %Q %", "00 4 19 70 +0300 % Q %"),
        ] {
            assert_eq!(format_text(moment, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn fractions_have_widths() {
        let moment = "1970-01-01T00:00:00.125Z";
        assert_eq!(
            format_text(moment, "%f %1f %6f %9f %99f %4"),
            "125 1 125000 125000000 125000000 4"
        );
        assert_eq!(format_text("1970-01-01T00:00:00.000001Z", "%f"), "000001");
        assert_eq!(format_text("1970-01-01T00:00:00Z", "%f%Z"), "000Z");
    }

    #[test]
    fn years_out_of_four_digits() {
        assert_eq!(format_text("-0005-01-01", "%Y"), "-005");
        assert_eq!(format_text("10000-01-01", "%Y %C %y"), "10000 100 00");
    }
}
