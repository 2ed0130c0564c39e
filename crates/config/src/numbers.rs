//! Lists of numbers such as `1-3,5` (frp `pkg/util/util/util.go`, `pkg/config/types/types.go`).

/// Numbers that one list may name: every port once.
pub(crate) const RANGE_LIMIT: usize = 65536;

/// `1000-2000,3000` as pairs of a first and a last number. The texts of errors are frp's.
pub(crate) fn number_ranges(text: &str) -> Result<Vec<(i64, i64)>, String> {
    let number = |part: &str| {
        let part = part.trim();
        part.parse::<i64>().map_err(|_| {
            format!("range number is invalid, strconv.ParseInt: parsing {part:?}: invalid syntax")
        })
    };
    let pair = |item: &str| match item.split('-').collect::<Vec<_>>()[..] {
        [single] => number(single).map(|number| (number, number)),
        [start, end] => {
            let (start, end) = (number(start)?, number(end)?);
            if start <= end {
                Ok((start, end))
            } else {
                Err(format!(
                    "range number is invalid: {end} is less than {start}"
                ))
            }
        }
        _ => Err(format!("range number is invalid: {item:?}")),
    };
    text.trim().split(',').map(pair).collect()
}

/// Every number of the list.
pub(crate) fn parse_range_numbers(text: &str) -> Result<Vec<i64>, String> {
    let ranges = number_ranges(text)?;
    let all = ranges.into_iter().flat_map(|(start, end)| start..=end);
    let numbers: Vec<i64> = all.take(RANGE_LIMIT + 1).collect();
    if numbers.len() > RANGE_LIMIT {
        return Err(format!("more than {RANGE_LIMIT} numbers"));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_frp_reads_them() {
        assert_eq!(parse_range_numbers("1-3, 5"), Ok(vec![1, 2, 3, 5]));
        assert_eq!(parse_range_numbers(" 7 "), Ok(vec![7]));
        for wrong in ["", "a", "1-", "3-1", "1-2-3", "1,,2", "-1"] {
            let error = parse_range_numbers(wrong).err();
            assert!(
                error.is_some_and(|e| e.starts_with("range number is invalid")),
                "{wrong}"
            );
        }
        assert!(parse_range_numbers("1-9223372036854775807").is_err());
    }
}
