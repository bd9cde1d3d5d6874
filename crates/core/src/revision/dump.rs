//! The text that Flagger hashes: Go's values as go-spew prints them with `%#v` (dossier 01 §3.4).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::quantity;

/// One field of a Go struct.
struct Field {
    name: &'static str,
    /// The key in JSON; an embedded struct has none and shares the object of its parent.
    key: Option<&'static str>,
    go_type: &'static str,
}

/// The structs that a pod template or the spec of a Service is made of.
static LAYOUT: LazyLock<BTreeMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    include_str!("layout.tsv")
        .lines()
        .filter_map(parse_struct)
        .collect()
});

fn parse_struct(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    let (go_type, fields) = line.split_once('\t')?;
    Some((
        go_type,
        fields.split('\t').filter_map(parse_field).collect(),
    ))
}

fn parse_field(text: &'static str) -> Option<Field> {
    let (name, rest) = text.split_once(' ')?;
    let (key, go_type) = rest.split_once(' ')?;
    Some(Field {
        name,
        key: (key != "-").then_some(key),
        go_type,
    })
}

/// Writes a value of that Go type with its type in front. `None`: the value is not one of that type, or its text cannot be known.
pub(super) fn dump(go_type: &str, value: &Value, out: &mut impl Write) -> Option<()> {
    write!(out, "({go_type})").ok()?;
    body(go_type, Some(value), out)
}

/// Writes a value without its type. Absent and `null` are Go's zero value.
fn body(go_type: &str, value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let value = value.filter(|value| !value.is_null());
    if let Some(pointee) = go_type.strip_prefix('*') {
        return match value {
            None => out.write_str("<nil>").ok(),
            Some(value) => body(pointee, Some(value), out),
        };
    }
    if let Some(element) = go_type.strip_prefix("[]") {
        return slice(element, value, out);
    }
    match go_type {
        "map[string]string" => map("string", value, out),
        "v1.ResourceList" => map("resource.Quantity", value, out),
        "bool" => write!(out, "{}", value.map_or(Some(false), Value::as_bool)?).ok(),
        "int32" => write!(out, "{}", i32::try_from(integer(value)?).ok()?).ok(),
        "int64" => write!(out, "{}", integer(value)?).ok(),
        "resource.Quantity" => quantity::dump(value, out),
        "intstr.IntOrString" => int_or_string(value, out),
        "v1.Time" => no_time(value, out),
        // Bytes, printed by nobody's rule that we know.
        "v1.FieldsV1" => None,
        _ => match LAYOUT.get(go_type) {
            Some(fields) => structure(fields, value, out),
            // What is no struct and no number is a named string.
            None => out.write_str(value.map_or(Some(""), Value::as_str)?).ok(),
        },
    }
}

fn integer(value: Option<&Value>) -> Option<i64> {
    value.map_or(Some(0), Value::as_i64)
}

fn structure(fields: &[Field], value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let empty = Map::new();
    let members = match value {
        None => &empty,
        Some(value) => value.as_object()?,
    };
    out.write_char('{').ok()?;
    for (place, field) in fields.iter().enumerate() {
        let space = if place > 0 { " " } else { "" };
        write!(out, "{space}{}:({})", field.name, field.go_type).ok()?;
        let member = match field.key {
            None => value,
            Some(key) => members.get(key),
        };
        body(field.go_type, member, out)?;
    }
    out.write_char('}').ok()
}

fn slice(element: &str, value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let Some(value) = value else {
        return out.write_str("<nil>").ok();
    };
    out.write_char('[').ok()?;
    for (place, item) in value.as_array()?.iter().enumerate() {
        if place > 0 {
            out.write_char(' ').ok()?;
        }
        body(element, Some(item), out)?;
    }
    out.write_char(']').ok()
}

fn map(element: &str, value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let Some(value) = value else {
        return out.write_str("<nil>").ok();
    };
    let sorted: BTreeMap<&String, &Value> = value.as_object()?.iter().collect();
    out.write_str("map[").ok()?;
    for (place, (key, member)) in sorted.into_iter().enumerate() {
        let space = if place > 0 { " " } else { "" };
        write!(out, "{space}{key}:").ok()?;
        body(element, Some(member), out)?;
    }
    out.write_char(']').ok()
}

fn int_or_string(value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    let (kind, number, text) = match value {
        None => (0, 0, ""),
        Some(Value::String(text)) => (1, 0, text.as_str()),
        Some(value) => (0, i32::try_from(value.as_i64()?).ok()?, ""),
    };
    write!(
        out,
        "{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"
    )
    .ok()
}

/// A time that is set also prints the time zone of Flagger's process; a template has none.
fn no_time(value: Option<&Value>, out: &mut impl Write) -> Option<()> {
    if value.is_some() {
        return None;
    }
    out.write_str("{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}")
        .ok()
}
