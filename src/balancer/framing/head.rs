//! The head of a request: its request line (RFC 9112 §3) and its field lines (§5), and what they say about the body (§6).

use memchr::memchr;

use super::lexis::{elements, is_authority, is_field_value, is_target, is_tchar, is_token, token_bytes, trim};
use super::{Limits, Refused};

/// Methods are short words. One longer than any that is known is refused, and cannot be tried with growing memory.
const METHOD_BYTES_MAX: usize = 32;
const VERSION_BYTES: usize = 8;
/// Empty lines before a request line, which clients of old sent behind a body (RFC 9112 §2.2).
const EMPTY_LINES_MAX: usize = 4;
/// More digits than any length that 64 bits hold for certain.
const LENGTH_DIGITS_MAX: usize = 19;

/// What a right head says.
#[derive(Debug)]
pub struct Head {
    /// How long it is, empty lines before it and the one that ends it included.
    pub bytes: usize,
    /// What follows it.
    pub body: Body,
    /// Whether another request may follow (RFC 9112 §9.3).
    pub persists: bool,
    /// Whether it asks for another protocol (RFC 9110 §7.8).
    pub asks_upgrade: bool,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// There is none.
    None,
    /// By that many bytes, at least one.
    Length(u64),
    /// By the chunked transfer coding.
    Chunked,
}

/// Looks through a head line by line. It holds no bytes; it remembers how far it has looked, and what it has seen.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Where the request line begins, once its first byte has come.
    begin: Option<usize>,
    empty_lines: usize,
    /// Where the line begins that is not yet whole.
    at: usize,
    /// How far that line was searched for its end.
    looked: usize,
    has_request_line: bool,
    fields: usize,
    seen: Seen,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing seen or not seen")]
struct Seen {
    is_http_10: bool,
    host: bool,
    content_length: Option<u64>,
    codings: Option<Codings>,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
}

/// The transfer codings of all `Transfer-Encoding` fields, in their order.
#[derive(Clone, Copy, Debug)]
enum Codings {
    Chunked,
    /// Others, and `chunked` last, once.
    OthersThenChunked,
    /// Others, and not yet `chunked`.
    Others,
    /// None that leaves the body's end to be known.
    Broken,
}

impl HeadScan {
    /// Whether a byte of the request line has come.
    pub fn is_begun(&self) -> bool {
        self.begin.is_some()
    }

    /// The head, if `data` begins with a whole one. The next call gets the same bytes and those that came since.
    pub fn advance(&mut self, data: &[u8], limits: &Limits) -> Result<Option<Head>, Refused> {
        let Some(begin) = self.begin(data)? else { return Ok(None) };
        let window = data.len().min(begin.saturating_add(limits.head_bytes_max));
        let request_line_max =
            (limits.target_bytes_max + METHOD_BYTES_MAX + VERSION_BYTES + 4).min(limits.head_bytes_max);
        while let Some(end) = memchr(b'\n', &data[self.looked..window]) {
            let (begin, end) = (self.at, self.looked + end);
            (self.at, self.looked) = (end + 1, end + 1);
            if !self.has_request_line && self.at - begin > request_line_max {
                return Err(too_long_line(&data[begin..], request_line_max));
            }
            let line = data[begin..end].strip_suffix(b"\r").ok_or((400, "A line does not end with CRLF"))?;
            if !self.has_request_line {
                self.seen.is_http_10 = request_line(line, limits)?;
                self.has_request_line = true;
            } else if line.is_empty() {
                return self.seen.judge(self.at, limits).map(Some);
            } else {
                self.fields += 1;
                if self.fields > limits.fields_max {
                    return Err((431, "There are too many header fields"));
                }
                let (name, value) = field(line)?;
                self.seen.field(name, value)?;
            }
        }
        self.looked = window;
        if !self.has_request_line && data.len() - begin > request_line_max {
            return Err(too_long_line(&data[begin..], request_line_max));
        }
        if data.len() > window { Err((431, "The header section is too long")) } else { Ok(None) }
    }

    /// Where the request line begins, behind empty lines; `None`: it has not come yet.
    fn begin(&mut self, data: &[u8]) -> Result<Option<usize>, Refused> {
        while self.begin.is_none() {
            match &data[self.at..] {
                [] | [b'\r'] => return Ok(None),
                [b'\r', b'\n', ..] if self.empty_lines < EMPTY_LINES_MAX => {
                    self.empty_lines += 1;
                    self.at += 2;
                }
                [b'\r', b'\n', ..] => return Err((400, "There are too many empty lines before the request line")),
                // A TLS record of the handshake. Not its next byte either: it may come later.
                [0x16, ..] => return Err((400, "This is HTTP without TLS, and the client began with TLS")),
                [byte, ..] if !is_tchar(*byte) => return Err((400, "It does not begin with a method")),
                _ => {
                    self.begin = Some(self.at);
                    self.looked = self.at;
                }
            }
        }
        Ok(self.begin)
    }
}

/// Told by its first bytes, as of those above the most that it may have any number has come.
fn too_long_line(line: &[u8], bytes_max: usize) -> Refused {
    if memchr(b' ', &line[..=METHOD_BYTES_MAX.min(bytes_max)]).is_some() {
        (414, "The request target is too long")
    } else {
        (400, "The method is too long")
    }
}

/// Whether it is HTTP/1.0.
fn request_line(line: &[u8], limits: &Limits) -> Result<bool, Refused> {
    let method_end = memchr(b' ', line).ok_or((400, "The request line is not a method, a target and a version"))?;
    let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
    if !is_token(method) || method.len() > METHOD_BYTES_MAX {
        return Err((400, "The method is not a short token"));
    }
    let target_end = memchr(b' ', rest).ok_or((400, "The request line has no version: HTTP/0.9 is not served"))?;
    let (target, version) = (&rest[..target_end], &rest[target_end + 1..]);
    if target.len() > limits.target_bytes_max {
        return Err((414, "The request target is too long"));
    }
    let is_http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9'] => {
            return Err((505, "Only HTTP/1.1 and HTTP/1.0 are served"));
        }
        _ => return Err((400, "The request line does not end with a version")),
    };
    if method == b"CONNECT" {
        return Err((405, "CONNECT is not served: this is no forward proxy"));
    }
    check_target(method, target)?;
    Ok(is_http_10)
}

/// Lets the forms pass that a request to a server or gateway may have (RFC 9112 §3.2), as they came.
fn check_target(method: &[u8], target: &[u8]) -> Result<(), Refused> {
    if !is_target(target) {
        return Err(if target.contains(&b'#') {
            (400, "The request target has a fragment")
        } else {
            (400, "The request target has a byte that has to be percent-encoded")
        });
    }
    let path = match target {
        b"*" if method == b"OPTIONS" => return Ok(()),
        b"*" => return Err((400, "The target * is for OPTIONS only")),
        [b'/', ..] => target,
        _ => {
            let scheme = [&b"http://"[..], b"https://"]
                .into_iter()
                .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
                .ok_or((400, "The request target is neither a path nor an http URI"))?;
            let rest = &target[scheme.len()..];
            let authority_end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            if !is_authority(&rest[..authority_end]) {
                return Err((400, "The request target has no valid host"));
            }
            &rest[authority_end..]
        }
    };
    // Browsers send it as it is in a query, and nowhere else.
    match memchr(b'`', path) {
        Some(at) if memchr(b'?', &path[..at]).is_none() => {
            Err((400, "The request target has a byte that has to be percent-encoded"))
        }
        _ => Ok(()),
    }
}

/// The name and the value of a field line, whitespace around the value included (RFC 9112 §5).
pub fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    let name_end = token_bytes(line);
    let value = match &line[name_end..] {
        _ if matches!(line, [b' ' | b'\t', ..]) => return Err((400, "A field line begins with whitespace")),
        [b':', value @ ..] if name_end > 0 => value,
        [b' ' | b'\t', ..] => return Err((400, "A field name has whitespace in it or behind it")),
        [] => return Err((400, "A field line has no colon")),
        _ => return Err((400, "A field name is not a token")),
    };
    if !is_field_value(value) {
        return Err((400, "A field value has a control character"));
    }
    Ok((&line[..name_end], value))
}

impl Seen {
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refused> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(trim(value)),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade |= !trim(value).is_empty();
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(trim(value)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refused> {
        if self.host {
            return Err((400, "There is more than one Host"));
        }
        self.host = true;
        if is_authority(value) { Ok(()) } else { Err((400, "Host is not a valid host with an optional port")) }
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Refused> {
        for option in elements(value) {
            if !is_token(option) {
                return Err((400, "Connection is not a list of tokens"));
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refused> {
        if self.content_length.is_some() {
            return Err((400, "There is more than one Content-Length"));
        }
        if value.is_empty() || value.len() > LENGTH_DIGITS_MAX || !value.iter().all(u8::is_ascii_digit) {
            return Err((400, "Content-Length is not one number of at most 19 digits"));
        }
        self.content_length = Some(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')));
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        // An empty element is one that others may not skip.
        for coding in value.split(|&byte| byte == b',').map(trim) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.codings = Some(match self.codings {
                None if is_chunked => Codings::Chunked,
                Some(Codings::Others) if is_chunked => Codings::OthersThenChunked,
                None | Some(Codings::Others) if is_token(coding) => Codings::Others,
                _ => Codings::Broken,
            });
        }
    }

    /// What the whole head says, which is that many bytes long.
    fn judge(&self, bytes: usize, limits: &Limits) -> Result<Head, Refused> {
        if !self.host && !self.is_http_10 {
            return Err((400, "There is no Host"));
        }
        let body = match (self.codings, self.content_length) {
            (Some(_), Some(_)) => return Err((400, "Content-Length stands beside Transfer-Encoding")),
            (Some(_), None) if self.is_http_10 => return Err((400, "HTTP/1.0 has no Transfer-Encoding")),
            (Some(Codings::Chunked), None) => Body::Chunked,
            (Some(Codings::OthersThenChunked), None) => return Err((501, "No transfer coding but chunked is known")),
            (Some(_), None) => return Err((400, "Transfer-Encoding is not chunked once, at its end")),
            (None, Some(length)) if length > limits.body_bytes_max => return Err((413, "The body is too large")),
            (None, Some(0) | None) => Body::None,
            (None, Some(length)) => Body::Length(length),
        };
        Ok(Head {
            bytes,
            body,
            persists: !self.close && (self.keep_alive || !self.is_http_10),
            // HTTP/1.0 does not know it, and has to be ignored (RFC 9110 §7.8).
            asks_upgrade: self.connection_upgrade && self.upgrade && !self.is_http_10,
        })
    }
}
