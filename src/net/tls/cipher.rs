//! Cipher suites by the names that OpenSSL gives them, or by those of the standard.
//!
//! # Yields
//! never

use rustls::SupportedCipherSuite;

/// The suites of a list that is separated by colons, in its order; unknown ones are left out.
pub(super) fn suites(list: &str, all: &[SupportedCipherSuite]) -> Vec<SupportedCipherSuite> {
    let names = list.split([':', ',', ' ']).map(str::trim).filter(|name| !name.is_empty());
    names.filter_map(|name| all.iter().find(|suite| is_called(**suite, name)).copied()).collect()
}

fn is_called(suite: SupportedCipherSuite, name: &str) -> bool {
    // TLS13_AES_256_GCM_SHA384, which the standard and OpenSSL call TLS_AES_256_GCM_SHA384, and
    // TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, which OpenSSL calls ECDHE-RSA-AES256-GCM-SHA384.
    let own = format!("{:?}", suite.suite());
    let standard = own.replacen("TLS13_", "TLS_", 1);
    let openssl = own.trim_start_matches("TLS_").replace("_WITH", "").replace("AES_", "AES");
    let openssl = openssl.replace('_', "-");
    let short = openssl.strip_suffix("-SHA256").filter(|short| short.ends_with("POLY1305"));
    [Some(standard.as_str()), Some(&openssl), short].contains(&Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_known_by_openssl_and_standard_names() {
        let all = rustls::crypto::ring::default_provider().cipher_suites;
        let named = |list: &str| -> Vec<String> {
            suites(list, &all).iter().map(|suite| format!("{:?}", suite.suite())).collect()
        };
        let list = "ECDHE-RSA-AES256-GCM-SHA384:GOST2012-GOST8912-GOST8912:\
            ECDHE-ECDSA-CHACHA20-POLY1305:TLS_AES_128_GCM_SHA256";
        let expected = [
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS13_AES_128_GCM_SHA256",
        ];
        assert_eq!(named(list), expected);
        assert!(named("NULL").is_empty());
        assert_eq!(named("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"), [expected[0]]);
    }
}
