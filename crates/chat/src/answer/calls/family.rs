//! How model families write tool calls, found by what their chat templates say.

use super::{
    Body,
    envelope::Envelope,
    gemma::Gemma,
    named::{self, Named},
    parameters::{Parameters, Tags},
};
use crate::constraint::calls::{Arguments, Notation};

/// How a model family writes its calls.
#[derive(Debug)]
pub(crate) struct Family {
    /// What a template of this family holds.
    evidence: &'static [&'static str],
    /// What a call begins with, and how it goes on.
    pub(super) openings: &'static [(&'static str, Form)],
    /// Left out before a call.
    pub(super) sections: &'static [&'static str],
    /// Left out behind a call.
    pub(super) closings: &'static [&'static str],
    /// A call may also begin with nothing but its JSON, where no text stands before it.
    pub(super) bare: bool,
    /// How a call is written that the model is held to; the second way is that of templates with this evidence.
    pub(super) written: (Notation, Option<(&'static str, Notation)>),
}

/// A JSON object that names the tool and holds its arguments, behind `open`.
const fn envelope(open: &'static str, between: &'static str, close: &'static str, arguments: &'static str) -> Notation {
    Notation { open, between, close, name: "{\"name\": \"", arguments: Arguments::Json(arguments), end: "}" }
}

/// Under this key.
const ARGUMENTS: &str = "\", \"arguments\": ";

/// In tags of its own.
const fn tagged(open: &'static str, between: &'static str, end: &'static str) -> Notation {
    Notation { open, between, close: "", name: "\n{\"name\": \"", arguments: Arguments::Json(ARGUMENTS), end }
}

/// DeepSeek's, between its marks.
const fn deepseek(name: &'static str, arguments: &'static str, end: &'static str) -> Notation {
    Notation {
        open: "<｜tool▁calls▁begin｜>",
        between: "\n",
        close: "<｜tool▁calls▁end｜>",
        name,
        arguments: Arguments::Json(arguments),
        end,
    }
}

/// DeepSeek's tags since its version 3.2.
const fn dsml(open: &'static str, close: &'static str) -> Notation {
    Notation {
        open,
        between: "\n",
        close,
        name: "<｜DSML｜invoke name=\"",
        arguments: Arguments::Tags {
            behind_name: "\">\n",
            open: "<｜DSML｜parameter name=\"",
            text: "\" string=\"true\">",
            json: "\" string=\"false\">",
            close: "</｜DSML｜parameter>\n",
        },
        end: "</｜DSML｜invoke>",
    }
}

/// Gemma's, with these marks and this quote.
const fn gemma(open: &'static str, end: &'static str, quote: &'static str) -> Notation {
    Notation { open, between: open, close: "", name: "call:", arguments: Arguments::Gemma(quote), end }
}

/// How a call goes on behind its opening.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A JSON object that names the tool, or a list of such.
    Envelope,
    /// A name, then a JSON object.
    Named(fn(&str) -> Option<&str>),
    /// `[`, `{`: an envelope; else a name.
    EnvelopeOrNamed(fn(&str) -> Option<&str>),
    /// Tags, of which the first comes next.
    Tags(&'static Tags),
    /// Tags; the opening was the first one's beginning.
    InTag(&'static Tags),
    /// `{`: an envelope; else tags, of which the first comes next.
    EnvelopeOrTags(&'static Tags),
    /// Gemma's notation with this quote.
    Gemma(&'static str),
}

/// The tags of Qwen's coder models.
static QWEN: Tags = Tags {
    call: "<function=",
    call_end: "</function>",
    parameter: "<parameter=",
    parameter_end: "</parameter>",
    lines: true,
};

/// MiniMax's tags.
static INVOKE: Tags = Tags {
    call: "<invoke name=",
    call_end: "</invoke>",
    parameter: "<parameter name=",
    parameter_end: "</parameter>",
    lines: false,
};

/// DeepSeek's tags since its version 3.2.
static DSML: Tags = Tags {
    call: "<｜DSML｜invoke name=",
    call_end: "</｜DSML｜invoke>",
    parameter: "<｜DSML｜parameter name=",
    parameter_end: "</｜DSML｜parameter>",
    lines: false,
};

/// All families; of those for which there is evidence the first counts.
static FAMILIES: &[Family] = &[
    // Gemma 4.
    Family {
        evidence: &["<|tool_call>"],
        openings: &[("<|tool_call>", Form::Gemma("<|\"|>"))],
        sections: &[],
        closings: &["<tool_call|>"],
        bare: false,
        written: (gemma("<|tool_call>", "<tool_call|>", "<|\"|>"), None),
    },
    // Function Gemma.
    Family {
        evidence: &["<start_function_call>"],
        openings: &[("<start_function_call>", Form::Gemma("<escape>"))],
        sections: &[],
        closings: &["<end_function_call>"],
        bare: false,
        written: (gemma("<start_function_call>", "<end_function_call>", "<escape>"), None),
    },
    Family {
        evidence: &["｜DSML｜"],
        openings: &[
            ("<｜DSML｜function_calls>", Form::Tags(&DSML)),
            ("<｜DSML｜tool_calls>", Form::Tags(&DSML)),
            ("<｜DSML｜invoke name=", Form::InTag(&DSML)),
        ],
        sections: &[],
        closings: &["</｜DSML｜function_calls>", "</｜DSML｜tool_calls>"],
        bare: false,
        written: (
            dsml("<｜DSML｜function_calls>\n", "\n</｜DSML｜function_calls>"),
            Some(("<｜DSML｜tool_calls>", dsml("<｜DSML｜tool_calls>\n", "\n</｜DSML｜tool_calls>"))),
        ),
    },
    Family {
        evidence: &["<｜tool▁calls▁begin｜>"],
        openings: &[("<｜tool▁call▁begin｜>", Form::Named(named::deepseek))],
        sections: &["<｜tool▁calls▁begin｜>"],
        closings: &["```", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>"],
        bare: false,
        written: (
            deepseek("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
            Some((
                "```json",
                deepseek("<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "\n```json\n", "\n```<｜tool▁call▁end｜>"),
            )),
        ),
    },
    Family {
        evidence: &["<|tool_call_argument_begin|>"],
        openings: &[("<|tool_call_begin|>", Form::Named(named::kimi))],
        sections: &["<|tool_calls_section_begin|>"],
        closings: &["<|tool_call_end|>", "<|tool_calls_section_end|>"],
        bare: false,
        written: (
            Notation {
                open: "<|tool_calls_section_begin|>",
                between: "",
                close: "<|tool_calls_section_end|>",
                name: "<|tool_call_begin|>functions.",
                arguments: Arguments::Json(":0<|tool_call_argument_begin|>"),
                end: "<|tool_call_end|>",
            },
            None,
        ),
    },
    Family {
        evidence: &["<minimax:tool_call>"],
        openings: &[("<minimax:tool_call>", Form::Tags(&INVOKE)), ("<invoke name=", Form::InTag(&INVOKE))],
        sections: &[],
        closings: &["</minimax:tool_call>"],
        bare: false,
        written: (
            Notation {
                open: "<minimax:tool_call>\n",
                between: "\n",
                close: "\n</minimax:tool_call>",
                name: "<invoke name=\"",
                arguments: Arguments::Tags {
                    behind_name: "\">\n",
                    open: "<parameter name=\"",
                    text: "\">",
                    json: "\">",
                    close: "</parameter>\n",
                },
                end: "</invoke>",
            },
            None,
        ),
    },
    Family {
        evidence: &["<seed:tool_call>"],
        openings: &[("<seed:tool_call>", Form::EnvelopeOrTags(&QWEN)), ("<function=", Form::InTag(&QWEN))],
        sections: &[],
        closings: &["</seed:tool_call>"],
        bare: false,
        written: (tagged("<seed:tool_call>", "\n<seed:tool_call>", "}\n</seed:tool_call>"), None),
    },
    // Mistral, up to version 3 of its tokenizer as a list, later by name.
    Family {
        evidence: &["[TOOL_CALLS]"],
        openings: &[("[TOOL_CALLS]", Form::EnvelopeOrNamed(named::mistral))],
        sections: &[],
        closings: &[],
        bare: false,
        written: (
            envelope("[TOOL_CALLS][", ", ", "]", ARGUMENTS),
            Some((
                "[ARGS]",
                Notation {
                    open: "[TOOL_CALLS]",
                    between: "[TOOL_CALLS]",
                    close: "",
                    name: "",
                    arguments: Arguments::Json("[ARGS]"),
                    end: "",
                },
            )),
        ),
    },
    // Qwen's coder models and Qwen 3.5.
    Family {
        evidence: &["<tool_call>", "<function="],
        openings: &[("<tool_call>", Form::EnvelopeOrTags(&QWEN)), ("<function=", Form::InTag(&QWEN))],
        sections: &[],
        closings: &["</tool_call>"],
        bare: false,
        written: (tagged("<tool_call>", "\n<tool_call>", "}\n</tool_call>"), None),
    },
    // Hermes, Qwen and the many that follow them.
    Family {
        evidence: &["<tool_call>"],
        openings: &[("<tool_call>", Form::Envelope)],
        sections: &[],
        closings: &["</tool_call>"],
        bare: false,
        written: (tagged("<tool_call>", "\n<tool_call>", "}\n</tool_call>"), None),
    },
    // Granite, Phi 4.
    Family {
        evidence: &["<|tool_call|>"],
        openings: &[("<|tool_call|>", Form::Envelope)],
        sections: &[],
        closings: &["<|/tool_call|>"],
        bare: false,
        written: (
            envelope("<|tool_call|>[", ", ", "]", ARGUMENTS),
            Some(("<|/tool_call|>", envelope("<|tool_call|>[", ", ", "]<|/tool_call|>", ARGUMENTS))),
        ),
    },
    Family {
        evidence: &["<|START_ACTION|>"],
        openings: &[("<|START_ACTION|>", Form::Envelope)],
        sections: &[],
        closings: &["<|END_ACTION|>"],
        bare: false,
        written: (
            Notation {
                open: "<|START_ACTION|>[",
                between: ", ",
                close: "]<|END_ACTION|>",
                name: "{\"tool_call_id\": \"0\", \"tool_name\": \"",
                arguments: Arguments::Json("\", \"parameters\": "),
                end: "}",
            },
            None,
        ),
    },
    // Llama 3. The mark is written before calls of built-in tools, and by some models before every call.
    Family {
        evidence: &["<|python_tag|>"],
        openings: &[("<|python_tag|>", Form::Envelope)],
        sections: &[],
        closings: &[";"],
        bare: true,
        written: (envelope("", ";", "", "\", \"parameters\": "), None),
    },
    // All others are asked for plain JSON, which many models fence.
    Family {
        evidence: &[],
        openings: &[("```json", Form::Envelope)],
        sections: &[],
        closings: &["\n```", ";"],
        bare: true,
        written: (envelope("", "\n", "", ARGUMENTS), None),
    },
];

impl Family {
    /// The family of a model with this template.
    pub(crate) fn of(template: &str) -> &'static Self {
        let found = FAMILIES.iter().find(|family| family.evidence.iter().all(|text| template.contains(text)));
        // The last family needs no evidence.
        found.unwrap_or(&FAMILIES[FAMILIES.len() - 1])
    }

    /// How a model with this template writes a call that it is held to.
    pub(crate) fn written(&self, template: &str) -> Notation {
        match self.written {
            (_, Some((evidence, other))) if template.contains(evidence) => other,
            (usual, _) => usual,
        }
    }

    /// All texts with a meaning of their own.
    pub(crate) fn marks(&self) -> Vec<&'static str> {
        let mut marks: Vec<&str> = self.sections.iter().chain(self.closings).copied().collect();
        for (opening, form) in self.openings {
            marks.push(opening);
            match form {
                Form::Gemma(quote) => marks.push(quote),
                Form::Tags(tags) | Form::InTag(tags) | Form::EnvelopeOrTags(tags) => {
                    marks.extend([tags.call, tags.call_end, tags.parameter, tags.parameter_end]);
                }
                Form::Envelope | Form::Named(_) | Form::EnvelopeOrNamed(_) => {}
            }
        }
        marks.extend(["[CALL_ID]", "[ARGS]", "<｜tool▁sep｜>", "<|tool_call_argument_begin|>"]);
        marks
    }
}

impl Form {
    /// Reads what follows the opening; `None` where the next character, which is no white space, decides.
    pub(super) fn body(self, next: Option<char>) -> Option<Body> {
        match (self, next) {
            (Self::Envelope, _)
            | (Self::EnvelopeOrNamed(_), Some('[' | '{'))
            | (Self::EnvelopeOrTags(_), Some('{')) => Some(Body::Envelope(Envelope::default())),
            (Self::Named(name), _) | (Self::EnvelopeOrNamed(name), Some(_)) => Some(Body::Named(Named::new(name))),
            (Self::Tags(tags), _) | (Self::EnvelopeOrTags(tags), Some(_)) => {
                Some(Body::Parameters(Parameters::new(tags, false)))
            }
            (Self::InTag(tags), _) => Some(Body::Parameters(Parameters::new(tags, true))),
            (Self::Gemma(quote), _) => Some(Body::Gemma(Gemma::new(quote))),
            (Self::EnvelopeOrNamed(_) | Self::EnvelopeOrTags(_), None) => None,
        }
    }
}
