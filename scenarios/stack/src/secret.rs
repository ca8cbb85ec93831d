//! Random tokens, and what is stored instead of a password.

use std::fmt::Write as _;

use crate::wait;

/// A secret that nobody can guess: 128 bits, hexadecimal.
pub fn token() -> String {
    hex(&wait::random::<16>())
}

/// What is stored instead of a password: SHA-256 of salt and password, hexadecimal. Enough for users
/// whose password is their name; people's passwords want a slow function.
///
/// # Panics
/// Never: the suite is one of TLS 1.3.
pub fn digest(salt: &str, password: &str) -> String {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let sha256 = suite.tls13().expect("a suite of TLS 1.3").common.hash_provider;
    hex(sha256.hash([salt, password].concat().as_bytes()).as_ref())
}

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest("a", "bc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn no_two_tokens_are_the_same() {
        assert_ne!(token(), token());
    }
}
