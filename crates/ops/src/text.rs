//! Events as text: `login session=12 peer=192.0.2.7 user="ann" ok tls=1.3`.
//!
//! A serializer for flat structs, so that both log formats come from the one `Serialize` of an event and no
//! field can be in one of them only. The event's name and its result stand alone; `None` is left out; texts that
//! are not plain words are quoted, with `"` and control characters escaped.

use std::fmt::{self, Write};

use serde::Serialize;
use serde::ser::{self, Impossible};

/// Appends the event to `out`, without a line end.
///
/// # Errors
/// If a field is no plain value; every event in this crate is flat, and a test writes each of them.
pub(crate) fn write(event: &impl Serialize, out: &mut String) -> Result<(), NotFlat> {
    event.serialize(Line { out })
}

/// A value that has no place on one line.
#[derive(Debug, thiserror::Error)]
#[error("not a flat event: {0}")]
pub(crate) struct NotFlat(String);

impl ser::Error for NotFlat {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self(what.to_string())
    }
}

/// The whole event: takes a struct and nothing else.
struct Line<'a> {
    out: &'a mut String,
}

/// One value after its key.
struct Value<'a> {
    out: &'a mut String,
    key: &'static str,
}

impl Value<'_> {
    fn put(self, word: impl fmt::Display) -> Result<(), NotFlat> {
        let gap = if self.out.is_empty() { "" } else { " " };
        let text = word.to_string();
        let plain =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:_-+[]".contains(&b));
        let stands_alone = matches!(self.key, "event" | "result");
        self.out.push_str(gap);
        if !stands_alone {
            self.out.push_str(self.key);
            self.out.push('=');
        }
        if plain && !matches!(self.key, "user" | "path" | "detail" | "root") {
            self.out.push_str(&text);
            return Ok(());
        }
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                // `Shown` has escaped them already; this is for texts of our own.
                c if c.is_control() => {
                    write!(self.out, "\\u{{{:x}}}", u32::from(c)).map_err(ser::Error::custom)?;
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

impl ser::SerializeStruct for Line<'_> {
    type Ok = ();
    type Error = NotFlat;

    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), NotFlat> {
        value.serialize(Value { out: self.out, key })
    }

    fn end(self) -> Result<(), NotFlat> {
        Ok(())
    }
}

/// The serializer methods that a kind of value does not have.
macro_rules! not_flat {
    ($($method:ident($($type:ty),*) -> $result:ty;)*) => { $(
        fn $method(self, $(_: $type),*) -> Result<$result, NotFlat> {
            Err(NotFlat(stringify!($method).to_owned()))
        }
    )* };
}

macro_rules! puts_value {
    ($($method:ident($type:ty);)*) => { $(
        fn $method(self, value: $type) -> Result<(), NotFlat> {
            self.put(value)
        }
    )* };
}

macro_rules! only_flat_types {
    ($($name:ident),*) => {
        type Ok = ();
        type Error = NotFlat;
        $( type $name = Impossible<(), NotFlat>; )*
        not_flat! {
            serialize_bytes(&[u8]) -> ();
            serialize_unit() -> ();
            serialize_unit_struct(&'static str) -> ();
            serialize_seq(Option<usize>) -> Self::SerializeSeq;
            serialize_tuple(usize) -> Self::SerializeTuple;
            serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
            serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
            serialize_map(Option<usize>) -> Self::SerializeMap;
            serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
        }
        fn serialize_newtype_variant<T: ?Sized + Serialize>(
            self, _: &'static str, _: u32, variant: &'static str, _: &T,
        ) -> Result<(), NotFlat> {
            Err(NotFlat(variant.to_owned()))
        }
    };
}

impl<'a> ser::Serializer for Line<'a> {
    type SerializeStruct = Line<'a>;
    only_flat_types!(
        SerializeSeq,
        SerializeTuple,
        SerializeTupleStruct,
        SerializeTupleVariant,
        SerializeMap,
        SerializeStructVariant
    );
    not_flat! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_none() -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, NotFlat> {
        Ok(self)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), NotFlat> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotFlat> {
        value.serialize(self)
    }
}

impl ser::Serializer for Value<'_> {
    type SerializeStruct = Impossible<(), NotFlat>;
    only_flat_types!(
        SerializeSeq,
        SerializeTuple,
        SerializeTupleStruct,
        SerializeTupleVariant,
        SerializeMap,
        SerializeStructVariant
    );
    puts_value! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
    }
    not_flat! {
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }

    fn serialize_bool(self, value: bool) -> Result<(), NotFlat> {
        self.put(if value { "yes" } else { "no" })
    }

    fn serialize_none(self) -> Result<(), NotFlat> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), NotFlat> {
        self.put(variant)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), NotFlat> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NotFlat> {
        value.serialize(self)
    }
}
