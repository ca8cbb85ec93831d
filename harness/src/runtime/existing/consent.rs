//! Whether somebody has said that this namespace may be broken.

use globset::GlobBuilder;

use super::Place;
use crate::error::{Error, Result};

/// Contexts that are never broken unless somebody says which others are not.
pub const PROTECTED: &str = "*prod*";

/// Checks that a namespace may be broken: that its context is none of the protected ones (globs, whatever
/// case), and that what was consented to is `CONTEXT/NAMESPACE`.
///
/// # Errors
/// Usage, with what to say instead.
pub fn consent(place: &Place, consented: Option<&str>, protected: &[String]) -> Result<()> {
    for glob in protected {
        let matcher = GlobBuilder::new(glob).case_insensitive(true).build().map_err(|error| {
            Error::usage(format!("`{glob}` is no glob"))
                .because(error)
                .hint("--protected takes one such as '*prod*'")
        })?;
        if matcher.compile_matcher().is_match(&place.context) {
            return Err(Error::usage(format!(
                "context `{}` is protected by `{glob}`: nothing was changed",
                place.context
            ))
            .hint("choose another context, or say with --protected which ones are never broken"));
        }
    }
    let needed = format!("{}/{}", place.context, place.namespace);
    match consented {
        Some(consented) if consented == needed => Ok(()),
        Some(other) => Err(Error::usage(format!(
            "consent is for `{other}`, and this is `{needed}`: nothing was changed"
        ))),
        None => Err(Error::usage("this would break somebody's cluster: nothing was changed")
            .hint(format!("if that is what you want, say so with --yes-break {needed}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(context: &str) -> Place {
        Place { kubeconfig: "config".into(), context: context.into(), namespace: "shop".into() }
    }

    #[test]
    fn only_the_very_context_and_namespace_is_consent() {
        let protected = [PROTECTED.to_owned()];
        let asked = |consented: Option<&str>| consent(&place("staging"), consented, &protected);
        assert!(asked(Some("staging/shop")).is_ok());
        for other in
            [None, Some(""), Some("staging"), Some("shop"), Some("staging/bank"), Some("staging/shop/")]
        {
            let refused = asked(other).expect_err("no consent").to_string();
            assert!(refused.contains("nothing was changed"), "{refused}");
        }
        assert!(asked(None).expect_err("no consent").to_string().contains("--yes-break staging/shop"));
    }

    #[test]
    fn a_protected_context_is_refused_whatever_is_consented_to() {
        let protected = [PROTECTED.to_owned()];
        for context in ["prod", "eu-Production-2", "admin@PROD"] {
            let refused = consent(&place(context), Some(&format!("{context}/shop")), &protected);
            let refused = refused.expect_err("it is protected").to_string();
            assert!(refused.contains("is protected by `*prod*`"), "{refused}");
        }
        assert!(consent(&place("prod"), Some("prod/shop"), &["live".to_owned()]).is_ok());
    }
}
