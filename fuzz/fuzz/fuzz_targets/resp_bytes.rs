//! Any bytes as requests of the store and as answers of a server.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = (synod_fuzz::resp::request(bytes), synod_fuzz::resp::replies(bytes));
});
