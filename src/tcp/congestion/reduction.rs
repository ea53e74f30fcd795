//! How the window comes down after a loss: proportional rate reduction (RFC 6937, `tcp_cwnd_reduction`).

/// A reduction under way.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tcp) struct Reduction {
    /// The window before it.
    pub(in crate::tcp) prior: u32,
    delivered: u32,
    pub(in crate::tcp) out: u32,
}

impl Reduction {
    pub(in crate::tcp) fn new(window: u32) -> Self {
        Self { prior: window, delivered: 0, out: 0 }
    }

    /// The window, when `newly` more segments have arrived. `goes_well`: the acknowledgement has moved and nothing else was
    /// found lost.
    pub(in crate::tcp) fn window(&mut self, newly: u32, in_flight: u32, threshold: u32, goes_well: bool) -> u32 {
        self.delivered += newly;
        let quota = if in_flight > threshold {
            let share = (u64::from(threshold) * u64::from(self.delivered)).div_ceil(u64::from(self.prior.max(1)));
            i64::try_from(share).unwrap_or(i64::MAX) - i64::from(self.out)
        } else {
            let most = (i64::from(self.delivered) - i64::from(self.out)).max(i64::from(newly));
            (most + i64::from(goes_well)).min(i64::from(threshold - in_flight))
        };
        // The first one lost is sent again at once.
        let quota = quota.max(i64::from(self.out == 0));
        in_flight + u32::try_from(quota).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6937, section 3: while more is under way than the threshold allows, sending is in proportion.
    #[test]
    fn it_sends_in_proportion_while_too_much_is_under_way() {
        let mut reduction = Reduction::new(20);
        assert_eq!(reduction.window(1, 19, 14, false), 20, "the first retransmission");
        reduction.out = 1;
        assert_eq!(reduction.window(1, 18, 14, false), 19);
        reduction.out = 2;
        assert_eq!(reduction.window(1, 18, 14, false), 19);
        reduction.out = 3;
        assert_eq!(reduction.window(1, 17, 14, false), 17, "three of ten are held back");
    }

    /// And once less is under way, as in slow start, up to the threshold.
    #[test]
    fn it_fills_up_to_the_threshold() {
        let mut reduction = Reduction::new(20);
        (0..6).for_each(|_| _ = reduction.window(1, 5, 14, false));
        reduction.out = 6;
        assert_eq!(reduction.window(2, 5, 14, false), 7);
        reduction.out = 8;
        assert_eq!(reduction.window(2, 5, 14, true), 8);
        assert_eq!(reduction.window(9, 13, 14, true), 14);
    }
}
