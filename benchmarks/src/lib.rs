//! What the floor and the benches of parts share: stores and topics that are nothing but memory.

use std::collections::HashMap;

use sealpost_operators::table::{History, HistoryError, Source, Table};

/// A store without a changelog.
#[derive(Default)]
pub struct MapTable(HashMap<Vec<u8>, Vec<u8>>);

impl Table for MapTable {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }
    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
    fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(key, value)| see(key, value));
    }
}

/// Earlier records, as they came.
#[derive(Default)]
pub struct Rows(pub Vec<Vec<u8>>);

impl History for Rows {
    fn value(&mut self, _: Source, _: &[u8], offset: u64) -> Result<Option<Vec<u8>>, HistoryError> {
        Ok(usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset))
            .cloned())
    }
}
