//! Which line of what a server says tells most.

/// The last line that is about certificates, or about trouble.
pub(super) fn telling(said: &str) -> Option<&str> {
    let about = |words: &'static [&'static str]| {
        said.lines().rev().find(move |line| {
            let line = line.to_ascii_lowercase();
            words.iter().any(|word| line.contains(word))
        })
    };
    about(&["certificate", "x509", "private key"])
        .or_else(|| about(&["ssl", "tls", "pem"]))
        .or_else(|| about(&["err", "fatal", "fail", "alert"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_certificates_tells_more_than_one_about_trouble_and_that_more_than_none() {
        let said = "ready\nSSL: verify failed\n[emerg] cannot load certificate \"tls.crt\"\nerror: exit\n";
        assert_eq!(telling(said), Some("[emerg] cannot load certificate \"tls.crt\""));
        assert_eq!(telling("started\nfatal: no port\nbye\n"), Some("fatal: no port"));
        assert_eq!(telling("ready\nbye\n"), None);
    }
}
