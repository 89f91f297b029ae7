//! TLS on every port and in net.box, with certificates made here and with clients that other people
//! wrote.

#[allow(dead_code, reason = "these tests need neither every tool nor raw connections")]
mod foreign;
#[allow(dead_code, reason = "these tests need neither every tool nor raw connections")]
#[path = "redis/server.rs"]
mod server;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use foreign::{exists, python, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use server::{Server, root};

/// Writes what the tests need into a folder: two authorities, certificates that they signed for a
/// server and for clients, and keys with and without passwords.
fn make_certificates(folder: &Path) {
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("a written file");
    };
    for (authority, names) in [("ca", &["server", "client"][..]), ("other_ca", &["other"])] {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, authority);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("a certificate");
        write(&format!("{authority}.crt"), issuer.pem());
        for name in names {
            let mut parameters = CertificateParams::new(["localhost".to_owned()]).expect("a name");
            parameters.distinguished_name.push(rcgen::DnType::CommonName, *name);
            let key = KeyPair::generate().expect("a key");
            let certificate = parameters.signed_by(&key, &issuer).expect("a certificate");
            write(&format!("{name}.crt"), certificate.pem());
            write(&format!("{name}.key"), key.serialize_pem());
        }
    }
    write("passwords", "wrong\n1qaz\n".to_owned());
    write("wrong_passwords", "wrong\n".to_owned());
    let openssl = |arguments: &[&str]| {
        run(Command::new("openssl").args(arguments).current_dir(folder));
    };
    let encrypt = ["-in", "server.key", "-out", "server.enc.key", "-passout", "pass:1qaz"];
    openssl(&[&["pkcs8", "-topk8", "-v2", "aes-256-cbc"], &encrypt[..]].concat());
    let encrypt = ["-in", "server.key", "-out", "server.old.key", "-passout", "pass:1qaz"];
    openssl(&[&["ec", "-aes128"], &encrypt[..]].concat());
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_certificates(folder.path());
    folder
}

/// The lines of `app.cfg.redis` for TLS with these files, and more.
fn redis_settings(folder: &Path, more: &str) -> String {
    let folder = folder.display();
    format!(
        "transport: ssl, ssl_cert_file: {folder}/server.crt, \
         ssl_key_file: {folder}/server.enc.key, ssl_password: 1qaz, {more}"
    )
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// `openssl version`, which has no `--version`.
fn has_openssl() -> bool {
    exists("openssl")
}

#[test]
fn net_box_and_the_binary_protocol() {
    run_claims("net_box.lua");
}

#[test]
fn client_of_the_web() {
    run_claims("http_client.lua");
}

/// Runs a file of `tests/tls` among certificates.
fn run_claims(file: &str) {
    if !has_openssl() {
        return;
    }
    let folder = folder();
    let output = Command::new("timeout")
        .arg("100")
        .arg(env!("CARGO_BIN_EXE_lycosa"))
        .arg(root().join("tests/tls").join(file))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("a program that starts");
    let text = text(&output);
    let failed = text.lines().any(|line| line.trim_start().starts_with("not ok"));
    assert!(output.status.success() && !failed && text.contains("\n1.."), "{text}");
}

#[test]
fn openssl_sees_certificate_version_and_cipher() {
    if !has_openssl() {
        return;
    }
    let certificates = folder();
    let more = "ssl_ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256'";
    let server = Server::start_with(&redis_settings(certificates.path(), more), "");
    let connect = |options: &[&str]| {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.port)])
            .args(["-CAfile", "ca.crt", "-verify_return_error"])
            .args(options)
            .current_dir(certificates.path())
            .stdin(Stdio::null())
            .output();
        text(&output.expect("a program that starts"))
    };
    let new = connect(&["-tls1_3"]);
    assert!(new.contains("Cipher is TLS_AES_128_GCM_SHA256"), "{new}");
    assert!(new.contains("Verify return code: 0 (ok)"), "{new}");
    let old = connect(&["-tls1_2"]);
    assert!(old.contains("Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"), "{old}");
    let refused = connect(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]);
    assert!(refused.contains("handshake failure"), "{refused}");
}

#[test]
fn redis_clients() {
    if !has_openssl() || !exists("redis-cli") || !exists("python3") {
        return;
    }
    let certificates = folder();
    let more = format!("ssl_ca_file: {}/ca.crt", certificates.path().display());
    let server = Server::start_with(&redis_settings(certificates.path(), &more), "");
    let port = server.port.to_string();
    let cli = |options: &[&str], command: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(options)
            .args(command)
            .current_dir(certificates.path())
            .stdin(Stdio::null())
            .output();
        text(&output.expect("a program that starts"))
    };
    let secure = ["--tls", "--cacert", "ca.crt", "--cert", "client.crt", "--key", "client.key"];
    let secure = [&secure[..], &["--sni", "localhost"]].concat();
    assert_eq!(cli(&secure, &["SET", "a", "1"]), "OK\n");
    assert_eq!(cli(&secure, &["GET", "a"]), "1\n");
    // Without a certificate, and without TLS.
    assert_ne!(cli(&secure[..3], &["GET", "a"]), "1\n");
    assert_ne!(cli(&[], &["GET", "a"]), "1\n");
    let interpreter = python("python", &["redis==6.4.0"]);
    run(Command::new(interpreter)
        .arg(root().join("tests/tls/redis_py.py"))
        .arg(&port)
        .current_dir(certificates.path()));
}

#[test]
fn redis_clients_may_do_without_a_certificate() {
    if !has_openssl() || !exists("redis-cli") {
        return;
    }
    let certificates = folder();
    let place = certificates.path().display();
    let more = format!("ssl_ca_file: {place}/ca.crt, ssl_verify_client: optional");
    let server = Server::start_with(&redis_settings(certificates.path(), &more), "");
    let ping = |options: &[&str]| {
        let output = Command::new("redis-cli")
            .args(["-p", &server.port.to_string(), "--tls", "--cacert", "ca.crt"])
            .args(["--sni", "localhost"])
            .args(options)
            .arg("PING")
            .current_dir(certificates.path())
            .stdin(Stdio::null())
            .output();
        text(&output.expect("a program that starts"))
    };
    assert_eq!(ping(&[]), "PONG\n");
    assert_eq!(ping(&["--cert", "client.crt", "--key", "client.key"]), "PONG\n");
    assert_ne!(ping(&["--cert", "other.crt", "--key", "other.key"]), "PONG\n");
}

/// Whom the certificate is from that a server shows.
fn issuer(port: u16) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .output();
    let text = text(&output.expect("a program that starts"));
    let line = text.lines().find(|line| line.starts_with("issuer="));
    line.unwrap_or(&text).to_owned()
}

#[test]
fn certificates_of_the_configuration_are_read_anew_when_it_is_reloaded() {
    if !has_openssl() {
        return;
    }
    let certificates = folder();
    let copy = |from: &str| {
        for extension in ["crt", "key"] {
            let path = |name: &str| certificates.path().join(format!("{name}.{extension}"));
            std::fs::copy(path(from), path("current")).expect("a copied file");
        }
    };
    copy("server");
    let place = certificates.path().display();
    let (certificate, key) = (format!("{place}/current.crt"), format!("{place}/current.key"));
    let settings = format!("transport: ssl, ssl_cert_file: {certificate}, ssl_key_file: {key}");
    let top = format!(
        "iproto: {{listen: [{{uri: '127.0.0.1:0', params: {{transport: ssl}}}}], \
         ssl: {{ssl_cert: {certificate}, ssl_key: {key}}}}}"
    );
    let server = Server::start_with(&settings, &top);
    let answer = server.evaluate("return (box.info.listen:match(':(%d+)$'))");
    let port = answer.chars().filter(char::is_ascii_digit).collect::<String>();
    let port = port.parse().expect("a port");
    let both = || [issuer(port), issuer(server.port)];
    assert!(both().iter().all(|issuer| issuer.ends_with("= ca")), "{:?}", both());
    copy("other");
    assert!(both().iter().all(|issuer| issuer.ends_with("= ca")), "{:?}", both());
    server.evaluate("require('config'):reload()");
    assert!(both().iter().all(|issuer| issuer.ends_with("= other_ca")), "{:?}", both());
}

#[test]
fn python_client_of_tarantool() {
    if !has_openssl() || !exists("python3") {
        return;
    }
    let certificates = folder();
    let mut server = Command::new("timeout")
        .args(["100", env!("CARGO_BIN_EXE_lycosa")])
        .arg(root().join("tests/tls/server.lua"))
        .current_dir(certificates.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a started server");
    let mut line = String::new();
    let mut output = std::io::BufReader::new(server.stdout.take().expect("a pipe"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
    let port = line.trim().rsplit(':').next().expect("a port").to_owned();
    let interpreter = python("python-iproto", &["tarantool==1.3.0", "asynctnt==2.4.0"]);
    // Ends the server at its end.
    run(Command::new(interpreter)
        .arg(root().join("tests/tls/tarantool_python.py"))
        .arg(port)
        .current_dir(certificates.path()));
    assert!(server.wait().expect("an end").success());
}
