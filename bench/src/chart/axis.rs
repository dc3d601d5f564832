//! A logarithmic axis between round numbers.

/// From values to places on paper.
#[derive(Debug)]
pub(super) struct Axis {
    least: f64,
    most: f64,
    /// Where the least value lies, and where the most.
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis that has room for all `values`, as far as they are above zero and finite; `from` is
    /// the place of its least value, `to` that of its most.
    pub(super) fn around(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let sound = |value: &f64| value.is_finite() && *value > 0.0;
        let values: Vec<f64> = values.into_iter().filter(sound).collect();
        let most = values.iter().copied().fold(f64::NAN, f64::max);
        let most = if most.is_nan() { 10.0 } else { most.clamp(SMALLEST, LARGEST) };
        let least = values.iter().copied().fold(most, f64::min).max(most / RANGE_MAX);
        let (mut low, mut high) = (place_of(least).floor() as i32, place_of(most).ceil() as i32);
        // Room for three lines at least, or nothing would tell the scale.
        while high - low < 3 {
            (low, high) = if (high - low) % 2 == 0 { (low, high + 1) } else { (low - 1, high) };
        }
        Self { least: round(low), most: round(high), from, to }
    }

    /// Where a value lies; what is not on the axis lies at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if value.is_nan() { self.least } else { value.clamp(self.least, self.most) };
        let share = (value / self.least).ln() / (self.most / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// The round numbers that are told: 1, 2, 5, 10 or, if those were too many, powers of ten.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let (low, high) = self.steps();
        let is_long = high - low > TICKS_MAX;
        (low..=high).filter(|step| !is_long || step.rem_euclid(3) == 0).map(round).collect()
    }

    /// Those between them that are not, unless there would be too many lines.
    pub(super) fn between(&self) -> Vec<f64> {
        let (low, high) = self.steps();
        let are_few = high - low > TICKS_MAX && high - low <= LINES_MAX;
        (low..=high).filter(|step| are_few && step.rem_euclid(3) != 0).map(round).collect()
    }

    fn steps(&self) -> (i32, i32) {
        (place_of(self.least).round() as i32, place_of(self.most).round() as i32)
    }
}

/// The round number of a step: ..., 1, 2, 5, 10, 20, ...
fn round(step: i32) -> f64 {
    // Parsed, so that it is the number nearest to what it says.
    let digit = ["1", "2", "5"][step.rem_euclid(3) as usize];
    let text = format!("{digit}e{}", step.div_euclid(3));
    text.parse().unwrap_or(f64::MAX)
}

/// Where between the steps a value lies; whole for round numbers.
fn place_of(value: f64) -> f64 {
    let decade = (value.log10() + 1e-9).floor();
    let rest = value / 10_f64.powf(decade);
    let step = match rest {
        rest if rest < 1.0 + 1e-6 => 0.0,
        rest if rest < 2.0 - 1e-6 => rest.log2(),
        rest if rest < 2.0 + 1e-6 => 1.0,
        rest if rest < 5.0 - 1e-6 => 1.0 + (rest / 2.0).log2() / 2.5_f64.log2(),
        rest if rest < 5.0 + 1e-6 => 2.0,
        rest => 2.0 + (rest / 5.0).log2(),
    };
    3.0 * decade + step
}

const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e18;
/// Beyond it nothing could be told apart.
const RANGE_MAX: f64 = 1e10;
const TICKS_MAX: i32 = 8;
const LINES_MAX: i32 = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[f64]) -> Vec<f64> {
        Axis::around(values.iter().copied(), 0.0, 1.0).ticks()
    }

    #[test]
    fn lines_stand_at_round_numbers() {
        assert_eq!(ticks(&[796.0, 1206.0]), [500.0, 1e3, 2e3, 5e3]);
        assert_eq!(ticks(&[0.03, 0.2]), [0.02, 0.05, 0.1, 0.2]);
        assert_eq!(ticks(&[15e3, 15e6]), [1e4, 1e5, 1e6, 1e7]);
        assert_eq!(ticks(&[1e-3, 1e3]), [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1e3]);
    }

    #[test]
    fn a_long_axis_has_lines_between_its_numbers() {
        let between = |values: [f64; 2]| Axis::around(values, 0.0, 1.0).between();
        assert_eq!(between([15e3, 1e7]), [2e4, 5e4, 2e5, 5e5, 2e6, 5e6]);
        assert_eq!(between([1.0, 10.0]), [], "all are told");
        assert_eq!(between([1.0, 1e9]), [], "too many");
    }

    #[test]
    fn odd_values_have_an_axis_too() {
        for odd in [&[][..], &[0.0], &[-1.0, f64::NAN], &[f64::INFINITY], &[1e300], &[1e-300]] {
            let axis = Axis::around(odd.iter().copied(), 200.0, 0.0);
            let ticks = axis.ticks();
            assert!((2..=12).contains(&ticks.len()), "{odd:?}: {ticks:?}");
            for value in odd.iter().chain(&[0.0, 1.0, f64::MAX, f64::NAN]) {
                assert!((0.0..=200.0).contains(&axis.place(*value)), "{odd:?} {value}");
            }
        }
        assert!(ticks(&[7.0]).len() >= 3 && ticks(&[1.0, 1.0]).len() >= 3);
    }

    #[test]
    fn places_follow_the_logarithm() {
        let axis = Axis::around([10.0, 1000.0], 100.0, 0.0);
        let places = [10.0, 100.0, 1000.0].map(|value| axis.place(value));
        for (place, right) in places.into_iter().zip([100.0, 50.0, 0.0]) {
            assert!((place - right).abs() < 1e-9, "{place} is not {right}");
        }
    }
}
