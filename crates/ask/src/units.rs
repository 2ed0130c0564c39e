//! Bytes and times as people read them.

/// `1.5 MB`; units of 1024, as frp's bandwidths.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let (mut whole, mut rest) = (bytes, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest) = (whole / 1024, whole % 1024);
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    match unit {
        0 => format!("{whole} {name}"),
        _ => format!("{whole}.{} {name}", rest * 10 / 1024),
    }
}

/// `1.5M`, `12K`, `999`: the same in at most six cells.
#[cfg_attr(not(feature = "top"), allow(dead_code, reason = "of the live view"))]
pub(crate) fn short(bytes: u64) -> String {
    if bytes < 1000 {
        return bytes.to_string();
    }
    // Tenths of the unit: no byte is lost of a number that is told in so few digits.
    let mut tenths = u128::from(bytes) * 10 / 1024;
    for unit in ["K", "M", "G", "T"] {
        match tenths {
            0..100 => return format!("{}.{}{unit}", tenths / 10, tenths % 10),
            100..10_000 => return format!("{}{unit}", tenths / 10),
            _ => tenths /= 1024,
        }
    }
    format!("{}P", tenths / 10)
}

/// `3d 4h`, from milliseconds: the two largest units.
pub(crate) fn time(millis: u64) -> String {
    let seconds = millis / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KB"),
            (1_572_864, "1.5 MB"),
            (1024 * 1024 - 1, "1023.9 KB"),
            (u64::MAX, "16777215.9 TB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "0.9K"),
            (1536, "1.5K"),
            (10_240, "10K"),
            (1_023_999, "999K"),
            (1_024_000, "0.9M"),
            (u64::MAX, "16383P"),
        ] {
            assert_eq!(short(number), text);
        }
        for (seconds, text) in [
            (0, "0s"),
            (61, "1m 1s"),
            (3_660, "1h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(time(seconds * 1000), text);
        }
    }
}
