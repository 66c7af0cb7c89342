//! The templates that commands carried.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sealpost_schemas::Digest;

use crate::pack::{Packer, Unpacker};
use crate::render::TemplateSet;
use crate::table::OperatorError;

/// Compiled templates by digest, shared by the shards of a process.
#[derive(Default, Clone)]
pub struct TemplateCache(Arc<Mutex<HashMap<Digest, Arc<TemplateSet>>>>);

impl TemplateCache {
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<TemplateSet>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(digest)
            .cloned()
    }

    pub(super) fn load(&self, sources: &BTreeMap<String, String>) -> Result<Digest, OperatorError> {
        let digest = TemplateSet::digest_of(sources);
        if self.get(&digest).is_none() {
            let set = TemplateSet::from_sources(sources).map_err(|error| {
                OperatorError::Stop(format!(
                    "the templates of a command cannot be used: {error}"
                ))
            })?;
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(digest, Arc::new(set));
        }
        Ok(digest)
    }
}

pub(super) fn pack_sources(sources: &BTreeMap<String, String>) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.begin(1).number(sources.len() as u64);
    for (name, text) in sources {
        packer.text(name).text(text);
    }
    packer.bytes().to_vec()
}

pub(super) fn unpack_sources(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut value = Unpacker::open(bytes, 1)?;
    (0..value.number()?)
        .map(|_| Some((value.text()?.to_owned(), value.text()?.to_owned())))
        .collect()
}
