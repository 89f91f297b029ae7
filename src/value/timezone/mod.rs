//! Time zones by Tarantool's number, name or abbreviation, and their offsets at a moment.
//!
//! Offsets of named zones come from the IANA database, the system's or the one bundled with crate
//! `jiff` where the system has none.

mod table;

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Zones have a lower number than this.
pub const INDEX_MAX: i16 = 1024;

/// Whether an abbreviation says what its offset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Plain,
    Daylight,
    /// Several zones use it.
    Ambiguous,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Abbreviation(i16, Flag),
    Named,
}

/// A known zone.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    index: i16,
    name: &'static str,
    kind: Kind,
}

/// Why a name is no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// Nothing is called so.
    Unknown,
    /// Several zones are called so.
    Ambiguous,
}

struct Zones {
    by_index: HashMap<i16, Zone>,
    by_name: HashMap<String, Zone>,
}

fn zones() -> &'static Zones {
    static ZONES: OnceLock<Zones> = OnceLock::new();
    ZONES.get_or_init(|| {
        let abbreviations = table::ABBREVIATIONS.iter().map(|&(index, name, offset, flag)| Zone {
            index,
            name,
            kind: Kind::Abbreviation(offset, flag),
        });
        let named = |&(index, name): &(i16, &'static str)| Zone { index, name, kind: Kind::Named };
        let unique: Vec<Zone> = abbreviations.chain(table::ZONES.iter().map(named)).collect();
        let all = unique.iter().copied().chain(table::ALIASES.iter().map(named));
        Zones {
            by_name: all.map(|zone| (zone.name.to_ascii_lowercase(), zone)).collect(),
            by_index: unique.iter().map(|zone| (zone.index, *zone)).collect(),
        }
    })
}

/// The zone of this name or abbreviation, in any case.
pub fn by_name(name: &str) -> Result<Zone, LookupError> {
    let zone = zones().by_name.get(&name.to_ascii_lowercase()).ok_or(LookupError::Unknown)?;
    match zone.kind {
        Kind::Abbreviation(_, Flag::Ambiguous) => Err(LookupError::Ambiguous),
        _ => Ok(*zone),
    }
}

/// The zone of this number.
pub fn by_index(index: i16) -> Option<Zone> {
    zones().by_index.get(&index).copied()
}

/// Minutes east of UTC of the machine's own zone, at that many seconds of Unix time.
pub fn local_offset(epoch: i64) -> i16 {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    (zone.to_offset(timestamp(epoch)).seconds() / 60) as i16
}

/// Number and name of every zone, aliases last, as `datetime.TZ` lists them.
pub fn all() -> impl Iterator<Item = (i16, &'static str)> {
    let abbreviations = table::ABBREVIATIONS.iter().map(|&(index, name, _, _)| (index, name));
    abbreviations.chain(table::ZONES.iter().copied()).chain(table::ALIASES.iter().copied())
}

impl Zone {
    /// Tarantool's number (`tzindex`). An alias has the number of its zone.
    pub fn index(&self) -> i16 {
        self.index
    }

    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Minutes east of UTC, and whether daylight saving is on, at that many seconds of Unix time.
    pub fn offset_at(&self, epoch: i64) -> (i16, bool) {
        match self.kind {
            Kind::Abbreviation(offset, flag) => (offset, flag == Flag::Daylight),
            Kind::Named => {
                let Ok(zone) = TimeZone::get(self.name) else { return (0, false) };
                let info = zone.to_offset_info(timestamp(epoch));
                ((info.offset().seconds() / 60) as i16, info.dst().is_dst())
            }
        }
    }

    /// Minutes east of UTC when the zone's clocks show that many seconds since 1970 began there.
    pub fn offset_at_local(&self, local: i64) -> i16 {
        // The offset of the moment reached with the offset of a first guess; in the hour that
        // clocks repeat or leave out either answer is right.
        let (guess, _) = self.offset_at(local);
        self.offset_at(local - guess as i64 * 60).0
    }
}

/// The calendar of the database ends at the years -9999 and 9999; beyond, the rules of the ends
/// hold.
fn timestamp(epoch: i64) -> Timestamp {
    let bounded = epoch.clamp(Timestamp::MIN.as_second() + 1, Timestamp::MAX.as_second() - 1);
    Timestamp::from_second(bounded).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_aliases_agree() {
        let moscow = by_name("europe/moscow").unwrap();
        assert_eq!(moscow.name(), "Europe/Moscow");
        assert_eq!(by_index(moscow.index()).unwrap().name(), "Europe/Moscow");
        assert_eq!(by_name("UTC").unwrap().offset_at(0), (0, false));
        assert_eq!(by_name("MSK").unwrap().offset_at(0), (180, false));
        assert_eq!(by_name("AT").unwrap_err(), LookupError::Ambiguous);
        assert_eq!(by_name("Middle/Earth").unwrap_err(), LookupError::Unknown);
        for (index, name) in all() {
            assert!(index < INDEX_MAX && by_index(index).is_some(), "{name}");
        }
    }

    #[test]
    fn named_zones_follow_their_history() {
        let berlin = by_name("Europe/Berlin").unwrap();
        assert_eq!(berlin.offset_at(1_700_000_000), (60, false));
        assert_eq!(berlin.offset_at(1_690_000_000), (120, true));
        assert_eq!(berlin.offset_at_local(1_690_000_000), 120);
        berlin.offset_at(i64::MAX);
        berlin.offset_at(i64::MIN);
    }
}
