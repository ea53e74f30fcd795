//! Requests that tell themselves apart: each carries who sent it, its number and a checksum.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

/// Names a request: the client that sent it, in which of its incarnations, and its number.
pub type Key = (String, u64);

/// The payload of a request: its key, a checksum, and filling up to `size` bytes.
pub fn request(client: &str, number: u64, size: usize) -> Bytes {
    let mut text = format!("{client}/{number} ");
    text.push_str(&checksum(&text));
    let room = size.saturating_sub(text.len() + 1);
    if room > 0 {
        text.push(' ');
        // Long requests differ in every part, so that no part of one passes for a part of another.
        let filling = checksum(&format!("{client} {number} filling"));
        text.extend(filling.chars().cycle().take(room));
    }
    Bytes::from(text)
}

/// Which request this is, if the network has left it as it was.
pub fn key(payload: &[u8]) -> Option<Key> {
    let text = std::str::from_utf8(payload).ok()?;
    let (name, rest) = text.split_once(' ')?;
    let (client, number) = name.rsplit_once('/')?;
    let number = number.parse().ok()?;
    let size = if rest.len() > CHECKSUM_DIGITS { payload.len() } else { 0 };
    (request(client, number, size) == payload).then(|| (client.to_owned(), number))
}

const CHECKSUM_DIGITS: usize = 8;

fn checksum(text: &str) -> String {
    format!("{:08x}", xxh3_64(text.as_bytes()) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_tells_what_it_is_unless_it_was_changed() {
        for size in [0, 20, 24, 25, 26, 200, 3000] {
            let payload = request("c1.0", 17, size);
            assert!(payload.len() >= size);
            assert_eq!(key(&payload), Some(("c1.0".to_owned(), 17)));
            for bit in 0..payload.len() * 8 {
                let mut changed = payload.to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key(&changed), None, "bit {bit} of {size} bytes");
            }
        }
    }
}
