//! Writes octets as text: hexadecimal, and PEM.

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lower-case hexadecimal, two digits an octet.
pub(crate) fn hex(octets: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let mut text = String::with_capacity(2 * octets.len());
    for octet in octets {
        text.extend([digit(octet >> 4), digit(octet & 15)]);
    }
    text
}

/// What [`hex`] wrote as text. Digits that are none count as zero.
pub(super) fn octets(hex: &str) -> Vec<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| pair.iter().fold(0, |sum, digit| sum << 4 | value(digit).unwrap_or(0))).collect()
}

/// One PEM section (RFC 7468): lines of 64 characters.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut text = String::with_capacity(der.len() * 4 / 3 + der.len() / 48 + 2 * label.len() + 40);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for line in der.chunks(48) {
        text.extend(line.chunks(3).flat_map(quartet));
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// One to three octets as four characters of base64 (RFC 4648, section 4).
fn quartet(octets: &[u8]) -> [char; 4] {
    let octet = |index: usize| u32::from(octets.get(index).copied().unwrap_or(0));
    let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
    std::array::from_fn(|index| {
        let sextet = bits >> (18 - 6 * index) & 63;
        // Two octets fill three characters, one fills two.
        if index > octets.len() { '=' } else { char::from(BASE64[sextet as usize]) }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        let vectors = [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in vectors {
            assert_eq!(
                pem("X", plain.as_bytes()),
                format!("-----BEGIN X-----\n{encoded}\n-----END X-----\n")
            );
        }
        assert_eq!(pem("X", b""), "-----BEGIN X-----\n-----END X-----\n");
    }

    #[test]
    fn hexadecimal_has_every_digit_and_reads_back() {
        assert_eq!(hex(&[0x00, 0x0a, 0xf1]), "000af1");
        assert_eq!(octets("000af1"), [0x00, 0x0a, 0xf1]);
    }

    proptest! {
        #[test]
        fn another_reader_gets_the_same_octets(octets in proptest::collection::vec(any::<u8>(), 1..200)) {
            let text = pem("CERTIFICATE", &octets);
            prop_assert!(text.lines().all(|line| line.len() <= 64));
            let read = CertificateDer::from_pem_slice(text.as_bytes()).expect("PEM");
            prop_assert_eq!(read.as_ref(), octets.as_slice());
        }
    }
}
