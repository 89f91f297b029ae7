//! The proleptic Gregorian calendar: days, dates, weeks.
//!
//! A day is its number from 1970-01-01. The algorithms are the well known ones on a year that
//! starts in March, so that the leap day is its last.

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;
/// Number of 1970-01-01 when 0001-01-01 is day 1.
pub const RATA_DIE_1970: i64 = 719_163;

const ERA_DAYS: i64 = 146_097;

/// A date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Astronomical year: 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
}

/// Day number of a date; months and days out of range carry over.
pub fn day_number(date: Date) -> i64 {
    let month_index = date.month - 1;
    let year = date.year + month_index.div_euclid(12);
    let month = month_index.rem_euclid(12) + 1;
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - 719_468 + date.day - 1
}

/// Date of a day number.
pub fn date(day_number: i64) -> Date {
    let shifted = day_number + 719_468;
    let era = shifted.div_euclid(ERA_DAYS);
    let day_of_era = shifted.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    Date { year, month, day }
}

/// Whether the year has a February 29th.
pub fn is_leap_year(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days of the month.
pub fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + is_leap_year(year) as i64,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Day number of a date that exists, otherwise `None`.
pub fn checked_day_number(date: Date) -> Option<i64> {
    let exists = (1..=12).contains(&date.month)
        && (1..=month_days(date.year, date.month)).contains(&date.day);
    exists.then(|| day_number(date))
}

/// Day of the year, from 1.
pub fn year_day(day: i64) -> i64 {
    day - day_number(Date { year: date(day).year, month: 1, day: 1 }) + 1
}

/// Day of the week: 1 is Monday, 7 is Sunday.
pub fn week_day(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7) + 1
}

/// ISO 8601 year and week.
pub fn iso_week(day: i64) -> (i64, i64) {
    // The year of a week is that of its Thursday.
    let thursday = day - week_day(day) + 4;
    let year = date(thursday).year;
    (year, (year_day(thursday) - 1) / 7 + 1)
}

/// Day number of an ISO 8601 week date, `None` if the year has no such week or the week no such
/// day.
pub fn iso_week_day_number(year: i64, week: i64, day_of_week: i64) -> Option<i64> {
    let january_4 = day_number(Date { year, month: 1, day: 4 });
    let monday = january_4 - week_day(january_4) + 1;
    let day = monday + (week - 1) * 7 + day_of_week - 1;
    let exists = (1..=7).contains(&day_of_week) && week >= 1 && iso_week(day) == (year, week);
    exists.then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_days() {
        assert_eq!(day_number(Date { year: 1, month: 1, day: 1 }), 1 - RATA_DIE_1970);
        assert_eq!(date(15_698), Date { year: 2012, month: 12, day: 24 });
        assert_eq!(iso_week(15_698), (2012, 52));
        assert_eq!(iso_week_day_number(2012, 52, 1), Some(15_698));
        assert_eq!(iso_week_day_number(2012, 53, 1), None);
        assert_eq!(year_day(15_698), 359);
        assert_eq!(checked_day_number(Date { year: 1900, month: 2, day: 29 }), None);
        let carried = day_number(Date { year: 2023, month: 14, day: 31 });
        assert_eq!(date(carried), Date { year: 2024, month: 3, day: 2 });
    }

    proptest! {
        #[test]
        fn dates_come_back(day in -2_147_483_648i64..2_147_483_647) {
            prop_assert_eq!(checked_day_number(date(day)), Some(day));
            let (year, week) = iso_week(day);
            prop_assert_eq!(iso_week_day_number(year, week, week_day(day)), Some(day));
        }
    }
}
