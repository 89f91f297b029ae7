//! A cursor over MessagePack that borrows what it reads.

use super::item::{Kind, item, skip_many};

/// A cursor over MessagePack. Each `read_*` returns `None` and stays where it is when the next
/// value is of another kind or cut short.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the beginning of `data`.
    #[inline]
    pub fn new(data: &'a [u8]) -> Reader<'a> {
        Reader { data, position: 0 }
    }

    /// Offset of the next value from the start.
    #[inline]
    pub fn position(&self) -> usize {
        self.position
    }

    /// Whether nothing is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.position >= self.data.len()
    }

    /// What is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.data[self.position..]
    }

    /// What was read between an earlier `position()` and now.
    #[inline]
    pub fn since(&self, position: usize) -> &'a [u8] {
        &self.data[position..self.position]
    }

    /// Kind of the next value, `None` at the end.
    #[inline]
    pub fn kind(&self) -> Option<Kind> {
        self.data.get(self.position).map(|&first| Kind::of(first))
    }

    /// Extension type of the next value, `None` unless it is an extension.
    #[inline]
    pub fn ext_type(&self) -> Option<i8> {
        self.clone().read_ext().map(|(ext_type, _)| ext_type)
    }

    /// Whether the next value is `nil`.
    #[inline]
    pub fn is_nil(&self) -> bool {
        self.kind() == Some(Kind::Nil)
    }

    /// Passes over the next value and returns its bytes.
    #[inline]
    pub fn skip(&mut self) -> Option<&'a [u8]> {
        self.skip_many(1)
    }

    /// As [`Reader::skip`], of a value in a container that is not trusted: `None` also when it is
    /// not well formed.
    #[inline]
    pub fn check(&mut self) -> Option<&'a [u8]> {
        let size = super::check_inner(self.rest()).ok()?;
        let start = self.position;
        self.position += size;
        Some(self.since(start))
    }

    /// Passes over the next `count` values and returns their bytes.
    #[inline]
    pub fn skip_many(&mut self, count: u64) -> Option<&'a [u8]> {
        let size = skip_many(self.rest(), count)?;
        let start = self.position;
        self.position += size;
        Some(self.since(start))
    }

    /// Reads `nil`.
    #[inline]
    pub fn read_nil(&mut self) -> Option<()> {
        (self.kind()? == Kind::Nil).then(|| self.position += 1)
    }

    /// Reads a boolean.
    #[inline]
    pub fn read_bool(&mut self) -> Option<bool> {
        let value = match self.data.get(self.position)? {
            0xc2 => false,
            0xc3 => true,
            _ => return None,
        };
        self.position += 1;
        Some(value)
    }

    /// Reads a non-negative integer in whatever form it was written.
    #[inline]
    pub fn read_uint(&mut self) -> Option<u64> {
        let first = *self.data.get(self.position)?;
        if first < 0x80 {
            self.position += 1;
            return Some(first as u64);
        }
        match first {
            0xcc => Some(self.take::<1>()?[0] as u64),
            0xcd => Some(u16::from_be_bytes(self.take()?) as u64),
            0xce => Some(u32::from_be_bytes(self.take()?) as u64),
            0xcf => Some(u64::from_be_bytes(self.take()?)),
            0xd0..=0xd3 => {
                let mut ahead = *self;
                let value = u64::try_from(ahead.read_signed()?).ok()?;
                *self = ahead;
                Some(value)
            }
            _ => None,
        }
    }

    /// Reads an integer that fits `i64`, signed or not.
    #[inline]
    pub fn read_int(&mut self) -> Option<i64> {
        match self.kind()? {
            Kind::Int => self.read_signed(),
            Kind::Uint => {
                let mut ahead = *self;
                let value = i64::try_from(ahead.read_uint()?).ok()?;
                *self = ahead;
                Some(value)
            }
            _ => None,
        }
    }

    /// Reads any integer.
    #[inline]
    pub fn read_integer(&mut self) -> Option<i128> {
        match self.kind()? {
            Kind::Int => self.read_signed().map(i128::from),
            _ => self.read_uint().map(i128::from),
        }
    }

    fn read_signed(&mut self) -> Option<i64> {
        let first = *self.data.get(self.position)?;
        match first {
            0xe0..=0xff => {
                self.position += 1;
                Some(first as i8 as i64)
            }
            0xd0 => Some(self.take::<1>()?[0] as i8 as i64),
            0xd1 => Some(i16::from_be_bytes(self.take()?) as i64),
            0xd2 => Some(i32::from_be_bytes(self.take()?) as i64),
            0xd3 => Some(i64::from_be_bytes(self.take()?)),
            _ => None,
        }
    }

    /// Reads a 32-bit float.
    #[inline]
    pub fn read_f32(&mut self) -> Option<f32> {
        match self.kind()? {
            Kind::Float => Some(f32::from_be_bytes(self.take()?)),
            _ => None,
        }
    }

    /// Reads a float of either width.
    #[inline]
    pub fn read_f64(&mut self) -> Option<f64> {
        match self.kind()? {
            Kind::Float => Some(f32::from_be_bytes(self.take()?) as f64),
            Kind::Double => Some(f64::from_be_bytes(self.take()?)),
            _ => None,
        }
    }

    /// Reads an integer or a float as a double; large integers lose their last digits.
    #[inline]
    pub fn read_number_as_f64(&mut self) -> Option<f64> {
        match self.kind()? {
            Kind::Int => self.read_signed().map(|value| value as f64),
            Kind::Uint => self.read_uint().map(|value| value as f64),
            _ => self.read_f64(),
        }
    }

    /// Reads a string. Tarantool's strings need not be UTF-8.
    #[inline]
    pub fn read_str(&mut self) -> Option<&'a [u8]> {
        (self.kind()? == Kind::Str).then(|| self.body())?
    }

    /// Reads a string that must be UTF-8.
    #[inline]
    pub fn read_utf8(&mut self) -> Option<&'a str> {
        let mut ahead = *self;
        let text = std::str::from_utf8(ahead.read_str()?).ok()?;
        *self = ahead;
        Some(text)
    }

    /// Reads binary data.
    #[inline]
    pub fn read_bin(&mut self) -> Option<&'a [u8]> {
        (self.kind()? == Kind::Bin).then(|| self.body())?
    }

    /// Reads a string or binary data.
    #[inline]
    pub fn read_bytes(&mut self) -> Option<&'a [u8]> {
        matches!(self.kind()?, Kind::Str | Kind::Bin).then(|| self.body())?
    }

    /// Enters an array: returns its length and stands at its first element.
    #[inline]
    pub fn read_array_len(&mut self) -> Option<u32> {
        (self.kind()? == Kind::Array).then(|| self.enter().map(|children| children as u32))?
    }

    /// Enters a map: returns the number of pairs and stands at its first key.
    #[inline]
    pub fn read_map_len(&mut self) -> Option<u32> {
        (self.kind()? == Kind::Map).then(|| self.enter().map(|children| (children / 2) as u32))?
    }

    /// Reads an extension: its type and payload.
    #[inline]
    pub fn read_ext(&mut self) -> Option<(i8, &'a [u8])> {
        if self.kind()? != Kind::Ext {
            return None;
        }
        let start = self.position;
        let head = item(self.rest())?;
        let payload = self.body()?;
        // The type is the last byte of the head, whichever form.
        Some((self.data[start + head.head_size - 1] as i8, payload))
    }

    #[inline]
    fn enter(&mut self) -> Option<u64> {
        let item = item(self.rest())?;
        self.position += item.head_size;
        Some(item.child_count)
    }

    #[inline]
    fn body(&mut self) -> Option<&'a [u8]> {
        let item = item(self.rest())?;
        let start = self.position + item.head_size;
        let body = self.data.get(start..start + item.body_size)?;
        self.position = start + item.body_size;
        Some(body)
    }

    /// The `N` bytes after the first byte.
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let start = self.position + 1;
        let bytes = self.data.get(start..start + N)?.try_into().ok()?;
        self.position = start + N;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    #[test]
    fn mismatch_leaves_the_cursor_in_place() {
        let mut data = Vec::new();
        write_int(&mut data, -7);
        write_str(&mut data, b"ab");
        let mut reader = Reader::new(&data);
        assert_eq!(reader.read_uint(), None);
        assert_eq!(reader.read_str(), None);
        assert_eq!(reader.read_int(), Some(-7));
        assert_eq!(reader.read_bin(), None);
        assert_eq!(reader.read_utf8(), Some("ab"));
        assert!(reader.is_empty());
        assert_eq!(reader.kind(), None);
    }

    #[test]
    fn containers_are_entered_and_skipped_whole() {
        let mut data = Vec::new();
        write_array_len(&mut data, 3);
        write_map_len(&mut data, 1);
        write_str(&mut data, b"key");
        write_array_len(&mut data, 0);
        write_ext(&mut data, 9, &[1, 2, 3]);
        write_bool(&mut data, true);
        assert_eq!(skip(&data), Some(data.len()));
        let mut reader = Reader::new(&data);
        assert_eq!(reader.read_array_len(), Some(3));
        assert_eq!(reader.skip().map(<[u8]>::len), Some(6));
        assert_eq!(reader.ext_type(), Some(9));
        assert_eq!(reader.read_ext(), Some((9, &[1u8, 2, 3][..])));
        assert_eq!(reader.read_bool(), Some(true));
    }

    #[test]
    fn cut_values_are_none() {
        let mut data = Vec::new();
        write_str(&mut data, &[b'x'; 40]);
        for end in 0..data.len() {
            assert_eq!(Reader::new(&data[..end]).read_str(), None);
            assert_eq!(skip(&data[..end]), None);
        }
    }
}
