//! Files that change while they are mapped, and mappings that end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use weights::{Checkpoint, Error};

use crate::{fixture, writer::small};

/// A GGUF file that was last written an hour ago, so that a write now cannot have the same time.
fn old_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, small().write().bytes).unwrap();
    age(&path);
    (folder, path)
}

fn age(path: &Path) {
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).unwrap().set_modified(an_hour_ago).unwrap();
}

#[test]
fn values_outlive_a_file_that_shrinks_after_loading() {
    let (_folder, path) = old_file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let loaded = checkpoint.require("wide").unwrap().to_f32();
    let again = loaded.clone();
    drop(checkpoint);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(loaded, again);
    assert!(Checkpoint::open(&path).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn the_mapping_ends_with_the_checkpoint() {
    let (_folder, path) = old_file();
    let name = path.to_str().unwrap();
    let is_mapped = || fs::read_to_string("/proc/self/maps").unwrap().contains(name);
    let is_open = || {
        let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
        files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == path)
    };
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(is_mapped() && is_open());
    drop(checkpoint);
    assert!(!is_mapped() && !is_open());
}

#[test]
fn a_file_that_shrinks_while_it_is_read_is_noticed() {
    let (_folder, path) = old_file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    checkpoint.still_whole().unwrap();
    let length = path.metadata().unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    match checkpoint.still_whole() {
        Err(Error::Changed { opened, now, .. }) => assert_eq!((opened, now), (length, 100)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_overwritten_while_it_is_read_is_noticed() {
    let (_folder, path) = old_file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    assert!(matches!(checkpoint.still_whole(), Err(Error::Changed { .. })));
}

#[test]
fn a_file_that_is_replaced_by_a_rename_is_no_concern() {
    let (folder, path) = old_file();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let other = folder.path().join("new.gguf");
    fs::write(&other, b"something else").unwrap();
    fs::rename(&other, &path).unwrap();
    checkpoint.still_whole().unwrap();
    assert_eq!(checkpoint.require("norm").unwrap().bytes, small().tensors[0].bytes);
}

#[test]
fn every_part_and_every_shard_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    for (open, files) in [
        (
            "gguf/split-00001-of-00003.gguf",
            &["gguf/split-00001-of-00003.gguf", "gguf/split-00002-of-00003.gguf", "gguf/split-00003-of-00003.gguf"][..],
        ),
        ("sharded", &["sharded/model-00001-of-00002.safetensors", "sharded/model-00002-of-00002.safetensors"]),
    ] {
        for cut in files {
            for from in [fixture("gguf"), fixture("sharded")] {
                let to = folder.path().join(from.file_name().unwrap());
                fs::create_dir_all(&to).unwrap();
                for entry in fs::read_dir(&from).unwrap() {
                    let entry = entry.unwrap();
                    // Written anew: a copy would keep the permissions of the original.
                    fs::write(to.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
                }
            }
            let checkpoint = Checkpoint::open(&folder.path().join(open)).unwrap();
            checkpoint.still_whole().unwrap();
            File::options().write(true).open(folder.path().join(cut)).unwrap().set_len(64).unwrap();
            assert!(matches!(checkpoint.still_whole(), Err(Error::Changed { .. })), "{cut}");
        }
    }
}
