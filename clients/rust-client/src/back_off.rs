//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double from `base` to `max`, each drawn evenly from zero to its bound ("full jitter"), so that
/// the clients of a server that went away do not come back all at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackOff {
    pub(crate) base: Duration,
    pub(crate) max: Duration,
}

impl BackOff {
    /// The bound of the wait after so many failures; `failure_count` begins at 1.
    pub(crate) fn bound(self, failure_count: u32) -> Duration {
        let doublings = failure_count.saturating_sub(1).min(20);
        self.base.saturating_mul(1 << doublings).min(self.max)
    }

    /// A wait after so many failures.
    pub(crate) fn draw(self, failure_count: u32) -> Duration {
        rand::random_range(Duration::ZERO..=self.bound(failure_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound() {
        let back_off = BackOff { base: Duration::from_millis(500), max: Duration::from_secs(20) };
        let bounds: Vec<u64> =
            [1, 2, 3, 6, 7, 1000].map(|count| back_off.bound(count).as_millis() as u64).to_vec();
        assert_eq!(bounds, [500, 1000, 2000, 16000, 20000, 20000]);
        assert!((0..100).all(|_| back_off.draw(2) <= Duration::from_secs(1)));
    }
}
