//! Listings for people.

/// Characters of a cell; what others have written may be longer.
const CELL_MAX: usize = 200;

/// Prints rows under a head, columns as wide as their widest cell.
pub fn print<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let cell = |text: &String| types::text::shown(text, CELL_MAX).into_owned();
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(cell)).collect();
    let mut width = head.map(str::len);
    for row in &rows {
        for (w, cell) in width.iter_mut().zip(row) {
            *w = (*w).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let cells: Vec<String> = cells
            .iter()
            .zip(width)
            .map(|(cell, w)| format!("{cell:w$}"))
            .collect();
        println!("{}", cells.join("  ").trim_end());
    };
    line(head);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
}
