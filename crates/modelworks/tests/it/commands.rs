//! The commands beside `serve`.

use std::process::{Command, Output, Stdio};

use crate::server::{MODEL, data_with_model, modelworks, pull_model};

fn run(command: &mut Command) -> (Output, String) {
    let output = command.stdin(Stdio::null()).output().expect("the binary starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

#[test]
fn one_prompt_is_answered_in_the_terminal() {
    let (output, text) = run(modelworks()
        .args(["run", MODEL, "What is the capital of France?", "--temperature", "0", "--data-dir"])
        .arg(data_with_model()));
    assert!(output.status.success(), "{text}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Paris"), "{text}");
}

#[test]
fn list_and_show_tell_what_is_there() {
    let (_, text) = run(modelworks().arg("list").arg("--data-dir").arg(data_with_model()));
    assert!(text.contains(MODEL), "{text}");
    let (_, text) = run(modelworks().args(["show", MODEL, "--data-dir"]).arg(data_with_model()));
    assert!(text.contains("llama") && text.contains("8192"), "{text}");
}

#[test]
fn a_removed_model_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    pull_model(folder.path());
    let (output, text) = run(modelworks().args(["rm", MODEL, "--data-dir"]).arg(folder.path()));
    assert!(output.status.success(), "{text}");
    let (output, text) = run(modelworks().args(["show", MODEL, "--data-dir"]).arg(folder.path()));
    assert!(!output.status.success() && text.contains(MODEL), "{text}");
}

#[test]
fn mistakes_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, reason) in [
        (vec!["show", "../../etc/passwd"], "not a model name"),
        (vec!["pull", "no-such-model"], "no-such-model"),
        (vec!["pull", "/no/such/file.gguf"], "/no/such/file.gguf"),
        (vec!["pull", "http://example.org/x.gguf"], "https"),
        (vec!["serve", "--kv-memory", "much"], "much"),
    ] {
        let (output, text) = run(modelworks().args(&arguments).arg("--data-dir").arg(folder.path()));
        assert!(!output.status.success() && text.contains(reason), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    }
}
