//! The log of an honest replica on a disk that fails, crashes and is harmed.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::log::Case| {
    let _ = synod_fuzz::log::log(&case);
});
