//! Finds what a person means by a name, and the nearest match if there is no such thing.

use globset::Glob;

use crate::{
    error::{Error, Result},
    suite::{Suite, Template},
};

/// Names that differ by more than this are no misspelling of each other (0 to 1; 1 is equal).
const ALIKE: f64 = 0.6;

/// The scenarios of these names, each once, in the order in which they were asked for. A name is a
/// scenario, a family or a glob.
///
/// # Errors
/// If a name means nothing, with the nearest match.
pub fn templates<'s>(suite: &'s Suite, names: &[String]) -> Result<Vec<&'s Template>> {
    let mut found: Vec<&Template> = Vec::new();
    for name in names {
        let meant = meant(suite, name)?;
        if meant.is_empty() {
            let known = suite.templates.iter().flat_map(|one| [one.name.as_str(), one.family()]);
            return Err(unknown("scenario", name, known).hint_more("`notafter list` shows all scenarios"));
        }
        for template in meant {
            if !found.iter().any(|known| known.name == template.name) {
                found.push(template);
            }
        }
    }
    Ok(found)
}

/// The one scenario of this name.
///
/// # Errors
/// If it means nothing, or more than one.
pub fn template<'s>(suite: &'s Suite, name: &str) -> Result<&'s Template> {
    match templates(suite, &[name.to_owned()])?.as_slice() {
        [one] => Ok(one),
        many => {
            let names = many.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::usage(format!("`{name}` means {} scenarios, and one is needed", many.len()))
                .hint(format!("choose one of {names}")))
        }
    }
}

/// That there is no such thing, and what was probably meant.
pub fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Unknown {
    let mut known: Vec<&str> = known.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    Unknown {
        what: format!("no {kind} is called `{name}`"),
        nearest: nearest(name, &known),
        all: known.join(", "),
    }
}

/// That there is no such thing; becomes an error by its hint.
pub struct Unknown {
    what: String,
    nearest: Option<String>,
    all: String,
}

impl Unknown {
    /// The same, with the place in front.
    pub fn at(mut self, place: &str) -> Self {
        self.what.insert_str(0, place);
        self
    }

    /// With the nearest match, and this where to look.
    pub fn hint_more(self, more: &str) -> Error {
        Error::usage(self.what).hint(match self.nearest {
            Some(nearest) => format!("did you mean `{nearest}`? {more}"),
            None => more.to_owned(),
        })
    }

    /// With the nearest match, and all that there are.
    pub fn hint_all(self) -> Error {
        let all =
            if self.all.is_empty() { "there are none".into() } else { format!("there are: {}", self.all) };
        self.hint_more(&all)
    }
}

fn meant<'s>(suite: &'s Suite, name: &str) -> Result<Vec<&'s Template>> {
    let glob = Glob::new(name).map_err(|error| {
        Error::usage(format!("`{name}` is no pattern for scenarios"))
            .because(error.kind().to_string())
            .hint("write `*` for any text")
    })?;
    let glob = glob.compile_matcher();
    let family = name.trim_end_matches('/');
    Ok(suite
        .templates
        .iter()
        .filter(|one| one.name == name || one.family() == family || glob.is_match(&one.name))
        .collect())
}

/// The known name that is most alike; the part behind a slash counts as well as the whole.
fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let alike = |known: &str| {
        let variant = known.rsplit('/').next().unwrap_or(known);
        let [whole, part] = [known, variant].map(|one| strsim::normalized_damerau_levenshtein(name, one));
        whole.max(part)
    };
    let best = known.iter().map(|known| (alike(known), *known));
    let best = best.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike >= ALIKE)?;
    Some(best.1.to_owned())
}
