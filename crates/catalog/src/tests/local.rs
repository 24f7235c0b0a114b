//! Models from paths of this machine, and the life of a model in the data folder.

use std::fs;

use super::fixture::{content, folder, gguf, listing, open, pull, pull_error};
use crate::{Error, Name};

const NO_HUB: &str = "http://127.0.0.1:9";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_local_file_is_copied_and_no_longer_depends_on_the_original() {
    let folder = folder();
    let original = folder.path().join("Some Model.gguf");
    let bytes = gguf(5000, 1);
    fs::write(&original, &bytes).unwrap();
    let catalog = open(&folder.path().join("data"), NO_HUB);
    assert_eq!(pull(&catalog, original.to_str().unwrap()).await.unwrap().as_str(), "some_model");
    fs::write(&original, gguf(6000, 2)).unwrap();
    assert!(content(&catalog, "some_model") == bytes);
    // Pulled again, it is what the file is now, and the old content is gone.
    pull(&catalog, original.to_str().unwrap()).await.unwrap();
    assert!(content(&catalog, "some_model") == gguf(6000, 2));
    assert_eq!(listing(&folder.path().join("data"), "blobs").len(), 1);
    assert_eq!(listing(&folder.path().join("data"), "partial"), Vec::<String>::new());
}

#[tokio::test]
async fn a_damaged_file_stays_until_the_next_pull_brings_it_again() {
    let folder = folder();
    let (original, data) = (folder.path().join("model.gguf"), folder.path().join("data"));
    let bytes = gguf(5000, 1);
    fs::write(&original, &bytes).unwrap();
    let original = original.to_str().unwrap();
    pull(&open(&data, NO_HUB), original).await.unwrap();
    let blob = data.join("blobs").join(&listing(&data, "blobs")[0]);
    let mut flipped = bytes.clone();
    flipped[4000] ^= 1;
    for damaged in [&flipped[..], &bytes[..1000]] {
        fs::write(&blob, damaged).unwrap();
        // Opening collects what nobody needs; to look is to change nothing.
        let catalog = open(&data, NO_HUB);
        assert_eq!(fs::read(&blob).unwrap(), damaged);
        let is_short = damaged.len() < bytes.len();
        assert_eq!(catalog.model("model").is_none(), is_short);
        assert_eq!(catalog.problems().iter().any(|problem| problem.contains("`model` is damaged")), is_short);
        pull(&catalog, original).await.unwrap();
        assert!(content(&catalog, "model") == bytes);
    }
}

#[tokio::test]
async fn a_local_folder_is_taken_by_the_files_that_make_a_model() {
    let folder = folder();
    let original = folder.path().join("My-Model");
    fs::create_dir(&original).unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "evil.py"] {
        fs::write(original.join(file), file).unwrap();
    }
    let catalog = open(&folder.path().join("data"), NO_HUB);
    pull(&catalog, original.to_str().unwrap()).await.unwrap();
    let path = catalog.model("my-model").unwrap().path.unwrap();
    let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(fs::read(path.join("model.safetensors")).unwrap(), b"model.safetensors");
}

#[tokio::test]
async fn what_is_no_model_is_refused() {
    let folder = folder();
    fs::write(folder.path().join("text.json"), "{}").unwrap();
    let catalog = open(&folder.path().join("data"), NO_HUB);
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    assert!(pull_error(&catalog, &path("text.json")).await.contains("instead of `GGUF`"));
    assert!(pull_error(&catalog, &path("absent.gguf")).await.contains("cannot read"));
    assert!(pull_error(&catalog, &path("data")).await.contains("neither a GGUF file nor a config.json"));
    assert_eq!(listing(&folder.path().join("data"), "partial"), Vec::<String>::new());
}

#[tokio::test]
async fn files_go_with_the_last_model_that_uses_them() {
    let folder = folder();
    let data = folder.path().join("data");
    let original = folder.path().join("m.gguf");
    fs::write(&original, gguf(1000, 3)).unwrap();
    let catalog = open(&data, NO_HUB);
    let reference = || original.to_str().unwrap().parse().unwrap();
    for model in ["a", "b"] {
        let _name = catalog.pull(reference(), Some(name(model))).unwrap().await.unwrap();
    }
    assert_eq!(listing(&data, "blobs").len(), 1);
    catalog.remove(&name("a")).unwrap();
    assert!(catalog.model("a").is_none());
    assert!(content(&catalog, "b") == gguf(1000, 3));
    catalog.remove(&name("b")).unwrap();
    assert!(catalog.models().is_empty());
    for part in ["models", "blobs", "folders", "partial"] {
        assert_eq!(listing(&data, part), Vec::<String>::new(), "{part}");
    }
    assert!(matches!(catalog.remove(&name("b")), Err(Error::Unknown { .. })));
}

#[tokio::test]
async fn a_name_is_not_taken_over_by_another_model() {
    let folder = folder();
    let catalog = open(&folder.path().join("data"), NO_HUB);
    for part in ["one", "two"] {
        fs::create_dir(folder.path().join(part)).unwrap();
        fs::write(folder.path().join(part).join("m.gguf"), gguf(1000, 4)).unwrap();
    }
    let path = |part: &str| folder.path().join(part).join("m.gguf").to_str().unwrap().to_owned();
    pull(&catalog, &path("one")).await.unwrap();
    assert!(pull_error(&catalog, &path("two")).await.contains(&path("one")));
}

#[tokio::test]
async fn other_catalogues_on_the_folder_see_what_is_pulled_and_removed() {
    let folder = folder();
    let data = folder.path().join("data");
    let original = folder.path().join("m.gguf");
    fs::write(&original, gguf(1000, 5)).unwrap();
    let (here, there) = (open(&data, NO_HUB), open(&data, NO_HUB));
    assert!(there.models().is_empty());
    pull(&here, original.to_str().unwrap()).await.unwrap();
    assert_eq!(there.models().len(), 1);
    there.remove(&name("m")).unwrap();
    assert!(here.model("m").is_none());
}

#[tokio::test]
async fn damage_is_reported_skipped_and_repaired_by_a_pull() {
    let folder = folder();
    let data = folder.path().join("data");
    let original = folder.path().join("m.gguf");
    fs::write(&original, gguf(1000, 6)).unwrap();
    let pull_it = async || pull(&open(&data, NO_HUB), original.to_str().unwrap()).await.unwrap();
    pull_it().await;
    let fine = folder.path().join("fine.gguf");
    fs::write(&fine, gguf(1000, 7)).unwrap();
    pull(&open(&data, NO_HUB), fine.to_str().unwrap()).await.unwrap();

    let damages: [&dyn Fn(); 4] = [
        &|| fs::write(data.join("models/m.json"), "{\"version\":").unwrap(),
        &|| fs::write(data.join("models/m.json"), "").unwrap(),
        &|| {
            for blob in listing(&data, "blobs") {
                if fs::read(data.join("blobs").join(&blob)).unwrap() == gguf(1000, 6) {
                    fs::remove_file(data.join("blobs").join(blob)).unwrap();
                }
            }
        },
        &|| fs::remove_dir_all(data.join("folders")).unwrap(),
    ];
    for (index, damage) in damages.iter().enumerate() {
        damage();
        let catalog = open(&data, NO_HUB);
        assert!(content(&catalog, "fine") == gguf(1000, 7), "{index}");
        if index < 3 {
            assert!(catalog.model("m").is_none(), "{index}");
            assert_eq!(catalog.problems().len(), 1, "{index}: {:?}", catalog.problems());
        }
        pull_it().await;
        let catalog = open(&data, NO_HUB);
        assert_eq!(catalog.problems(), Vec::<String>::new(), "{index}");
        assert!(content(&catalog, "m") == gguf(1000, 6), "{index}");
    }
    fs::write(data.join("models/NOT A NAME.json"), "{}").unwrap();
    assert_eq!(open(&data, NO_HUB).problems().len(), 1);
}

#[test]
fn the_data_folder_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = folder();
    let data = folder.path().join("deep/data");
    let _catalog = open(&data, NO_HUB);
    for part in ["", "models", "blobs", "partial"] {
        assert_eq!(fs::metadata(data.join(part)).unwrap().permissions().mode() & 0o777, 0o700, "{part}");
    }
}
