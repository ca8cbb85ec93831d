//! Whose a certificate is: a small map from globs to people or teams.
//!
//! ```toml
//! "*.payments.example" = "team payments"
//! "/etc/kubernetes/*" = "anna@example.org"
//! "127.0.0.1:5432" = "team storage"
//! ```

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use globset::{Glob, GlobMatcher};

use crate::error::{Context, Error, Result};

/// Who owns what.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    /// The most specific first.
    globs: Vec<(GlobMatcher, Arc<str>)>,
}

impl Owners {
    /// Reads the map from a file.
    ///
    /// # Errors
    /// If it cannot be read, is no TOML of texts, or holds a glob that is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read {}", path.display())).because(error))?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads the map from a text; `origin` names it in errors.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let map: BTreeMap<String, Arc<str>> = toml::from_str(text).map_err(|error| {
            Error::usage(format!("{origin}: {}", error.to_string().trim_end()))
                .hint("each line is \"GLOB\" = \"person or team\"")
        })?;
        let mut named: Vec<_> = map.into_iter().collect();
        // Whoever names a place more exactly knows better.
        named.sort_by_key(|(glob, _)| Reverse(glob.len()));
        let globs = named.into_iter().map(|(glob, owner)| {
            let parsed = Glob::new(&glob).context(|| format!("{origin}: `{glob}` is no glob"));
            Ok((parsed.map_err(|error| Error::usage(error.to_string()))?.compile_matcher(), owner))
        });
        Ok(Self { globs: globs.collect::<Result<_>>()? })
    }

    /// Whose something is that goes by these names and lies at these places; the longest glob that
    /// matches one of them says so.
    pub fn of<'a>(&self, names: impl IntoIterator<Item = &'a str, IntoIter: Clone>) -> Option<Arc<str>> {
        let names = names.into_iter();
        let matches = |glob: &GlobMatcher| names.clone().any(|name| glob.is_match(name));
        self.globs.iter().find(|(glob, _)| matches(glob)).map(|(_, owner)| owner.clone())
    }

    /// Everybody who owns something beside what goes by this name.
    pub fn beside(&self, name: &str) -> BTreeSet<&str> {
        let others = self.globs.iter().filter(|(glob, _)| !glob.is_match(name));
        others.map(|(_, owner)| &**owner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_glob_that_matches_names_the_owner() {
        let text = "\"*\" = \"everybody\"\n\"*.example\" = \"web\"\n\"/etc/kubernetes/*\" = \"anna\"";
        let owners = Owners::from_toml(text, "owners.toml").expect("owners");
        assert_eq!(owners.of(["archive"]).as_deref(), Some("everybody"));
        assert_eq!(owners.of(["archive", "a.example"]).as_deref(), Some("web"));
        assert_eq!(owners.of(["a.example", "/etc/kubernetes/pki/ca.crt"]).as_deref(), Some("anna"));
        assert_eq!(Owners::default().of(["archive"]), None);
    }

    #[test]
    fn a_map_that_does_not_read_points_at_the_line_and_the_glob() {
        let said = ["\"a\" = 7", "a", "\"[a\" = \"web\""]
            .map(|text| Owners::from_toml(text, "owners.toml").expect_err("no owners").to_string());
        insta::assert_snapshot!(said.join("\n\n"));
    }
}
