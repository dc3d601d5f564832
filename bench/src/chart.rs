//! A chart of bars in groups, on a logarithmic scale, as SVG.

use std::fmt::Write as _;

/// Bars in groups; the same series in each.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What it shows, unit included.
    pub(crate) title: String,
    /// A label for each group, and a value for each series; `None` when it was not measured.
    pub(crate) groups: Vec<(String, Vec<Option<f64>>)>,
    /// The names of the series.
    pub(crate) series: Vec<String>,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let values = || self.groups.iter().flat_map(|(_, values)| values.iter().flatten().copied());
        let least = values().fold(f64::INFINITY, f64::min).max(1e-3);
        let most = values().fold(0.0, f64::max).max(least * 10.0);
        // Whole decades, so that the lines carry round numbers.
        let (bottom, top) = (least.log10().floor(), most.log10().ceil());
        let y = |value: f64| {
            let share = (value.max(1e-3).log10() - bottom) / (top - bottom);
            HEIGHT - FOOT - share * (HEIGHT - FOOT - HEAD)
        };
        let group_width = self.series.len() as f64 * BAR + GAP;
        let width = LEFT + group_width * self.groups.len() as f64 + GAP;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{HEIGHT:.0}\" \
             font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"16\" font-size=\"13\">{}</text>\n",
            self.title
        );
        for decade in bottom as i32..=top as i32 {
            let value = 10_f64.powi(decade);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{width:.0}\" stroke=\"#ddd\"/>\
                 <text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>",
                plain(value),
                x = LEFT - 4.0,
                y = y(value),
            );
        }
        for (place, (label, values)) in self.groups.iter().enumerate() {
            let left = LEFT + GAP + group_width * place as f64;
            self.group(&mut svg, left, label, values, &y);
        }
        for (place, name) in self.series.iter().enumerate() {
            let x = LEFT + 110.0 * place as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.0}\" y=\"{LEGEND:.0}\" width=\"10\" height=\"10\" fill=\"{}\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\">{name}</text>",
                colour(place),
                x + 14.0,
                LEGEND + 9.0,
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn group(
        &self,
        svg: &mut String,
        left: f64,
        label: &str,
        values: &[Option<f64>],
        y: &dyn Fn(f64) -> f64,
    ) {
        for (place, value) in values.iter().enumerate() {
            let Some(value) = *value else { continue };
            let x = left + BAR * place as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\">\
                 <title>{} {label}: {value:.1}</title></rect>",
                y(value),
                BAR - 1.0,
                (HEIGHT - FOOT - y(value)).max(0.0),
                colour(place),
                self.series[place],
            );
        }
        let middle = left + BAR * self.series.len() as f64 / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            HEIGHT - FOOT + 14.0
        );
    }
}

fn plain(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.0} M", value / 1e6),
        value if value >= 1e3 => format!("{:.0} K", value / 1e3),
        value if value >= 1.0 => format!("{value:.0}"),
        value => format!("{value}"),
    }
}

fn colour(place: usize) -> &'static str {
    COLOURS[place % COLOURS.len()]
}

const COLOURS: [&str; 8] =
    ["#1b6ca8", "#7fb2d9", "#9e9e9e", "#d1495b", "#edae49", "#66a182", "#8d6a9f", "#2e4057"];
const HEIGHT: f64 = 360.0;
const HEAD: f64 = 48.0;
const FOOT: f64 = 28.0;
const LEGEND: f64 = 26.0;
const LEFT: f64 = 56.0;
const BAR: f64 = 12.0;
const GAP: f64 = 18.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_value_is_a_higher_bar() {
        let chart = Chart {
            title: "ns per command".into(),
            groups: vec![("64 B".into(), vec![Some(10.0), Some(1000.0), None])],
            series: vec!["a".into(), "b".into(), "c".into()],
        };
        let svg = chart.svg();
        let bars: Vec<&str> = svg.lines().filter(|line| line.contains("<title>")).collect();
        assert_eq!(bars.len(), 2, "nothing is drawn for what was not measured");
        let height = |bar: &str| -> f64 {
            let text = bar.split("height=\"").nth(1).and_then(|rest| rest.split('"').next());
            text.and_then(|text| text.parse().ok()).expect("a height")
        };
        assert!(height(bars[1]) > height(bars[0]) + 100.0);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
