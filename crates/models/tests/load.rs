//! What a model says about itself, which models are refused and how that is said, and what a runner refuses to run.

mod drive;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use drive::{Setup, blocks_in_order, fingerprints, fixture, load};
use models::{BLOCK_LEN, Batch, Error, KvType, Level, Logits, Options, Segment, describe};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use weights::Checkpoint;

fn open(path: &std::path::Path) -> Checkpoint {
    Checkpoint::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn options(kv_blocks: usize) -> Options {
    Options { level: Level::detect(), threads: 1, context_length: None, kv_blocks, kv_type: KvType::F16 }
}

#[test]
fn the_default_model_is_described_as_it_is() {
    let description = describe(&open(&testkit::smollm2()), KvType::F16).expect("it is supported");
    assert_eq!(description.architecture, "llama");
    // 49,152 embeddings of 576, and 30 layers: two matrices [576, 576], two [192, 576], three [1536, 576], two norms.
    let layer = 2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576 + 2 * 576;
    assert_eq!(description.parameters, 49_152 * 576 + 30 * layer + 576);
    assert_eq!((description.context_length, description.vocabulary), (8192, 49_152));
    // Keys and values of three heads of 64 dimensions in two bytes each.
    assert_eq!(description.kv_block_bytes, 30 * (BLOCK_LEN * 2 * 3 * 64 * 2) as u64);
    let file = fs::metadata(testkit::smollm2()).expect("it is there").len() as f64;
    let packed = description.weight_bytes as f64 / file;
    assert!((0.9..1.1).contains(&packed), "4-bit weights stay 4-bit weights: {packed:.3} of the file");
}

#[test]
fn a_load_keeps_what_the_description_promised_and_tells_its_progress() {
    for file in [
        "llama3/hf",
        "llama3/q8_0.gguf",
        "gemma3/f32.gguf",
        "qwen2/hf",
        "phi3/q8_0.gguf",
        "qwen3moe/q4_1-fused.gguf",
        "qwen3moe-mixed/hf",
        "gpt-oss/hf-mxfp4",
        "gpt-oss/mxfp4.gguf",
        "gemma2/hf",
    ] {
        let checkpoint = open(&fixture(&format!("tiny/{file}")));
        let description = describe(&checkpoint, KvType::F16).expect(file);
        let told = Mutex::new(Vec::new());
        let progress = |done, all| told.lock().expect("no panic").push((done, all));
        let runner = models::load(&checkpoint, &options(100), &progress).expect(file);
        assert_eq!(runner.vocabulary(), description.vocabulary, "{file}");
        assert_eq!(runner.context_length(), description.context_length, "{file}");
        assert_eq!(runner.kv_blocks(), 100);
        let told = told.into_inner().expect("no panic");
        assert!(told.len() > 10 && told.is_sorted(), "{file}: {told:?}");
        let (done, all) = told[told.len() - 1];
        assert_eq!(done, all, "{file}");
        assert!(told.iter().all(|(_, each)| *each == all), "{file}: {told:?}");
    }
}

#[test]
fn the_context_is_what_model_options_and_cache_all_allow() {
    let checkpoint = open(&fixture("tiny/llama3/hf"));
    for (context_length, kv_blocks, wanted) in
        [(None, 100, 64), (Some(30), 100, 30), (Some(1000), 100, 64), (None, 3, 3 * BLOCK_LEN), (Some(9), 1, 9)]
    {
        let runner = models::load(&checkpoint, &Options { context_length, ..options(kv_blocks) }, &|_, _| ());
        assert_eq!(runner.expect("possible").context_length(), wanted, "{context_length:?} {kv_blocks}");
    }
    for (context_length, kv_blocks) in [(None, 0), (Some(0), 10), (None, usize::MAX)] {
        let refused = models::load(&checkpoint, &Options { context_length, ..options(kv_blocks) }, &|_, _| ());
        let refused = refused.err().expect("impossible");
        assert!(matches!(refused, Error::KvBlocks { .. }), "{refused}");
    }
}

/// A tiny model's folder with members of its `config.json` changed; null takes one away.
fn changed(model: &str, changes: Json) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in fs::read_dir(fixture(&format!("tiny/{model}/hf"))).expect("the fixture is there") {
        let entry = entry.expect("the fixture is readable");
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    let path = folder.path().join("config.json");
    let text = fs::read_to_string(&path).expect("a config");
    let mut config: serde_json::Map<String, Json> = serde_json::from_str(&text).expect("an object");
    for (key, value) in changes.as_object().expect("an object") {
        match value {
            Json::Null => drop(config.remove(key)),
            value => drop(config.insert(key.clone(), value.clone())),
        }
    }
    fs::write(&path, Json::Object(config).to_string()).expect("written");
    folder
}

/// The model with these changes is refused, by description and load alike, and before anything was packed.
#[track_caller]
fn refused(model: &str, changes: Json, wanted: &str) {
    let folder = changed(model, changes.clone());
    let checkpoint = open(folder.path());
    let described = describe(&checkpoint, KvType::F16).err().map(|error| error.to_string());
    let progress = |_, _| panic!("{changes}: something was packed");
    let loaded = models::load(&checkpoint, &options(4), &progress).err().map(|error| error.to_string());
    assert_eq!(described, loaded, "{changes}");
    let said = loaded.unwrap_or_else(|| panic!("{changes}: not refused"));
    assert!(said.contains(wanted), "{changes}: {said:?} has no {wanted:?}");
}

#[test]
fn a_model_that_is_not_as_its_settings_say_is_refused_by_name() {
    refused("llama3", json!({"num_hidden_layers": 3}), "no tensor model.layers.2.");
    refused("llama3", json!({"hidden_size": 32}), "tensor model.embed_tokens.weight has shape [128, 64]");
    refused("llama3", json!({"intermediate_size": 65}), "imply [65, 64]");
    refused("llama3", json!({"num_key_value_heads": 4}), "self_attn.k_proj.weight has shape [32, 64]");
    refused("llama3", json!({"head_dim": 8}), "self_attn.q_proj.weight has shape [64, 64]");
    refused("qwen3", json!({"architectures": ["Qwen2ForCausalLM"]}), "self_attn.q_proj.bias");
    refused("llama3", json!({"architectures": ["Qwen3ForCausalLM"]}), "self_attn.q_norm.weight");
    refused("gemma3", json!({"tie_word_embeddings": false}), "lm_head.weight");
    refused("phi3", json!({"num_key_value_heads": 4}), "self_attn.qkv_proj.weight has shape [64, 32]");
    refused("phi3", json!({"intermediate_size": 63}), "imply [126, 32]");
    refused("mixtral", json!({"num_local_experts": 5}), "block_sparse_moe.experts.4.w1.weight");
    refused("mixtral", json!({"num_local_experts": 3}), "block_sparse_moe.gate.weight has shape [4, 32]");
    refused("mixtral", json!({"intermediate_size": 65}), "experts.0.w1.weight has shape [64, 32]");
    refused("gpt-oss", json!({"num_local_experts": 5}), "gate_up_proj has shape [4, 32, 128]");
    refused("gpt-oss", json!({"architectures": ["MixtralForCausalLM"]}), "block_sparse_moe");
    refused("qwen3moe", json!({"mlp_only_layers": [0]}), "model.layers.0.mlp.gate_proj.weight");
    refused("qwen3moe", json!({"decoder_sparse_step": 2}), "model.layers.0.mlp.gate_proj.weight");
}

#[test]
fn settings_that_are_missing_or_impossible_are_refused_by_name() {
    refused("llama3", json!({"architectures": ["GPT2LMHeadModel"]}), "GPT2LMHeadModel");
    refused("llama3", json!({"architectures": ["GPT2LMHeadModel"]}), "LlamaForCausalLM");
    refused("llama3", json!({"architectures": null, "model_type": null}), "architectures");
    refused("llama3", json!({"architectures": null, "model_type": "mamba"}), "mamba");
    refused("llama3", json!({"num_hidden_layers": null}), "num_hidden_layers");
    refused("llama3", json!({"num_hidden_layers": 0}), "num_hidden_layers is 0");
    refused("llama3", json!({"num_attention_heads": 3}), "num_key_value_heads");
    refused("llama3", json!({"head_dim": 15}), "head_dim");
    refused("llama3", json!({"hidden_size": "wide"}), "hidden_size");
    refused("llama3", json!({"rms_norm_eps": -1.0}), "rms_norm_eps");
    refused("llama3", json!({"hidden_act": "relu"}), "relu");
    refused("llama3", json!({"rope_scaling": {"rope_type": "dynamic"}}), "longrope");
    refused("phi3", json!({"rope_scaling": {"rope_type": "linear", "factor": 2}}), "rope scaling other than longrope");
    refused("phi3", json!({"rope_scaling": {"rope_type": "longrope"}}), "short_factor");
    refused("phi3-long", json!({"original_max_position_embeddings": 1}), "original_max_position_embeddings");
    refused("phi3-long", json!({"partial_rotary_factor": 1.0}), "short_factor is a list of 2, wanted 4 numbers");
    refused("gemma2", json!({"use_bidirectional_attention": true}), "use_bidirectional_attention");
    refused("gemma2", json!({"attn_logit_softcapping": -1}), "attn_logit_softcapping");
    refused("llama3", json!({"num_local_experts": 8}), "num_local_experts = 8 is not supported");
    refused("qwen3", json!({"num_experts": 8}), "num_experts = 8 is not supported");
    for count in [json!(0), json!(-1), json!(1025), json!(1u64 << 60), json!("many")] {
        refused("mixtral", json!({"num_local_experts": count}), "num_local_experts is");
        refused("mixtral", json!({"num_experts_per_tok": count}), "num_experts_per_tok is");
        refused("qwen3moe-mixed", json!({"num_experts": count}), "num_experts is");
    }
    refused(
        "mixtral",
        json!({"num_experts_per_tok": 5}),
        "num_experts_per_tok is 5, wanted a whole number from 1 to 4",
    );
    refused("mixtral", json!({"num_experts_per_tok": null}), "lack num_experts_per_tok");
    refused("mixtral", json!({"num_local_experts": null}), "lack num_local_experts");
    refused("qwen3moe", json!({"moe_intermediate_size": null}), "lack moe_intermediate_size");
    refused("qwen3moe", json!({"decoder_sparse_step": 0}), "decoder_sparse_step");
    refused("qwen3moe", json!({"mlp_only_layers": ["first"]}), "mlp_only_layers");
    refused("llama3", json!({"quantization_config": {"bits": 4}}), "quantization_config");
    refused("gemma3", json!({"use_bidirectional_attention": true}), "use_bidirectional_attention");
    refused("gpt-oss", json!({"quantization_config": {"quant_method": "awq"}}), "quantization_config");
    refused("gpt-oss", json!({"quantization_config": {"bits": 4}}), "quantization_config");
    refused("mixtral", json!({"quantization_config": {"quant_method": "mxfp4"}}), "quantization_config");
    refused("gpt-oss", json!({"rope_parameters": null}), "lack rope_scaling");
    refused("gpt-oss", json!({"swiglu_limit": 0}), "swiglu_limit");
    refused("gpt-oss", json!({"swiglu_alpha": 1e-300}), "swiglu_alpha");
    refused("gemma3", json!({"query_pre_attn_scalar": 0}), "query_pre_attn_scalar");
    refused("qwen2-window", json!({"layer_types": ["full_attention"]}), "layer_types");
}

/// A tiny GGUF with a number in its metadata replaced.
#[track_caller]
fn refused_gguf(file: &str, key: &str, value: u32, wanted: &str) {
    let mut bytes = fs::read(fixture(&format!("tiny/{file}"))).expect("the fixture is there");
    // The length of the key, the key, the type (4 is u32), the value.
    let place = [&(key.len() as u64).to_le_bytes()[..], key.as_bytes(), &4u32.to_le_bytes()].concat();
    let at = bytes.windows(place.len()).position(|window| window == place).expect("the key is there") + place.len();
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("changed.gguf");
    fs::write(&path, bytes).expect("written");
    let said = describe(&open(&path), KvType::F16).err().map(|error| error.to_string());
    let said = said.unwrap_or_else(|| panic!("{key} = {value}: not refused"));
    assert!(said.contains(wanted), "{key} = {value}: {said:?} has no {wanted:?}");
}

#[test]
fn experts_that_cannot_be_are_refused_in_ggufs_too() {
    for (file, name) in [("qwen3moe/q4_1.gguf", "qwen3moe"), ("gpt-oss/mxfp4.gguf", "gpt-oss")] {
        let (count, used) = (format!("{name}.expert_count"), format!("{name}.expert_used_count"));
        for impossible in [0, 1025, u32::MAX] {
            refused_gguf(file, &count, impossible, &format!("{count} is {impossible}"));
            refused_gguf(file, &used, impossible, &format!("{used} is {impossible}"));
        }
        refused_gguf(file, &count, 2, if name == "gpt-oss" { "imply [2, " } else { "expert_used_count is 3" });
        refused_gguf(file, &used, 7, &format!("{used} is 7, wanted a whole number from 1 to "));
        refused_gguf(file, &count, 9, "imply [9, ");
    }
    refused_gguf("qwen3moe/q4_1-fused.gguf", "qwen3moe.expert_feed_forward_length", 64, "imply [6, 128, 32]");
    // Zero is how llama's files say that there are none.
    refused_gguf("mixtral/f32.gguf", "llama.expert_count", 0, "no tensor blk.0.ffn_gate.weight");
    refused_gguf("mixtral/f32.gguf", "llama.expert_count", 5000, "llama.expert_count is 5000");
    refused_gguf("mixtral/f32.gguf", "llama.expert_used_count", 5, "llama.expert_used_count is 5");
}

/// A gpt-oss folder whose packed weights are not what they should be.
#[test]
fn packed_experts_of_another_shape_are_refused_by_name() {
    let refused = |rename: [&str; 2], wanted: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let original = fixture("tiny/gpt-oss/hf-mxfp4");
        fs::copy(original.join("config.json"), folder.path().join("config.json")).expect("a copy");
        let mut bytes = fs::read(original.join("model.safetensors")).expect("the fixture is there");
        let [from, to] = rename.map(str::as_bytes);
        assert_eq!(from.len(), to.len(), "the header keeps its length");
        let at = bytes.windows(from.len()).position(|window| window == from).expect("it is in the header");
        bytes[at..at + to.len()].copy_from_slice(to);
        fs::write(folder.path().join("model.safetensors"), bytes).expect("written");
        let said = describe(&open(folder.path()), KvType::F16).expect_err(wanted).to_string();
        assert!(said.contains(wanted), "{said:?} has no {wanted:?}");
    };
    refused(
        ["0.mlp.experts.down_proj_scales", "0.mlp.experts.down_proj_scalez"],
        "layers.0.mlp.experts.down_proj_scales",
    );
    refused(["1.mlp.experts.gate_up_proj_blocks", "1.mlp.experts.gate_up_proj_blockz"], "gate_up_proj_blocks");
    refused(["[4,32,2,16]", "[4,2,32,16]"], "down_proj_blocks has shape [4, 2, 32, 16]");
    refused(["0.self_attn.sinks", "0.self_attn.sinkz"], "layers.0.self_attn.sinks");
    refused(["2.mlp.router.bias", "2.mlp.router.biaz"], "layers.2.mlp.router.bias");
}

#[test]
fn a_model_with_experts_is_described_with_all_of_them() {
    // 4 heads of 16 and 2 of them for keys and values; sinks; a router of 4; 4 experts of 64, with their biases; two norms.
    let attention = 2 * (64 * 32) + 64 + 32 + 2 * (32 * 32 + 32) + 4;
    let experts = 4 * (3 * 64 * 32 + 2 * 64 + 32) + 4 * 32 + 4;
    let parameters = 2 * 128 * 32 + 32 + 3 * (attention + experts + 2 * 32);
    let mut packed = Vec::new();
    for file in ["hf", "hf-mxfp4", "f32.gguf", "mxfp4.gguf"] {
        let description = describe(&open(&fixture(&format!("tiny/gpt-oss/{file}"))), KvType::F16).expect(file);
        assert_eq!((&*description.architecture, description.parameters), ("gpt-oss", parameters), "{file}");
        packed.push(description.weight_bytes);
    }
    // Floats take four bytes each, those of biases, norms and sinks too; the router's four rows a panel of sixteen.
    let padding = 3 * 12 * 32;
    assert_eq!([packed[0], packed[2]], [4 * (parameters + padding); 2]);
    // Two codes in a byte and a scale of two bytes for 32 of them.
    let in_mxfp4 = 3 * 4 * 3 * 64 * 32;
    assert_eq!([packed[1], packed[3]], [4 * (parameters + padding - in_mxfp4) + in_mxfp4 / 32 * 18; 2]);
}

#[test]
fn a_batch_that_breaks_the_limits_panics_by_segment_and_leaves_the_runner_whole() {
    let mut runner = load(&fixture("tiny/qwen3/hf"), Setup::usual(48));
    let tokens: Vec<u32> = (0..40).collect();
    let before = fingerprints(&mut *runner, &tokens, &[40], &blocks_in_order(40));
    let logits = Logits::Last;
    let fine = Segment { tokens: &[1, 2], position: 0, blocks: &[0], logits };
    let of_100 = [7; 100];
    for (bad, wanted) in [
        (Segment { tokens: &[128], position: 0, blocks: &[1], logits }, "segment 1 has token 128"),
        (Segment { tokens: &[1], position: 48, blocks: &[1; 4], logits }, "segment 1 ends at position 49"),
        (Segment { tokens: &[1], position: usize::MAX, blocks: &[1; 4], logits }, "beyond the context length 48"),
        (Segment { tokens: &of_100, position: 0, blocks: &[1; 7], logits }, "segment 1 ends at position 100"),
        (Segment { tokens: &[1, 1], position: 15, blocks: &[1], logits }, "needs 2 KV blocks, but has 1"),
        (Segment { tokens: &[1], position: 0, blocks: &[3], logits }, "segment 1 has KV block 3, but there are 3"),
        (Segment { tokens: &[1], position: 2, blocks: &[0], logits }, "KV block 0 is written twice"),
    ] {
        let run = AssertUnwindSafe(|| runner.forward(&Batch { segments: &[fine, bad] }).len());
        let panic = catch_unwind(run).expect_err(wanted);
        let said = panic.downcast_ref::<String>().expect("a message");
        assert!(said.contains(wanted), "{said:?} has no {wanted:?}");
        let after = fingerprints(&mut *runner, &tokens, &[40], &blocks_in_order(40));
        assert_eq!(before, after, "after {wanted:?}");
    }
}
