//! How many messages stand in each state, in the shards that are here: kept up with every write of
//! the send state, so that nobody has to count.

use prometheus::{IntGauge, IntGaugeVec};
use sealpost_operators::table::Table;
use sealpost_schemas::codec::Decoder;
use sealpost_schemas::record::{SendStanding, State};

/// One shard's part of the levels; taken back when the shard goes.
pub(super) struct Levels {
    /// Of each state: its gauge, and what this shard has added to it.
    levels: [(IntGauge, i64); State::ALL.len()],
    decoder: Decoder<SendStanding>,
}

impl Levels {
    pub(super) fn new(gauges: &IntGaugeVec, decoder: Decoder<SendStanding>) -> Self {
        Self {
            levels: State::ALL.map(|state| (gauges.with_label_values(&[state.name()]), 0)),
            decoder,
        }
    }

    fn add(&mut self, value: &[u8], amount: i64) {
        // what cannot be read stops the gate; these figures have no say in it
        let Ok(state) = self.decoder.decode(value) else {
            return;
        };
        for kind in state.kinds {
            let place = State::ALL.iter().position(|known| *known == kind.state);
            if let Some((gauge, level)) = place.and_then(|place| self.levels.get_mut(place)) {
                *level += amount;
                gauge.add(amount);
            }
        }
    }

    /// Everything that a store which was read back holds.
    pub(super) fn count(&mut self, table: &dyn Table) {
        table.for_each(&mut |_, value| self.add(value, 1));
    }
}

impl Drop for Levels {
    fn drop(&mut self) {
        for (gauge, amount) in &self.levels {
            gauge.sub(*amount);
        }
    }
}

/// A table whose writes are counted.
pub(super) struct Counted<'a, T> {
    pub(super) table: T,
    pub(super) levels: &'a mut Levels,
}

impl<T: Table> Table for Counted<'_, T> {
    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.table.get(key)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) {
        if let Some(before) = self.table.get(key) {
            self.levels.add(before, -1);
        }
        self.levels.add(value, 1);
        self.table.put(key, value);
    }
    fn delete(&mut self, key: &[u8]) {
        if let Some(before) = self.table.get(key) {
            self.levels.add(before, -1);
        }
        self.table.delete(key);
    }
    fn for_each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.table.for_each(see);
    }
}
