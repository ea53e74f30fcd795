//! The bytes that a request is made of: tokens, field values, hosts, targets.

use std::net::Ipv6Addr;

/// A byte of a token (RFC 9110 §5.6.2): of methods and field names.
const TCHAR: u8 = 1;
/// A byte that a request target may have.
const TARGET: u8 = 2;
/// A byte of a registered name or an IPv4 address (RFC 3986 §3.2.2). Percent-encoding is not among them: no name that
/// can be looked up has it, and a host that is written in two ways is two hosts to whoever compares them.
const HOST: u8 = 4;

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop stops at 256")]
        let b = byte as u8;
        let alphanumeric = b.is_ascii_alphanumeric();
        if alphanumeric || in_set(b, b"!#$%&'*+-.^_`|~") {
            table[byte] |= TCHAR;
        }
        if alphanumeric || in_set(b, b"-._~!$&'()*+,;=") {
            table[byte] |= HOST;
        }
        // What RFC 3986 allows, and what browsers send as it is although it does not (the URL standard's query state).
        if alphanumeric || in_set(b, b"-._~!$&'()*+,;=:@/?%[]{}|^`\\") {
            table[byte] |= TARGET;
        }
        byte += 1;
    }
    table
}

const fn in_set(byte: u8, set: &[u8]) -> bool {
    let mut at = 0;
    while at < set.len() {
        if set[at] == byte {
            return true;
        }
        at += 1;
    }
    false
}

static CLASSES: [u8; 256] = classes();

fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// Whether the byte may stand in a token.
pub fn is_tchar(byte: u8) -> bool {
    is(byte, TCHAR)
}

/// Whether it is a token: not empty.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_tchar(byte))
}

/// How many bytes of a token it begins with.
pub fn token_bytes(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !is_tchar(byte)).unwrap_or(bytes.len())
}

/// Whether all bytes may stand in a target; that it is one of the four forms is another question.
pub fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().fold(TARGET, |all, &byte| all & CLASSES[usize::from(byte)]) != 0
}

/// Whether all bytes may stand in a field value (RFC 9110 §5.5): visible ones, spaces, tabs and those from 128.
pub fn is_field_value(bytes: &[u8]) -> bool {
    // Without a branch a byte, so that it is done for many bytes at once.
    let bad = |byte: u8| u8::from(byte < b' ') & u8::from(byte != b'\t') | u8::from(byte == 0x7f);
    bytes.iter().fold(0, |any, &byte| any | bad(byte)) == 0
}

/// Without the optional whitespace around it (RFC 9110 §5.6.3).
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a list (RFC 9110 §5.6.1), empty ones left out.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether it is `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host that is not empty and a port that there can be.
/// It has no user information (RFC 9110 §4.2.4).
pub fn is_authority(bytes: &[u8]) -> bool {
    let (is_host, port) = if let Some(literal) = bytes.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else { return false };
        let address = str::from_utf8(&literal[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        (address.is_some(), &literal[end + 1..])
    } else {
        let end = bytes.iter().position(|&byte| !is(byte, HOST)).unwrap_or(bytes.len());
        (end > 0, &bytes[end..])
    };
    is_host
        && match port {
            [] | [b':'] => true,
            [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
                u16::try_from(digits.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0'))).is_ok()
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_ports() {
        for good in ["a", "a.b-c_d", "127.0.0.1:80", "[::1]", "[2001:db8::1]:8080", "a:", "a:0", "a:65535", "A"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        let bad = [
            "",
            ":80",
            "a b",
            "a:b",
            "a:65536",
            "a:000080",
            "u@a",
            "a/b",
            "a?b",
            "a#b",
            "a%41",
            "[::1",
            "::1",
            "[a]",
            "[]",
            "[::1]80",
            "[::1%25eth0]",
            "[v1.a]",
            "a:80:80",
            "a\\b",
            "\"a\"",
            "ä",
            "a:+1",
        ];
        for bad in bad {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn lists_have_elements() {
        let list =
            |text: &'static str| elements(text.as_bytes()).map(|e| str::from_utf8(e).unwrap()).collect::<Vec<_>>();
        assert_eq!(list("close"), ["close"]);
        assert_eq!(list(" ,keep-alive ,\tUpgrade,, "), ["keep-alive", "Upgrade"]);
        assert_eq!(list(""), [""; 0]);
    }

    #[test]
    fn values_have_no_control_characters() {
        assert!(is_field_value(b" \ta~\x80\xff"));
        for bad in (0..b' ').filter(|&byte| byte != b'\t').chain([0x7f]) {
            assert!(!is_field_value(&[b'a', bad, b'a']), "{bad}");
        }
    }
}
