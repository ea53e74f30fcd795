//! The chunked transfer coding (RFC 9112 §7.1), looked at as it passes.

use memchr::memchr;

use super::head::field;
use super::lexis::{is_field_value, is_tchar, trim};
use super::{Limits, Refused};

/// A chunk-size line without its end: a number of up to 16 digits and extensions.
const SIZE_LINE_BYTES_MAX: usize = 4 << 10;
/// All extensions of a body together: what they could amplify is bounded. hyper takes less than 16 KiB.
const EXTENSION_BYTES_MAX: usize = 8 << 10;
/// The digits of 64 bits.
const SIZE_DIGITS_MAX: usize = 16;

/// How much of a body has been seen. Lines are looked at, and pass, as wholes; chunk data passes as it comes.
#[derive(Debug, Default)]
pub struct Chunked {
    step: Step,
    /// Chunk data announced so far, in bytes.
    body_bytes: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// How far the line that is not yet whole was searched for its end.
    looked: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    SizeLine,
    Data(u64),
    DataEnd,
    Trailers,
    Ended,
}

impl Chunked {
    /// How many bytes from the beginning of `data` pass, and whether the body has ended. The next call gets those that
    /// did not pass, and those that came since.
    pub fn advance(&mut self, data: &[u8], limits: &Limits) -> (usize, Result<bool, Refused>) {
        let mut passed = 0;
        loop {
            let rest = &data[passed..];
            let bytes = match self.step {
                Step::SizeLine => self.size_line(rest, limits),
                Step::Data(left) => Ok(self.data(rest, left)),
                Step::DataEnd => self.data_end(rest),
                Step::Trailers => self.trailer_line(rest, limits),
                Step::Ended => return (passed, Ok(true)),
            };
            match bytes {
                Ok(0) => return (passed, Ok(false)),
                Ok(bytes) => passed += bytes,
                Err(refused) => return (passed, Err(refused)),
            }
        }
    }

    fn size_line(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Refused> {
        let Some(line) = self.line(rest, SIZE_LINE_BYTES_MAX, (400, "A chunk-size line is too long"))? else {
            return Ok(0);
        };
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        if digits == 0 || digits > SIZE_DIGITS_MAX {
            return Err((400, "A chunk has no size of 1 to 16 hexadecimal digits"));
        }
        let size = line[..digits].iter().fold(0, |size, &digit| size << 4 | u64::from(hex_value(digit)));
        let extension = &line[digits..];
        if !extension.is_empty() && !is_extension(extension) {
            return Err((400, "A chunk's size is followed by something that is no extension"));
        }
        self.extension_bytes += extension.len();
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err((400, "The chunk extensions are too long"));
        }
        self.body_bytes = match self.body_bytes.checked_add(size) {
            Some(bytes) if bytes <= limits.body_bytes_max => bytes,
            _ => return Err((413, "The body is too large")),
        };
        self.step = if size == 0 { Step::Trailers } else { Step::Data(size) };
        Ok(line.len() + 2)
    }

    fn data(&mut self, rest: &[u8], left: u64) -> usize {
        let bytes = left.min(rest.len() as u64);
        self.step = if bytes == left { Step::DataEnd } else { Step::Data(left - bytes) };
        usize::try_from(bytes).expect("no more than there are in memory")
    }

    fn data_end(&mut self, rest: &[u8]) -> Result<usize, Refused> {
        match rest {
            [] | [b'\r'] => Ok(0),
            [b'\r', b'\n', ..] => {
                self.step = Step::SizeLine;
                Ok(2)
            }
            _ => Err((400, "A chunk is longer or shorter than its size")),
        }
    }

    fn trailer_line(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Refused> {
        let too_long = (431, "The trailer section is too long");
        let left = limits.trailer_bytes_max.saturating_sub(self.trailer_bytes);
        let Some(line) = self.line(rest, left, too_long)? else { return Ok(0) };
        self.trailer_bytes += line.len() + 2;
        if line.is_empty() {
            self.step = Step::Ended;
            return Ok(2);
        }
        self.trailer_fields += 1;
        if self.trailer_fields > limits.fields_max {
            return Err((431, "There are too many trailer fields"));
        }
        let (name, _) = field(line)?;
        // A recipient that merges trailers into the head must not find these (RFC 9110 §6.5.1).
        let of_framing: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
        if of_framing.iter().any(|of_framing| name.eq_ignore_ascii_case(of_framing)) {
            return Err((400, "A field of the head stands among the trailers"));
        }
        Ok(line.len() + 2)
    }

    /// The line that `rest` begins with, without its end; `None`: it is not whole yet.
    fn line<'a>(&mut self, rest: &'a [u8], bytes_max: usize, too_long: Refused) -> Result<Option<&'a [u8]>, Refused> {
        let window = rest.len().min(bytes_max + 2);
        let Some(end) = memchr(b'\n', &rest[self.looked..window]) else {
            self.looked = window;
            return if rest.len() > window { Err(too_long) } else { Ok(None) };
        };
        let end = self.looked + end;
        self.looked = 0;
        let line = rest[..end].strip_suffix(b"\r").ok_or((400, "A line of the chunked body does not end with CRLF"))?;
        Ok(Some(line))
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Whether it is what may follow a size: whitespace, `;`, and a name with what belongs to it.
fn is_extension(bytes: &[u8]) -> bool {
    match trim(bytes) {
        [b';', extension @ ..] => trim(extension).first().is_some_and(|&byte| is_tchar(byte)) && is_field_value(bytes),
        _ => false,
    }
}
