//! The command `curves`: rates and processor time of Synod against value size, commands
//! outstanding, members and commands before; or the chart of a file that was measured earlier.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::alloc;
use crate::args::Args;
use crate::core::client::Client;
use crate::core::synod::Synod;
use crate::core::{Cluster, check, fill};
use crate::curves::{Curve, Figures, Point, Setting, panels, read, table};
use crate::loopback;
use crate::measure::{Spread, thread_time};
use crate::report::publish;

pub(crate) const OPTIONS: [&str; 11] = [
    "curves",
    "layers",
    "sizes",
    "windows",
    "members",
    "lengths",
    "millis",
    "repetitions",
    "from",
    "name",
    "out",
];

/// Measures all curves, all points in turns; or draws what `--from` names.
///
/// # Errors
/// When an option cannot be read, a run fails, or the results cannot be written.
pub(crate) fn curves(args: &Args) -> Result<(), String> {
    let out: PathBuf = args.one("out", PathBuf::from("target/bench"))?;
    let name: String = args.one("name", "curves".to_owned())?;
    let files: Vec<PathBuf> = args.list("from", "")?;
    let points = if files.iter().any(|file| !file.as_os_str().is_empty()) {
        let mut points = Vec::new();
        for file in files {
            let told = |error: String| format!("{}: {error}", file.display());
            let text = fs::read_to_string(&file).map_err(|error| told(error.to_string()))?;
            points.extend(read(&text).map_err(told)?);
        }
        points
    } else {
        let length = Duration::from_millis(args.one("millis", 300)?);
        let spots = spots(args)?;
        measure(&spots, length, args.one::<usize>("repetitions", 3)?.max(1))?
    };
    let chart = panels(&points).svg();
    publish(&out, &name, &table(&points), Some(&chart)).map_err(|error| error.to_string())
}

/// Where Synod is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    /// The core and the service on one thread, messages handed on as values.
    Synod,
    /// The same with frames, records and checksums.
    SynodCodec,
    /// The tokio runtime over loopback, logs in memory.
    Loopback,
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Synod => "synod",
            Self::SynodCodec => "synod+codec",
            Self::Loopback => "loopback",
        }
    }

    /// Who is measured in a layer.
    fn of_layer(layer: &str) -> Result<&'static [Self], String> {
        match layer {
            "core" => Ok(&[Self::Synod, Self::SynodCodec]),
            "loopback" => Ok(&[Self::Loopback]),
            other => Err(format!("{other} is none of core loopback")),
        }
    }
}

/// A place of a curve, and who is measured there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spot {
    curve: Curve,
    value: u64,
    who: Who,
}

/// All that the options ask for.
fn spots(args: &Args) -> Result<Vec<Spot>, String> {
    let mut layers = Vec::new();
    for layer in args.list::<String>("layers", "core,loopback")? {
        layers.extend_from_slice(Who::of_layer(&layer)?);
    }
    let mut spots = Vec::new();
    for name in args.list::<String>("curves", &Curve::ALL.map(Curve::name).join(","))? {
        let curve = Curve::named(&name).ok_or_else(|| {
            format!("{name} is none of {}", Curve::ALL.map(Curve::name).join(" "))
        })?;
        for value in values(args, curve)? {
            spots.extend(layers.iter().map(|who| Spot { curve, value, who: *who }));
        }
    }
    Ok(spots)
}

fn values(args: &Args, curve: Curve) -> Result<Vec<u64>, String> {
    let (option, default, least, most) = match curve {
        Curve::Size => ("sizes", "8,64,256,1024,4096,16384", 8, 1 << 16),
        Curve::Window => ("windows", "1,4,16,64,256,1024,4096,8192", 1, 1 << 15),
        Curve::Members => ("members", "1,3,5,7", 1, 7),
        Curve::Length => ("lengths", "16384,131072,1048576,8388608", 1, 1 << 30),
    };
    let values: Vec<u64> = args.list(option, default)?;
    match values.iter().find(|value| !(least..=most).contains(*value)) {
        Some(value) => Err(format!("--{option} takes {least} to {most}, not {value}")),
        None => Ok(values),
    }
}

/// What came of one run.
#[derive(Clone, Copy, Debug)]
struct Sample {
    per_second: f64,
    cpu_ns: f64,
    allocations: f64,
}

/// Goes through all of `spots` so often, so that whatever else the machine does hits all alike.
fn measure(spots: &[Spot], length: Duration, repetitions: usize) -> Result<Vec<Point>, String> {
    let mut samples: Vec<Vec<Sample>> = spots.iter().map(|_| Vec::new()).collect();
    for _ in 0..repetitions {
        for (spot, samples) in spots.iter().zip(&mut samples) {
            let setting = Setting::of(spot.curve, spot.value);
            samples.push(match spot.who {
                Who::Synod => on_one_thread(&setting, length, false),
                Who::SynodCodec => on_one_thread(&setting, length, true),
                Who::Loopback => over_loopback(&setting, length)?,
            });
        }
    }
    let point = |(spot, samples): (&Spot, &Vec<Sample>)| {
        let spread = |of: fn(&Sample) -> f64| Some(Spread::of(samples.iter().map(of)));
        Point {
            curve: spot.curve,
            value: spot.value,
            who: spot.who.name().to_owned(),
            figures: Figures {
                per_second: spread(|sample| sample.per_second),
                cpu_ns: spread(|sample| sample.cpu_ns),
                allocations: spread(|sample| sample.allocations).map(|spread| spread.median),
                instructions: None,
            },
        }
    };
    Ok(spots.iter().zip(&samples).map(point).collect())
}

/// How a run begins and ends.
struct Course {
    /// What comes before that which is measured: so many commands, and so long, at least.
    before: u64,
    warm: Duration,
    /// What is measured: so long, or so many commands.
    length: Duration,
    most: u64,
}

impl Course {
    fn of(setting: &Setting, length: Duration) -> Self {
        match setting.before {
            // A log whose length matters does not grow to a multiple meanwhile.
            Some(before) => Self { before, warm: Duration::ZERO, length, most: before },
            None => Self {
                before: fill(setting.size, setting.window),
                warm: length / 5,
                length,
                most: u64::MAX,
            },
        }
    }
}

/// The workload P1 for a time.
fn on_one_thread(setting: &Setting, length: Duration, codec: bool) -> Sample {
    let Setting { size, window, members, before: _ } = *setting;
    let course = Course::of(setting, length);
    let mut cluster = Synod::new(members, window, codec);
    let mut client = Client::new(size);
    // Whole windows, and so many that the last one, which runs dry, is nothing.
    let piece = (16 * window).max(1024);
    let start = Instant::now();
    cluster.run(&mut client, course.before, window);
    while start.elapsed() < course.warm {
        cluster.run(&mut client, piece, window);
    }
    let (before, start) = (client.submitted(), Instant::now());
    let (allocations, cpu) = (alloc::of_this_thread(), thread_time());
    loop {
        cluster.run(&mut client, piece, window);
        if start.elapsed() >= course.length || client.submitted() - before >= course.most {
            break;
        }
    }
    let (took, cpu) = (start.elapsed(), thread_time() - cpu);
    let allocations = alloc::of_this_thread() - allocations;
    check(&mut cluster, &client);
    let commands = (client.submitted() - before) as f64;
    Sample {
        per_second: commands / took.as_secs_f64(),
        cpu_ns: cpu.as_nanos() as f64 / commands,
        allocations: allocations as f64 / commands,
    }
}

/// The workload P2, Synod alone.
fn over_loopback(setting: &Setting, length: Duration) -> Result<Sample, String> {
    let Course { before, warm, length, most } = Course::of(setting, length);
    let plan = loopback::Plan {
        size: setting.size,
        window: setting.window,
        members: setting.members as usize,
        before,
        most,
        warm,
        length,
        directory: None,
    };
    let loopback::Sample { per_second, cpu_ns, allocations, .. } =
        loopback::run(loopback::Contender::Synod, &plan)?;
    Ok(Sample { per_second, cpu_ns, allocations })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Result<Args, String> {
        Args::parse(text.split_whitespace().map(str::to_owned), &OPTIONS)
    }

    fn asked(text: &str) -> Result<Vec<Spot>, String> {
        spots(&options(text)?)
    }

    #[test]
    fn options_name_the_points() {
        let all = asked("").expect("defaults");
        assert_eq!(all.len(), 3 * (6 + 8 + 4 + 4));
        let few = asked("--curves window --windows 1,8 --layers loopback").expect("sound");
        let spot = |value| Spot { curve: Curve::Window, value, who: Who::Loopback };
        assert_eq!(few, [spot(1), spot(8)]);
        let lengths = asked("--curves length --lengths 9 --layers core").expect("sound");
        assert_eq!(lengths.iter().map(|spot| spot.value).collect::<Vec<_>>(), [9, 9]);
    }

    #[test]
    fn what_a_replica_keeps_is_full_before_anything_is_measured() {
        let before = |curve, value| {
            let Setting { size, window, .. } = Setting::of(curve, value);
            fill(size, window)
        };
        assert_eq!(before(Curve::Window, 1), 2048);
        assert_eq!(before(Curve::Window, 8192), 2048 * 2048);
        assert_eq!(before(Curve::Size, 16384), 2048 * 8);
        let length = Duration::from_millis(10);
        let course = Course::of(&Setting::of(Curve::Length, 7), length);
        assert_eq!((course.before, course.most, course.warm), (7, 7, Duration::ZERO));
        let course = Course::of(&Setting::of(Curve::Members, 1), length);
        assert_eq!((course.before, course.most, course.warm), (2048 * 64, u64::MAX, length / 5));
    }

    #[test]
    fn mistakes_are_told() {
        let error = |text: &str| asked(text).expect_err("a mistake");
        assert!(error("--curves weight").contains("none of size window members length"));
        assert!(error("--layers disk").contains("none of core loopback"));
        assert!(error("--sizes 4").contains("8 to 65536"));
        assert!(error("--members 9").contains("1 to 7"));
        assert!(error("--windows 0").contains("not 0"));
        assert!(error("--windows many").contains("many"));
        let gone = options("--from no/such/file.csv").expect("a pair");
        assert!(curves(&gone).expect_err("no file").contains("no/such/file.csv"));
    }

    #[test]
    fn every_curve_is_measured() {
        let few = "--sizes 8 --windows 2 --members 7 --lengths 3000";
        let spots = asked(few).expect("sound");
        let points = measure(&spots, Duration::from_millis(5), 2).expect("they run");
        assert_eq!(points.len(), 3 * 4);
        for Point { who, figures, .. } in &points {
            let rate = figures.per_second.expect("a rate");
            assert!(rate.min > 0.0 && rate.min <= rate.median && rate.median <= rate.max, "{who}");
            assert!(figures.cpu_ns.is_some_and(|cpu| cpu.min > 0.0), "{who}");
            assert!(figures.allocations.is_some() && figures.instructions.is_none());
        }
    }

    #[test]
    fn files_are_drawn_together() {
        let directory =
            std::env::temp_dir().join(format!("synod-bench-curves-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a place");
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).expect("room");
            path.display().to_string()
        };
        let head = "curve,value,who,instructions_per_command";
        let one = file("one.csv", &format!("{head}\nsize,8,synod,800\n"));
        let two = file("two.csv", &format!("{head}\nsize,64,synod,796\n"));
        let place = directory.display();
        let text = format!("--from {one},{two} --name both --out {place}");
        curves(&options(&text).expect("sound")).expect("drawn");
        let written = |name: &str| fs::read_to_string(directory.join(name)).expect("written");
        assert_eq!(written("both.csv"), format!("{head}\nsize,8,synod,800\nsize,64,synod,796\n"));
        assert_eq!(written("both.svg").matches("<circle").count(), 2);
        fs::remove_dir_all(directory).expect("it was there");
    }
}
