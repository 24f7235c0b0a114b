//! A Hugging Face folder, from `pull` to answers: sharded safetensors, `tokenizer.json`, a chat template of its own and
//! several end tokens.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::server::{Server, data_with_model, link, modelworks};

/// The model's name here.
const NAME: &str = "tiny-folder";
/// As many as the tokenizer has.
const VOCABULARY: usize = 450;
const HIDDEN: usize = 64;
const INNER: usize = 96;
const KV: usize = 32;

/// Writes a model of two layers with random weights, in two shards.
fn write_folder(folder: &Path) {
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true,
        "vocab_size": VOCABULARY, "torch_dtype": "float32", "eos_token_id": 0,
    });
    let template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}";
    write_json(&folder.join("config.json"), &config);
    write_json(&folder.join("generation_config.json"), &json!({"eos_token_id": [7, 11], "temperature": 0.0}));
    write_json(&folder.join("tokenizer_config.json"), &json!({"chat_template": template}));
    let tokenizer =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../text/tests/fixtures/byte_level_digits/tokenizer.json");
    fs::copy(tokenizer, folder.join("tokenizer.json")).expect("the fixture is there");

    let mut shards = [Shard::default(), Shard::default()];
    shards[0].add("model.embed_tokens.weight", &[VOCABULARY, HIDDEN]);
    for (layer, shard) in shards.iter_mut().enumerate() {
        let mut add = |name: &str, shape: &[usize]| shard.add(&format!("model.layers.{layer}.{name}.weight"), shape);
        add("input_layernorm", &[HIDDEN]);
        add("post_attention_layernorm", &[HIDDEN]);
        add("self_attn.q_proj", &[HIDDEN, HIDDEN]);
        add("self_attn.k_proj", &[KV, HIDDEN]);
        add("self_attn.v_proj", &[KV, HIDDEN]);
        add("self_attn.o_proj", &[HIDDEN, HIDDEN]);
        add("mlp.gate_proj", &[INNER, HIDDEN]);
        add("mlp.up_proj", &[INNER, HIDDEN]);
        add("mlp.down_proj", &[HIDDEN, INNER]);
    }
    shards[1].add("model.norm.weight", &[HIDDEN]);
    let mut places = serde_json::Map::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let file = format!("model-{:05}-of-00002.safetensors", number + 1);
        places.extend(shard.header.keys().map(|name| (name.clone(), json!(file))));
        shard.write(&folder.join(file));
    }
    write_json(&folder.join("model.safetensors.index.json"), &json!({"metadata": {}, "weight_map": places}));
}

fn write_json(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("the folder can be written to");
}

/// One safetensors file: a header of names, types, shapes and places, and the numbers.
#[derive(Default)]
struct Shard {
    header: serde_json::Map<String, Value>,
    data: Vec<u8>,
}

impl Shard {
    /// Adds a tensor of reproducible numbers around 0, or around 1 for a vector of norms.
    fn add(&mut self, name: &str, shape: &[usize]) {
        let begin = self.data.len();
        let mut state = name.bytes().fold(1u64, |state, byte| state.wrapping_mul(31).wrapping_add(u64::from(byte)));
        for _ in 0..shape.iter().product() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let random = (state >> 40) as f32 / (1 << 24) as f32 - 0.5;
            let number = if shape.len() == 1 { 1.0 + 0.1 * random } else { 0.4 * random };
            self.data.extend(number.to_le_bytes());
        }
        let place = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, self.data.len()]});
        self.header.insert(name.to_owned(), place);
    }

    fn write(self, path: &Path) {
        let header = Value::Object(self.header).to_string();
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(self.data);
        fs::write(path, file).expect("the folder can be written to");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hugging_face_folder_is_pulled_and_answers() {
    let (original, data) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write_folder(original.path());
    let pull = modelworks().args(["pull", "--name", NAME, "--data-dir"]).arg(data.path()).arg(original.path()).output();
    let pull = pull.expect("the binary starts");
    assert!(pull.status.success(), "{}", String::from_utf8_lossy(&pull.stderr));
    // What was pulled is a copy: the original may go.
    drop(original);
    let server = Server::start_in(data.path(), &["--model", NAME]).await;

    let text = "10 green bottles, naïve 🎉";
    let tokens = server.ask("/tokenize", &json!({"model": NAME, "content": text})).await["tokens"].clone();
    assert_eq!(server.ask("/detokenize", &json!({"model": NAME, "tokens": tokens})).await["content"], text);

    let with_begin = json!({"model": NAME, "content": text, "add_special": true});
    let tokens = server.ask("/tokenize", &with_begin).await["tokens"].clone();
    let body = json!({"model": NAME, "prompt": tokens, "max_tokens": 12, "ignore_eos": true, "logprobs": 1});
    let by_tokens = server.ask("/v1/completions", &body).await;
    assert_eq!(by_tokens["usage"]["completion_tokens"], 12);
    assert_eq!(by_tokens["choices"][0]["finish_reason"], "length");
    let by_text = json!({"model": NAME, "prompt": text, "max_tokens": 12, "ignore_eos": true, "logprobs": 1});
    assert_eq!(server.ask("/v1/completions", &by_text).await["choices"], by_tokens["choices"]);
    // The authors' temperature of 0 holds where the caller names none: no chance is left.
    assert_eq!(server.ask("/v1/completions", &by_text).await["choices"], by_tokens["choices"]);

    // Each of several end tokens ends an answer.
    for end in ["7", "11"] {
        let body = json!({"model": NAME, "prompt": text, "max_tokens": 12, "logit_bias": {end: 100}});
        let answer = server.ask("/v1/completions", &body).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
        assert_eq!(answer["choices"][0]["text"], "", "{answer}");
    }

    let chat = json!({"model": NAME, "messages": [{"role": "user", "content": text}], "max_tokens": 4});
    let answer = server.ask("/v1/chat/completions", &chat).await;
    let rendered = json!({"model": NAME, "content": format!("user: {text}\n"), "add_special": true});
    let rendered = server.ask("/tokenize", &rendered).await["tokens"].as_array().expect("tokens").len();
    assert_eq!(answer["usage"]["prompt_tokens"], rendered);
    server.wait_until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_pulled_while_the_server_runs_answers() {
    let original = tempfile::tempdir().expect("a folder");
    write_folder(original.path());
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    link(data_with_model(), data.path());
    let server = Server::start_in(data.path(), &[]).await;
    let pull = modelworks().args(["pull", "--name", NAME, "--data-dir"]).arg(data.path()).arg(original.path()).output();
    let pull = pull.expect("the binary starts");
    assert!(pull.status.success(), "{}", String::from_utf8_lossy(&pull.stderr));

    let body = json!({"model": NAME, "prompt": "10 green bottles", "max_tokens": 4, "ignore_eos": true});
    let url = format!("{}/v1/completions", server.base);
    let answered = async {
        loop {
            let answer = server.client.post(&url).body(body.to_string()).header("content-type", "application/json");
            let status = answer.send().await.expect("the server answers").status();
            if status == 200 {
                return;
            }
            // It is not priced for the blink of an eye.
            assert_eq!(status, 403);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), answered).await.expect("it answers after a moment");
}
