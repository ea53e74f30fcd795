//! What has come: put in order, reported to the sender, and how much more may come.

use std::collections::{BTreeMap, VecDeque};

use super::Micros;

/// What `tcp_rmem` allows at first and at most: half of it is window, the other half is for what packets cost beside their
/// bytes.
const WINDOW_FIRST: u64 = 65_536;
const WINDOW_MAX: u64 = 3_145_728;
/// Windows are told in steps of this (a scale of 7 bits).
const STEP: u64 = 128;
/// How many SACK blocks fit beside a timestamp.
const BLOCKS: usize = 3;

/// The receiving half of an end.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// The next number that is expected.
    pub(super) next: u64,
    /// What was expected when the window was last told, and that window.
    pub(super) told: u64,
    pub(super) window: u64,
    /// What is to be read.
    buffer: VecDeque<u8>,
    /// What came too early, by its number.
    early: BTreeMap<u64, Vec<u8>>,
    early_bytes: u64,
    /// Blocks of it, the latest first.
    blocks: Vec<(u64, u64)>,
    /// What came twice.
    twice: Option<(u64, u64)>,
    /// The number of the FIN, once it came.
    fin: Option<u64>,
    /// The stamp to be echoed.
    pub(super) echo: Option<Micros>,
    mss: u64,
    fixed: bool,
    /// The most that may be offered, and what is offered of it: it grows with what comes.
    clamp: u64,
    offered: u64,
    tuning: Tuning,
}

/// How much the application reads in a round trip (`tcp_rcv_space_adjust`).
#[derive(Clone, Debug)]
struct Tuning {
    read: u64,
    since: Micros,
    read_before: u64,
    space: u64,
}

/// What became of a segment's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It came in order. `filled`: a gap was closed, and none is left.
    InOrder { filled: bool },
    /// Something is missing before it.
    Early,
    /// It came before.
    Twice,
}

impl Receiver {
    pub(super) fn new(mss: u64, fixed: Option<u64>) -> Self {
        let clamp = fixed.unwrap_or(WINDOW_FIRST);
        let window = if fixed.is_some() { clamp } else { clamp / mss * mss };
        let tuning = Tuning { read: 0, since: 0, read_before: 0, space: window.min(10 * mss) };
        Self {
            next: 0,
            told: 0,
            window,
            buffer: VecDeque::new(),
            early: BTreeMap::new(),
            early_bytes: 0,
            blocks: Vec::new(),
            twice: None,
            fin: None,
            echo: None,
            mss,
            fixed: fixed.is_some(),
            clamp,
            offered: window,
            tuning,
        }
    }

    /// The other end's SYN has come.
    pub(super) fn open(&mut self) {
        (self.next, self.told) = (1, 1);
    }

    pub(super) fn has_gap(&self) -> bool {
        !self.early.is_empty()
    }

    pub(super) fn unread(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Whether the other end has said all that it had to say.
    pub(super) fn is_over(&self) -> bool {
        self.fin.is_some_and(|fin| self.next > fin)
    }

    /// What is left of the window that was told last.
    pub(super) fn window_left(&self) -> u64 {
        (self.told + self.window).saturating_sub(self.next)
    }

    /// Whether any of these numbers is one that may come (RFC 9293, section 3.4).
    pub(super) fn may_come(&self, seq: u64, end: u64) -> bool {
        end >= self.told && seq <= self.next + self.window_left()
    }

    /// Takes data in.
    pub(super) fn take(&mut self, seq: u64, payload: &[u8], fin: bool) -> Taken {
        let end = seq + payload.len() as u64;
        if fin {
            self.fin = Some(end);
        }
        let whole = end + u64::from(fin);
        if whole <= self.next {
            self.twice = Some((seq, whole));
            return Taken::Twice;
        }
        if seq > self.next {
            return self.take_early(seq, whole, payload);
        }
        if seq < self.next {
            self.twice = Some((seq, self.next));
        }
        let had_gap = self.has_gap();
        let from = usize::try_from(self.next - seq).unwrap_or(usize::MAX).min(payload.len());
        self.append(&payload[from..]);
        self.drain_early();
        self.pass_fin();
        self.grow(payload.len() as u64);
        Taken::InOrder { filled: had_gap && !self.has_gap() }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
        self.next += bytes.len() as u64;
    }

    fn pass_fin(&mut self) {
        if self.fin == Some(self.next) {
            self.next += 1;
        }
    }

    fn drain_early(&mut self) {
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.next) {
            let (seq, bytes) = entry.remove_entry();
            self.early_bytes -= bytes.len() as u64;
            let from = usize::try_from(self.next - seq).unwrap_or(usize::MAX).min(bytes.len());
            self.append(&bytes[from..]);
        }
        let next = self.next;
        self.blocks.retain(|(_, end)| *end > next);
    }

    fn take_early(&mut self, seq: u64, end: u64, payload: &[u8]) -> Taken {
        if self.blocks.iter().any(|(from, to)| *from <= seq && end <= *to) {
            self.twice = Some((seq, end));
        }
        if self.early.get(&seq).is_none_or(|known| known.len() < payload.len()) {
            self.early_bytes += payload.len() as u64;
            if let Some(known) = self.early.insert(seq, payload.to_vec()) {
                self.early_bytes -= known.len() as u64;
            }
        }
        let mut block = (seq, end);
        self.blocks.retain(|(from, to)| {
            let apart = *to < block.0 || block.1 < *from;
            if !apart {
                block = (block.0.min(*from), block.1.max(*to));
            }
            apart
        });
        self.blocks.insert(0, block);
        self.blocks.truncate(4);
        self.grow(payload.len() as u64);
        Taken::Early
    }

    /// Something that lies outside of the window came again.
    pub(super) fn note_twice(&mut self, seq: u64, end: u64) {
        self.twice = Some((seq, end.min(self.next)));
    }

    /// The blocks to be reported, what came twice first (RFC 2883).
    pub(super) fn report(&mut self) -> Vec<(u64, u64)> {
        let twice = self.twice.take();
        twice.into_iter().chain(self.blocks.iter().copied()).take(BLOCKS).collect()
    }

    /// Copies what is to be read, as far as it fits.
    pub(super) fn peek(&self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.buffer.len());
        let (front, back) = self.buffer.as_slices();
        let first = count.min(front.len());
        out[..first].copy_from_slice(&front[..first]);
        out[first..count].copy_from_slice(&back[..count - first]);
        count
    }

    /// The application reads. `rtt`: a round trip, once known.
    pub(super) fn read(&mut self, out: &mut [u8], now: Micros, rtt: Option<Micros>) -> usize {
        let count = self.peek(out);
        self.buffer.drain(..count);
        self.tuning.read += count as u64;
        if let Some(rtt) = rtt.filter(|rtt| now >= self.tuning.since + rtt) {
            self.tune(now);
            let _ = rtt;
        }
        count
    }

    fn tune(&mut self, now: Micros) {
        let Tuning { read, read_before, space, .. } = self.tuning;
        let copied = read - read_before;
        if copied > space && !self.fixed {
            let wanted = 2 * copied + 16 * self.mss;
            let growth = wanted * (copied - space) / space.max(1);
            self.clamp = self.clamp.max((wanted + 2 * growth).min(WINDOW_MAX));
        }
        self.tuning = Tuning { read, since: now, read_before: read, space: copied.max(space) };
    }

    fn room(&self) -> u64 {
        self.clamp.saturating_sub(self.unread() + self.early_bytes)
    }

    /// The more comes, the more is offered (`tcp_grow_window`).
    fn grow(&mut self, length: u64) {
        let room = self.clamp.min(self.room()).saturating_sub(self.offered);
        if length >= 128 && !self.fixed {
            self.offered += room.min((2 * self.mss).max(2 * length));
        }
    }

    /// The window that can be told now (`__tcp_select_window`): nothing rather than little, and never less than before.
    pub(super) fn offer(&mut self) -> u64 {
        let mss = self.mss.min(self.clamp);
        let mut free = self.room();
        if free < self.clamp / 2 && !self.fixed {
            self.offered = self.offered.min(4 * self.mss);
        }
        if free < self.clamp / 16 || free < mss {
            free = 0;
        }
        let step = if self.fixed { 1 } else { STEP };
        let window = free.min(if self.fixed { self.clamp } else { self.offered });
        window.div_ceil(step) * step
    }

    /// Tells the window.
    pub(super) fn tell(&mut self) -> u64 {
        let window = self.offer().max(self.window_left());
        (self.told, self.window) = (self.next, window);
        window
    }

    /// Whether reading has made so much room that the sender should hear of it.
    pub(super) fn has_opened(&mut self) -> bool {
        let left = self.window_left();
        if 2 * left > self.clamp {
            return false;
        }
        let offer = self.offer();
        offer > 0 && offer >= 2 * left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver() -> Receiver {
        let mut receiver = Receiver::new(1_448, None);
        receiver.open();
        receiver
    }

    fn read(receiver: &mut Receiver) -> Vec<u8> {
        let mut out = vec![0; 100];
        let count = receiver.read(&mut out, 0, None);
        out.truncate(count);
        out
    }

    /// RFC 2018, section 4: the block that the latest segment is in comes first.
    #[test]
    fn what_is_early_waits_and_is_reported() {
        let mut receiver = receiver();
        assert_eq!(receiver.take(5, b"ef", false), Taken::Early);
        assert_eq!(receiver.take(9, b"ij", false), Taken::Early);
        assert_eq!(receiver.report(), [(9, 11), (5, 7)]);
        assert_eq!(receiver.take(7, b"gh", false), Taken::Early);
        assert_eq!(receiver.report(), [(5, 11)]);
        assert_eq!(receiver.take(1, b"abcd", false), Taken::InOrder { filled: true });
        assert_eq!(read(&mut receiver), b"abcdefghij");
        assert_eq!(receiver.report(), []);
    }

    /// RFC 2883, section 4.
    #[test]
    fn what_came_twice_is_reported_once() {
        let mut receiver = receiver();
        receiver.take(1, b"ab", false);
        assert_eq!(receiver.take(1, b"ab", false), Taken::Twice);
        assert_eq!(receiver.report(), [(1, 3)]);
        assert_eq!(receiver.report(), []);
        receiver.take(7, b"gh", false);
        receiver.take(7, b"gh", false);
        assert_eq!(receiver.report(), [(7, 9), (7, 9)]);
        receiver.take(2, b"bcd", false);
        assert_eq!((receiver.report()[0], read(&mut receiver)), ((2, 3), b"abcd".to_vec()));
    }

    #[test]
    fn the_end_is_reached_when_all_before_it_has_come() {
        let mut receiver = receiver();
        receiver.take(3, b"", true);
        assert!(!receiver.is_over());
        receiver.take(1, b"ab", false);
        assert!(receiver.is_over());
        assert_eq!(receiver.next, 4);
    }

    #[test]
    fn a_window_closes_and_opens_and_never_shrinks() {
        let mut receiver = Receiver::new(1_448, Some(10_000));
        receiver.open();
        for n in 0..10 {
            receiver.take(1 + n * 1_000, &[7; 1_000], false);
            let left = receiver.window_left();
            assert!(receiver.tell() >= left);
        }
        assert_eq!(receiver.window, 0);
        let mut out = [0; 1_000];
        receiver.read(&mut out, 0, None);
        assert!(!receiver.has_opened(), "less than a segment: the silly window of RFC 1122, section 4.2.3.3");
        (0..2).for_each(|_| _ = receiver.read(&mut out, 0, None));
        assert!(receiver.has_opened());
        assert_eq!(receiver.tell(), 3_000);
    }

    #[test]
    fn a_window_grows_with_what_is_read() {
        let mut receiver = receiver();
        let (mut seq, mut now) = (1, 0);
        let mut out = vec![0; 1 << 20];
        for _ in 0..10 {
            let window = receiver.tell();
            for _ in 0..window / 1_448 {
                receiver.take(seq, &[0; 1_448], false);
                seq += 1_448;
            }
            now += 10_000;
            receiver.read(&mut out, now, Some(10_000));
        }
        assert!(receiver.tell() > 400_000, "{}", receiver.window);
    }
}
