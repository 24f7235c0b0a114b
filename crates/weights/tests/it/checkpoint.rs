//! What a path is, its content tells.

use std::fs;

use weights::{Checkpoint, Error};

use crate::{fixture, whole_text, writer::small};

#[test]
fn a_gguf_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b179c9523d0e6a0f");
    fs::write(&path, small().write().bytes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.tensor_names().collect::<Vec<_>>(), ["norm", "matrix", "wide"]);
    assert_eq!(checkpoint.tensor_bytes(), 16 + 36 + 210);
    let Checkpoint::Gguf(gguf) = &checkpoint else { panic!("{checkpoint:?}") };
    assert_eq!(gguf.metadata().str("general.architecture").unwrap(), Some("llama"));
    match checkpoint.require("output.weight") {
        Err(Error::MissingTensor { name }) => assert_eq!(name, "output.weight"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_model_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, bytes: Option<&[u8]>, reason: &str| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let text = whole_text(&Checkpoint::open(&path).unwrap_err());
        assert!(text.contains(reason) && text.contains(name), "{text}");
    };
    check("absent.gguf", None, "cannot open");
    check("empty.gguf", Some(b""), "nearly empty");
    check("three.gguf", Some(b"GGU"), "nearly empty");
    check("page.gguf", Some(b"<!doctype html>"), "is not a GGUF file");
    check("cut.gguf", Some(b"GGUF\x03\0\0\0"), "tensor count at byte 8");
    let tensors = fs::read(fixture("folder/model.safetensors")).unwrap();
    check("model.safetensors", Some(&tensors), "give the folder that holds its config.json");
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_is_refused_and_not_waited_for() {
    let text = Checkpoint::open("/dev/zero".as_ref()).unwrap_err().to_string();
    assert!(text.contains("neither a regular file nor a folder"), "{text}");
}
