//! The configuration file.

use std::path::Path;

use toml::{Table, Value};

use super::{Given, Mistake, NUMBERS};

impl Given {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has a key that does not exist or a value of the
    /// wrong type.
    pub fn from_file(path: &Path) -> Result<Self, Mistake> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Mistake::File { path: name(), why: error.to_string() })?;
        Self::from_toml(&text, &name())
    }

    /// Reads the text of a configuration file, which is called `path`.
    ///
    /// # Errors
    /// As [`Given::from_file`].
    pub fn from_toml(text: &str, path: &str) -> Result<Self, Mistake> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| Mistake::Toml {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        let mut given = Self::default();
        for (key, value) in &table {
            match key.as_str() {
                "id" => given.id = Some(whole(key, value)?.to_string()),
                "cluster" => given.cluster = Some(text_of(key, value)?),
                "listen" => given.listen = Some(text_of(key, value)?),
                "client" => given.client = Some(text_of(key, value)?),
                "peers" => given.peers = Some(list_of(key, value)?),
                "data" => given.data = Some(text_of(key, value)?),
                "log" => given.log = Some(text_of(key, value)?),
                "limits" | "timeouts" => given.section(key, value)?,
                unknown => return Err(Mistake::unknown(unknown, "", &KEYS)),
            }
        }
        Ok(given)
    }

    /// One section of numbers.
    fn section(&mut self, section: &str, value: &Value) -> Result<(), Mistake> {
        let Some(table) = value.as_table() else {
            return Err(bad(section, value, &format!("a section, [{section}]")));
        };
        let prefix = format!("{section}.");
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            let Some(number) = NUMBERS.iter().find(|number| number.name == name) else {
                let names = NUMBERS.iter().filter_map(|number| number.name.strip_prefix(&prefix));
                return Err(Mistake::unknown(key, &prefix, &names.collect::<Vec<_>>()));
            };
            self.numbers.push((number.name, whole(&name, value)?));
        }
        Ok(())
    }

    /// What `self` says, and where it says nothing what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            id: self.id.or(other.id),
            cluster: self.cluster.or(other.cluster),
            listen: self.listen.or(other.listen),
            client: self.client.or(other.client),
            peers: self.peers.or(other.peers),
            data: self.data.or(other.data),
            log: self.log.or(other.log),
            // The last one counts.
            numbers: [other.numbers, self.numbers].concat(),
        }
    }
}

fn text_of(key: &str, value: &Value) -> Result<String, Mistake> {
    value.as_str().map(str::to_owned).ok_or_else(|| bad(key, value, "a text, in quotes"))
}

fn list_of(key: &str, value: &Value) -> Result<Vec<String>, Mistake> {
    let list = value.as_array().and_then(|list| {
        list.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    list.ok_or_else(|| bad(key, value, "a list of texts, [\"1=host:port\", \"2=host:port\"]"))
}

fn whole(key: &str, value: &Value) -> Result<u64, Mistake> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| bad(key, value, "a whole number, not in quotes"))
}

fn bad(key: &str, value: &Value, allowed: &str) -> Mistake {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => value.to_string(),
    };
    Mistake::BadValue { key: key.to_owned(), value, allowed: allowed.to_owned() }
}

/// The keys at the top of the file.
const KEYS: [&str; 9] =
    ["id", "cluster", "listen", "client", "peers", "data", "log", "limits", "timeouts"];
