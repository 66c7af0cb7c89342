//! The compact form of private state: numbers as varints, texts behind their length, a version
//! byte in front. Only the operator that writes a value reads it.

/// Writes a packed value into a buffer that is reused.
#[derive(Debug, Default)]
pub struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    /// Begins a value.
    pub fn begin(&mut self, format: u8) -> &mut Self {
        self.bytes.clear();
        self.bytes.push(format);
        self
    }

    /// A number.
    pub fn number(&mut self, mut number: u64) -> &mut Self {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
        self
    }

    /// A signed number, small for small magnitudes.
    pub fn signed(&mut self, number: i64) -> &mut Self {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned())
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Bytes of a length that the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The value.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a packed value.
#[derive(Debug, Clone, Copy)]
pub struct Unpacker<'a>(&'a [u8]);

impl<'a> Unpacker<'a> {
    /// Opens a value of a format; `None` if it is of another one.
    #[must_use]
    pub fn open(bytes: &'a [u8], format: u8) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        (*first == format).then_some(Self(rest))
    }

    /// A number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A signed number.
    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.raw(length)?).ok()
    }

    /// Bytes of a known length.
    pub fn raw(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_unpacks(number: u64, signed: i64, text: String) {
            let mut packer = Packer::default();
            packer.begin(3).number(number).signed(signed).text(&text).raw(b"end");
            let mut value = Unpacker::open(packer.bytes(), 3).unwrap();
            prop_assert_eq!(value.number(), Some(number));
            prop_assert_eq!(value.signed(), Some(signed));
            prop_assert_eq!(value.text(), Some(text.as_str()));
            prop_assert_eq!(value.raw(3), Some(&b"end"[..]));
            prop_assert!(value.is_empty());
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(mut value) = Unpacker::open(&bytes, bytes.first().copied().unwrap_or_default()) {
                let _ = (value.number(), value.text(), value.signed(), value.raw(4));
            }
        }
    }
}
