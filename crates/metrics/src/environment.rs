//! Who the controller is to a cloud, as its environment says: variables, and files that some of them name.
//!
//! The shell reads both, the files whenever they are used: tokens in them are renewed.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::MetricError;
use crate::text::bounded;

/// The variables that a provider looks at; nothing else of the environment is kept.
pub const VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "GCE_METADATA_HOST",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// The part of the environment that says who the controller is.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<&'static str, SecretString>,
    files: BTreeMap<&'static str, Result<SecretString, String>>,
}

/// An environment that says nothing.
pub(crate) static EMPTY: Environment = Environment {
    variables: BTreeMap::new(),
    files: BTreeMap::new(),
};

impl Environment {
    /// The [`VARIABLES`] of an environment; an empty one is none.
    pub fn of(all: &BTreeMap<String, String>) -> Self {
        let given = VARIABLES.iter().filter_map(|name| {
            let value = all.get(*name).filter(|value| !value.is_empty())?;
            Some((*name, SecretString::from(value.as_str())))
        });
        Self {
            variables: given.collect(),
            files: BTreeMap::new(),
        }
    }

    /// The path of the file that a variable names, for whoever reads it.
    pub fn path(&self, variable: &str) -> Option<&str> {
        self.value(variable)
    }

    /// With the content of the file that a variable names, or why it could not be read.
    pub fn with_file(mut self, variable: &'static str, content: Result<String, String>) -> Self {
        self.files.insert(variable, content.map(SecretString::from));
        self
    }

    /// The value of a variable.
    pub(crate) fn value(&self, variable: &str) -> Option<&str> {
        let value = self.variables.get(variable);
        value.map(ExposeSecret::expose_secret)
    }

    /// The content of the file that a variable names, without line breaks at its end; nothing where there is no such variable.
    pub(crate) fn file(&self, variable: &'static str) -> Result<Option<&str>, MetricError> {
        if self.value(variable).is_none() {
            return Ok(None);
        }
        let why = match self.files.get(variable) {
            Some(Ok(content)) => {
                let content = content.expose_secret();
                return Ok(Some(content.trim_end_matches(['\r', '\n'])));
            }
            Some(Err(why)) => why.as_str(),
            None => "it was not read",
        };
        Err(MetricError::IdentityFile {
            variable,
            why: bounded(why, 200),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let pairs = pairs.iter();
        Environment::of(
            &pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn nothing_but_who_the_controller_is_is_kept_and_nothing_of_it_is_shown() {
        let given = environment(&[
            ("AWS_SECRET_ACCESS_KEY", "SSSS"),
            ("AWS_SESSION_TOKEN", ""),
            ("HOME", "/root"),
        ]);
        assert_eq!(given.value("AWS_SECRET_ACCESS_KEY"), Some("SSSS"));
        assert_eq!(given.value("AWS_SESSION_TOKEN"), None);
        assert_eq!(given.value("HOME"), None);
        assert!(!format!("{given:?}").contains("SSSS"), "{given:?}");
    }

    #[test]
    fn a_file_is_read_where_its_variable_is_set_and_an_unread_one_is_an_error() {
        let variable = "AWS_WEB_IDENTITY_TOKEN_FILE";
        assert_eq!(environment(&[]).file(variable), Ok(None));
        let named = environment(&[(variable, "/var/run/token")]);
        let read = named.clone().with_file(variable, Ok("TTTT\n".to_owned()));
        assert_eq!(read.file(variable), Ok(Some("TTTT")));
        assert!(!format!("{read:?}").contains("TTTT"), "{read:?}");
        let why = named.file(variable).unwrap_err().to_string();
        assert!(why.contains(variable), "{why}");
    }
}
