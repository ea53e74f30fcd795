//! A payload with what it takes to notice that it did not come back as it was written.

use std::io;

use xxhash_rust::xxh3::Xxh3;

/// What stands before the payload: kind (4 bytes), version (1), the payload's length (8) and the checksum (8), numbers
/// with the least byte first. The checksum is the XXH3 of everything else.
pub const HEADER_BYTES: usize = 21;

const VERSION_AT: usize = 4;
const LENGTH_AT: usize = 5;
const CHECKSUM_AT: usize = 13;

/// Why bytes are not the envelope that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// Not even the header is there.
    #[error("it has {bytes} bytes, fewer than the {HEADER_BYTES} of its header: it was written in part")]
    TooShort {
        /// How many there are.
        bytes: usize,
    },
    /// It is something else.
    #[error("it begins with `{}` and not with `{}`: it is another kind of file", found.escape_ascii(), expected.escape_ascii())]
    Kind {
        /// The kind that was asked for.
        expected: [u8; 4],
        /// The kind that is there.
        found: [u8; 4],
    },
    /// The payload is not all there, or more than it is.
    #[error("its header tells of a payload of {expected} bytes, and {found} are there: it was written in part")]
    Length {
        /// What the header says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The bytes have changed.
    #[error("its checksum does not match its content: it was damaged after it was written, or written in part")]
    Checksum,
    /// It is intact, and made by a program that is newer or older.
    #[error("it has version {found}, and this program reads version {expected}")]
    Version {
        /// The version that was asked for.
        expected: u8,
        /// The version that is there.
        found: u8,
    },
}

impl From<Corrupt> for io::Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::new(io::ErrorKind::InvalidData, corrupt)
    }
}

/// Puts a payload into an envelope. `kind` says what sort of file it is, `version` how the payload is laid out.
pub fn seal(kind: &[u8; 4], version: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(kind);
    bytes.push(version);
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes the payload out of an envelope that is intact, of this kind and of this version. The version is looked at last:
/// a wrong one is then no damage. This guards against accidents; anybody can make an envelope.
pub fn open<'a>(kind: &[u8; 4], version: u8, bytes: &'a [u8]) -> Result<&'a [u8], Corrupt> {
    let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Corrupt::TooShort { bytes: bytes.len() });
    };
    let found: [u8; 4] = number(header, 0);
    if found != *kind {
        return Err(Corrupt::Kind { expected: *kind, found });
    }
    let (expected, found) = (u64::from_le_bytes(number(header, LENGTH_AT)), payload.len() as u64);
    if expected != found {
        return Err(Corrupt::Length { expected, found });
    }
    if checksum(&header[..CHECKSUM_AT], payload) != u64::from_le_bytes(number(header, CHECKSUM_AT)) {
        return Err(Corrupt::Checksum);
    }
    match header[VERSION_AT] {
        found if found == version => Ok(payload),
        found => Err(Corrupt::Version { expected: version, found }),
    }
}

fn checksum(header: &[u8], payload: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(payload);
    hasher.digest()
}

fn number<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    header[at..at + N].try_into().expect("the header is whole")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &[u8; 4] = b"VOTE";

    #[test]
    fn each_damage_has_its_name() {
        let sealed = seal(KIND, 1, b"term 7");
        assert_eq!(open(KIND, 1, &sealed), Ok(b"term 7".as_slice()));
        assert_eq!(open(KIND, 1, b""), Err(Corrupt::TooShort { bytes: 0 }));
        assert_eq!(open(KIND, 1, &sealed[..20]), Err(Corrupt::TooShort { bytes: 20 }));
        assert_eq!(open(KIND, 1, &sealed[..26]), Err(Corrupt::Length { expected: 6, found: 5 }));
        assert_eq!(open(KIND, 1, &[&sealed[..], b"x"].concat()), Err(Corrupt::Length { expected: 6, found: 7 }));
        assert_eq!(open(b"SNAP", 1, &sealed), Err(Corrupt::Kind { expected: *b"SNAP", found: *KIND }));
        assert_eq!(open(KIND, 2, &sealed), Err(Corrupt::Version { expected: 2, found: 1 }));
        let mut damaged = sealed.clone();
        damaged[VERSION_AT] = 2;
        assert_eq!(open(KIND, 2, &damaged), Err(Corrupt::Checksum), "a version that was not written is no version");
    }

    #[test]
    fn the_layout_stays_what_it_is() {
        let expected = b"VOTE\x01\x06\0\0\0\0\0\0\x006\xdb\x91w\x10\x1e\xc4zterm 7";
        assert_eq!(seal(KIND, 1, b"term 7"), expected);
    }

    #[test]
    fn damage_reads_as_a_sentence() {
        let error = io::Error::from(open(b"SNAP", 1, &seal(b"\0\xffOT", 1, b"")).unwrap_err());
        let expected = "it begins with `\\x00\\xffOT` and not with `SNAP`: it is another kind of file";
        assert_eq!((error.to_string().as_str(), error.kind()), (expected, io::ErrorKind::InvalidData));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_sealed_opens_and_what_was_damaged_does_not(
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in 1..=255_u8,
            cut in any::<prop::sample::Index>(),
        ) {
            let sealed = seal(KIND, 3, &payload);
            prop_assert_eq!(open(KIND, 3, &sealed), Ok(payload.as_slice()));
            let cut = &sealed[..cut.index(sealed.len())];
            prop_assert!(open(KIND, 3, cut).is_err());
            let mut damaged = sealed.clone();
            damaged[at.index(sealed.len())] ^= flip;
            prop_assert!(open(KIND, 3, &damaged).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = open(KIND, 1, &bytes);
            let _ = open(KIND, 1, &[KIND.as_slice(), &bytes].concat());
        }
    }
}
