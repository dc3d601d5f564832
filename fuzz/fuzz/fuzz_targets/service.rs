//! A lone service among peers that may say anything.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::service::Case| {
    let _ = synod_fuzz::service::service(&case);
});
