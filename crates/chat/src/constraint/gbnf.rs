//! Grammars in llama.cpp's syntax (GBNF, as llama.cpp's `grammars/README.md` describes it) in Lark's.
//!
//! Every rule becomes a rule on one line, with a name of ours: names of rules are written small there. `root` becomes `start`.

use std::{iter::Peekable, str::Chars};

use super::{Refusal, grammar::literal};

/// Most rules.
const MOST_RULES: usize = 2000;

/// The same grammar in Lark's syntax.
pub(super) fn to_lark(grammar: &str) -> Result<String, Refusal> {
    let mut rules = Rules::default();
    let mut out = String::new();
    let mut chars = grammar.chars().peekable();
    let mut defines = false;
    while let Some(token) = next(&mut chars)? {
        match token {
            Token::Name(name) if is_definition(&mut chars) => {
                out.push_str(&format!("\n{}:", rules.name(&name, true)?));
                defines = true;
            }
            _ if !defines => return Err(Refusal::Form("the grammar must begin with a rule: `root ::= …`".into())),
            Token::Name(name) => out.push_str(&format!(" {}", rules.name(&name, false)?)),
            Token::Text(text) => out.push_str(&format!(" {}", literal(&text))),
            Token::Class(class) => out.push_str(&format!(" /{class}/")),
            Token::Mark(mark) => out.push_str(&mark),
        }
    }
    rules.check()?;
    out.push('\n');
    Ok(out)
}

/// Rules by their names, in order of appearance.
#[derive(Default)]
struct Rules(Vec<(String, bool)>);

impl Rules {
    /// What a rule is called here.
    fn name(&mut self, name: &str, defines: bool) -> Result<String, Refusal> {
        let number = match self.0.iter().position(|(known, _)| known == name) {
            Some(number) => number,
            None if self.0.len() == MOST_RULES => {
                return Err(Refusal::Limit(format!("the grammar has more than {MOST_RULES} rules")));
            }
            None => {
                self.0.push((name.to_owned(), false));
                self.0.len() - 1
            }
        };
        if defines && std::mem::replace(&mut self.0[number].1, true) {
            return Err(Refusal::Form(format!("the grammar defines the rule `{name}` twice")));
        }
        Ok(if name == "root" { "start".into() } else { format!("g{number}") })
    }

    fn check(&self) -> Result<(), Refusal> {
        if !self.0.iter().any(|(name, _)| name == "root") {
            return Err(Refusal::Form("the grammar has no rule `root`".into()));
        }
        match self.0.iter().find(|(_, defined)| !defined) {
            Some((name, _)) => {
                Err(Refusal::Form(format!("the grammar names the rule `{name}` but does not define it")))
            }
            None => Ok(()),
        }
    }
}

enum Token {
    Name(String),
    Text(String),
    /// A regular expression of one character.
    Class(String),
    Mark(String),
}

type Source<'a> = Peekable<Chars<'a>>;

fn next(chars: &mut Source<'_>) -> Result<Option<Token>, Refusal> {
    skip_space(chars);
    let Some(c) = chars.next() else { return Ok(None) };
    Ok(Some(match c {
        '"' => {
            let mut text = String::new();
            loop {
                match chars.next().ok_or_else(|| Refusal::Form("a literal of the grammar has no end".into()))? {
                    '"' => break,
                    '\\' => text.push(escape(chars)?),
                    c => text.push(c),
                }
            }
            Token::Text(text)
        }
        '[' => Token::Class(class(chars)?),
        '.' => Token::Class("(?s:.)".into()),
        '(' | '|' => Token::Mark(format!(" {c}")),
        ')' | '*' | '+' | '?' => Token::Mark(c.into()),
        '{' => {
            let range: String = chars.by_ref().take_while(|c| *c != '}').filter(|c| !c.is_whitespace()).collect();
            if range.is_empty() || !range.chars().all(|c| c.is_ascii_digit() || c == ',') {
                return Err(Refusal::Form(format!("the grammar repeats something {{{range:.20}}} times")));
            }
            Token::Mark(format!("{{{range}}}"))
        }
        c if is_name(c) => {
            let mut name = String::from(c);
            while let Some(c) = chars.next_if(|c| is_name(*c)) {
                name.push(c);
            }
            Token::Name(name)
        }
        c => return Err(Refusal::Form(format!("the grammar has {c:?} where a rule, a literal or a class should be"))),
    }))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn skip_space(chars: &mut Source<'_>) {
    while let Some(c) = chars.next_if(|c| c.is_whitespace() || *c == '#') {
        if c == '#' {
            while chars.next_if(|c| *c != '\n').is_some() {}
        }
    }
}

/// Whether `::=` follows, which is then taken.
fn is_definition(chars: &mut Source<'_>) -> bool {
    let mut ahead = chars.clone();
    skip_space(&mut ahead);
    let follows = [':', ':', '='].iter().all(|mark| ahead.next() == Some(*mark));
    if follows {
        *chars = ahead;
    }
    follows
}

/// The inside of brackets, as a regular expression's class.
fn class(chars: &mut Source<'_>) -> Result<String, Refusal> {
    let broken = || Refusal::Form("a class of the grammar has no end".into());
    let mut out = String::from("[");
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut empty = true;
    loop {
        match chars.next().ok_or_else(broken)? {
            ']' if !empty => break,
            ']' => return Err(Refusal::Form("a class of the grammar is empty".into())),
            '-' => out.push('-'),
            '\\' => {
                let c = escape(chars)?;
                push(&mut out, c);
            }
            c => push(&mut out, c),
        }
        empty = false;
    }
    out.push(']');
    Ok(out)
}

/// Adds a character to a class, as what it is.
fn push(class: &mut String, c: char) {
    class.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
}

fn escape(chars: &mut Source<'_>) -> Result<char, Refusal> {
    let broken = || Refusal::Form("the grammar has a backslash that escapes nothing".into());
    let digits = match chars.next().ok_or_else(broken)? {
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        c @ ('\\' | '"' | '[' | ']' | '^' | '-' | '/') => return Ok(c),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Err(broken()),
    };
    let digits: String = chars.by_ref().take(digits).collect();
    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).ok_or_else(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grammar_is_the_same_in_larks_syntax() {
        let gbnf = "# a list\nroot ::= item (\",\" Item2)* # more\nitem ::= [a-z\\]\\x41]{1,3}\n  | \"a\\\"b\\n\"\nItem2 ::= .? [^\\n]+";
        let lark = "\nstart: g1 ( \",\" g2)*\ng1: /[\\x{61}-\\x{7a}\\x{5d}\\x{41}]/{1,3} | \"a\\\"b\\n\"\ng2: /(?s:.)/? /[^\\x{a}]/+\n";
        assert_eq!(to_lark(gbnf).unwrap(), lark);
    }

    #[test]
    fn what_is_no_grammar_is_refused() {
        for wrong in [
            "",
            "a ::= \"x\"",
            "root ::= b",
            "root ::= \"x",
            "root ::= [x",
            "root ::= []",
            "root ::= \"\\q\"",
            "root ::= \"x\" root ::= \"y\"",
            "root ::= %",
            "\"x\"",
            "root ::= \"x\"{a}",
        ] {
            assert!(to_lark(wrong).is_err(), "{wrong}");
        }
    }
}
