//! Reads an event from the form in which it was written.
//!
//! What serde derives for a flattened, tagged enum reads every field into a buffer first, which takes four
//! times as long. Events are written with `at` and `event` in front, so what follows can be read directly
//! into what the tag says. In any other order, as after an edit by hand, an event reads the same, slower.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
};
use serde_json::{Map, Value};

use super::{Event, Micros, Operation, Probe, Record, What};

const AT: &str = "at";
const EVENT: &str = "event";

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

/// A text that is not copied if it need not be.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{AT}` and `{EVENT}`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let Some(first) = map.next_key::<Word<'_>>()? else { return Err(A::Error::missing_field(AT)) };
        if first.0 != AT {
            return unordered(Map::new(), &first.0, map);
        }
        let at: Micros = map.next_value()?;
        let Some(second) = map.next_key::<Word<'_>>()? else { return Err(A::Error::missing_field(EVENT)) };
        if second.0 != EVENT {
            return unordered(Map::from_iter([(AT.to_owned(), at.into())]), &second.0, map);
        }
        let tag: Word<'_> = map.next_value()?;
        let what = match &*tag.0 {
            "probe" => What::Probe(Probe::deserialize(MapAccessDeserializer::new(map))?),
            "operation" => What::Operation(Operation::deserialize(MapAccessDeserializer::new(map))?),
            "record" => What::Record(Record::deserialize(MapAccessDeserializer::new(map))?),
            tag => {
                What::deserialize(MapAccessDeserializer::new(Tagged { tag: Some(tag), given: false, map }))?
            }
        };
        Ok(Event { at, what })
    }
}

/// Reads the rest of an event whose fields come in some other order.
fn unordered<'de, A: MapAccess<'de>>(
    mut fields: Map<String, Value>,
    key: &str,
    mut map: A,
) -> Result<Event, A::Error> {
    fields.insert(key.to_owned(), map.next_value()?);
    while let Some((key, value)) = map.next_entry()? {
        fields.insert(key, value);
    }
    let at = fields.remove(AT).ok_or_else(|| A::Error::missing_field(AT))?;
    let at = Micros::deserialize(at).map_err(A::Error::custom)?;
    let what = What::deserialize(Value::Object(fields)).map_err(A::Error::custom)?;
    Ok(Event { at, what })
}

/// The fields of a map, with the tag that was read from it put back in front.
struct Tagged<'t, A> {
    tag: Option<&'t str>,
    given: bool,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Tagged<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        if self.given {
            return self.map.next_key_seed(seed);
        }
        self.given = true;
        let key: StrDeserializer<'_, A::Error> = EVENT.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.tag.take() {
            Some(tag) => seed.deserialize(StrDeserializer::new(tag)),
            None => self.map.next_value_seed(seed),
        }
    }
}
