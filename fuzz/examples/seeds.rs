//! Makes the inputs that the targets start from, `seeds/<target>`: short ones, each of which
//! reaches something that none before it does. Always the same for the same code.
//!
//! `cargo run --release -p synod-fuzz --example seeds`

use std::path::Path;
use std::{fs, io, panic};

use synod_fuzz::target::{ALL, Target};

/// How many inputs are tried for each target.
const TRIES: u64 = 4000;

fn main() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for target in ALL {
        let directory = seeds.join(target.name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let found = search(target);
        for (nth, bytes) in found.iter().enumerate() {
            fs::write(directory.join(format!("{nth:02}")), bytes)?;
        }
        let bytes: usize = found.iter().map(Vec::len).sum();
        println!("{}: {} inputs, {bytes} bytes", target.name, found.len());
    }
    Ok(())
}

/// Inputs that get longer and longer; those that reach something new are kept.
fn search(target: Target) -> Vec<Vec<u8>> {
    let (mut found, mut reached) = (Vec::new(), 0);
    let mut chance = Chance(0x5EED);
    for nth in 0..TRIES {
        let len = 8 + target.longest as u64 * nth / TRIES;
        let input = (target.make)(&chance.bytes(len));
        let Ok(new) = panic::catch_unwind(|| (target.run)(&input)) else {
            panic!("a find: {}\n{}", target.name, (target.tell)(&input));
        };
        if new & !reached != 0 {
            reached |= new;
            found.push(input);
        }
    }
    found
}

/// A small generator (SplitMix64).
struct Chance(u64);

impl Chance {
    fn bytes(&mut self, len: u64) -> Vec<u8> {
        let words = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(len as usize).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}
