//! The header `Range`, as Go's `http.ServeContent` reads it (RFC 9110, section 14).

/// A request for more parts than this gets the whole file.
const MAX_RANGES: usize = 64;

/// What `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    /// Start and length of each part; at least one.
    Ranges(Vec<(u64, u64)>),
    /// Nothing of it lies within the file.
    Outside,
    Malformed,
}

/// The ranges of a file of `len` bytes that `text` names.
pub(crate) fn ranges(text: &str, len: u64) -> Wanted {
    let Some(list) = text.strip_prefix("bytes=") else {
        return Wanted::Malformed;
    };
    let mut ranges = Vec::new();
    let mut outside = false;
    for range in list
        .split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
    {
        match one_range(range, len) {
            Ok(Some(range)) => ranges.push(range),
            Ok(None) => outside = true,
            Err(NotARange) => return Wanted::Malformed,
        }
    }
    let total = ranges
        .iter()
        .try_fold(0_u64, |total, (_, len)| total.checked_add(*len));
    match ranges.len() {
        // Some clients send a range with everything; an empty file is what they get.
        0 if outside && len > 0 => Wanted::Outside,
        0 => Wanted::Whole,
        // More than all of it: an attack, or no sense.
        1..=MAX_RANGES if total.is_some_and(|total| total <= len) => Wanted::Ranges(ranges),
        _ => Wanted::Whole,
    }
}

struct NotARange;

/// Start and length; `None` if it lies behind the end.
fn one_range(range: &str, len: u64) -> Result<Option<(u64, u64)>, NotARange> {
    let (start, end) = range.split_once('-').ok_or(NotARange)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| NotARange);
    if start.trim().is_empty() {
        let suffix = number(end)?.min(len);
        return Ok((suffix > 0).then_some((len - suffix, suffix)));
    }
    let start = number(start)?;
    let last = match end.trim() {
        "" => u64::MAX,
        end => number(end)?,
    };
    if start >= len {
        return Ok(None);
    }
    if last < start {
        return Err(NotARange);
    }
    Ok(Some((start, last.min(len - 1) - start + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_go_reads_them() {
        let some = |list: &[(u64, u64)]| Wanted::Ranges(list.to_vec());
        for (text, expected) in [
            ("bytes=0-4", some(&[(0, 5)])),
            ("bytes=2-", some(&[(2, 8)])),
            ("bytes=-3", some(&[(7, 3)])),
            ("bytes=-100", some(&[(0, 10)])),
            ("bytes=9-100", some(&[(9, 1)])),
            ("bytes= 0-0 , 9-9", some(&[(0, 1), (9, 1)])),
            ("bytes=0-1,,20-30", some(&[(0, 2)])),
            ("bytes=", Wanted::Whole),
            ("bytes=0-9,0-9", Wanted::Whole),
            ("bytes=10-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=5-4", Wanted::Malformed),
            ("bytes=a-b", Wanted::Malformed),
            ("bytes=--3", Wanted::Malformed),
            ("bytes=-", Wanted::Malformed),
            ("bytes=1", Wanted::Malformed),
            ("lines=1-2", Wanted::Malformed),
            ("bytes=0-18446744073709551615", some(&[(0, 10)])),
            ("bytes=0-18446744073709551616", Wanted::Malformed),
        ] {
            assert_eq!(ranges(text, 10), expected, "{text}");
        }
        assert_eq!(ranges("bytes=0-0", 0), Wanted::Whole);
        let many = format!("bytes={}", "0-0,".repeat(MAX_RANGES + 1));
        assert_eq!(ranges(&many, 1000), Wanted::Whole);
    }
}
