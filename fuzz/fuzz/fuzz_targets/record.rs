//! Records, and damage to their bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::record::Case| {
    let _ = synod_fuzz::record::record(&case);
});
