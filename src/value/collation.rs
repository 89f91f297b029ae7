//! Collations: how strings order in an index or a format.
//!
//! The built-in ones are the rows that Tarantool's bootstrap puts into `_collation`; others are
//! made from their options. Unicode collation is ICU4X's (CLDR root and tailorings), so the order
//! is that of the Unicode collation algorithm, not of one particular ICU release.
//!
//! # Invariants
//! Two strings compare equal exactly if their sort keys, and so their hashes, are equal.

use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::OnceLock;

use icu_collator::options::{AlternateHandling, CaseLevel, CollatorOptions, Strength};
use icu_collator::preferences::{CollationCaseFirst, CollationNumericOrdering};
use icu_collator::{Collator, CollatorBorrowed, CollatorPreferences};
use icu_locale_core::Locale;

use crate::base::{Error, Result, error::Type};

/// Id of `none`: bytes in order, the same as no collation.
pub const NONE_ID: u32 = 0;
/// Id of `unicode`.
pub const UNICODE_ID: u32 = 1;
/// Id of `unicode_ci`.
pub const UNICODE_CI_ID: u32 = 2;
/// Id of `binary`.
pub const BINARY_ID: u32 = 3;
/// First id of the tailored collations, three strengths for each locale.
const TAILORED_ID: u32 = 4;
/// Longest locale name, in bytes.
pub const LOCALE_SIZE_MAX: usize = 30;

/// Name (in `unicode_<name>_s<1-3>`) and locale of each tailored collation, by id.
#[rustfmt::skip]
const TAILORED: [(&str, &str); 91] = [
    ("af", "af"), ("am", "am"), ("ar", "ar"), ("as", "as"), ("az", "az"), ("be", "be"),
    ("bn", "bn"), ("bs", "bs"), ("bs_Cyrl", "bs_Cyrl"), ("ca", "ca"), ("cs", "cs"), ("cy", "cy"),
    ("da", "da"), ("de__phonebook", "de_DE_u_co_phonebk"),
    ("de_AT_phonebook", "de_AT_u_co_phonebk"), ("dsb", "dsb"), ("ee", "ee"), ("eo", "eo"),
    ("es", "es"), ("es__traditional", "es_u_co_trad"), ("et", "et"), ("fa", "fa"), ("fi", "fi"),
    ("fi__phonebook", "fi_u_co_phonebk"), ("fil", "fil"), ("fo", "fo"), ("fr_CA", "fr_CA"),
    ("gu", "gu"), ("ha", "ha"), ("haw", "haw"), ("he", "he"), ("hi", "hi"), ("hr", "hr"),
    ("hu", "hu"), ("hy", "hy"), ("ig", "ig"), ("is", "is"), ("ja", "ja"), ("kk", "kk"),
    ("kl", "kl"), ("kn", "kn"), ("ko", "ko"), ("kok", "kok"), ("ky", "ky"), ("lkt", "lkt"),
    ("ln", "ln"), ("lt", "lt"), ("lv", "lv"), ("mk", "mk"), ("ml", "ml"), ("mr", "mr"),
    ("mt", "mt"), ("nb", "nb"), ("nn", "nn"), ("nso", "nso"), ("om", "om"), ("or", "or"),
    ("pa", "pa"), ("pl", "pl"), ("ro", "ro"), ("sa", "sa"), ("se", "se"), ("si", "si"),
    ("si__dictionary", "si_u_co_dict"), ("sk", "sk"), ("sl", "sl"), ("sq", "sq"), ("sr", "sr"),
    ("sr_Latn", "sr_Latn"), ("sv", "sv"), ("sv__reformed", "sv_u_co_reformed"), ("ta", "ta"),
    ("te", "te"), ("th", "th"), ("tn", "tn"), ("to", "to"), ("tr", "tr"), ("ug_Cyrl", "ug"),
    ("uk", "uk"), ("ur", "ur"), ("vi", "vi"), ("vo", "vo"), ("wae", "wae"), ("wo", "wo"),
    ("yo", "yo"), ("zh", "zh"), ("zh__big5han", "zh_u_co_big5han"),
    ("zh__gb2312han", "zh_u_co_gb2312"), ("zh__pinyin", "zh_u_co_pinyin"),
    ("zh__stroke", "zh_u_co_stroke"), ("zh__zhuyin", "zh_u_co_zhuyin"),
];

/// Number of built-in collations: their ids are below this.
pub const BUILTIN_COUNT: u32 = TAILORED_ID + 3 * TAILORED.len() as u32;

static BUILTIN: [OnceLock<Collation>; BUILTIN_COUNT as usize] =
    [const { OnceLock::new() }; BUILTIN_COUNT as usize];

/// How a collation compares, as `_collation` has it in `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ICU`.
    Icu,
    /// `BINARY`.
    Binary,
}

impl Kind {
    /// The name in `_collation`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Icu => "ICU",
            Kind::Binary => "BINARY",
        }
    }

    /// The kind of this name, in any case.
    pub fn by_name(name: &str) -> Option<Kind> {
        [Kind::Icu, Kind::Binary].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// The options of an ICU collation; `None` is the locale's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `strength`: the last level that tells strings apart.
    pub strength: Option<Level>,
    /// `alternate_handling`: whether punctuation is ignored on the first levels.
    pub alternate_shifted: Option<bool>,
    /// `case_first`: which case sorts first.
    pub case_first: Option<CaseFirst>,
    /// `case_level`: whether case makes a level of its own before the third.
    pub case_level: Option<bool>,
    /// `french_collation`: whether accents compare from the end.
    pub french_collation: Option<bool>,
    /// `numeric_collation`: whether digit sequences compare as numbers.
    pub numeric_collation: Option<bool>,
}

/// A collation strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Base letters.
    Primary,
    /// And accents.
    Secondary,
    /// And case.
    Tertiary,
    /// And ignored punctuation.
    Quaternary,
    /// And code points.
    Identical,
}

/// Which case sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseFirst {
    /// Neither.
    Off,
    /// Upper case.
    Upper,
    /// Lower case.
    Lower,
}

impl Level {
    const ALL: [Level; 5] =
        [Level::Primary, Level::Secondary, Level::Tertiary, Level::Quaternary, Level::Identical];

    /// The name in the options of `_collation`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Primary => "primary",
            Level::Secondary => "secondary",
            Level::Tertiary => "tertiary",
            Level::Quaternary => "quaternary",
            Level::Identical => "identical",
        }
    }

    /// The strength of this name, in any case.
    pub fn by_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(name))
    }
}

/// One row of `_collation` as the bootstrap makes it (the owner is the admin).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Id.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// Locale, empty for the root and for binary collations.
    pub locale: &'static str,
    /// The only option that built-in collations set.
    pub strength: Option<Level>,
}

/// The built-in collation of this id.
pub fn definition(id: u32) -> Option<Definition> {
    let row = |name: &str, kind, locale, strength| {
        Some(Definition { id, name: name.to_owned(), kind, locale, strength })
    };
    match id {
        NONE_ID => row("none", Kind::Binary, "", None),
        UNICODE_ID => row("unicode", Kind::Icu, "", Some(Level::Tertiary)),
        UNICODE_CI_ID => row("unicode_ci", Kind::Icu, "", Some(Level::Primary)),
        BINARY_ID => row("binary", Kind::Binary, "", None),
        _ => {
            let index = id - TAILORED_ID;
            let (name, locale) = TAILORED.get(index as usize / 3)?;
            let strength = index as usize % 3;
            let name = format!("unicode_{name}_s{}", strength + 1);
            row(&name, Kind::Icu, locale, Some(Level::ALL[strength]))
        }
    }
}

/// All built-in collations by id.
pub fn definitions() -> impl Iterator<Item = Definition> {
    (0..BUILTIN_COUNT).map_while(definition)
}

/// An order of strings.
pub struct Collation {
    /// `None` compares bytes.
    collator: Option<CollatorBorrowed<'static>>,
}

impl Collation {
    /// The built-in collation of this id, made at first use.
    pub fn builtin(id: u32) -> Option<&'static Collation> {
        let slot = BUILTIN.get(id as usize)?;
        if let Some(collation) = slot.get() {
            return Some(collation);
        }
        let definition = definition(id)?;
        let options = Options { strength: definition.strength, ..Options::default() };
        let made = Collation::new(definition.kind, definition.locale, &options).ok()?;
        Some(slot.get_or_init(|| made))
    }

    /// The built-in collation of this name.
    pub fn builtin_by_name(name: &str) -> Option<(u32, &'static Collation)> {
        let id = definitions().find(|definition| definition.name == name)?.id;
        Some((id, Collation::builtin(id)?))
    }

    /// A collation with these options.
    pub fn new(kind: Kind, locale: &str, options: &Options) -> Result<Collation> {
        if kind == Kind::Binary {
            return Ok(Collation { collator: None });
        }
        let failed = |what: &str| Error::new(Type::Collation, what.to_owned());
        let preferences =
            preferences(locale, options).ok_or_else(|| failed("U_ILLEGAL_ARGUMENT_ERROR"))?;
        if options.french_collation == Some(true) && !locale.starts_with("fr_CA") {
            // ICU4X takes this from the locale alone.
            return Err(failed("failed to set french_collation: U_UNSUPPORTED_ERROR"));
        }
        let mut chosen = CollatorOptions::default();
        chosen.strength = options.strength.map(|level| match level {
            Level::Primary => Strength::Primary,
            Level::Secondary => Strength::Secondary,
            Level::Tertiary => Strength::Tertiary,
            Level::Quaternary => Strength::Quaternary,
            Level::Identical => Strength::Identical,
        });
        chosen.alternate_handling = options.alternate_shifted.map(|shifted| {
            if shifted { AlternateHandling::Shifted } else { AlternateHandling::NonIgnorable }
        });
        chosen.case_level =
            options.case_level.map(|on| if on { CaseLevel::On } else { CaseLevel::Off });
        let collator = Collator::try_new(preferences, chosen)
            .map_err(|_| failed("U_MISSING_RESOURCE_ERROR"))?;
        Ok(Collation { collator: Some(collator) })
    }

    /// Whether it compares bytes.
    pub fn is_binary(&self) -> bool {
        self.collator.is_none()
    }

    /// Compares two strings. Bytes that are not UTF-8 count as U+FFFD.
    #[inline]
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        match &self.collator {
            Some(collator) => collator.compare_utf8(a, b),
            None => a.cmp(b),
        }
    }

    /// Appends bytes that compare as [`Collation::compare`] does.
    pub fn sort_key(&self, text: &[u8], out: &mut Vec<u8>) {
        match &self.collator {
            Some(collator) => {
                let Ok(()) = collator.write_sort_key_utf8_to(text, out);
            }
            None => out.extend_from_slice(text),
        }
    }

    /// Hashes consistently with [`Collation::compare`].
    pub fn hash<H: Hasher>(&self, text: &[u8], state: &mut H) {
        if self.is_binary() {
            return state.write(text);
        }
        let mut key = Vec::with_capacity(2 * text.len() + 8);
        self.sort_key(text, &mut key);
        state.write(&key);
    }

    /// Whether a key part with this collation may be told apart further by a second part on the
    /// same field with another collation. Binary order leaves nothing to tell apart.
    pub fn can_merge(first: Option<&Collation>, second: Option<&Collation>) -> bool {
        let same = match (first, second) {
            (Some(first), Some(second)) => std::ptr::eq(first, second),
            (None, None) => true,
            _ => false,
        };
        !same && first.is_some_and(|first| !first.is_binary())
    }
}

impl std::fmt::Debug for Collation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_binary() { "Collation(BINARY)" } else { "Collation(ICU)" })
    }
}

/// ICU names a locale with underscores where BCP 47 has hyphens.
fn preferences(locale: &str, options: &Options) -> Option<CollatorPreferences> {
    let locale = match locale {
        "" => Locale::UNKNOWN,
        _ => locale.replace('_', "-").parse().ok()?,
    };
    let mut preferences = CollatorPreferences::from(locale);
    if let Some(case_first) = options.case_first {
        preferences.case_first = Some(match case_first {
            CaseFirst::Off => CollationCaseFirst::False,
            CaseFirst::Upper => CollationCaseFirst::Upper,
            CaseFirst::Lower => CollationCaseFirst::Lower,
        });
    }
    if let Some(numeric) = options.numeric_collation {
        preferences.numeric_ordering = Some(match numeric {
            true => CollationNumericOrdering::True,
            false => CollationNumericOrdering::False,
        });
    }
    Some(preferences)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> &'static Collation {
        Collation::builtin_by_name(name).unwrap_or_else(|| panic!("{name} exists")).1
    }

    #[test]
    fn ids_and_names_are_tarantools() {
        assert_eq!(BUILTIN_COUNT, 277);
        let name = |id| definition(id).map(|definition| definition.name);
        assert_eq!(name(4).as_deref(), Some("unicode_af_s1"));
        assert_eq!(name(45).as_deref(), Some("unicode_de__phonebook_s3"));
        assert_eq!(name(276).as_deref(), Some("unicode_zh__zhuyin_s3"));
        assert_eq!(name(277), None);
        assert_eq!(Collation::builtin_by_name("nope").map(|(id, _)| id), None);
    }

    #[test]
    fn every_builtin_collation_can_be_made() {
        for definition in definitions() {
            let collation = Collation::builtin(definition.id);
            assert!(collation.is_some(), "{}", definition.name);
        }
    }

    #[test]
    fn strengths_tell_apart_what_they_should() {
        let unicode = named("unicode");
        assert_eq!(unicode.compare(b"a", b"A"), Ordering::Less);
        assert_eq!(unicode.compare(b"A", b"b"), Ordering::Less);
        let insensitive = named("unicode_ci");
        assert_eq!(
            insensitive.compare("ЭЛЕКТРО".as_bytes(), "электро".as_bytes()),
            Ordering::Equal
        );
        assert_eq!(insensitive.compare("é".as_bytes(), b"E"), Ordering::Equal);
        let phonebook = named("unicode_de__phonebook_s1");
        assert_eq!(phonebook.compare("ä".as_bytes(), b"ae"), Ordering::Equal);
        assert_eq!(named("binary").compare(b"a", b"B"), Ordering::Greater);
        assert_eq!(named("none").compare(b"a", b"a\0"), Ordering::Less);
    }

    #[test]
    fn options_reach_the_collator() {
        let options = Options { numeric_collation: Some(true), ..Options::default() };
        let numeric = Collation::new(Kind::Icu, "", &options).unwrap();
        assert_eq!(numeric.compare(b"file10", b"file9"), Ordering::Greater);
        let options = Options { case_first: Some(CaseFirst::Upper), ..Options::default() };
        let upper = Collation::new(Kind::Icu, "en_US", &options).unwrap();
        assert_eq!(upper.compare(b"a", b"A"), Ordering::Greater);
        assert!(Collation::new(Kind::Icu, "not a locale", &options).is_err());
    }

    proptest! {
        #[test]
        fn sort_keys_agree_with_compare(
            a in proptest::collection::vec(any::<u8>(), 0..12),
            b in "\\PC{0,6}",
            id in 0..BUILTIN_COUNT,
        ) {
            let collation = Collation::builtin(id).unwrap();
            let key = |text: &[u8]| {
                let mut key = Vec::new();
                collation.sort_key(text, &mut key);
                key
            };
            prop_assert_eq!(collation.compare(&a, b.as_bytes()), key(&a).cmp(&key(b.as_bytes())));
        }
    }
}
