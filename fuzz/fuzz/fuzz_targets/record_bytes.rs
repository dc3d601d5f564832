//! Any bytes from a disk.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = synod_fuzz::record::bytes(bytes);
});
