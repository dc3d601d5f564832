//! Every target has inputs to start from, and each of them passes: also those of old finds.

use std::path::Path;
use std::{fs, io};

use synod_fuzz::target::ALL;

#[test]
fn all_seeds_pass_and_reach_something() -> io::Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut bytes = 0;
    for target in ALL {
        let mut reached = 0;
        for entry in fs::read_dir(seeds.join(target.name))? {
            let input = fs::read(entry?.path())?;
            bytes += input.len();
            reached |= (target.run)(&input);
        }
        assert_ne!(reached, 0, "{}: seeds that reach nothing", target.name);
    }
    assert!(bytes < 1 << 20, "seeds are small: {bytes} bytes");
    Ok(())
}
