//! A client of the key-value server, cut anywhere.

#![no_main]

libfuzzer_sys::fuzz_target!(|case: synod_fuzz::resp::Case| {
    let _ = synod_fuzz::resp::resp(&case);
});
