//! Which files of a folder or repository make a model.

use crate::{FileName, file_name::SplitPart};

/// Quantisations by preference, best balance of size and quality first: what is taken when a repository offers several.
/// The names are those that llama.cpp writes into file names.
const PREFERENCE: &[&str] = &[
    "q4_k_m", "q4_k_s", "q4_k", "mxfp4", "q4_1", "q4_0", "iq4_nl", "iq4_xs", "q5_k_m", "q5_k_s", "q5_k", "q5_1",
    "q5_0", "q6_k", "q8_0", "q3_k_l", "q3_k_m", "q3_k_s", "q3_k", "q2_k", "bf16", "f16", "fp16", "f32", "fp32",
];

/// Files beside the weights that say how to use them.
const COMPANIONS: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];

/// Parts of a file's name that say that it is no language model of its own.
const NOT_A_MODEL: &[&str] = &["mmproj", "imatrix", "vocab-only"];

/// Chooses among `paths`, those of all files with `/` between folders:
///
/// 1. when there are GGUF files, the one (or the split one) whose quantisation comes first in the table of preferences, of
///    several the one with the shorter name; a single one whatever its name;
/// 2. otherwise, at the top, `config.json`, the safetensors that `model.safetensors.index.json` speaks of or the only
///    one, the files of the tokenizer, and those that say how an embedding model pools.
///
/// The error is public text, and lists what there is.
pub(crate) fn choose(paths: &[String]) -> Result<Vec<String>, String> {
    let ggufs = ggufs(paths);
    match ggufs.as_slice() {
        [] => safetensors(paths),
        [only] => parts(only, paths),
        several => {
            let rank = |path: &&String| {
                let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
                let preference = PREFERENCE.iter().position(|quantisation| has_word(&name, quantisation))?;
                Some((preference, path.len(), (*path).clone()))
            };
            let best = several.iter().filter_map(|path| Some((rank(path)?, path))).min();
            match best {
                Some((_, path)) => parts(path, paths),
                None => Err(format!(
                    "it has several GGUF files, none of a known quantisation; name one of them after a colon: {}",
                    list(several.iter().copied())
                )),
            }
        }
    }
}

/// All parts of the GGUF at `path`, which is one of `paths`.
pub(crate) fn parts(path: &str, paths: &[String]) -> Result<Vec<String>, String> {
    let all = split_paths(path)?;
    match all.iter().find(|part| !paths.contains(part)) {
        None => Ok(all),
        Some(missing) => {
            Err(format!("it has no file `{}`; its GGUF files: {}", missing.escape_debug(), list(ggufs(paths))))
        }
    }
}

/// The paths of all parts of the GGUF at `path`: itself alone, when it is not split.
pub(crate) fn split_paths(path: &str) -> Result<Vec<String>, String> {
    let (folder, name) = match path.rsplit_once('/') {
        Some((folder, name)) => (format!("{folder}/"), name),
        None => (String::new(), path),
    };
    if !name.ends_with(".gguf") {
        return Err(format!(
            "`{}` is not a GGUF file; leave the file out to take a model in safetensors",
            path.escape_debug()
        ));
    }
    Ok(match SplitPart::of(name) {
        Some(part) => part.all().map(|name| format!("{folder}{name}")).collect(),
        None => vec![path.to_owned()],
    })
}

/// GGUF files with acceptable names, of split ones the first part.
fn ggufs(paths: &[String]) -> Vec<&String> {
    let is_model = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        name.ends_with(".gguf")
            && name.parse::<FileName>().is_ok()
            && !NOT_A_MODEL.iter().any(|word| lower.contains(word))
            && SplitPart::of(name).is_none_or(|part| part.number == 1)
    };
    paths.iter().filter(is_model).collect()
}

fn safetensors(paths: &[String]) -> Result<Vec<String>, String> {
    const INDEX: &str = "model.safetensors.index.json";
    let has = |name: &str| paths.iter().any(|path| path == name);
    if !has("config.json") {
        return Err(format!("it has neither a GGUF file nor a config.json; its files: {}", list(paths)));
    }
    let weights: Vec<&String> = paths
        .iter()
        .filter(|path| path.ends_with(".safetensors") && path.parse::<FileName>().is_ok())
        .filter(|path| !path.starts_with("adapter_"))
        .collect();
    let mut chosen: Vec<String> = if has(INDEX) {
        let shards = weights.iter().filter(|path| path.starts_with("model-") && path.contains("-of-"));
        shards.map(|path| (*path).clone()).chain([INDEX.to_owned()]).collect()
    } else if has("model.safetensors") {
        vec!["model.safetensors".to_owned()]
    } else if let [only] = weights.as_slice() {
        vec![(*only).clone()]
    } else {
        Vec::new()
    };
    if !chosen.iter().any(|path| path.ends_with(".safetensors")) {
        return Err(format!("it has a config.json but no weights in safetensors; its files: {}", list(paths)));
    }
    chosen.extend(COMPANIONS.iter().filter(|name| has(name)).map(|name| (*name).to_owned()));
    chosen.extend(paths.iter().filter(|path| of_module(path).is_some()).cloned());
    Ok(chosen)
}

/// The name of the folder, such as `1_Pooling`, when `path` is the settings of a pooling step of `sentence-transformers`.
fn of_module(path: &str) -> Option<&str> {
    let folder = path.strip_suffix("/config.json")?;
    let number = folder.strip_suffix("_Pooling")?;
    (matches!(number.len(), 1..=2) && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(folder)
}

/// The name under which a file at `path` is kept. Models have one flat folder here, so the settings of a step take the name of
/// theirs along: `1_Pooling/config.json` becomes `1_Pooling.config.json`.
pub(crate) fn flat_name(path: &str) -> Option<FileName> {
    match of_module(path) {
        Some(folder) => format!("{folder}.config.json").parse().ok(),
        None => path.rsplit('/').next().unwrap_or_default().parse().ok(),
    }
}

/// Whether `word` stands in `text` with nothing alphanumeric or `_` beside it.
fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    text.match_indices(word).any(|(start, _)| {
        let before = start.checked_sub(1).map(|index| text.as_bytes()[index]);
        let after = text.as_bytes().get(start + word.len()).copied();
        !part_of_word(before) && !part_of_word(after)
    })
}

fn list<'a>(paths: impl IntoIterator<Item = &'a String>) -> String {
    const MOST: usize = 20;
    let mut names: Vec<String> = paths.into_iter().take(MOST + 1).map(|path| path.escape_debug().to_string()).collect();
    if names.len() > MOST {
        names[MOST] = "…".to_owned();
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &str, expected: Result<&str, &str>) {
        let paths: Vec<String> = paths.split_whitespace().map(str::to_owned).collect();
        let chosen = choose(&paths);
        match (&chosen, expected) {
            (Ok(chosen), Ok(expected)) => assert_eq!(chosen.join(" "), expected),
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            _ => panic!("{chosen:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn of_several_gguf_files_the_preferred_quantisation_is_taken() {
        check("README.md a.Q8_0.gguf a.Q4_1.gguf a.Q4_K_M.gguf a.Q2_K.gguf mmproj-a.Q4_K_M.gguf", Ok("a.Q4_K_M.gguf"));
        check("a-IQ4_XS.gguf a-F16.gguf", Ok("a-IQ4_XS.gguf"));
        check("a-q4_0.gguf long-a-q4_0.gguf", Ok("a-q4_0.gguf"));
        check("only.gguf model.safetensors config.json", Ok("only.gguf"));
        check("one.gguf two.gguf", Err("one.gguf, two.gguf"));
        // `iq4_xs` holds no `q4`; `f16` is not in `bf16`.
        check("a-bf16.gguf a-f16x.gguf", Ok("a-bf16.gguf"));
    }

    #[test]
    fn a_split_file_is_taken_whole_or_not_at_all() {
        check(
            "q8_0/m-q8_0.gguf q4/m-q4_0-00002-of-00002.gguf q4/m-q4_0-00001-of-00002.gguf",
            Ok("q4/m-q4_0-00001-of-00002.gguf q4/m-q4_0-00002-of-00002.gguf"),
        );
        check("m-00001-of-00002.gguf", Err("no file `m-00002-of-00002.gguf`"));
    }

    #[test]
    fn safetensors_come_with_their_configuration_and_without_the_rest() {
        check(
            "README.md config.json model.safetensors pytorch_model.bin tokenizer.json onnx/model.onnx evil.py",
            Ok("model.safetensors config.json tokenizer.json"),
        );
        check(
            "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors consolidated.safetensors \
             model.safetensors.index.json",
            Ok(
                "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json config.json",
            ),
        );
        check(
            "1_Pooling/config.json config.json model.safetensors modules.json onnx/config.json x_Pooling/config.json",
            Ok("model.safetensors config.json modules.json 1_Pooling/config.json"),
        );
        let name = |path: &str| flat_name(path).map(|name| name.to_string());
        assert_eq!(name("1_Pooling/config.json").as_deref(), Some("1_Pooling.config.json"));
        assert_eq!(name("a/config.json").as_deref(), Some("config.json"));
        assert_eq!(name("../1_Pooling/config.json").as_deref(), Some("config.json"));
        check("config.json pytorch_model.bin", Err("no weights in safetensors"));
        check("config.json a.safetensors b.safetensors", Err("no weights in safetensors"));
        check("weights.bin", Err("weights.bin"));
        check("", Err("none"));
    }

    #[test]
    fn hostile_names_are_not_chosen() {
        let paths = ["../../x.gguf".to_owned(), "a b.gguf".to_owned(), "..gguf".to_owned(), "ok.gguf".to_owned()];
        // The first has an acceptable last part; what precedes it is checked where it becomes an address.
        assert_eq!(choose(&paths[1..]), Ok(vec!["ok.gguf".to_owned()]));
    }
}
