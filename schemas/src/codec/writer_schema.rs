//! Schemas from outside, such as a registry's, that records were written with.

use std::fmt;

use serde_avro_fast::Schema;
use serde_avro_fast::schema::{LogicalType, RegularType, SchemaKey, SchemaMut, SchemaNode};

use super::framing::Place;
use super::{CodecError, Record, RecordType, WriterSchemaProblem};

/// Deepest nesting that is looked into; ours nest four deep.
const DEPTH_MAX: usize = 16;

/// A schema from outside that a record was written with.
pub struct WriterSchema {
    schema: Schema,
    record: RecordType,
    /// Where the record stands, if the schema is a union.
    place: Option<Place>,
}

impl WriterSchema {
    /// Takes a schema that records are to be read with. Its name says which, whatever its
    /// namespace; its fields may be fewer or more, in another order, or of a narrower type. It
    /// may be a union with the record among others.
    ///
    /// # Errors
    /// [`CodecError::WriterSchema`] when the text is no Avro schema or not one of a record of
    /// this name, or when one of the record's fields has another logical type: its values would
    /// be misread in silence.
    pub fn parse<R: Record>(json: &str) -> Result<Self, CodecError> {
        let problem = |problem| CodecError::WriterSchema {
            record: R::TYPE,
            problem,
        };
        let theirs: SchemaMut = json
            .parse()
            .map_err(|_| problem(WriterSchemaProblem::Unreadable))?;
        let ours: SchemaMut = R::TYPE
            .schema_json()
            .parse()
            .map_err(|_| CodecError::BrokenSchema { record: R::TYPE })?;
        let (node, place) = find(&theirs, name(ours.root()))
            .ok_or_else(|| problem(WriterSchemaProblem::OtherName))?;
        let pair = Pair {
            ours: &ours,
            theirs: &theirs,
        };
        if let Some(field) = pair.other_meaning(ours.root(), node, DEPTH_MAX) {
            return Err(problem(WriterSchemaProblem::OtherMeaning { field }));
        }
        let schema = theirs
            .freeze()
            .map_err(|_| problem(WriterSchemaProblem::Unreadable))?;
        Ok(Self {
            schema,
            record: R::TYPE,
            place,
        })
    }

    /// Which record it writes.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        self.record
    }

    pub(super) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether a datum written with this schema is of the record's type, by its first byte.
    pub(super) fn begins(&self, datum: &[u8]) -> bool {
        self.place
            .is_none_or(|place| datum.first() == Some(&place.discriminant()))
    }
}

impl fmt::Debug for WriterSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterSchema")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

fn name(node: &SchemaNode) -> Option<&str> {
    node.type_.name().map(|name| name.name())
}

/// The record of a name: the schema itself, or one of the union that it is.
fn find<'a>(
    schema: &'a SchemaMut,
    wanted: Option<&str>,
) -> Option<(&'a SchemaNode, Option<Place>)> {
    let root = schema.root();
    match &root.type_ {
        RegularType::Union(union) => {
            let mut variants = union.variants.iter().map(|key| schema.get(*key));
            let place = variants.position(|node| node.is_some_and(|node| name(node) == wanted))?;
            let node = schema.get(*union.variants.get(place)?)?;
            Some((node, Some(Place::new(place)?)))
        }
        _ => (name(root).is_some() && name(root) == wanted).then_some((root, None)),
    }
}

/// Two schemas of one record.
struct Pair<'a> {
    ours: &'a SchemaMut,
    theirs: &'a SchemaMut,
}

impl Pair<'_> {
    /// The first field below two nodes whose logical type both give, and give differently.
    fn other_meaning(
        &self,
        our: &SchemaNode,
        their: &SchemaNode,
        depth_left: usize,
    ) -> Option<String> {
        let depth_left = depth_left.checked_sub(1)?;
        match (&our.type_, &their.type_) {
            (RegularType::Union(union), _) => union.variants.iter().find_map(|key| {
                let our = self.ours.get(*key)?;
                let their = find_like(self.theirs, their, our)?;
                self.other_meaning(our, their, depth_left)
            }),
            (RegularType::Array(our), RegularType::Array(their)) => {
                self.below(our.items, their.items, depth_left)
            }
            (RegularType::Map(our), RegularType::Map(their)) => {
                self.below(our.values, their.values, depth_left)
            }
            (RegularType::Record(our), RegularType::Record(their)) => {
                our.fields.iter().find_map(|our| {
                    let their = their.fields.iter().find(|their| their.name == our.name)?;
                    if differ(
                        logical_type(self.ours, our.type_),
                        logical_type(self.theirs, their.type_),
                    ) {
                        return Some(our.name.clone());
                    }
                    self.below(our.type_, their.type_, depth_left)
                        .map(|deeper| format!("{}.{deeper}", our.name))
                })
            }
            // ours is a record, theirs may be one of a union
            (_, RegularType::Union(_)) => {
                let their = find_like(self.theirs, their, our)?;
                self.other_meaning(our, their, depth_left)
            }
            _ => None,
        }
    }

    fn below(&self, our: SchemaKey, their: SchemaKey, depth_left: usize) -> Option<String> {
        self.other_meaning(self.ours.get(our)?, self.theirs.get(their)?, depth_left)
    }
}

/// The node that values of `our` node are written with: `their` node, or the one of its union
/// that has the same name, or is the same kind of collection.
fn find_like<'a>(
    theirs: &'a SchemaMut,
    their: &'a SchemaNode,
    our: &SchemaNode,
) -> Option<&'a SchemaNode> {
    let alike = |their: &SchemaNode| match (&our.type_, &their.type_) {
        (RegularType::Array(_), RegularType::Array(_))
        | (RegularType::Map(_), RegularType::Map(_)) => true,
        _ => name(our).is_some() && name(our) == name(their),
    };
    match &their.type_ {
        RegularType::Union(union) => union
            .variants
            .iter()
            .filter_map(|key| theirs.get(*key))
            .find(|node| alike(node)),
        _ => alike(their).then_some(their),
    }
}

fn differ(our: Option<&str>, their: Option<&str>) -> bool {
    our.zip(their).is_some_and(|(our, their)| our != their)
}

/// The name of a node's logical type, seen through a union.
fn logical_type(schema: &SchemaMut, key: SchemaKey) -> Option<&str> {
    let node = schema.get(key)?;
    match &node.type_ {
        RegularType::Union(union) => union
            .variants
            .iter()
            .find_map(|variant| logical_type(schema, *variant)),
        _ => node.logical_type.as_ref().map(LogicalType::as_str),
    }
}
