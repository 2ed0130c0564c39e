//! How much of the machine other programs took while we measured: the first thing to look at when
//! figures scatter.

use std::fs;

/// Clock ticks since boot, and those of this program with its children that have ended.
pub(crate) struct Ticks {
    all: u64,
    idle: u64,
    own: u64,
}

impl Ticks {
    /// None if /proc does not say.
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, &own)
    }

    /// Reads the first line of /proc/stat and fields 14 to 17 of /proc/self/stat (proc(5)).
    fn parse(stat: &str, own: &str) -> Option<Self> {
        let cpu = stat.lines().next()?.strip_prefix("cpu ")?;
        // The last two, guest time, are also in the first two.
        let ticks = numbers(cpu).take(8).collect::<Option<Vec<_>>>()?;
        let fields = own.rsplit_once(") ")?.1.split_once(' ')?.1;
        let own = numbers(fields).skip(10).take(4).sum::<Option<u64>>()?;
        Some(Self {
            all: ticks.iter().sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
            own,
        })
    }

    /// The share of the machine, 0 to 1, that others have used since.
    pub(crate) fn used_by_others_until(&self, end: &Self) -> f64 {
        let all = end.all.saturating_sub(self.all).max(1);
        let idle = end.idle.saturating_sub(self.idle);
        let own = end.own.saturating_sub(self.own);
        all.saturating_sub(idle).saturating_sub(own) as f64 / all as f64
    }
}

fn numbers(text: &str) -> impl Iterator<Item = Option<u64>> {
    text.split_ascii_whitespace().map(|n| n.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_ours_is_others() {
        let own = |utime: u64, children: u64| {
            format!(
                "7 (frp) bench) S 1 7 7 0 -1 4 100 200 0 0 {utime} 5 {children} 5 20 0 9 0 1 2 3"
            )
        };
        let begin = Ticks::parse("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1", &own(10, 20));
        let end = Ticks::parse("cpu  200 0 100 840 20 0 5 35 0 0\ncpu0 1", &own(40, 90));
        let share = begin
            .zip(end)
            .map(|(begin, end)| begin.used_by_others_until(&end));
        // 200 ticks passed, 50 idle, 100 ours.
        assert_eq!(share, Some(0.25));
    }

    #[test]
    fn proc_of_this_machine_is_understood() {
        assert!(Ticks::now().is_some_and(|ticks| ticks.all > 0));
    }
}
