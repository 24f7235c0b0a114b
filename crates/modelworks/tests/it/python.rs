//! Python packages as users install them: each in a virtual environment of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Runs `script`, which lies beside this file, with `package` and the given environment variables; it must succeed.
pub async fn drive(package: &'static str, script: &str, variables: Vec<(&'static str, String)>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(script);
    tokio::task::spawn_blocking(move || {
        // A token of the developer's own would be sent beside the key of the test.
        run(Command::new(with(package)).arg(script).env_remove("ANTHROPIC_AUTH_TOKEN").envs(variables));
    })
    .await
    .expect("the script's checks pass");
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) {
    let output = command.output().expect("python starts");
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The interpreter of an environment with `package` (such as `openai==3.57.0`), made once for this build folder.
pub fn with(package: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package);
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if !complete.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", package]));
        std::fs::write(&complete, "").expect("the folder can be written to");
    }
    python
}
