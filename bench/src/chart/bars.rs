//! A chart of bars in groups, on a logarithmic scale.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{MARGIN, NUMBERS, colour, escaped, grid, head, picture, plain, text_width, whisker};
use crate::measure::Spread;

/// Bars in groups; the same series in each.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What it shows, unit included.
    pub(crate) title: String,
    /// A label for each group, and a value for each series; `None` when it was not measured.
    pub(crate) groups: Vec<(String, Vec<Option<Spread>>)>,
    /// The names of the series.
    pub(crate) series: Vec<String>,
}

impl Chart {
    /// The medians as bars, with lines from the least to the most.
    pub(crate) fn svg(&self) -> String {
        let label = self.groups.iter().map(|(label, _)| text_width(label)).fold(0.0, f64::max);
        let group_width = (self.series.len() as f64 * BAR).max(label) + GAP;
        let right = NUMBERS + (GAP + group_width * self.groups.len() as f64).max(WIDTH_MIN);
        let (mut svg, top) = head(&self.title, &self.series, right);
        let (top, bottom) = (top + VALUE, top + VALUE + HEIGHT);
        let values = self.groups.iter().flat_map(|(_, values)| values.iter().flatten());
        // Half of the least is on the axis, so that even the least has a bar.
        let axis = values.flat_map(|value| [value.min / 2.0, value.max]);
        let axis = Axis::around(axis, bottom, top);
        svg.push_str(&grid(&axis, NUMBERS, right));
        for (place, (label, values)) in self.groups.iter().enumerate() {
            let left = NUMBERS + GAP + group_width * place as f64;
            self.group(&mut svg, left, label, values, &axis);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                left + BAR * self.series.len() as f64 / 2.0,
                bottom + 16.0,
                escaped(label),
            );
        }
        picture(right + MARGIN, bottom + FOOT, &svg)
    }

    fn group(
        &self,
        svg: &mut String,
        left: f64,
        label: &str,
        values: &[Option<Spread>],
        axis: &Axis,
    ) {
        let bottom = axis.place(0.0);
        for (place, (name, value)) in self.series.iter().zip(values).enumerate() {
            let Some(spread) = value else { continue };
            let median = spread.median;
            let (x, y) = (left + BAR * place as f64, axis.place(median));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\">\
                 <title>{} {}: {}</title></rect>",
                BAR - 1.5,
                bottom - y,
                colour(name, place),
                escaped(name),
                escaped(label),
                plain(median),
            );
            let middle = x + BAR / 2.0 - 0.75;
            svg.push_str(&whisker(axis, middle, spread, "stroke=\"#333\""));
            let (x, y) = (middle + 3.5, axis.place(spread.max) - 4.0);
            let upwards = format!("translate({x:.1} {y:.1}) rotate(-90)");
            let number = plain(median);
            let _ = writeln!(svg, "<text transform=\"{upwards}\" font-size=\"10\">{number}</text>");
        }
    }
}

const HEIGHT: f64 = 280.0;
const FOOT: f64 = 28.0;
const BAR: f64 = 14.0;
const GAP: f64 = 18.0;
/// The number over a bar.
const VALUE: f64 = 40.0;
const WIDTH_MIN: f64 = 420.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: f64) -> Option<Spread> {
        Some(Spread { min: value, median: value, max: value })
    }

    fn chart(values: Vec<Option<Spread>>) -> Chart {
        let series = (0..values.len()).map(|place| format!("series {place}")).collect();
        Chart { title: "ns per command".into(), groups: vec![("64 B".into(), values)], series }
    }

    #[test]
    fn a_larger_value_is_a_higher_bar() {
        let svg = chart(vec![at(10.0), at(1000.0), None]).svg();
        let bars: Vec<&str> = svg.lines().filter(|line| line.contains("<title>")).collect();
        assert_eq!(bars.len(), 2, "nothing is drawn for what was not measured");
        let height = |bar: &str| -> f64 {
            let text = bar.split("height=\"").nth(1).and_then(|rest| rest.split('"').next());
            text.and_then(|text| text.parse().ok()).expect("a height")
        };
        assert!(height(bars[0]) > 10.0, "the least has a bar");
        assert!(height(bars[1]) > height(bars[0]) + 100.0);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("#333"), "nothing varied");
        let varied = chart(vec![Some(Spread { min: 5.0, median: 7.0, max: 9.0 })]).svg();
        assert_eq!(varied.matches("#333").count(), 1);
    }

    #[test]
    fn odd_charts_are_drawn() {
        let none = Chart { title: String::new(), groups: Vec::new(), series: Vec::new() };
        for odd in [none, chart(vec![]), chart(vec![None]), chart(vec![at(0.0), at(f64::NAN)])] {
            let svg = odd.svg();
            assert!(svg.ends_with("</svg>\n"), "{odd:?}");
            let places = svg.replace("NaN</t", "");
            assert!(!places.contains("NaN") && !places.contains("inf"), "{svg}");
        }
    }
}
