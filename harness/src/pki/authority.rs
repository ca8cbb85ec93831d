//! An authority: a root, the issuing CA under it, and how both are replaced.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose,
};

use super::{
    Credential, Identity, Issuer, PkiError, Validity,
    issuer::{common_name, serial},
    revocation, text,
};
use crate::history::Leaf;

/// A certificate authority: a root that is trusted, and under it an issuing CA that signs leaves.
///
/// `Debug` shows its name and which issuing CA it has, and no key.
pub struct Authority {
    name: String,
    present: Generation,
    issuer: Issuer,
    /// Roots of before that are still trusted, PEM, oldest first.
    retired: Vec<String>,
}

/// Who is trusted after a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Both roots, until [`Authority::end_overlap`]. Whoever still has the old bundle refuses new
    /// leaves.
    TrustBoth,
    /// Both roots; and the chains of new leaves carry the new root signed by the old one, so that
    /// whoever still has the old bundle accepts them as well.
    CrossSigned,
    /// The new root alone: every leaf of before is refused from now on by whoever has the new bundle.
    TrustNewOnly,
}

const YEAR: Duration = Duration::from_hours(365 * 24);
/// Under a root: an issuing CA, and between them, in a rotation, the next root.
const ROOT_PATH_LENGTH: u8 = 2;

impl Authority {
    /// A root for ten years, an issuing CA for one.
    ///
    /// # Errors
    /// If the operating system has no random bytes.
    pub fn new(name: &str) -> Result<Self, PkiError> {
        Self::with_validity(name, Validity::lasting(10 * YEAR), Validity::lasting(YEAR))
    }

    /// A root and an issuing CA with any validity.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_validity(name: &str, root: Validity, issuing: Validity) -> Result<Self, PkiError> {
        let present = Generation::new(name, root, issuing)?;
        let issuer = present.issuer(None, &[])?;
        Ok(Self { name: name.into(), present, issuer, retired: Vec::new() })
    }

    /// A root for ten years that signs leaves itself, with no issuing CA between, as those of kubeadm do.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn root(name: &str) -> Result<Self, PkiError> {
        let present = Generation::root(name, Validity::lasting(10 * YEAR))?;
        let issuer = present.issuer(None, &[])?;
        Ok(Self { name: name.into(), present, issuer, retired: Vec::new() })
    }

    /// The name that it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its present issuing CA.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// A new key, and a certificate for it by the issuing CA. The bundle of the credential is the
    /// present one.
    ///
    /// # Errors
    /// If a name is not ASCII, or the operating system has no random bytes.
    pub fn issue(&self, identity: &Identity, validity: Validity) -> Result<Credential, PkiError> {
        self.issuer.issue(identity, validity)
    }

    /// A new certificate, with a new serial number, for the key of a credential.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn reissue(
        &self,
        credential: &Credential,
        identity: &Identity,
        validity: Validity,
    ) -> Result<Credential, PkiError> {
        self.issuer.reissue(credential, identity, validity)
    }

    /// Another issuing CA under the present root, with a validity of its own: leaves under it are as
    /// good as it is.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn issuer_lasting(&self, validity: Validity) -> Result<Issuer, PkiError> {
        let tag = tag()?;
        let key = Arc::new(KeyPair::generate().map_err(PkiError::minting("an issuing CA"))?);
        let issuing = ca_params(&format!("{} issuing {tag}", self.name), 0, validity)?
            .signed_by(&*key, &self.present.root)
            .map_err(PkiError::minting("an issuing CA"))?;
        Issuer::new(Credential::issuing(&issuing, None, key, self.bundle())?)
    }

    /// The present issuing CA, with the present root in its chains as a root of before has signed it,
    /// with this validity. That root of before is in its bundle, too: there are two paths to trust.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn issuer_cross_signed(&self, validity: Validity) -> Result<Issuer, PkiError> {
        let old = Generation::new(&self.name, Validity::lasting(10 * YEAR), Validity::lasting(YEAR))?;
        let cross = self.present.cross_signed_by(&old, validity)?;
        self.present.issuer(Some(&cross), &[old.root.pem()])
    }

    /// The present issuing CA, in whose credentials these roots are trusted, PEM, and no other.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn issuer_trusting(&self, bundle: String) -> Result<Issuer, PkiError> {
        let Generation { issuing, issuing_key, .. } = &self.present;
        Issuer::new(Credential::issuing(issuing, None, Arc::clone(issuing_key), bundle)?)
    }

    /// The present root with another validity, PEM. Its name and key are the same, so whoever trusts it
    /// verifies the same chains.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn root_lasting(&self, validity: Validity) -> Result<String, PkiError> {
        let root = ca_params(&self.present.subject, ROOT_PATH_LENGTH, validity)?;
        let root = root.self_signed(self.present.root.key()).map_err(PkiError::minting("a root"))?;
        Ok(root.pem())
    }

    /// The roots to trust, PEM: the present one first, and during an overlap those of before.
    pub fn bundle(&self) -> String {
        self.issuer.credential().bundle_pem().into()
    }

    /// Replaces the root and the issuing CA, keys and all; leaves of before keep their chains.
    ///
    /// # Errors
    /// As [`Self::new`]; the authority is then as before.
    pub fn rotate(&mut self, overlap: Overlap) -> Result<(), PkiError> {
        *self = self.successor(overlap)?;
        Ok(())
    }

    /// The authority that takes the place of this one, with another root and issuing CA; one that is both stays so.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn successor(&self, overlap: Overlap) -> Result<Self, PkiError> {
        let present = if self.present.is_root() {
            // Unlike the first one it has a tag, for the reason that others have one.
            Generation::root(&format!("{} {}", self.name, tag()?), Validity::lasting(10 * YEAR))?
        } else {
            Generation::new(&self.name, Validity::lasting(10 * YEAR), Validity::lasting(YEAR))?
        };
        let cross = match overlap {
            Overlap::CrossSigned => {
                Some(present.cross_signed_by(&self.present, Validity::lasting(10 * YEAR))?)
            }
            Overlap::TrustBoth | Overlap::TrustNewOnly => None,
        };
        let mut retired = Vec::new();
        if overlap != Overlap::TrustNewOnly {
            retired.clone_from(&self.retired);
            retired.push(self.present.root.pem());
        }
        let issuer = present.issuer(cross.as_ref(), &retired)?;
        Ok(Self { name: self.name.clone(), present, issuer, retired })
    }

    /// Trusts the present root alone: the roots of before leave the bundle, and a cross-signed root
    /// the chains of new leaves. Does nothing when there is no overlap.
    ///
    /// # Errors
    /// As [`Self::new`]; the authority is then as before.
    pub fn end_overlap(&mut self) -> Result<(), PkiError> {
        self.issuer = self.present.issuer(None, &[])?;
        self.retired.clear();
        Ok(())
    }

    /// Lists of revoked certificates, PEM: the issuing CA's, which has these leaves, and the root's, which
    /// is empty. Who checks one CA of a chain often wants a list of each; who reads one list reads the first.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn revocation_lists(&self, revoked: &[&Leaf], validity: Validity) -> Result<String, PkiError> {
        Ok(self.issuer.revoke(revoked, validity)? + &revocation::list(&self.present.root, &[], validity)?)
    }

    /// Puts the issuing CA into a folder, written like a mount: its certificate as `tls.crt`, its
    /// key as `tls.key`, the bundle as `ca.crt`. A service reads it with [`Issuer::read`].
    ///
    /// # Errors
    /// As [`Credential::write`].
    pub fn write_issuer(&self, folder: &Path) -> Result<(), PkiError> {
        self.issuer.credential().write(folder)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// A root and the issuing CA under it, which may be the root itself.
struct Generation {
    /// Subject of the root.
    subject: String,
    root: CertifiedIssuer<'static, KeyPair>,
    issuing: Certificate,
    issuing_key: Arc<KeyPair>,
}

impl Generation {
    fn new(name: &str, root: Validity, issuing: Validity) -> Result<Self, PkiError> {
        let minting = |what: &'static str| PkiError::minting(format!("the {what} of `{name}`"));
        // No two have the same subjects, not even two authorities of one name: whoever trusts one
        // of them says "unknown issuer" of the other, and not "bad signature".
        let tag = tag()?;
        let subject = format!("{name} root {tag}");
        let root_key = KeyPair::generate().map_err(minting("root"))?;
        let root = ca_params(&subject, ROOT_PATH_LENGTH, root)?;
        let root = CertifiedIssuer::self_signed(root, root_key).map_err(minting("root"))?;
        let issuing_key = KeyPair::generate().map_err(minting("issuing CA"))?;
        let issuing = ca_params(&format!("{name} issuing {tag}"), 0, issuing)?;
        let issuing = issuing.signed_by(&issuing_key, &root).map_err(minting("issuing CA"))?;
        Ok(Self { subject, root, issuing, issuing_key: Arc::new(issuing_key) })
    }

    /// The root is its own issuing CA.
    fn root(name: &str, validity: Validity) -> Result<Self, PkiError> {
        let minting = || PkiError::minting(format!("the root `{name}`"));
        let key = KeyPair::generate().map_err(minting())?;
        let same = KeyPair::try_from(key.serialized_der()).map_err(minting())?;
        let root = CertifiedIssuer::self_signed(ca_params(name, 0, validity)?, key).map_err(minting())?;
        let issuing = AsRef::<Certificate>::as_ref(&root).clone();
        Ok(Self { subject: name.into(), root, issuing, issuing_key: Arc::new(same) })
    }

    fn is_root(&self) -> bool {
        AsRef::<Certificate>::as_ref(&self.root).der() == self.issuing.der()
    }

    /// This root, signed by the one that everybody trusts so far.
    fn cross_signed_by(&self, old: &Self, validity: Validity) -> Result<Certificate, PkiError> {
        let params = ca_params(&self.subject, ROOT_PATH_LENGTH - 1, validity)?;
        let signed = params.signed_by(self.root.key(), &old.root);
        signed.map_err(PkiError::minting(format_args!("the cross-signed `{}`", self.subject)))
    }

    /// What signs leaves: its chain is all that stands between a leaf and a root.
    fn issuer(&self, cross: Option<&Certificate>, retired: &[String]) -> Result<Issuer, PkiError> {
        let bundle = self.root.pem() + &retired.concat();
        Issuer::new(Credential::issuing(&self.issuing, cross, Arc::clone(&self.issuing_key), bundle)?)
    }
}

/// Tells one CA from another of the same name.
fn tag() -> Result<String, PkiError> {
    Ok(text::hex(serial()?.as_ref())[..8].to_owned())
}

/// A certificate that may sign certificates, with at most so many CAs under it.
pub(super) fn ca_params(
    subject: &str,
    path_length: u8,
    validity: Validity,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity.datetimes();
    params.serial_number = Some(serial()?);
    params.distinguished_name = common_name(subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
