//! Sizes such as `1.5MB`, the form of `transport.bandwidthLimit` (frp: pkg/config/types/types.go).

/// A limit as written and as a number.
#[derive(Debug, Clone)]
pub struct BandwidthLimit {
    /// As written; this is what goes over the wire.
    pub text: String,
    /// Bytes per second, more than 0.
    pub bytes_per_second: u64,
}

/// Equal when the rate is equal, as in frp: `1MB` and `1024KB` are the same limit.
impl PartialEq for BandwidthLimit {
    fn eq(&self, other: &Self) -> bool {
        self.bytes_per_second == other.bytes_per_second
    }
}

impl Eq for BandwidthLimit {}

/// Why a bandwidth limit is not one. The texts are frp's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BandwidthError {
    /// Neither `KB` nor `MB` at the end.
    #[error("unit not support")]
    Unit,
    /// No number before the unit.
    #[error("strconv.ParseFloat: parsing {0:?}: invalid syntax")]
    Number(String),
}

/// Reads `10KB` or `1.5MB` (1024-based). `None` when empty, zero or negative: no limit.
///
/// # Errors
/// When the unit is missing or what precedes it is not a number.
pub fn parse_bandwidth(text: &str) -> Result<Option<BandwidthLimit>, BandwidthError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (number, unit) = if let Some(number) = text.strip_suffix("MB") {
        (number, 1024.0 * 1024.0)
    } else if let Some(number) = text.strip_suffix("KB") {
        (number, 1024.0)
    } else {
        return Err(BandwidthError::Unit);
    };
    let value: f64 = number
        .parse()
        .map_err(|_| BandwidthError::Number(number.to_owned()))?;
    let bytes = value * unit;
    // Infinite and not-a-number have no meaning as a rate; frp ends up without a limit, too.
    if !bytes.is_finite() || bytes < 1.0 {
        return Ok(None);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes_per_second = bytes as u64; // saturates, and is at least 1 here
    Ok(Some(BandwidthLimit {
        text: text.to_owned(),
        bytes_per_second,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Result<Option<u64>, BandwidthError> {
        parse_bandwidth(text).map(|limit| limit.map(|limit| limit.bytes_per_second))
    }

    #[test]
    fn reads_what_frp_reads() {
        assert_eq!(rate("1MB"), Ok(Some(1024 * 1024)));
        assert_eq!(rate(" 1.5KB "), Ok(Some(1536)));
        assert_eq!(rate("1e1KB"), Ok(Some(10240)));
        for none in ["", "  ", "0MB", "-1MB", "infMB", "nanKB", "0.0001KB"] {
            assert_eq!(rate(none), Ok(None), "{none}");
        }
    }

    #[test]
    fn refuses_with_the_texts_of_frp() {
        for text in ["1GB", "1", "1mb", "KB1"] {
            assert_eq!(
                rate(text).map_err(|e| e.to_string()),
                Err("unit not support".into())
            );
        }
        for text in ["xMB", "MB", "1 MB"] {
            assert!(
                rate(text).is_err_and(|e| e.to_string().ends_with(": invalid syntax")),
                "{text}"
            );
        }
    }

    #[test]
    fn the_same_rate_is_the_same_limit() {
        assert_eq!(parse_bandwidth("1MB"), parse_bandwidth("1024KB"));
    }
}
