//! A whole cluster of the simulator.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::cluster::Case| {
    let _ = synod_fuzz::cluster::cluster(&case);
});
