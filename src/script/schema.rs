//! The JSON Schema of scripts, with which editors complete and check them.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::{ACTIONS, RawScript, UNDOABLE};

/// The schemas of what a system reads itself.
#[derive(Clone, Debug)]
pub struct SystemSchema<'a> {
    /// The system's name.
    pub name: &'a str,
    /// Of its table in a script.
    pub section: schemars::Schema,
    /// Of its table in a step, if it has steps of its own.
    pub step: Option<schemars::Schema>,
}

/// The schema of the format, with a property for the table of each system, by its name; so has a step.
///
/// It is of draft 7, which the TOML plugins of the common editors know. `expect` takes any further key, since those
/// belong to the system.
pub fn script_schema(systems: &[SystemSchema<'_>]) -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RawScript>().to_value();
    let mut definitions = schema["definitions"].take();
    definitions["Expect"]["additionalProperties"] = json!(true);
    constrain_steps(&mut definitions["Step"], systems);
    for SystemSchema { name, section, step } in systems {
        schema["properties"][name] = take_in(name, section.clone().to_value(), &mut definitions);
        if let Some(step) = step {
            let step = take_in(&format!("{name}.step"), step.clone().to_value(), &mut definitions);
            definitions["Step"]["properties"][name] = step;
        }
    }
    schema["properties"]["system"]["examples"] = systems.iter().map(|system| system.name).collect();
    schema["definitions"] = definitions;
    tidy(&mut schema);
    schema
}

/// Says what the types cannot: one action, at most one trigger, and `for` only where it means something.
fn constrain_steps(step: &mut Value, systems: &[SystemSchema<'_>]) {
    let required = |names: &[&str]| names.iter().map(|name| json!({ "required": [name] })).collect::<Value>();
    let of_systems = systems.iter().filter(|system| system.step.is_some()).map(|system| system.name);
    step["oneOf"] = required(&ACTIONS.into_iter().chain(of_systems).collect::<Vec<_>>());
    step["dependencies"] = json!({
        "for": { "anyOf": required(&UNDOABLE) },
        "at": { "not": { "anyOf": required(&["after", "when", "record"]) } },
        "after": { "not": { "anyOf": required(&["when", "record"]) } },
        "when": { "not": { "required": ["record"] } },
        "record": { "anyOf": required(&["kill", "power"]) },
    });
}

/// Moves the definitions of a system's schema among ours, under names of its own, and returns the rest.
fn take_in(owner: &str, mut schema: Value, definitions: &mut Value) -> Value {
    let Some(object) = schema.as_object_mut() else { return schema };
    object.remove("$schema");
    let own = ["$defs", "definitions"].iter().filter_map(|key| object.remove(*key)).collect::<Vec<_>>();
    rename_references(&mut schema, owner);
    for (name, mut definition) in own.into_iter().filter_map(into_object).flatten() {
        rename_references(&mut definition, owner);
        definitions[format!("{owner}.{name}")] = definition;
    }
    schema
}

fn into_object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn rename_references(value: &mut Value, owner: &str) {
    if let Some(Value::String(reference)) = value.get_mut("$ref")
        && let Some(name) = ["#/$defs/", "#/definitions/"].iter().find_map(|start| reference.strip_prefix(start))
    {
        *reference = format!("#/definitions/{owner}.{name}");
    }
    for_each_child(value, &mut |child| rename_references(child, owner));
}

/// Takes out null, which TOML does not have: a key that may be left out is just that. Joins the lines of descriptions.
fn tidy(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|kind| kind != "null");
            if let [kind] = &types[..] {
                object["type"] = kind.clone();
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| *choice != json!({ "type": "null" }));
            // Draft 7 ignores what stands beside a reference, so it goes into a list of one.
            if choices.len() == 1
                && let Some(only) = object.remove("anyOf")
            {
                object.insert("allOf".to_owned(), only);
            }
        }
        if let Some(Value::Array(values)) = object.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
        if object.get("default") == Some(&Value::Null) {
            object.remove("default");
        }
        if let Some(Value::String(text)) = object.get_mut("description") {
            let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
            *text = paragraphs.collect::<Vec<_>>().join("\n\n");
        }
    }
    for_each_child(value, &mut tidy);
}

fn for_each_child(value: &mut Value, act: &mut dyn FnMut(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(act),
        Value::Object(object) => object.values_mut().for_each(act),
        _ => {}
    }
}
