//! Text in columns: the first to the left, numbers to the right.

/// A title, headings and rows of as many cells.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without a row.
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const CELLS: usize>(&mut self, cells: [String; CELLS]) {
        self.rows.push(cells.into());
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The title, the headings unless all are empty, the rows, and an empty line.
    pub fn write_to(&self, text: &mut String) {
        text.push_str(&self.title);
        text.push('\n');
        let headed = self.columns.iter().any(|column| !column.is_empty());
        for row in headed.then_some(&self.columns).into_iter().chain(&self.rows) {
            text.push_str(&self.line(row));
            text.push('\n');
        }
        text.push('\n');
    }

    fn line(&self, row: &[String]) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(self.width(column).saturating_sub(cell.chars().count()));
            line.push_str("  ");
            if self.is_of_numbers(column) {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        line.trim_end().to_owned()
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &String> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    fn width(&self, column: usize) -> usize {
        let heading = self.columns.get(column);
        let widths = heading.into_iter().chain(self.cells(column));
        widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    /// Numbers may have a unit behind them.
    fn is_of_numbers(&self, column: usize) -> bool {
        let headed = self.columns.iter().any(|column| !column.is_empty());
        let begins_with_digit =
            |cell: &String| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit());
        headed && self.cells(column).all(begins_with_digit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table) -> String {
        let mut text = String::new();
        table.write_to(&mut text);
        text
    }

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new("title", &["to", "GB/s", "p99"]);
        table.row(["nothing".into(), "9.50".into(), String::new()]);
        table.row(["a file".into(), "10.25".into(), "7 us".into()]);
        let expected = "title\n  to        GB/s   p99\n  nothing   9.50\n  a file   10.25  7 us\n\n";
        assert_eq!(written(&table), expected);
    }

    #[test]
    fn facts_have_no_headings_and_stand_left() {
        let mut table = Table::new("facts", &["", ""]);
        table.row(["kernel".into(), "6.18".into()]);
        table.row(["memory".into(), "5".into()]);
        assert_eq!(written(&table), "facts\n  kernel  6.18\n  memory  5\n\n");
    }
}
