//! The options of a serializer, with Tarantool's names and defaults.
//!
//! # Yields
//! never

/// How values are written and read. One per serializer instance (`json`, `json.new()`, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Tarantool's")]
pub struct Config {
    /// Write an excessively sparse array as a map; else it is an error.
    pub encode_sparse_convert: bool,
    /// An array is sparse when its largest index is above this many times its items; 0: never.
    pub encode_sparse_ratio: u32,
    /// Arrays whose largest index is at most this are never sparse.
    pub encode_sparse_safe: u32,
    /// Nesting beyond this is an error, or nil with `encode_deep_as_nil`.
    pub encode_max_depth: u32,
    pub encode_deep_as_nil: bool,
    /// Allow NaN and infinities.
    pub encode_invalid_numbers: bool,
    /// Significant digits of numbers in texts.
    pub encode_number_precision: u32,
    /// Obey `__serialize`.
    pub encode_load_metatables: bool,
    /// Write what cannot be written as `tostring` shows it.
    pub encode_use_tostring: bool,
    /// Write what cannot be written as nil.
    pub encode_invalid_as_nil: bool,
    /// Write an error object whole, not just its message.
    pub encode_error_as_ext: bool,
    /// Allow NaN and infinities.
    pub decode_invalid_numbers: bool,
    /// Mark decoded tables as arrays or maps, so that empty ones stay what they are.
    pub decode_save_metatables: bool,
    /// Nesting beyond this is an error.
    pub decode_max_depth: u32,
}

impl Config {
    /// The defaults.
    pub const DEFAULT: Config = Config {
        encode_sparse_convert: true,
        encode_sparse_ratio: 2,
        encode_sparse_safe: 10,
        encode_max_depth: 128,
        encode_deep_as_nil: false,
        encode_invalid_numbers: true,
        encode_number_precision: 14,
        encode_load_metatables: true,
        encode_use_tostring: false,
        encode_invalid_as_nil: false,
        encode_error_as_ext: true,
        decode_invalid_numbers: true,
        decode_save_metatables: true,
        decode_max_depth: 128,
    };

    /// Whether an array with this largest index and so many items is too sparse to be one.
    pub(super) fn is_too_sparse(&self, largest: u32, count: u32) -> bool {
        self.encode_sparse_ratio > 0
            && u64::from(largest) > u64::from(count) * u64::from(self.encode_sparse_ratio)
            && largest > self.encode_sparse_safe
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::DEFAULT
    }
}

/// The type of an option, with access to it.
#[derive(Clone, Copy, Debug)]
pub enum OptionKind {
    /// A flag.
    Boolean(fn(&mut Config) -> &mut bool),
    /// A non-negative number.
    Number(fn(&mut Config) -> &mut u32),
    /// A list of the keys that maps begin with. It is kept beside the [`Config`], see
    /// [`super::key_order`].
    KeyOrder,
}

/// Every option by name.
pub const OPTIONS: &[(&str, OptionKind)] = {
    use OptionKind::{Boolean, KeyOrder, Number};
    &[
        ("encode_sparse_convert", Boolean(|config| &mut config.encode_sparse_convert)),
        ("encode_sparse_ratio", Number(|config| &mut config.encode_sparse_ratio)),
        ("encode_sparse_safe", Number(|config| &mut config.encode_sparse_safe)),
        ("encode_max_depth", Number(|config| &mut config.encode_max_depth)),
        ("encode_deep_as_nil", Boolean(|config| &mut config.encode_deep_as_nil)),
        ("encode_invalid_numbers", Boolean(|config| &mut config.encode_invalid_numbers)),
        ("encode_number_precision", Number(|config| &mut config.encode_number_precision)),
        ("encode_load_metatables", Boolean(|config| &mut config.encode_load_metatables)),
        ("encode_use_tostring", Boolean(|config| &mut config.encode_use_tostring)),
        ("encode_invalid_as_nil", Boolean(|config| &mut config.encode_invalid_as_nil)),
        ("encode_key_order", KeyOrder),
        ("encode_error_as_ext", Boolean(|config| &mut config.encode_error_as_ext)),
        ("decode_invalid_numbers", Boolean(|config| &mut config.decode_invalid_numbers)),
        ("decode_save_metatables", Boolean(|config| &mut config.decode_save_metatables)),
        ("decode_max_depth", Number(|config| &mut config.decode_max_depth)),
    ]
};
