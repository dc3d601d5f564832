//! A lone replica among peers that may say anything.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::replica::Case| {
    let _ = synod_fuzz::replica::replica(&case);
});
