//! What is judged together is judged as it would be alone.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints,
};

use super::*;

/// An authority that may issue for the names that it is given, or for all.
fn authority(name: &str, permitted: Option<&str>) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.name_constraints = permitted.map(|name| NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(name.into())],
        excluded_subtrees: Vec::new(),
    });
    (params, KeyPair::generate().expect("a key"))
}

/// `root -> issuing -> a leaf a name`, all of them read.
fn read(permitted: Option<&str>, names: &[&str]) -> Vec<Arc<Certificate>> {
    let (root, root_key) = authority("root", None);
    let (issuing, issuing_key) = authority("issuing", permitted);
    let mut ders = vec![root.self_signed(&root_key).expect("a root").der().to_vec()];
    let root = Issuer::new(root, root_key);
    ders.push(issuing.signed_by(&issuing_key, &root).expect("an issuing CA").der().to_vec());
    let issuing = Issuer::new(issuing, issuing_key);
    for name in names {
        let leaf = CertificateParams::new([(*name).to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        ders.push(leaf.signed_by(&key, &issuing).expect("a leaf").der().to_vec());
    }
    ders.iter().map(|der| Certificate::from_der(der).expect("a certificate")).collect()
}

fn judge(certificates: &[Arc<Certificate>]) -> Vec<Judged> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let chains = Graph::new(certificates).chains(now.try_into().expect("a second"), &HashMap::new());
    chains.into_iter().filter_map(|chain| chain.judged).collect()
}

fn fails(judged: &Judged) -> bool {
    matches!(judged, Judged::Fails(_))
}

#[test]
fn a_leaf_whose_neighbour_verifies_is_judged_by_its_own_signature() {
    let mut certificates = read(None, &["a.example", "b.example", "c.example"]);
    assert!(judge(&certificates).iter().all(|judged| *judged == Judged::Verifies));
    let forged = Arc::make_mut(&mut certificates[3]);
    let mut der = forged.der.to_vec();
    *der.last_mut().expect("a signature") ^= 1;
    forged.der = der.into();
    let judged = judge(&certificates);
    assert!(fails(&judged[1]), "{judged:?}");
    assert_eq!([&judged[0], &judged[2]], [&Judged::Verifies; 2]);
}

/// The names that an authority may issue for are no matter of the authority alone.
#[test]
fn a_leaf_whose_neighbour_verifies_is_judged_by_its_own_name() {
    let judged = judge(&read(Some("good.example"), &["good.example", "bad.example", "a.good.example"]));
    assert!(fails(&judged[1]), "{judged:?}");
    assert_eq!([&judged[0], &judged[2]], [&Judged::Verifies; 2]);
}

#[test]
fn an_authority_that_does_not_verify_is_vouched_for_by_nobody() {
    let mut certificates = read(None, &["a.example", "b.example"]);
    let forged = Arc::make_mut(&mut certificates[1]);
    let mut der = forged.der.to_vec();
    *der.last_mut().expect("a signature") ^= 1;
    forged.der = der.into();
    assert!(judge(&certificates).iter().all(fails));
}
