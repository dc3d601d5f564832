//! Cost curves: what a command costs against one thing at a time, as points in a table, in a file,
//! and in panels.

use crate::chart::panels::{Line, Panel, Panels, Spacing};
use crate::measure::Spread;
use crate::report::Table;

/// What changes along a curve; all else stays as it is at [`BASE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Curve {
    /// The bytes of a command.
    Size,
    /// The commands outstanding.
    Window,
    Members,
    /// The commands that came before.
    Length,
}

impl Curve {
    pub(crate) const ALL: [Self; 4] = [Self::Size, Self::Window, Self::Members, Self::Length];

    /// As tables and command lines have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Window => "window",
            Self::Members => "members",
            Self::Length => "length",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.name() == name)
    }

    /// As a reader has it.
    const fn against(self) -> &'static str {
        match self {
            Self::Size => "bytes of a command",
            Self::Window => "W, commands outstanding",
            Self::Members => "members",
            Self::Length => "commands that came before",
        }
    }

    const fn spacing(self) -> Spacing {
        match self {
            Self::Members => Spacing::Even,
            Self::Size | Self::Window | Self::Length => Spacing::Logarithmic,
        }
    }
}

/// What one point of a curve is measured with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Setting {
    pub(crate) size: usize,
    pub(crate) window: u64,
    pub(crate) members: u64,
    /// Commands that come before; as many as it takes to be warm unless they are what changes.
    pub(crate) before: Option<u64>,
}

/// What does not change along a curve.
pub(crate) const BASE: Setting = Setting { size: 64, window: 64, members: 3, before: None };

impl Setting {
    /// The setting of a point.
    pub(crate) const fn of(curve: Curve, value: u64) -> Self {
        match curve {
            Curve::Size => Self { size: value as usize, ..BASE },
            Curve::Window => Self { window: value, ..BASE },
            Curve::Members => Self { members: value, ..BASE },
            Curve::Length => Self { before: Some(value), ..BASE },
        }
    }
}

/// What was measured at one place of one curve.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Point {
    pub(crate) curve: Curve,
    pub(crate) value: u64,
    pub(crate) who: String,
    pub(crate) figures: Figures,
}

/// Whatever of it was measured.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: Option<Spread>,
    pub(crate) cpu_ns: Option<Spread>,
    pub(crate) allocations: Option<f64>,
    pub(crate) instructions: Option<f64>,
}

const RATE: [&str; 3] = ["per_s_min", "per_s_median", "per_s_max"];
const CPU: [&str; 3] = ["cpu_ns_min", "cpu_ns_median", "cpu_ns_max"];
const ALLOCATIONS: &str = "allocations";
const INSTRUCTIONS: &str = "instructions_per_command";

/// All points as a table, with columns for what was measured.
pub(crate) fn table(points: &[Point]) -> Table {
    let any = |has: fn(&Figures) -> bool| points.iter().any(|point| has(&point.figures));
    let rate = any(|figures| figures.per_second.is_some());
    let cpu = any(|figures| figures.cpu_ns.is_some());
    let allocations = any(|figures| figures.allocations.is_some());
    let instructions = any(|figures| figures.instructions.is_some());
    let mut columns = vec!["curve", "value", "who"];
    columns.extend(RATE.into_iter().filter(|_| rate));
    columns.extend(CPU.into_iter().filter(|_| cpu));
    columns.extend(allocations.then_some(ALLOCATIONS));
    columns.extend(instructions.then_some(INSTRUCTIONS));
    let mut table = Table::new(&columns);
    for Point { curve, value, who, figures } in points {
        let mut cells = vec![curve.name().to_owned(), value.to_string(), who.clone()];
        for (has, spread) in [(rate, figures.per_second), (cpu, figures.cpu_ns)] {
            let three = |spread: Option<Spread>| match spread {
                Some(Spread { min, median, max }) => [min, median, max].map(|x| format!("{x:.0}")),
                None => Default::default(),
            };
            cells.extend(three(spread).into_iter().filter(|_| has));
        }
        let one = |figure: Option<f64>, digits: usize| match figure {
            Some(figure) => format!("{figure:.digits$}"),
            None => String::new(),
        };
        cells.extend(allocations.then(|| one(figures.allocations, 3)));
        cells.extend(instructions.then(|| one(figures.instructions, 0)));
        table.row(cells);
    }
    table
}

/// Points out of a file with the columns of [`table`]; other columns mean nothing.
///
/// # Errors
/// When it is no such file.
pub(crate) fn read(text: &str) -> Result<Vec<Point>, String> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::trim).collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    for needed in ["curve", "value", "who"] {
        if !columns.contains(&needed) {
            return Err(format!("no column {needed}"));
        }
    }
    let mut points = Vec::new();
    for (place, cells) in lines.enumerate() {
        let line = place + 2;
        if cells.len() != columns.len() {
            return Err(format!("line {line}: {} cells", cells.len()));
        }
        let cell = |name: &str| {
            let place = columns.iter().position(|column| *column == name)?;
            Some(cells[place]).filter(|cell| !cell.is_empty())
        };
        let wrong = |name: &str| format!("line {line}: {name} is wrong");
        let figure = |name: &str| {
            let number = |cell: &str| cell.parse().ok().filter(|figure: &f64| figure.is_finite());
            cell(name).map(|cell| number(cell).ok_or_else(|| wrong(name))).transpose()
        };
        let spread = |[min, median, max]: [&str; 3]| -> Result<_, String> {
            let three = figure(min)?.zip(figure(median)?).zip(figure(max)?);
            Ok(three.map(|((min, median), max)| Spread { min, median, max }))
        };
        points.push(Point {
            curve: cell("curve").and_then(Curve::named).ok_or_else(|| wrong("curve"))?,
            value: cell("value")
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| wrong("value"))?,
            who: cell("who").ok_or_else(|| wrong("who"))?.to_owned(),
            figures: Figures {
                per_second: spread(RATE)?,
                cpu_ns: spread(CPU)?,
                allocations: figure(ALLOCATIONS)?,
                instructions: figure(INSTRUCTIONS)?,
            },
        });
    }
    Ok(points)
}

/// All points in panels: a column for each curve, a row for each thing that was measured.
pub(crate) fn panels(points: &[Point]) -> Panels {
    let same = |figure: Option<f64>| {
        figure.map(|figure| Spread { min: figure, median: figure, max: figure })
    };
    let rows = [
        row(points, "commands per second", |figures| figures.per_second),
        row(points, "processor time per command, ns", |figures| figures.cpu_ns),
        row(points, "instructions per command", |figures| same(figures.instructions)),
    ];
    Panels {
        title: format!(
            "What a command costs; what is not named is {} bytes, W = {}, {} members",
            BASE.size, BASE.window, BASE.members
        ),
        rows: rows.into_iter().filter(|row| !row.is_empty()).collect(),
    }
}

fn row(
    points: &[Point],
    what: &'static str,
    figure: impl Fn(&Figures) -> Option<Spread>,
) -> Vec<Panel> {
    let panel = |curve: Curve| {
        let mut lines: Vec<Line> = Vec::new();
        for point in points.iter().filter(|point| point.curve == curve) {
            let Some(spread) = figure(&point.figures) else { continue };
            let at = (point.value, spread);
            match lines.iter_mut().find(|line| line.name == point.who) {
                Some(line) => line.points.push(at),
                None => lines.push(Line { name: point.who.clone(), points: vec![at] }),
            }
        }
        for line in &mut lines {
            line.points.sort_by_key(|(value, _)| *value);
        }
        let (against, spacing) = (curve.against(), curve.spacing());
        (!lines.is_empty()).then_some(Panel { what, against, spacing, lines })
    };
    Curve::ALL.into_iter().filter_map(panel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(curve: Curve, value: u64, who: &str, figures: Figures) -> Point {
        Point { curve, value, who: who.to_owned(), figures }
    }

    fn measured() -> Vec<Point> {
        let rate = Spread { min: 1e6, median: 2e6, max: 3e6 };
        let cpu = Spread { min: 90.0, median: 100.0, max: 110.0 };
        let full = Figures {
            per_second: Some(rate),
            cpu_ns: Some(cpu),
            allocations: Some(0.25),
            instructions: None,
        };
        vec![
            point(Curve::Window, 64, "synod", full),
            point(Curve::Window, 1, "synod", full),
            point(Curve::Members, 3, "loopback", Figures { cpu_ns: None, ..full }),
        ]
    }

    #[test]
    fn a_point_changes_one_thing() {
        assert_eq!(Setting::of(Curve::Size, 8), Setting { size: 8, ..BASE });
        assert_eq!(Setting::of(Curve::Window, 1), Setting { window: 1, ..BASE });
        assert_eq!(Setting::of(Curve::Members, 7), Setting { members: 7, ..BASE });
        assert_eq!(Setting::of(Curve::Length, 5), Setting { before: Some(5), ..BASE });
        for curve in Curve::ALL {
            assert_eq!(Curve::named(curve.name()), Some(curve));
        }
        assert_eq!(Curve::named("weight"), None);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let csv = table(&measured()).csv();
        assert!(csv.starts_with("curve,value,who,per_s_min,"), "{csv}");
        assert!(!csv.contains(INSTRUCTIONS), "nothing was counted");
        assert_eq!(read(&csv), Ok(measured()));
        let counted = "curve,value,who,instructions_per_command\nlength,2048,synod+codec,1167\n";
        let points = read(counted).expect("sound");
        assert_eq!(points[0].figures.instructions, Some(1167.0));
        assert_eq!(table(&points).csv(), counted);
        let all = [measured(), points].concat();
        assert_eq!(read(&table(&all).csv()), Ok(all));
        assert_eq!(read("curve,value,who\n"), Ok(vec![]));
    }

    #[test]
    fn mistakes_of_a_file_are_told() {
        let error = |text: &str| read(text).expect_err("a mistake");
        assert_eq!(error(""), "no column curve");
        assert_eq!(error("curve,value\n"), "no column who");
        assert_eq!(error("curve,value,who\nsize,8\n"), "line 2: 2 cells");
        assert_eq!(error("curve,value,who\nsize,8,a\nweight,8,a\n"), "line 3: curve is wrong");
        assert_eq!(error("curve,value,who\nsize,-8,a\n"), "line 2: value is wrong");
        assert_eq!(error("curve,value,who\nsize,8,\n"), "line 2: who is wrong");
        let odd = "curve,value,who,allocations\nsize,8,a,many\n";
        assert_eq!(error(odd), "line 2: allocations is wrong");
        assert_eq!(error(&odd.replace("many", "inf")), "line 2: allocations is wrong");
    }

    #[test]
    fn there_is_a_panel_for_each_curve_that_was_measured() {
        let panels = panels(&measured());
        let curves: Vec<usize> = panels.rows.iter().map(Vec::len).collect();
        assert_eq!(curves, [2, 1], "rates of two curves, processor time of one");
        let window = &panels.rows[0][0];
        assert_eq!(window.against, "W, commands outstanding");
        let values: Vec<u64> = window.lines[0].points.iter().map(|(value, _)| *value).collect();
        assert_eq!(values, [1, 64], "from left to right");
        assert!(super::panels(&[]).rows.is_empty());
    }
}
