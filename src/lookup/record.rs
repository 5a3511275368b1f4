//! What workers share, as bytes in the host's shared data: one codec, with a version. Bytes of another form are no record.

use sha2::{Digest as _, Sha256};

use crate::encoding::hex;
use crate::sequence::Sequence;
use crate::unix_time::UnixTime;

/// The first byte of every record.
pub const VERSION: u8 = 3;

/// A value that workers share.
pub trait Record: Sized {
    fn write(&self, to: &mut RecordWriter);

    /// Reads its fields; `None` when the bytes are not of this form.
    fn read(from: &mut RecordReader<'_>) -> Option<Self>;

    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = RecordWriter(vec![VERSION]);
        self.write(&mut writer);
        writer.0
    }

    /// The record in these bytes; `None` when they are not of this form, or of another version.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = RecordReader(bytes.strip_prefix(&[VERSION])?);
        let record = Self::read(&mut reader)?;
        reader.0.is_empty().then_some(record)
    }
}

/// Writes the fields of a record.
#[derive(Debug)]
pub struct RecordWriter(Vec<u8>);

/// Reads the fields of a record.
#[derive(Debug)]
pub struct RecordReader<'a>(&'a [u8]);

impl RecordWriter {
    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// Eight bytes.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// A time of the wall clock.
    pub fn time(&mut self, time: UnixTime) {
        self.number(time.as_millis());
    }

    /// The number of a lookup in the process.
    pub fn sequence(&mut self, sequence: Sequence) {
        self.number(sequence.number());
    }

    /// A string after its length. An empty one reads as none.
    pub fn text(&mut self, text: Option<&str>) {
        let text = text.unwrap_or_default();
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}

impl<'a> RecordReader<'a> {
    /// So many bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// What [`RecordWriter::number`] wrote.
    pub fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// What [`RecordWriter::time`] wrote.
    pub fn time(&mut self) -> Option<UnixTime> {
        self.number().map(UnixTime::from_millis)
    }

    /// What [`RecordWriter::sequence`] wrote.
    pub fn sequence(&mut self) -> Option<Sequence> {
        self.number().map(Sequence::new)
    }

    /// What [`RecordWriter::text`] wrote; the inner `None`: an empty string.
    pub fn text(&mut self) -> Option<Option<String>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        let text = std::str::from_utf8(text).ok()?;
        Some((!text.is_empty()).then(|| text.to_owned()))
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// The name of the records of one source: a digest of all that decides what its server responds, so that two configurations
/// share exactly when they mean the same.
pub fn record_name(kind: &str, parts: impl IntoIterator<Item = String>) -> String {
    let mut hasher = Sha256::new();
    for part in [kind.to_owned()].into_iter().chain(parts) {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hex(hasher.finalize().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with a field of each kind.
    #[derive(Debug, PartialEq)]
    struct Fields {
        number: u64,
        time: UnixTime,
        sequence: Sequence,
        text: Option<String>,
        flags: [u8; 2],
        body: Vec<u8>,
    }

    impl Record for Fields {
        fn write(&self, to: &mut RecordWriter) {
            to.number(self.number);
            to.time(self.time);
            to.sequence(self.sequence);
            to.text(self.text.as_deref());
            to.bytes(&self.flags);
            to.bytes(&self.body);
        }

        fn read(from: &mut RecordReader<'_>) -> Option<Self> {
            Some(Self {
                number: from.number()?,
                time: from.time()?,
                sequence: from.sequence()?,
                text: from.text()?,
                flags: from.array()?,
                body: from.rest().to_vec(),
            })
        }
    }

    /// A record without variable length.
    #[derive(Debug, PartialEq)]
    struct Number(u64);

    impl Record for Number {
        fn write(&self, to: &mut RecordWriter) {
            to.number(self.0);
        }

        fn read(from: &mut RecordReader<'_>) -> Option<Self> {
            from.number().map(Self)
        }
    }

    fn fields(text: Option<&str>, body: &[u8]) -> Fields {
        Fields {
            number: u64::MAX,
            time: UnixTime::from_millis(1_800_000_000_001),
            sequence: Sequence::new(3),
            text: text.map(str::to_owned),
            flags: [0, 255],
            body: body.to_vec(),
        }
    }

    #[test]
    fn every_kind_of_field_round_trips() {
        for record in [fields(Some("\"etag\""), b"{}"), fields(None, b""), fields(Some("é"), &[0xff; 300])] {
            assert_eq!(Fields::from_bytes(&record.to_bytes()), Some(record));
        }
        assert_eq!(Fields::from_bytes(&fields(Some(""), b"").to_bytes()), Some(fields(None, b"")), "empty is missing");
    }

    #[test]
    fn bytes_of_another_version_or_length_are_no_record() {
        let bytes = Number(5).to_bytes();
        assert_eq!((bytes.first(), bytes.len()), (Some(&VERSION), 9));
        for end in 0..bytes.len() {
            assert_eq!(Number::from_bytes(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Number::from_bytes(&[&*bytes, b"\0"].concat()), None, "longer");
        for version in [0, VERSION - 1, VERSION + 1, 255] {
            assert_eq!(Number::from_bytes(&[&[version], &bytes[1..]].concat()), None, "{version}");
        }
    }

    #[test]
    fn text_with_a_wrong_length_or_encoding_is_no_record() {
        let mut bytes = fields(Some("text"), b"").to_bytes();
        // Behind the version, number, time and sequence.
        let length = 1 + 3 * 8;
        assert_eq!(bytes[length], 4);
        for wrong in [7, 255] {
            bytes[length] = wrong;
            assert_eq!(Fields::from_bytes(&bytes), None, "{wrong}");
        }
        bytes[length..length + 8].fill(0xff);
        assert_eq!(Fields::from_bytes(&bytes), None, "longer than any memory");
        let mut bytes = fields(Some("text"), b"").to_bytes();
        bytes[length + 8] = 0xff;
        assert_eq!(Fields::from_bytes(&bytes), None, "not UTF-8");
    }

    #[test]
    fn record_names_differ_by_kind_and_by_the_boundaries_of_their_parts() {
        let name = |kind: &str, parts: &[&str]| record_name(kind, parts.iter().map(|part| (*part).to_owned()));
        let names = [
            name("keys", &["a", "b"]),
            name("keys", &["ab"]),
            name("keys", &["a", "b", ""]),
            name("keys", &["b", "a"]),
            name("keysa", &["b"]),
            name("introspection", &["a", "b"]),
        ];
        for (at, one) in names.iter().enumerate() {
            assert!(!names[..at].contains(one), "{at}");
            assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        }
        assert_eq!(names[0], name("keys", &["a", "b"]));
    }
}
