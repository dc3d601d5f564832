//! Messages, and damage to their frames.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::wire::Case| {
    let _ = synod_fuzz::wire::message(&case);
});
