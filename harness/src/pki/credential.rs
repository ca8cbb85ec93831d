//! What one service has installed: certificate chain, private key, bundle.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
};

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject},
};

use super::{
    Identity, PkiError, Validity, issuer,
    mount::{self, Files},
    parsed, text,
};
use crate::{
    history::Leaf,
    service::{BUNDLE_FILE, CHAIN_FILE, CRL_FILE, KEY_FILE},
};

/// What one service has installed: certificate chain, private key, bundle.
///
/// `Debug` shows which leaf it is, and nothing secret.
#[derive(Clone)]
pub struct Credential {
    leaf: Leaf,
    /// Never empty.
    chain: Vec<CertificateDer<'static>>,
    key: Arc<KeyPair>,
    bundle_pem: Arc<str>,
    /// Whom of those under the bundle its holder no longer trusts.
    crl_pem: Option<Arc<str>>,
    // Written when first asked for: thousands are issued for each one that is installed.
    chain_pem: OnceLock<String>,
    key_pem: OnceLock<String>,
}

impl Credential {
    /// Which certificate it presents.
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Leaf first, then what leads to a root, without the root. PEM.
    pub fn chain_pem(&self) -> &str {
        self.chain_pem.get_or_init(|| self.chain.iter().map(|der| text::pem("CERTIFICATE", der)).collect())
    }

    /// The private key, PKCS#8 in PEM. Keep it out of logs, reports and errors.
    pub fn key_pem(&self) -> &str {
        self.key_pem.get_or_init(|| self.key.serialize_pem())
    }

    /// The roots that its holder trusts. PEM.
    pub fn bundle_pem(&self) -> &str {
        &self.bundle_pem
    }

    /// Leaf first, then what leads to a root, without the root.
    pub fn chain_der(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The private key, PKCS#8.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// The roots that its holder trusts.
    ///
    /// # Errors
    /// If the bundle, given by [`Self::with_bundle`], is not PEM. One without a certificate is no
    /// error: its holder trusts nobody.
    pub fn bundle_der(&self) -> Result<Vec<CertificateDer<'static>>, PkiError> {
        certificates(self.bundle_pem.as_bytes()).map_err(|found| PkiError::NotACertificate { found })
    }

    /// A certificate that nobody but itself vouches for, with a new key. It trusts itself.
    ///
    /// # Errors
    /// If a name is not ASCII, or the operating system has no random bytes.
    pub fn self_signed(identity: &Identity, validity: Validity) -> Result<Self, PkiError> {
        let minting = || PkiError::minting(format!("a self-signed `{}`", identity.common_name));
        let key = KeyPair::generate().map_err(minting())?;
        let params = issuer::leaf_params(identity, validity, issuer::serial()?)?;
        let certificate = params.self_signed(&key).map_err(minting())?;
        Self::issuing(&certificate, None, Arc::new(key), certificate.pem())
    }

    /// The same chain and key, for a holder that trusts somebody else.
    #[must_use]
    pub fn with_bundle(self, pem: String) -> Self {
        Self { bundle_pem: pem.into(), ..self }
    }

    /// The same, for a holder that has this revocation list.
    #[must_use]
    pub fn with_revocations(self, pem: &str) -> Self {
        Self { crl_pem: Some(pem.into()), ..self }
    }

    /// The revocation lists that its holder has.
    ///
    /// # Errors
    /// If what is there is no PEM.
    pub fn revocations_der(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, PkiError> {
        let pem = self.crl_pem.as_deref().unwrap_or_default();
        CertificateRevocationListDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| PkiError::NotACertificate { found: damage(&error) })
    }

    /// The leaf alone, without what leads to a root.
    #[must_use]
    pub fn without_intermediates(self) -> Self {
        let chain = self.chain.into_iter().take(1).collect();
        Self { chain, chain_pem: OnceLock::new(), ..self }
    }

    /// The files that it is written as.
    pub fn files(&self) -> Files {
        Files {
            chain: Some(self.chain_pem().as_bytes().into()),
            key: Some(self.key_pem().as_bytes().into()),
            bundle: Some(self.bundle_pem.as_bytes().into()),
            crl: self.crl_pem.as_ref().map(|pem| pem.as_bytes().into()),
            ..Files::default()
        }
    }

    /// Puts the credential into a mount, where it replaces whatever was there in one step: a reader
    /// that resolves `..data` once sees all of the old credential or all of the new one.
    ///
    /// The folder then looks like a Secret volume of a kubelet: `tls.crt -> ..data/tls.crt` and so
    /// on, `..data -> ..<generation>`. It is made, with mode 0700, if it does not exist; the key has
    /// mode 0600. Nothing is synced to the disk: a mount does not outlive its run.
    ///
    /// # Errors
    /// If the folder cannot be written, or another process has been writing to it for seconds. What
    /// was installed before stays.
    pub fn write(&self, folder: &Path) -> Result<(), PkiError> {
        mount::Held::hold(folder)?.replace(&self.files())
    }

    /// Reads a mount, or a plain folder with the same three files; never half of one credential and
    /// half of another.
    ///
    /// # Errors
    /// If a file is missing or holds something else; if the key is of another certificate; or if the
    /// mount is replaced again and again in the meantime. Errors name the file.
    pub fn read(folder: &Path) -> Result<Self, PkiError> {
        Self::of(&Reader { folder }, mount::read(folder)?)
    }

    /// Puts together a credential that somebody else issued, from the contents of its three files.
    ///
    /// # Errors
    /// If one of them holds something else, or the key is of another certificate. Errors name the
    /// file that it would be.
    pub fn from_pem(chain: &str, key: &str, bundle: &str) -> Result<Self, PkiError> {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        let files = Files { chain: bytes(chain), key: bytes(key), bundle: bytes(bundle), ..Files::default() };
        Self::of(&Reader { folder: Path::new("") }, files)
    }

    fn of(reader: &Reader<'_>, files: Files) -> Result<Self, PkiError> {
        let (_, chain) = reader.certificates(CHAIN_FILE, CHAIN, files.chain)?;
        let (bundle_pem, _) = reader.certificates(BUNDLE_FILE, BUNDLE, files.bundle)?;
        let key = reader.key(files.key)?;
        let expected = "a revocation list in PEM";
        let crl = files.crl.map(|crl| reader.text(CRL_FILE, expected, Some(crl))).transpose()?;
        let wrong_chain = |error: PkiError| reader.content(CHAIN_FILE, CHAIN, error.to_string());
        let parsed = parsed::parse(&chain[0]).map_err(wrong_chain)?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            let found = format!("the key of another one than serial {}", parsed::leaf(&parsed).serial);
            return Err(reader.content(KEY_FILE, "the key of the certificate beside it", found));
        }
        let leaf = parsed::leaf(&parsed);
        let crl_pem = crl.map(Into::into);
        Ok(Self { crl_pem, ..Self::assembled(leaf, chain, Arc::new(key), bundle_pem.into()) })
    }

    /// What was just minted: the chain goes on with the issuer's own.
    pub(super) fn minted(
        leaf: Leaf,
        leaf_der: CertificateDer<'static>,
        issuer: &Self,
        key: Arc<KeyPair>,
    ) -> Self {
        let chain = [leaf_der].into_iter().chain(issuer.chain.iter().cloned()).collect();
        Self::assembled(leaf, chain, key, Arc::clone(&issuer.bundle_pem))
    }

    /// An issuing CA: its certificate, and a cross-signed root if there is one.
    pub(super) fn issuing(
        issuing: &rcgen::Certificate,
        cross: Option<&rcgen::Certificate>,
        key: Arc<KeyPair>,
        bundle_pem: String,
    ) -> Result<Self, PkiError> {
        let leaf = parsed::leaf_of(issuing.der())?;
        let chain = [issuing].into_iter().chain(cross).map(|certificate| certificate.der().clone()).collect();
        Ok(Self::assembled(leaf, chain, key, bundle_pem.into()))
    }

    fn assembled(
        leaf: Leaf,
        chain: Vec<CertificateDer<'static>>,
        key: Arc<KeyPair>,
        bundle_pem: Arc<str>,
    ) -> Self {
        let (chain_pem, key_pem) = (OnceLock::new(), OnceLock::new());
        Self { leaf, chain, key, bundle_pem, crl_pem: None, chain_pem, key_pem }
    }

    pub(super) fn leaf_der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    pub(super) fn key(&self) -> &Arc<KeyPair> {
        &self.key
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("leaf", &self.leaf).finish_non_exhaustive()
    }
}

/// Puts a bundle into a mount: one that has no certificate yet, because its service fetches its own.
/// A certificate and key that are there already stay as they are.
///
/// # Errors
/// As [`Credential::write`] and, but for the contents, [`Credential::read`].
pub fn write_bundle(folder: &Path, bundle_pem: &str) -> Result<(), PkiError> {
    let held = mount::Held::hold(folder)?;
    let files = mount::read(folder)?;
    held.replace(&Files { bundle: Some(bundle_pem.as_bytes().into()), ..files })
}

/// Writes the bundle of a folder and takes away its credential, if it has one.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_bundle_alone(folder: &Path, bundle_pem: &str) -> Result<(), PkiError> {
    let held = mount::Held::hold(folder)?;
    held.replace(&Files { bundle: Some(bundle_pem.as_bytes().into()), ..Files::default() })
}

const CHAIN: &str = "a leaf and its intermediates in PEM";
const KEY: &str = "a private key, PKCS#8 in PEM";
const BUNDLE: &str = "at least one trusted root in PEM";

/// Every certificate of a PEM text, or what is there instead. Other sections are passed over.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| damage(&error))
}

/// What is wrong with a PEM text, without any of it: it may be a key.
fn damage(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section without its END line",
        pem::Error::IllegalSectionStart { .. } => "a damaged BEGIN line",
        pem::Error::Base64Decode(_) => "damaged base64",
        pem::Error::NoItemsFound => "no PEM section of that kind",
        _ => "no PEM",
    }
    .into()
}

/// Makes sense of the files of one mount; its errors name them as people see them.
struct Reader<'a> {
    folder: &'a Path,
}

impl Reader<'_> {
    fn certificates(
        &self,
        name: &str,
        expected: &'static str,
        file: Option<Vec<u8>>,
    ) -> Result<(String, Vec<CertificateDer<'static>>), PkiError> {
        let text = self.text(name, expected, file)?;
        let list = certificates(text.as_bytes()).map_err(|found| self.content(name, expected, found))?;
        if list.is_empty() {
            return Err(self.content(name, expected, format!("{} bytes without a certificate", text.len())));
        }
        Ok((text, list))
    }

    fn key(&self, file: Option<Vec<u8>>) -> Result<KeyPair, PkiError> {
        let text = self.text(KEY_FILE, KEY, file)?;
        let wrong = |found: String| self.content(KEY_FILE, KEY, found);
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| wrong(damage(&error)))?;
        if !matches!(der, PrivateKeyDer::Pkcs8(_)) {
            return Err(wrong("one in an older form\nhint: openssl pkcs8 -topk8 -nocrypt".into()));
        }
        KeyPair::try_from(&der).map_err(|_| wrong("a damaged key, or one of a rare kind".into()))
    }

    fn text(&self, name: &str, expected: &'static str, file: Option<Vec<u8>>) -> Result<String, PkiError> {
        let bytes = file.ok_or_else(|| self.content(name, expected, "no such file".into()))?;
        String::from_utf8(bytes).map_err(|_| self.content(name, expected, "bytes that are no text".into()))
    }

    fn content(&self, name: &str, expected: &'static str, found: String) -> PkiError {
        PkiError::Content { path: self.folder.join(name), expected, found }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;
    use crate::pki::{Authority, Identity, Validity};

    fn issue() -> Credential {
        let authority = Authority::new("mesh").expect("an authority");
        let validity = Validity::lasting(Duration::from_mins(1));
        authority.issue(&Identity::service("archive"), validity).expect("a credential")
    }

    /// A plain folder, as other tools write it.
    fn plain(credential: &Credential) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        put(CHAIN_FILE, credential.chain_pem());
        put(KEY_FILE, credential.key_pem());
        put(BUNDLE_FILE, credential.bundle_pem());
        folder
    }

    #[test]
    fn a_credential_is_put_together_from_its_texts() {
        let credential = issue();
        let (chain, key, bundle) = (credential.chain_pem(), credential.key_pem(), credential.bundle_pem());
        assert_same(&Credential::from_pem(chain, key, bundle).expect("a credential"), &credential);
        let error = Credential::from_pem(chain, issue().key_pem(), bundle).expect_err("another key");
        assert!(error.to_string().starts_with("tls.key: expected the key of the certificate"), "{error}");
    }

    fn assert_same(read: &Credential, written: &Credential) {
        assert_eq!(read.leaf(), written.leaf());
        assert_eq!(read.chain_pem(), written.chain_pem());
        assert_eq!(read.key_pem(), written.key_pem());
        assert_eq!(read.bundle_pem(), written.bundle_pem());
        assert_eq!(read.chain_der(), written.chain_der());
        assert_eq!(read.key_der(), written.key_der());
    }

    #[test]
    fn what_is_written_is_read_from_a_mount_and_from_a_plain_folder() {
        let credential = issue();
        let mount = tempfile::tempdir().expect("a folder");
        credential.write(mount.path()).expect("a mount");
        assert_same(&Credential::read(mount.path()).expect("a credential"), &credential);
        assert_same(&Credential::read(plain(&credential).path()).expect("a credential"), &credential);
    }

    #[test]
    fn a_bundle_alone_takes_the_credential_away_and_a_bundle_does_not() {
        let credential = issue();
        let mount = tempfile::tempdir().expect("a folder");
        credential.write(mount.path()).expect("a mount");
        write_bundle(mount.path(), credential.bundle_pem()).expect("a bundle");
        assert_same(&Credential::read(mount.path()).expect("a credential"), &credential);
        write_bundle_alone(mount.path(), credential.bundle_pem()).expect("a bundle");
        assert!(Credential::read(mount.path()).is_err());
        let left = [CHAIN_FILE, KEY_FILE, BUNDLE_FILE].map(|file| mount.path().join(file).exists());
        assert_eq!(left, [false, false, true]);
    }

    #[test]
    fn an_error_names_the_file_what_was_expected_and_what_was_found() {
        let credential = issue();
        let other = issue();
        let cut = &credential.key_pem()[..100];
        let cases = [
            (CHAIN_FILE, "nothing", "expected a leaf and its intermediates in PEM, found 7 bytes without a"),
            (CHAIN_FILE, credential.key_pem(), "without a certificate"),
            (BUNDLE_FILE, "", "expected at least one trusted root in PEM, found 0 bytes without a"),
            (KEY_FILE, cut, "expected a private key, PKCS#8 in PEM, found a PEM section without its END"),
            (KEY_FILE, credential.chain_pem(), "found no PEM section of that kind"),
            (KEY_FILE, other.key_pem(), "expected the key of the certificate beside it, found the key of"),
        ];
        for (name, text, wanted) in cases {
            let folder = plain(&credential);
            fs::write(folder.path().join(name), text).expect("a file");
            let error = Credential::read(folder.path()).expect_err("no credential").to_string();
            assert!(error.contains(&format!("{name}: ")) && error.contains(wanted), "{name}: {error}");
        }
        for name in [CHAIN_FILE, KEY_FILE, BUNDLE_FILE] {
            let folder = plain(&credential);
            fs::remove_file(folder.path().join(name)).expect("removed");
            let error = Credential::read(folder.path()).expect_err("no credential").to_string();
            assert!(error.contains(&format!("{name}: ")) && error.contains("no such file"), "{error}");
        }
    }

    #[test]
    fn a_key_never_shows_in_debug_or_in_an_error() {
        let authority = Authority::new("mesh").expect("an authority");
        let credential = issue();
        let issuing_key = authority.issuer().credential().key_pem();
        let folder = plain(&credential);
        // Long lines, whole and cut off: a parser that quotes what it stumbles over gives the key away.
        let one_line = credential.key_pem().replace('\n', "");
        let errors = [&one_line[..], &one_line[..100]].map(|text| {
            fs::write(folder.path().join(KEY_FILE), text).expect("a file");
            let error = Credential::read(folder.path()).expect_err("a broken key");
            format!("{error} {error:?}")
        });
        let shown = format!("{credential:?} {authority:?} {:?} {errors:?}", authority.issuer());
        let PrivateKeyDer::Pkcs8(der) = credential.key_der() else { panic!("not PKCS#8") };
        // Past the header that all P-256 keys share: the secret number itself.
        let secret = &der.secret_pkcs8_der()[36..44];
        let lines =
            [credential.key_pem(), issuing_key].map(|pem| pem.lines().nth(1).expect("a line").as_bytes());
        for octets in [secret, &lines[0][..16], &lines[1][..16]] {
            let listed = format!("{octets:?}");
            let listed = listed.trim_matches(['[', ']']);
            let forms = [listed, &text::hex(octets), &String::from_utf8_lossy(octets)];
            assert!(!forms.iter().any(|form| shown.contains(form)), "a piece of a key in: {shown}");
        }
        assert!(shown.contains(&credential.leaf().serial), "which leaf it is does show: {shown}");
    }

    #[test]
    fn a_bundle_comes_before_and_after_a_certificate_without_touching_it() {
        let mount = tempfile::tempdir().expect("a folder");
        write_bundle(mount.path(), "first").expect("a bundle");
        assert_eq!(fs::read_to_string(mount.path().join(BUNDLE_FILE)).expect("a bundle"), "first");
        assert!(!mount.path().join(CHAIN_FILE).exists());
        let credential = issue();
        credential.write(mount.path()).expect("a mount");
        let other = issue();
        write_bundle(mount.path(), other.bundle_pem()).expect("a bundle");
        let expected = credential.with_bundle(other.bundle_pem().into());
        assert_same(&Credential::read(mount.path()).expect("a credential"), &expected);
    }
}
