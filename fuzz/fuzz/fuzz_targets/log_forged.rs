//! Directories that no log ever wrote.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::log::Forged| {
    let _ = synod_fuzz::log::forged(&case);
});
