//! Charts as SVG: bars in groups, and lines in panels. Here is what they share.

mod axis;
pub(crate) mod bars;
pub(crate) mod panels;

use std::fmt::Write as _;

use crate::measure::Spread;

/// A number as a reader wants it: three digits and a unit.
fn plain(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 999.5e6 => (value / 1e9, " G"),
        size if size >= 999.5e3 => (value / 1e6, " M"),
        size if size >= 999.5 => (value / 1e3, " K"),
        _ => (value, ""),
    };
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// A power of two as powers of two are written, other numbers as they are.
fn count(value: u64) -> String {
    match value {
        value if value >= 1 << 20 && value.is_multiple_of(1 << 20) => format!("{} Mi", value >> 20),
        value if value >= 1 << 12 && value.is_multiple_of(1 << 10) => format!("{} Ki", value >> 10),
        value => value.to_string(),
    }
}

/// Text that means itself.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The same for the same name in every chart, so that charts can be compared; `place` is for names
/// that nobody thought of.
fn colour(name: &str, place: usize) -> &'static str {
    let known = COLOURS.iter().find(|(known, _)| *known == name);
    known.or(COLOURS.get(place % COLOURS.len())).map_or("#000", |(_, colour)| colour)
}

const COLOURS: [(&str, &str); 8] = [
    ("synod", "#1b6ca8"),
    ("synod+codec", "#63b0e3"),
    ("floor", "#9e9e9e"),
    ("omnipaxos", "#d1495b"),
    ("omnipaxos-batch", "#edae49"),
    ("raft-rs", "#66a182"),
    ("openraft", "#8d6a9f"),
    ("loopback", "#d1495b"),
];

/// The width of a line of text, nearly.
fn text_width(text: &str) -> f64 {
    let narrow = |letter: char| matches!(letter, ' ' | 'i' | 'l' | '.' | ',');
    text.chars().map(|letter| if narrow(letter) { LETTER / 2.0 } else { LETTER }).sum()
}

/// The head of a chart: its title, and what stands for what, in as many lines as that takes.
/// The second value is where the head ends.
fn head(title: &str, series: &[String], width: f64) -> (String, f64) {
    let title = escaped(title);
    let mut svg = format!("<text x=\"{MARGIN}\" y=\"18\" font-size=\"14\">{title}</text>\n");
    let (mut x, mut y) = (MARGIN, 28.0);
    for (place, name) in series.iter().enumerate() {
        let wide = 14.0 + text_width(name) + MARGIN;
        if x > MARGIN && x + wide > width {
            (x, y) = (MARGIN, y + 16.0);
        }
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"10\" height=\"10\" fill=\"{}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            colour(name, place),
            x + 14.0,
            y + 9.0,
            escaped(name),
        );
        x += wide;
    }
    (svg, y + 22.0)
}

/// A whole picture around what is in it.
fn picture(width: f64, height: f64, inside: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{inside}</svg>\n"
    )
}

/// A line from the least to the most; nothing where nothing varied.
fn whisker(axis: &axis::Axis, x: f64, Spread { min, max, .. }: &Spread, style: &str) -> String {
    if max <= min {
        return String::new();
    }
    let (least, most) = (axis.place(*min), axis.place(*max));
    format!("<path d=\"M{x:.1} {least:.1}V{most:.1}\" {style}/>\n")
}

/// Lines across at round numbers, with numbers on the left of the stronger ones.
fn grid(axis: &axis::Axis, left: f64, right: f64) -> String {
    let mut svg = String::new();
    for value in axis.between() {
        let y = axis.place(value);
        let _ = writeln!(svg, "<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#f1f1f1\"/>");
    }
    for value in axis.ticks() {
        let y = axis.place(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{left:.1} {y:.1}H{right:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 5.0,
            y + 4.0,
            plain(value),
        );
    }
    svg
}

const MARGIN: f64 = 16.0;
const LETTER: f64 = 6.4;
/// What the numbers of an axis take.
const NUMBERS: f64 = 52.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.25, 1.0, 1.5, 12.34, 796.4, 1000.0, 21_704.0, 5.03e6, 2e7, 3e9];
        let texts = texts.map(plain);
        let short = ["0", "0.25", "1", "1.5", "12.3", "796", "1 K", "21.7 K", "5.03 M", "20 M"];
        assert_eq!(texts[..10], short);
        assert_eq!(texts[10], "3 G");
        assert_eq!([999.7, 99.97, 9.996].map(plain), ["1 K", "100", "10"]);
        assert_eq!([1024, 4096, 5000, 1 << 20].map(count), ["1024", "4 Ki", "5000", "1 Mi"]);
    }

    #[test]
    fn a_name_keeps_its_colour() {
        assert_eq!(colour("floor", 0), colour("floor", 1));
        assert_ne!(colour("somebody", 0), colour("somebody", 1));
    }

    #[test]
    fn the_names_of_many_take_more_lines_and_stay_inside() {
        let series: Vec<String> = (0..20).map(|place| format!("somebody {place}")).collect();
        let (svg, end) = head("<title> & more", &series, 300.0);
        assert!(svg.contains("&lt;title&gt; &amp; more"));
        assert!(end > 100.0, "{end}");
        let places = svg.split("<rect x=\"").skip(1);
        let places: Vec<f64> = places
            .map(|rest| rest.split('"').next().expect("a value").parse().expect("a number"))
            .collect();
        assert_eq!(places.len(), series.len());
        assert!(places.iter().all(|x| x + 14.0 + text_width("somebody 19") <= 300.0));
    }
}
