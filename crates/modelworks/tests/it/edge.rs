//! Addresses of the real binary: TLS, administration apart, proxies, pages of other origins, and the check of settings.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::server::{KEY, MODEL, PATIENCE, Server, data_with_model, link, modelworks};

/// Writes a certificate for 127.0.0.1 and its key to the two files that servers here are given.
fn write_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (chain, key) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&chain, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    (chain, key)
}

/// A client that believes nobody but the holder of this certificate, and opens a connection for each request.
fn client(chain: &Path) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(chain).expect("a certificate")).expect("a root");
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let builder = Client::builder().tls_backend_preconfigured(tls).pool_max_idle_per_host(0).timeout(PATIENCE);
    builder.build().expect("a client")
}

async fn status(client: &Client, url: String) -> Option<StatusCode> {
    client.get(url).bearer_auth(KEY).send().await.ok().map(|answer| answer.status())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_speak_tls_administration_stands_apart_and_a_renewed_certificate_is_taken_at_a_signal() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let data = folder.path();
    link(data_with_model(), data);
    let (chain, key) = write_certificate(data);
    let flags = ["--admin-listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.0/8", "--model", MODEL];
    let server = Server::spawn_with(data, &flags, |command| {
        command.arg("--tls-cert").arg(&chain).arg("--tls-key").arg(&key);
    })
    .await;
    let public = &server.base;
    let admin =
        server.said.lines().find_map(|line| line.strip_prefix("Administration answers on ")).expect("an address");
    assert!(public.starts_with("https://127.0.0.1:") && admin.starts_with("https://127.0.0.1:"), "{}", server.said);

    let first = client(&chain);
    // Has no session to go on with, so it will want to see a certificate.
    let late = client(&chain);
    server
        .wait_for("readiness", async || status(&first, format!("{public}/readyz")).await == Some(StatusCode::OK))
        .await;
    for (url, expected) in [
        (format!("{public}/v1/models"), StatusCode::OK),
        (format!("{public}/admin/v1/me"), StatusCode::NOT_FOUND),
        (format!("{admin}/admin/v1/me"), StatusCode::OK),
        (format!("{admin}/v1/models"), StatusCode::NOT_FOUND),
        (format!("{admin}/healthz"), StatusCode::OK),
    ] {
        assert_eq!(status(&first, url.clone()).await, Some(expected), "{url}");
    }
    assert_eq!(status(&server.client, public.replace("https", "http")).await, None, "no answer without TLS");
    let denied = first.get(format!("{admin}/admin/v1/me")).send().await.expect("an answer").status();
    assert_eq!(denied, StatusCode::UNAUTHORIZED);

    // Whom a trusted proxy names is whom the audit log names.
    let make = first.post(format!("{admin}/admin/v1/organisations")).bearer_auth(KEY).body(r#"{"name": "Acme"}"#);
    let made = make.header("x-forwarded-for", "203.0.113.7, 198.51.100.1").send().await.expect("an answer");
    assert_eq!(made.status(), StatusCode::CREATED);
    // Commands find a server whose certificate is made out for others, and all of its routes.
    for arguments in [&["audit", "--org", "Acme", "--json"][..], &["usage", "--json"], &["org", "list"]] {
        let output = modelworks().args(arguments).arg("--data-dir").arg(data).output().expect("the binary starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if arguments[0] == "audit" {
            assert!(text.contains("198.51.100.1") && !text.contains("203.0.113.7"), "{text}");
        }
    }

    // A certificate that cannot be used changes nothing; one that can is shown to whoever comes next.
    fs::write(&chain, "renewal failed").expect("a file");
    server.signal(Signal::HUP);
    assert_eq!(status(&first, format!("{public}/healthz")).await, Some(StatusCode::OK));
    write_certificate(data);
    let second = client(&chain);
    server.signal(Signal::HUP);
    server.wait_for("the new certificate", async || status(&second, format!("{public}/healthz")).await.is_some()).await;
    assert_eq!(status(&late, format!("{public}/healthz")).await, None, "the former certificate is not shown any more");
}

#[test]
fn settings_are_checked_and_printed_without_serving() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let check = |text: &str| {
        let file = folder.path().join("modelworks.toml");
        fs::write(&file, text).expect("a file");
        let output = modelworks().args(["config", "check", "--threads", "2", "--config"]).arg(file).output();
        output.expect("the binary starts")
    };
    let good = check("listen = '127.0.0.1:9'\ngrace = 5\ncors_origins = ['https://app.example.org']");
    let printed = String::from_utf8_lossy(&good.stdout);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    for line in ["listen = \"127.0.0.1:9\"", "grace = 5", "threads = 2", "cors_origins = [\"https://app.example.org\"]"]
    {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in {printed}");
    }
    let bad = check("listen = '127.0.0.1:9'\ntls_cert = 'server.pem'");
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("--tls-key"));
}
