//! How much a model thinks, in the words of the families.

use crate::error::ApiError;

/// How much a model thinks before it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Thinking {
    /// Whether it does; `None` leaves that to its chat template.
    pub(crate) whether: Option<bool>,
    /// The word for those templates that know it.
    pub(crate) effort: Option<String>,
    /// Most tokens that it thinks; `None` is without bound.
    pub(crate) budget: Option<u32>,
}

/// Most tokens of thinking that a word stands for. docs/api.md has the table.
const BUDGETS: [(&str, Option<u32>); 7] = [
    ("none", Some(0)),
    ("minimal", Some(512)),
    ("low", Some(1024)),
    ("medium", Some(8192)),
    ("high", Some(24576)),
    ("xhigh", None),
    ("max", None),
];

impl Thinking {
    /// What a word of OpenAI's asks for, which `parameter` holds; nothing where there is none.
    pub(crate) fn of_effort(parameter: &str, word: Option<String>) -> Result<Self, ApiError> {
        let Some(word) = word else { return Ok(Self::default()) };
        let Some(&(_, budget)) = BUDGETS.iter().find(|(known, _)| *known == word) else {
            let words: Vec<&str> = BUDGETS.iter().map(|(known, _)| *known).collect();
            let message = format!("{parameter} must be one of {}, but it is {word:?}", words.join(", "));
            return Err(ApiError::invalid(parameter, message));
        };
        if budget == Some(0) {
            return Ok(Self { whether: Some(false), ..Self::default() });
        }
        Ok(Self { whether: Some(true), effort: Some(word), budget })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_the_budget_that_is_documented() {
        let page = include_str!("../../../docs/api.md");
        for (word, budget) in BUDGETS {
            let most = budget.map_or("no bound".to_owned(), |budget| budget.to_string());
            let row = format!("| `{word}` | {most} |");
            assert!(page.contains(&row), "docs/api.md has no row {row}");
            let thinking = Thinking::of_effort("p", Some(word.to_owned())).unwrap();
            let asked = (thinking.whether, thinking.effort.as_deref(), thinking.budget);
            let expect = if word == "none" { (Some(false), None, None) } else { (Some(true), Some(word), budget) };
            assert_eq!(asked, expect);
        }
        assert_eq!(Thinking::of_effort("p", None).unwrap(), Thinking::default());
        let error = Thinking::of_effort("reasoning.effort", Some("much".into())).unwrap_err();
        assert_eq!(error.openai().error.param.as_deref(), Some("reasoning.effort"));
    }
}
