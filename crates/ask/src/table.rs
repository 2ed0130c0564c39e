//! Rows in columns, for a terminal.

use unicode_width::UnicodeWidthStr as _;

/// Each row in a line, two blanks behind each cell; `rows` begin with the header.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let shown: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| frp_log::visible(cell)))
        .collect();
    let mut widths = [0; N];
    for row in &shown {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &shown {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wide_or_hostile_stays_in_its_column() {
        let rows = [
            ["Name", "Port"],
            ["中文", "1"],
            ["a\u{1b}[2J\n\u{202e}", "2"],
        ];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            table(&rows),
            "Name                  Port  \n中文                  1     \n\
             a\\u{1b}[2J\\n\\u{202e}  2     \n"
        );
    }
}
