//! What has ended lately, in the order of its end: bounded in number and bytes, the longest ended
//! goes first. Each step costs the logarithm of what is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::{MAX_ENDED, MAX_ENDED_TEXT};

/// See the module. `T` says when each has ended.
#[derive(Debug)]
pub(crate) struct Ended<T> {
    next: u64,
    by_turn: BTreeMap<u64, Item<T>>,
    text: usize,
}

/// The place of something that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn(u64);

#[derive(Debug)]
struct Item<T> {
    name: Arc<str>,
    at: T,
    /// Bytes.
    text: usize,
}

impl<T> Default for Ended<T> {
    fn default() -> Self {
        Self {
            next: 0,
            by_turn: BTreeMap::new(),
            text: 0,
        }
    }
}

impl<T> Ended<T> {
    /// Remembers that `name` has ended `at`, for which `text` bytes are kept.
    pub(crate) fn push(&mut self, name: Arc<str>, at: T, text: usize) -> Turn {
        let turn = self.next;
        self.next += 1;
        self.text += text;
        self.by_turn.insert(turn, Item { name, at, text });
        Turn(turn)
    }

    /// It is there again, or forgotten otherwise.
    pub(crate) fn remove(&mut self, turn: Turn) {
        if let Some(item) = self.by_turn.remove(&turn.0) {
            self.text -= item.text;
        }
    }

    /// Takes out the longest ended where there are too many, or where `is_old` says so of it.
    pub(crate) fn pop(&mut self, is_old: impl FnOnce(&T) -> bool) -> Option<Arc<str>> {
        let oldest = self.by_turn.first_entry()?;
        let is_old = is_old(&oldest.get().at);
        if !is_old && self.by_turn.len() <= MAX_ENDED && self.text <= MAX_ENDED_TEXT {
            return None;
        }
        let (_, item) = self.by_turn.pop_first()?;
        self.text -= item.text;
        Some(item.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn popped(ended: &mut Ended<u32>, before: u32) -> Vec<String> {
        std::iter::from_fn(|| ended.pop(|at| *at < before))
            .map(|name| name.to_string())
            .collect()
    }

    #[test]
    fn the_longest_ended_go_by_time_number_and_bytes() {
        let mut ended = Ended::default();
        let first = ended.push("first".into(), 1, 5);
        ended.push("second".into(), 2, 6);
        ended.push("third".into(), 3, 5);
        assert!(popped(&mut ended, 1).is_empty());
        ended.remove(first);
        assert_eq!(popped(&mut ended, 3), ["second"]);
        for i in 0..MAX_ENDED {
            ended.push(i.to_string().into(), 4, 1);
        }
        assert_eq!(popped(&mut ended, 0), ["third"]);
        ended.push("long".into(), 5, MAX_ENDED_TEXT - 1);
        let left = ended.by_turn.len() - popped(&mut ended, 0).len();
        assert_eq!(left, 2, "the long one and one of a byte");
        assert_eq!(ended.text, MAX_ENDED_TEXT);
        popped(&mut ended, u32::MAX);
        assert_eq!((ended.text, ended.by_turn.len()), (0, 0));
    }

    #[test]
    fn what_was_removed_twice_counts_once() {
        let mut ended = Ended::default();
        let turn = ended.push("a".into(), 0, 3);
        ended.remove(turn);
        ended.remove(turn);
        assert_eq!(ended.text, 0);
    }
}
