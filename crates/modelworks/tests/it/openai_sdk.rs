//! The official OpenAI package for Python, as users install it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::server::{KEY, MODEL, Server};

/// What the test installs. Pinned, so that a test fails for a change of ours alone.
const PACKAGE: &str = "openai==3.57.0";

fn run(command: &mut Command) {
    let output = command.output().expect("python starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A virtual environment with the package, made once for this build folder.
fn python_with_sdk() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE);
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", PACKAGE]));
        std::fs::write(&complete, "").expect("the folder can be written to");
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_sdk_works_unchanged() {
    let server = Server::start(&[]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/openai_sdk.py");
    let base = format!("{}/v1", server.base);
    tokio::task::spawn_blocking(move || {
        run(Command::new(python_with_sdk())
            .arg(script)
            .env("OPENAI_BASE_URL", base)
            .env("OPENAI_API_KEY", KEY)
            .env("MODEL", MODEL));
    })
    .await
    .expect("the SDK's checks pass");
    server.wait_until_idle().await;
}
