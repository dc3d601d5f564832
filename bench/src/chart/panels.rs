//! Lines in panels: each panel one thing against another, both on axes of their own.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{
    MARGIN, NUMBERS, colour, count, escaped, grid, head, picture, plain, text_width, whisker,
};
use crate::measure::Spread;

/// Panels in rows, and what stands for what in all of them.
#[derive(Debug)]
pub(crate) struct Panels {
    pub(crate) title: String,
    pub(crate) rows: Vec<Vec<Panel>>,
}

/// One thing against another.
#[derive(Debug)]
pub(crate) struct Panel {
    /// What goes up, unit included, and what goes to the right.
    pub(crate) what: &'static str,
    pub(crate) against: &'static str,
    pub(crate) spacing: Spacing,
    pub(crate) lines: Vec<Line>,
}

/// How values lie to the right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spacing {
    Even,
    Logarithmic,
}

/// What one of the series has in one panel.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// In the order of the first.
    pub(crate) points: Vec<(u64, Spread)>,
}

impl Panels {
    /// The medians as lines, with strokes from the least to the most.
    pub(crate) fn svg(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let width = MARGIN + columns as f64 * (NUMBERS + WIDTH + MARGIN);
        let mut series: Vec<String> = Vec::new();
        for line in self.rows.iter().flatten().flat_map(|panel| &panel.lines) {
            if !series.contains(&line.name) {
                series.push(line.name.clone());
            }
        }
        let (mut svg, mut top) = head(&self.title, &series, width);
        for row in &self.rows {
            for (column, panel) in row.iter().enumerate() {
                let left = MARGIN + NUMBERS + column as f64 * (NUMBERS + WIDTH + MARGIN);
                panel.draw(&mut svg, left, top + HEAD, &series);
            }
            top += HEAD + HEIGHT + FOOT;
        }
        picture(width, top + MARGIN, &svg)
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, left: f64, top: f64, series: &[String]) {
        let (right, bottom) = (left + WIDTH, top + HEIGHT);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let axis = Axis::around(points().flat_map(|(_, y)| [y.min, y.max]), bottom, top);
        svg.push_str(&grid(&axis, left, right));
        let mut values: Vec<u64> = points().map(|(x, _)| *x).collect();
        values.sort_unstable();
        values.dedup();
        let x = self.places(&values, left + INSET, right - INSET);
        let _ = writeln!(
            svg,
            "<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            top - 10.0,
            escaped(self.what),
            left + WIDTH / 2.0,
            bottom + 34.0,
            escaped(self.against),
        );
        let mut free = f64::NEG_INFINITY;
        for value in &values {
            let (x, label) = (x(*value), count(*value));
            let _ = writeln!(svg, "<path d=\"M{x:.1} {bottom:.1}v4\" stroke=\"#999\"/>");
            // A label that would run into the one before is left out.
            let half = text_width(&label) / 2.0;
            if x - half > free {
                free = x + half + 3.0;
                let y = bottom + 17.0;
                let _ = writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
                );
            }
        }
        for line in &self.lines {
            let place = series.iter().position(|name| *name == line.name).unwrap_or(0);
            line.draw(svg, colour(&line.name, place), &x, &axis);
        }
    }

    /// Where values lie between `left` and `right`.
    fn places(&self, values: &[u64], left: f64, right: f64) -> impl Fn(u64) -> f64 + use<> {
        let spacing = self.spacing;
        let along = move |value: u64| match spacing {
            Spacing::Even => value as f64,
            Spacing::Logarithmic => (value.max(1) as f64).log2(),
        };
        let from = along(values.first().copied().unwrap_or(0));
        let to = along(values.last().copied().unwrap_or(0));
        move |value| {
            let share = if to > from { (along(value) - from) / (to - from) } else { 0.5 };
            left + share * (right - left)
        }
    }
}

impl Line {
    fn draw(&self, svg: &mut String, colour: &str, x: &impl Fn(u64) -> f64, axis: &Axis) {
        let mut path = String::new();
        let pale = format!("stroke=\"{colour}\" opacity=\"0.6\"");
        for (value, spread) in &self.points {
            let (x, y) = (x(*value), axis.place(spread.median));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            svg.push_str(&whisker(axis, x, spread, &pale));
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\">\
                 <title>{} at {}: {}</title></circle>",
                escaped(&self.name),
                count(*value),
                plain(spread.median),
            );
        }
        let style = "fill=\"none\" stroke-width=\"1.5\"";
        let _ = writeln!(svg, "<path d=\"{path}\" stroke=\"{colour}\" {style}/>");
    }
}

const WIDTH: f64 = 324.0;
const HEIGHT: f64 = 200.0;
const HEAD: f64 = 26.0;
const FOOT: f64 = 48.0;
const INSET: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(spacing: Spacing, points: &[(u64, f64)]) -> Panels {
        let spread = |value| Spread { min: value, median: value, max: value };
        let points = points.iter().map(|(x, y)| (*x, spread(*y))).collect();
        let lines = vec![Line { name: "synod".into(), points }];
        let panel = Panel { what: "commands per second", against: "W", spacing, lines };
        Panels { title: "curves".into(), rows: vec![vec![panel]] }
    }

    /// The values of an attribute of all circles.
    fn circles(svg: &str, name: &str) -> Vec<f64> {
        let value = |line: &str| {
            let rest = line.split(&format!("{name}=\"")).nth(1)?;
            rest.split('"').next()?.parse().ok()
        };
        svg.lines().filter(|line| line.contains("<circle")).filter_map(value).collect()
    }

    #[test]
    fn points_lie_where_their_values_are() {
        let points = [(1, 100.0), (2, 1000.0), (4, 10_000.0)];
        let svg = panel(Spacing::Logarithmic, &points).svg();
        let (x, y) = (circles(&svg, "cx"), circles(&svg, "cy"));
        assert_eq!(x.len(), 3);
        assert!((x[1] - x[0] - (x[2] - x[1])).abs() < 0.3, "{x:?}");
        assert!((y[0] - y[1] - (y[1] - y[2])).abs() < 0.3 && y[0] > y[2], "{y:?}");
        let x = circles(&panel(Spacing::Even, &points).svg(), "cx");
        assert!((2.0 * (x[1] - x[0]) - (x[2] - x[1])).abs() < 0.3, "{x:?}");
    }

    #[test]
    fn labels_do_not_run_into_each_other() {
        let points: Vec<(u64, f64)> = (100_000..100_100).map(|value| (value, 1.0)).collect();
        let svg = panel(Spacing::Even, &points).svg();
        let labels = svg.matches(">1000").count();
        assert!((2..10).contains(&labels), "{labels} labels");
        assert_eq!(circles(&svg, "cx").len(), points.len());
    }

    #[test]
    fn odd_panels_are_drawn() {
        let nothing = Panels { title: String::new(), rows: Vec::new() };
        assert!(nothing.svg().ends_with("</svg>\n"));
        for spacing in [Spacing::Even, Spacing::Logarithmic] {
            let odd: [&[(u64, f64)]; 5] =
                [&[], &[(0, 0.0)], &[(7, 5.0)], &[(0, 1.0), (u64::MAX, 2.0)], &[(3, f64::NAN)]];
            for points in odd {
                let svg = panel(spacing, points).svg();
                assert_eq!(circles(&svg, "cx").len(), points.len());
                let places = svg.replace("NaN</title>", "");
                assert!(!places.contains("NaN") && !places.contains("inf"), "{svg}");
            }
        }
    }
}
