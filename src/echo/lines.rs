//! Lines in a stream of bytes: pure, no sockets, no copies.
//!
//! A line is any bytes up to and including a newline. The newline does not count against the limit, so a line of
//! exactly the limit is a line, and one byte more is too long, whether or not its newline has come yet.

/// Finds the lines of one stream. It holds no bytes; it remembers how far it has looked, so that a line that comes
/// in many pieces is still looked through only once.
#[derive(Clone, Debug)]
pub struct Lines {
    limit: usize,
    looked: usize,
}

/// What a stream's unused bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A line of that many bytes, newline included.
    Line(usize),
    /// Less than a line, and not too long yet.
    Partial,
    /// A line longer than the limit, complete or not.
    TooLong,
}

impl Lines {
    /// For lines of at most `limit` bytes, newline excluded.
    pub fn new(limit: usize) -> Self {
        Self { limit, looked: 0 }
    }

    /// What `unused` begins with. After a [`Next::Line`] the caller goes on behind that line; after a
    /// [`Next::Partial`] with the same bytes and those that came since.
    pub fn next(&mut self, unused: &[u8]) -> Next {
        let window = unused.len().min(self.limit.saturating_add(1));
        assert!(self.looked <= window, "bytes that were looked through are gone");
        match memchr::memchr(b'\n', &unused[self.looked..window]) {
            Some(at) => {
                let len = self.looked + at + 1;
                self.looked = 0;
                Next::Line(len)
            }
            None if window > self.limit => Next::TooLong,
            None => {
                self.looked = window;
                Next::Partial
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

    use super::*;

    /// All lines that come of `pieces`, then what is left, or nothing if a line was too long.
    fn split(limit: usize, pieces: &[Vec<u8>]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        let mut lines = Lines::new(limit);
        let (mut found, mut buffer) = (Vec::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match lines.next(&buffer) {
                    Next::Line(len) => found.push(buffer.drain(..len).collect()),
                    Next::Partial => break,
                    Next::TooLong => return (found, None),
                }
            }
        }
        (found, Some(buffer))
    }

    #[test]
    fn a_line_ends_behind_its_newline() {
        let mut lines = Lines::new(10);
        assert_eq!(lines.next(b"hello\nyou"), Next::Line(6));
        assert_eq!(lines.next(b"you"), Next::Partial);
        assert_eq!(lines.next(b"you\n\n"), Next::Line(4));
        assert_eq!(lines.next(b"\n"), Next::Line(1));
        assert_eq!(lines.next(b""), Next::Partial);
    }

    #[test]
    fn the_limit_counts_what_is_before_the_newline() {
        assert_eq!(Lines::new(5).next(b"12345\n"), Next::Line(6));
        assert_eq!(Lines::new(5).next(b"12345"), Next::Partial);
        assert_eq!(Lines::new(5).next(b"123456"), Next::TooLong);
        assert_eq!(Lines::new(5).next(b"123456\n"), Next::TooLong);
        assert_eq!(Lines::new(0).next(b"\n"), Next::Line(1));
        assert_eq!(Lines::new(usize::MAX).next(b"1"), Next::Partial);
    }

    #[test]
    fn a_line_too_long_stays_too_long() {
        let mut lines = Lines::new(3);
        assert_eq!(lines.next(b"123"), Next::Partial);
        assert_eq!(lines.next(b"1234"), Next::TooLong);
        assert_eq!(lines.next(b"12345\n"), Next::TooLong);
    }

    fn bytes_with_newlines() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let byte = prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')];
        prop::collection::vec(prop::collection::vec(byte, 0..40), 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: Some(Box::new(FileFailurePersistence::Direct("seeds/proptest/echo-lines.txt"))),
            ..ProptestConfig::default()
        })]

        /// Nothing is lost, added or moved, however the bytes arrive.
        #[test]
        fn the_lines_and_the_rest_are_the_stream(pieces in bytes_with_newlines()) {
            let (lines, rest) = split(usize::MAX, &pieces);
            prop_assert!(lines.iter().all(|line| line.iter().position(|&byte| byte == b'\n') == Some(line.len() - 1)));
            let again: Vec<u8> = lines.concat().into_iter().chain(rest.expect("no limit")).collect();
            prop_assert_eq!(again, pieces.concat());
        }

        /// How the stream is cut into pieces does not matter.
        #[test]
        fn pieces_do_not_matter(pieces in bytes_with_newlines(), limit in 0_usize..50) {
            prop_assert_eq!(split(limit, &pieces), split(limit, &[pieces.concat()]));
        }

        /// The limit is exact: all lines before the first one above it are found, and no other.
        #[test]
        fn the_limit_is_exact(pieces in bytes_with_newlines(), limit in 0_usize..50) {
            let stream = pieces.concat();
            let mut expected = Vec::new();
            let mut too_long = false;
            for line in stream.split_inclusive(|&byte| byte == b'\n') {
                let complete = line.ends_with(b"\n");
                too_long = line.len() - usize::from(complete) > limit;
                if too_long || !complete {
                    break;
                }
                expected.push(line.to_vec());
            }
            let (lines, rest) = split(limit, &pieces);
            prop_assert_eq!(lines, expected);
            prop_assert_eq!(rest.is_none(), too_long);
        }
    }
}
