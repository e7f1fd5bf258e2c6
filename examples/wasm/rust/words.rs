//! Word statistics of a text: a record is UTF-8, and the output lines `count word`, most frequent first, words of
//! the same count in their order. Words are runs of letters and digits, in lower case.
//!
//! Ordinary Rust with the standard library: String, BTreeMap, iterators. The three functions of the interface are
//! at the end. BTreeMap and no HashMap: the order of a HashMap depends on random numbers, which a module has not.

use std::collections::BTreeMap;

fn statistics(text: &str) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut rows: Vec<(String, u64)> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows.iter().map(|(word, count)| format!("{count} {word}\n")).collect()
}

/// Where the host puts the record. Never freed: the instance ends with its record.
#[no_mangle]
pub extern "C" fn alloc(length: u32) -> *mut u8 {
    Box::leak(vec![0u8; length.max(1) as usize].into_boxed_slice()).as_mut_ptr()
}

/// # Safety
/// `place` comes from `alloc(length)`, and the host has filled it.
#[no_mangle]
pub unsafe extern "C" fn run(place: *const u8, length: u32) -> u64 {
    let record = std::slice::from_raw_parts(place, length as usize);
    let output = statistics(&String::from_utf8_lossy(record)).into_bytes().leak();
    (output.as_ptr() as u64) << 32 | output.len() as u64
}
