//! A process that dies at any moment of a pull or a removal leaves nothing that the next one trips over.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{process::Command, sync::Notify};

use super::{
    fixture::{content, folder, gguf, listing, open, pull},
    server::{Reply, Server, hub_file},
};
use crate::{Name, crash::ABORT_AT};

const FOLDER: &str = "CATALOG_TEST_FOLDER";
const ENDPOINT: &str = "CATALOG_TEST_ENDPOINT";
const KEPT: &str = "hf:owner/repo:kept-00001-of-00002.gguf";
const REMOVED: &str = "hf:owner/repo:removed.gguf";

/// What a child process does: a pull, another, and a removal. Says whether this is one.
async fn in_child() -> bool {
    let (Ok(folder), Ok(endpoint)) = (std::env::var(FOLDER), std::env::var(ENDPOINT)) else {
        return false;
    };
    let catalog = open(Path::new(&folder), &endpoint);
    pull(&catalog, REMOVED).await.unwrap();
    pull(&catalog, KEPT).await.unwrap();
    catalog.remove(&"removed".parse::<Name>().unwrap()).unwrap();
    true
}

fn child(test: &str, folder: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env(FOLDER, folder)
        .env(ENDPOINT, endpoint)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

fn files() -> [(&'static str, Vec<u8>); 3] {
    [
        ("removed.gguf", gguf(3000, 1)),
        ("kept-00001-of-00002.gguf", gguf(4000, 2)),
        ("kept-00002-of-00002.gguf", gguf(5000, 3)),
    ]
}

/// What holds after any death: what is there is whole, and both models can be pulled and removed.
async fn examine(folder: &Path, endpoint: &str) {
    let [(_, removed), (_, kept), (_, kept_2)] = files();
    let catalog = open(folder, endpoint);
    assert_eq!(catalog.problems(), Vec::<String>::new());
    let check = |name: &str| match name {
        "removed" => assert!(content(&catalog, "removed") == removed),
        "kept" => {
            assert!(content(&catalog, "kept") == kept);
            let path = catalog.model("kept").unwrap().path.unwrap();
            assert!(std::fs::read(path.with_file_name("kept-00002-of-00002.gguf")).unwrap() == kept_2);
        }
        other => panic!("{other}"),
    };
    catalog.models().iter().for_each(|model| check(&model.name));
    for part in ["models", "blobs", "folders", "partial"] {
        assert!(!listing(folder, part).iter().any(|name| name.starts_with(".tmp-")), "{part}");
    }
    for reference in [REMOVED, KEPT] {
        check(pull(&catalog, reference).await.unwrap().as_str());
    }
    for name in ["kept", "removed"] {
        catalog.remove(&name.parse().unwrap()).unwrap();
    }
    for part in ["models", "blobs", "folders", "partial"] {
        assert_eq!(listing(folder, part), Vec::<String>::new(), "{part}");
    }
}

#[tokio::test]
async fn a_death_between_any_two_steps_leaves_a_folder_that_works() {
    if in_child().await {
        return;
    }
    let files = files();
    let server = Server::start(move |request| {
        files.iter().find_map(|(name, bytes)| hub_file(request, name, bytes)).unwrap_or(Reply::status(404))
    })
    .await;
    let test = "tests::crash::a_death_between_any_two_steps_leaves_a_folder_that_works";
    let mut deaths = 0;
    loop {
        let folder = folder();
        let data = folder.path().join("data");
        let mut child = child(test, &data, &server.address);
        let status = child.env(ABORT_AT, deaths.to_string()).status().await.unwrap();
        examine(&data, &server.address).await;
        if status.success() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "only {deaths} steps were made: the child did not do its work");
}

#[tokio::test]
async fn a_kill_during_a_download_leaves_what_had_come() {
    if in_child().await {
        return;
    }
    let bytes = gguf(300_000, 1);
    let sent = bytes.clone();
    let stops = Arc::new(AtomicBool::new(true));
    let stopping = stops.clone();
    let server = Server::start(move |request| {
        let reply = hub_file(request, "removed.gguf", &sent).unwrap_or(Reply::status(404));
        match reply.status {
            200 | 206 if stopping.load(Ordering::SeqCst) => Reply { hang: true, ..reply.cut(100_000) },
            _ => reply,
        }
    })
    .await;
    let folder = folder();
    let data = folder.path().join("data");
    let test = "tests::crash::a_kill_during_a_download_leaves_what_had_come";
    let mut child = child(test, &data, &server.address).spawn().unwrap();
    let partial = data.join("partial").join(format!("sha256-{}", crate::Digest::of(&bytes).hex()));
    // The child says nothing; its file does.
    let arrived = Notify::new();
    let watch = async {
        while std::fs::metadata(&partial).map_or(0, |metadata| metadata.len()) < 100_000 {
            tokio::task::yield_now().await;
        }
        arrived.notify_one();
    };
    tokio::select! {
        () = async { tokio::join!(watch, arrived.notified()); } => {}
        status = child.wait() => panic!("the child ended by itself: {status:?}"),
    }
    child.kill().await.unwrap();
    stops.store(false, Ordering::SeqCst);
    let catalog = open(&data, &server.address);
    assert!(catalog.models().is_empty());
    pull(&catalog, REMOVED).await.unwrap();
    assert!(content(&catalog, "removed") == bytes);
    assert_eq!(server.bodies(), [0, 0, 100_000, 100_000]);
}
