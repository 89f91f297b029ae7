//! The kinds of iterators and their numbers in the protocol.

/// Which tuples an iterator returns, and in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IteratorType {
    /// Equal to the key, ascending.
    Eq = 0,
    /// Equal to the key, descending.
    Req = 1,
    /// All; from the key on when there is one.
    All = 2,
    /// Less than the key, descending.
    Lt = 3,
    /// Less or equal, descending.
    Le = 4,
    /// Greater or equal, ascending.
    Ge = 5,
    /// Greater, ascending.
    Gt = 6,
    /// All bits of the key are set.
    BitsAllSet = 7,
    /// Some bit of the key is set.
    BitsAnySet = 8,
    /// No bit of the key is set.
    BitsAllNotSet = 9,
    /// The rectangle overlaps the key.
    Overlaps = 10,
    /// By distance from the key.
    Neighbor = 11,
    /// The next distinct prefix.
    Np = 12,
    /// The previous distinct prefix.
    Pp = 13,
}

impl IteratorType {
    /// All of them, by number.
    pub const ALL: [IteratorType; 14] = [
        IteratorType::Eq,
        IteratorType::Req,
        IteratorType::All,
        IteratorType::Lt,
        IteratorType::Le,
        IteratorType::Ge,
        IteratorType::Gt,
        IteratorType::BitsAllSet,
        IteratorType::BitsAnySet,
        IteratorType::BitsAllNotSet,
        IteratorType::Overlaps,
        IteratorType::Neighbor,
        IteratorType::Np,
        IteratorType::Pp,
    ];

    /// The iterator type of a number of the protocol.
    pub fn from_number(number: u32) -> Option<IteratorType> {
        Self::ALL.get(number as usize).copied()
    }

    /// The name in Lua and in messages.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 14] = [
            "EQ",
            "REQ",
            "ALL",
            "LT",
            "LE",
            "GE",
            "GT",
            "BITS_ALL_SET",
            "BITS_ANY_SET",
            "BITS_ALL_NOT_SET",
            "OVERLAPS",
            "NEIGHBOR",
            "NP",
            "PP",
        ];
        NAMES[self as usize]
    }

    /// Whether tuples come in descending order.
    pub fn is_reverse(self) -> bool {
        matches!(self, IteratorType::Req | IteratorType::Lt | IteratorType::Le)
    }
}
