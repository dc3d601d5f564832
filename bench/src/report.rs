//! Tables on the screen and in files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Rows of cells under named columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// # Panics
    /// When the row has not one cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "one cell for each column");
        self.rows.push(cells);
    }

    /// Aligned, for a terminal.
    pub(crate) fn text(&self) -> String {
        let width = |place: usize| {
            let cells = self.rows.iter().map(|row| row[place].chars().count());
            cells.max().unwrap_or(0).max(self.columns[place].len())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        let heads = self.columns.iter().map(|head| (*head).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:>width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Separated by commas; no cell holds one.
    pub(crate) fn csv(&self) -> String {
        let mut text = self.columns.join(",");
        for row in &self.rows {
            text.push('\n');
            text.push_str(&row.join(","));
        }
        text.push('\n');
        text
    }
}

/// Prints a table and writes it, and its chart as SVG, to files called `name` in `directory`.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn publish(
    directory: &Path,
    name: &str,
    table: &Table,
    chart: Option<&str>,
) -> io::Result<()> {
    print!("{}", table.text());
    fs::create_dir_all(directory)?;
    let write = |ending: &str, text: &str| -> io::Result<PathBuf> {
        let path = directory.join(format!("{name}.{ending}"));
        fs::write(&path, text)?;
        println!("{}", path.display());
        Ok(path)
    };
    write("csv", &table.csv())?;
    if let Some(chart) = chart {
        write("svg", chart)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_both_forms() {
        let mut table = Table::new(&["who", "ns"]);
        table.row(vec!["a".into(), "10".into()]);
        table.row(vec!["long".into(), "9".into()]);
        assert_eq!(table.text(), " who  ns\n   a  10\nlong   9\n");
        assert_eq!(table.csv(), "who,ns\na,10\nlong,9\n");
    }

    #[test]
    #[should_panic(expected = "one cell for each column")]
    fn a_row_that_lacks_a_cell_is_noticed() {
        Table::new(&["who", "ns"]).row(vec!["a".into()]);
    }
}
