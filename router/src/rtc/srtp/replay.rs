//! Which packets of a stream came already.

/// The last 64 indices up to the highest that came (RFC 3711, section 3.3.2, asks for 64 at least).
#[derive(Debug)]
pub(super) struct Window {
    highest: u32,
    /// The lowest bit is of the highest, the next of the one before.
    came: u64,
}

impl Window {
    /// Whether one did not come yet, as far as can be told: of what is older than the window it cannot.
    pub(super) fn is_new(&self, index: u32) -> bool {
        let Some(age) = self.highest.checked_sub(index) else { return true };
        age < u64::BITS && self.came >> age & 1 == 0
    }

    /// Takes one that came.
    pub(super) fn insert(&mut self, index: u32) {
        if let Some(age) = self.highest.checked_sub(index) {
            self.came |= 1_u64.checked_shl(age).unwrap_or(0);
        } else {
            self.came = self.came.checked_shl(index - self.highest).unwrap_or(0) | 1;
            self.highest = index;
        }
    }
}

impl From<u32> for Window {
    /// That of a stream of which this came first.
    fn from(index: u32) -> Self {
        Self { highest: index, came: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_of_the_last_64_is_new_once() {
        let mut window = Window::from(100);
        assert!(!window.is_new(100));
        for index in [101, 99, 38, 164, 163, 102] {
            assert!(window.is_new(index), "{index}");
            window.insert(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert!(window.is_new(103) && !window.is_new(101), "what came stays known as the window moves");
        assert!(!window.is_new(100) && !window.is_new(0), "older than the window");
        window.insert(1_000);
        assert!(!window.is_new(1_000) && window.is_new(999) && window.is_new(937) && !window.is_new(936));
        window.insert(u32::MAX);
        assert!(!window.is_new(u32::MAX) && !window.is_new(1_000));
    }

    #[test]
    fn agrees_with_a_set() {
        let (mut window, mut came, mut state, mut highest) = (Window::from(0), std::collections::BTreeSet::from([0]), 1_u32, 0_u32);
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let index = (highest + (state >> 16) % 90).saturating_sub(60);
            let expected = !came.contains(&index) && highest.saturating_sub(index) < 64;
            assert_eq!(window.is_new(index), expected);
            if expected {
                window.insert(index);
                came.insert(index);
                highest = highest.max(index);
            }
        }
        assert!(highest > 1_000);
    }
}
