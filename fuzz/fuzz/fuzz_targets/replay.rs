//! Logs of any records in any order.

#![no_main]

libfuzzer_sys::fuzz_target!(|log: synod_fuzz::plan::Many<synod_fuzz::plan::RecordPlan>| {
    let _ = synod_fuzz::replay::replay(&log.0);
});
