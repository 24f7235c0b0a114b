//! What holds around the fetch itself, and that the default model is to be had.

use testkit::{Error, ModelFile, fetch_into};

const HELLO: ModelFile = ModelFile {
    name: "hello.gguf",
    bytes: 5,
    sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    parts: &[],
};

#[test]
fn a_file_with_the_right_digest_is_used_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(HELLO.name), "hello").expect("writing");
    let path = fetch_into(folder.path(), &HELLO).expect("it is there");
    assert_eq!(path, folder.path().join(HELLO.name));
}

#[test]
fn what_does_not_have_the_digest_never_takes_the_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // No parts: what "arrives" is empty, so neither the old file nor the new one is right.
    std::fs::write(folder.path().join(HELLO.name), "hellO").expect("writing");
    let error = fetch_into(folder.path(), &HELLO).expect_err("the digest is wrong");
    assert!(matches!(error, Error::WrongDigest { found_bytes: 0, wanted_bytes: 5, .. }), "{error}");
    let left = std::fs::read_dir(folder.path()).expect("listing").filter_map(Result::ok).map(|entry| entry.file_name());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["hello.gguf", "hello.gguf.lock"]);
    assert_eq!(std::fs::read(folder.path().join(HELLO.name)).expect("reading"), b"hellO");
}

#[test]
fn the_default_model_is_a_gguf() {
    let path = testkit::smollm2();
    let mut magic = [0; 4];
    std::io::Read::read_exact(&mut std::fs::File::open(path).expect("opening"), &mut magic).expect("reading");
    assert_eq!(&magic, b"GGUF");
}
