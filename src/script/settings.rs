//! Settings on top of a script: keys that get another value before it is parsed, text to text.
//!
//! What a setting does not touch stays as it is written, so that errors and links to lines still fit the file.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use toml_edit::{DocumentMut, InlineTable, Item, Key, KeyMut, Table, TableLike, Value};

use super::Variant;

/// No script is deeper.
const DEPTH_MAX: usize = 32;

/// A dotted key of a script and the value that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    key: String,
    path: Vec<String>,
    value: String,
}

/// Why a setting does not fit a script.
#[derive(Clone, Debug, thiserror::Error)]
#[error("in --set {setting}: {message}")]
pub struct SettingError {
    /// The setting.
    pub setting: Setting,
    /// What is wrong with it.
    pub message: String,
}

/// A setting in a table of settings.
pub(crate) struct Entry {
    /// The keys in that table, as TOML sees them.
    pub(crate) place: Vec<String>,
    pub(crate) setting: Result<Setting, String>,
}

impl Setting {
    /// A setting of a dotted key, whose parts may stand in quotes, to a value in TOML; what is no TOML is a string.
    pub fn new(key: &str, value: &str) -> Result<Self, String> {
        if key.trim().is_empty() {
            return Err("the key is empty: it is a dotted path into the script, such as `network.loss`".to_owned());
        }
        let no_key = |_| format!("`{key}` is not a key: it is a dotted path into the script, such as `network.loss`");
        let path: Vec<String> = Key::parse(key).map_err(no_key)?.iter().map(|part| part.get().to_owned()).collect();
        Self::at(key.trim().to_owned(), path, value.to_owned())
    }

    fn at(key: String, path: Vec<String>, value: String) -> Result<Self, String> {
        if path.len() > DEPTH_MAX {
            return Err(format!("the key has more than {DEPTH_MAX} parts"));
        }
        if path.first().is_some_and(|part| part == "variant") {
            return Err("`variant` cannot be set: the name of a variant goes after the sim's and `@`".to_owned());
        }
        Ok(Self { key, path, value })
    }

    /// The dotted key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value, as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    pub(crate) fn path(&self) -> &[String] {
        &self.path
    }

    /// The value, as data.
    pub(crate) fn to_value(&self) -> toml::Value {
        let read = format!("x = {}", self.toml()).parse::<toml::Table>();
        let value = read.ok().and_then(|mut table| table.remove("x"));
        value.unwrap_or_else(|| toml::Value::String(self.value.clone()))
    }

    fn toml(&self) -> Value {
        let mut value = self.value.trim().parse::<Value>().unwrap_or_else(|_| Value::from(self.value.as_str()));
        value.decor_mut().clear();
        value
    }
}

impl FromStr for Setting {
    type Err = String;

    /// From `KEY=VALUE`. A key may have `=` in quotes.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = || text.match_indices('=').map(|(at, _)| Self::new(&text[..at], &text[at + 1..]));
        let missing = || Err("a setting is written KEY=VALUE, such as `network.loss=0.1`".to_owned());
        all().find(Result::is_ok).or_else(|| all().next()).unwrap_or_else(missing)
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl Variant {
    /// The text of the variant's script, from the text of the script that it is in.
    pub fn apply(&self, text: &str) -> Result<String, SettingError> {
        edit(text, &self.settings, |root| {
            root.remove("variant");
            replace(root, "about", Value::from(self.about.as_str()));
        })
    }
}

/// The text of a script with settings on top, each of which wins over those before it.
pub fn apply(text: &str, settings: &[Setting]) -> Result<String, SettingError> {
    if settings.is_empty() {
        return Ok(text.to_owned());
    }
    edit(text, settings, |_| {})
}

fn edit(text: &str, settings: &[Setting], first: impl FnOnce(&mut Table)) -> Result<String, SettingError> {
    let Ok(mut document) = text.strip_prefix('\u{feff}').unwrap_or(text).parse::<DocumentMut>() else {
        // Whoever parses it says what is wrong.
        return Ok(text.to_owned());
    };
    first(document.as_table_mut());
    for setting in settings {
        let misfit = |message| SettingError { setting: setting.clone(), message };
        put(document.as_table_mut(), setting).map_err(misfit)?;
    }
    Ok(document.to_string())
}

fn put(root: &mut Table, setting: &Setting) -> Result<(), String> {
    let Some((last, way)) = setting.path.split_last() else { return Ok(()) };
    let mut table: &mut dyn TableLike = root;
    for (depth, part) in way.iter().enumerate() {
        let new = || if depth == 0 { Item::Table(Table::new()) } else { Item::Value(InlineTable::new().into()) };
        let item = table.entry(part).or_insert_with(new);
        let kind = kind(item);
        table = item.as_table_like_mut().ok_or_else(|| {
            let of = if depth == 0 { String::new() } else { format!(" in `{}`", way[..depth].join(".")) };
            format!("`{part}`{of} is {kind}, and the path of a setting leads through tables")
        })?;
    }
    replace(table, last, setting.toml());
    Ok(())
}

fn replace(table: &mut dyn TableLike, key: &str, value: Value) {
    let Some(item) = table.get_mut(key) else {
        table.insert(key, Item::Value(value));
        return;
    };
    let had_header = item.is_table() || item.is_array_of_tables();
    *item = match (&*item, value) {
        (Item::Table(old), Value::InlineTable(new)) if !old.is_dotted() => {
            let mut new = new.into_table();
            new.set_position(old.position());
            *new.decor_mut() = old.decor().clone();
            Item::Table(new)
        }
        (Item::Value(old), mut new) => {
            *new.decor_mut() = old.decor().clone();
            Item::Value(new)
        }
        (_, new) => Item::Value(new),
    };
    if had_header && item.is_value() {
        table.key_mut(key).as_mut().map(KeyMut::fmt);
    }
}

fn kind(item: &Item) -> &'static str {
    match item {
        Item::ArrayOfTables(_) | Item::Value(Value::Array(_)) => "a list",
        Item::Value(Value::String(_)) => "a string",
        Item::Value(Value::Integer(_) | Value::Float(_)) => "a number",
        Item::Value(Value::Boolean(_)) => "`true` or `false`",
        Item::Value(Value::Datetime(_)) => "a date",
        Item::None | Item::Table(_) | Item::Value(Value::InlineTable(_)) => "a table",
    }
}

/// The settings of the table `set`: of a variant, by its index, or at the top of a file.
pub(crate) fn read(text: &str, variant: Option<usize>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let Ok(document) = text.strip_prefix('\u{feff}').unwrap_or(text).parse::<DocumentMut>() else { return entries };
    let around = match variant {
        None => Some(document.as_item()),
        Some(index) => document.get("variant").and_then(|variants| variants.get(index)),
    };
    if let Some(set) = around.and_then(|around| around.get("set")).and_then(Item::as_table_like) {
        flatten(set, &[], &mut entries);
    }
    entries
}

/// A key with dots outside of quotes is a path, as one with dots inside them is: neither replaces the table on the way.
fn flatten(table: &dyn TableLike, around: &[String], entries: &mut Vec<Entry>) {
    for (key, item) in table.iter() {
        let place = [around, &[key.to_owned()]].concat();
        if let Some(inner) = item.as_table_like().filter(|inner| inner.is_dotted()) {
            flatten(inner, &place, entries);
            continue;
        }
        let Ok(mut value) = item.clone().into_value() else { continue };
        value.decor_mut().clear();
        let value = value.to_string();
        let setting = if around.is_empty() {
            Setting::new(key, value.trim())
        } else {
            let quoted: Vec<_> = place.iter().map(|part| Key::new(part).to_string()).collect();
            Setting::at(quoted.join("."), place.clone(), value.trim().to_owned())
        };
        entries.push(Entry { place, setting });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCRIPT: &str = "about = 'x'   # why\nduration = \"9s\"\n\n# Theirs.\n[echo]\nclients = 3\n\n\
        [network]\nlatency = \"1ms\" # each way\nburst = { enter = 0.1, leave = 0.2 }\n\
        [network.tcp]\ntries = 3\n[[step]]\nheal = true\n[expect]\ncounters.answers = 3\n";

    fn set(settings: &[&str]) -> Result<String, String> {
        let settings: Vec<Setting> = settings.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        apply(SCRIPT, &settings).map_err(|error| error.to_string())
    }

    /// The lines that are new, and how many were there before and are not any more.
    fn changed(settings: &[&str]) -> (Vec<String>, usize) {
        let text = set(settings).unwrap();
        let is_in = |text: &str, line: &str| text.lines().any(|other| other == line);
        let new = text.lines().filter(|line| !is_in(SCRIPT, line)).map(str::to_owned).collect();
        (new, SCRIPT.lines().filter(|line| !is_in(&text, line)).count())
    }

    #[test]
    fn a_setting_changes_its_line_and_no_other() {
        assert_eq!(set(&[]).unwrap(), SCRIPT);
        for (setting, line, gone) in [
            ("duration=3s", "duration = \"3s\"", 1),
            ("duration=\"3s\"", "duration = \"3s\"", 1),
            ("about=y", "about = \"y\"   # why", 1),
            ("network.latency= 5ms..9ms ", "latency = \" 5ms..9ms \" # each way", 1),
            ("network.latency={ median = '1ms', sigma = 1 }", "latency = { median = '1ms', sigma = 1 } # each way", 1),
            ("network.burst.leave=0.5", "burst = { enter = 0.1, leave = 0.5 }", 1),
            ("network.burst.loss=1.0", "burst = { enter = 0.1, leave = 0.2 , loss = 1.0 }", 1),
            ("network.tcp.tries= 5 ", "tries = 5", 1),
            ("network.loss=0.1", "loss = 0.1", 0),
            ("echo.prefix=true", "prefix = true", 0),
            ("echo.\"a=b\"=1", "\"a=b\" = 1", 0),
            ("tick=2ms", "tick = \"2ms\"", 0),
            ("expect.counters.answers=>= 4", "counters.answers = \">= 4\"", 1),
            ("expect.counters.\"packets.lost\"=> 0", "counters.\"packets.lost\" = \"> 0\"", 0),
            ("step=[]", "step = []", 2),
            ("network.tcp={ tries = 1 }", "tries = 1", 1),
            ("echo={ size = 3 }", "size = 3", 1),
            ("expect.counters={ a = 1 }", "counters = { a = 1 }", 1),
            ("network=5", "network = 5", 5),
            ("echo.clients=3\nloss = 1", "clients = \"\"\"", 1),
        ] {
            let (new, old) = changed(&[setting]);
            assert_eq!(
                (new.first().map(String::as_str), old),
                (Some(line), gone),
                "{setting}:\n{}",
                set(&[setting]).unwrap()
            );
        }
        let (new, _) = changed(&["disk.sync=1ms", "chaos.every.min=1ms", "chaos.until=3s", "disk.sync=2ms"]);
        assert_eq!(new, ["[disk]", "sync = \"2ms\"", "[chaos]", "every = { min = \"1ms\" }", "until = \"3s\""]);
    }

    #[test]
    fn a_setting_that_does_not_fit_says_why() {
        for (setting, reason) in [
            ("", "a setting is written KEY=VALUE, such as `network.loss=0.1`"),
            ("duration", "a setting is written KEY=VALUE, such as `network.loss=0.1`"),
            ("=3", "the key is empty: it is a dotted path into the script, such as `network.loss`"),
            ("a b=3", "`a b` is not a key: it is a dotted path into the script, such as `network.loss`"),
            (".a=3=4", "`.a` is not a key: it is a dotted path into the script, such as `network.loss`"),
            ("variant=3", "`variant` cannot be set: the name of a variant goes after the sim's and `@`"),
            (
                "duration.x=3",
                "in --set duration.x=3: `duration` is a string, and the path of a setting leads through tables",
            ),
            ("step.at=3", "in --set step.at=3: `step` is a list, and the path of a setting leads through tables"),
            (
                "echo.clients.most=3",
                "in --set echo.clients.most=3: `clients` in `echo` is a number, and the path of a setting leads through tables",
            ),
        ] {
            assert_eq!(set(&[setting]).unwrap_err(), reason, "{setting}");
        }
        assert!(set(&[&("a.".repeat(32) + "a=1")]).unwrap_err().contains("more than 32 parts"));
        assert!(set(&[&("a.".repeat(40_000) + "a=1")]).is_err());
    }

    #[test]
    fn a_table_of_settings_may_have_its_dots_inside_or_outside_of_quotes() {
        let read = |text: &str| -> Vec<String> {
            let entries = read(text, Some(0)).into_iter();
            entries.map(|entry| entry.setting.map_or_else(|error| error, |setting| setting.to_string())).collect()
        };
        let expected = ["a.b=1", "a.c=\"x\"", "d={ e = [1, 2] }"];
        for set in [
            "set = { \"a.b\" = 1, \"a.c\" = \"x\", d = { e = [1, 2] } }",
            "set = { a.b = 1, a.c = \"x\", d = { e = [1, 2] } }",
            "[variant.set]\na.b = 1 # one\n'a.c' = \"x\"\nd = { e = [1, 2] }",
        ] {
            let (text, text_of_list) = (format!("[[variant]]\n{set}"), format!("variant = [{{ {set} }}]"));
            assert_eq!(read(&text), expected, "{text}");
            assert!(set.starts_with('[') || read(&text_of_list) == expected, "{text_of_list}");
        }
        assert_eq!(read("[[variant]]\nset.step = []\nset.'a..b' = 1").len(), 2);
        assert_eq!(read("[[variant]]\nset = 3\n"), [""; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_set_is_what_is_read(key in "(echo|network|new)(\\.[a-z]{1,3}){1,3}", value in "\\PC{0,12}") {
            let setting = Setting::new(&key, &value).unwrap();
            if let Ok(text) = apply(SCRIPT, std::slice::from_ref(&setting)) {
                let document: DocumentMut = text.parse().unwrap();
                let found = setting.path().iter().try_fold(document.as_item(), |item, part| item.get(part)).unwrap();
                let found: toml::Value = format!("x = {}", found.as_value().unwrap()).parse::<toml::Table>().unwrap()["x"].clone();
                let meant = format!("x = {}", setting.toml()).parse::<toml::Table>().unwrap()["x"].clone();
                // NaN is not itself, but looks the same.
                prop_assert_eq!(format!("{:?}", found), format!("{:?}", meant));
            }
        }

        #[test]
        fn no_setting_makes_it_panic(setting in "[a-z.\"']{0,6}=\\PC{0,20}|\\PC{0,20}") {
            let _ = set(&[&setting]);
        }
    }
}
