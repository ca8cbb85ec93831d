//! Authorities, identities, credentials: everything that is minted, and the folders it is put into.
//!
//! Keys are P-256 and signed with ECDSA and SHA-256, always by `ring`. A chain is
//! `root -> issuing CA -> leaf`. Nothing here refuses a validity, because broken certificates are
//! the purpose: a leaf may outlive its issuer, have ended, or end before it begins. And nothing
//! here is judged here: the tests verify it all with webpki and with the openssl command line.

mod authorities;
mod authority;
mod credential;
mod error;
mod identity;
mod issuer;
mod mount;
mod parsed;
mod revocation;
mod text;
mod validity;

pub use authorities::Pki;
pub use authority::{Authority, Overlap};
pub use credential::{Credential, write_bundle, write_bundle_alone};
pub use error::PkiError;
pub use identity::{Identity, Usage};
pub use issuer::Issuer;
pub(crate) use mount::read as read_files;
pub use mount::{Files, Manner, Mark, write_files};
pub use parsed::leaf_of;
pub(crate) use parsed::{common_name_of, leaf};
pub(crate) use text::{hex, pem};
pub use validity::Validity;
