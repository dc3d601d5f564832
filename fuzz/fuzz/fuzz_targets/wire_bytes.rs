//! Any bytes from a socket.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = synod_fuzz::wire::bytes(bytes);
});
