//! No template takes the process down, and none is refused that only has much to do.

use std::fmt::Write;

use chat::{Error, Options, Rendered, Template};
use serde_json::json;

fn render(source: &str) -> Result<Rendered, Error> {
    let template = Template::new(source, Some("<s>"), Some("</s>"), vec!["<|end|>".into()])?;
    let messages = [json!({"role": "user", "content": "0123456789"})];
    template.render(&messages, &Options { add_generation_prompt: true, unix_time: 0 })
}

#[test]
fn deep_nesting_overflows_no_stack() {
    const DEPTH: usize = 20_000;
    let statements = |statement: &str| statement.repeat((1 << 16) / statement.len());
    for source in [
        format!("{{{{ {}1{} }}}}", "(".repeat(DEPTH), ")".repeat(DEPTH)),
        format!("{{{{ {}1{} }}}}", "[".repeat(DEPTH), "]".repeat(DEPTH)),
        format!("{{{{ {}1 }}}}", "-".repeat(3 * DEPTH)),
        format!("{{{{ {}1 }}}}", "not ".repeat(DEPTH / 2)),
        format!("{{{{ 1{} }}}}", "-1".repeat(DEPTH)),
        format!("{{{{ 1{} }}}}", "~1".repeat(DEPTH / 10)),
        format!("{{{{ x{} }}}}", ".x".repeat(DEPTH)),
        format!("{{{{ x{} }}}}", "[0]".repeat(DEPTH)),
        format!("{{{{ 'x'{} }}}}", "|trim".repeat(DEPTH / 2)),
        format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(DEPTH / 5)),
        format!("{{{{ 1{} }}}}", "**1".repeat(DEPTH)),
        statements("{%if 1%}"),
        format!("{{% if 1 %}}{}{{% endif %}}", statements("{%elif 1%}x")[..60_000].to_owned()),
        statements("{%set x=[[[[[[[[x]]]]]]]]%}"),
    ] {
        // Refused, stopped or rendered: all are fine as long as the process lives.
        match render(&source) {
            Ok(rendered) => assert!(rendered.text.len() < 1 << 24),
            Err(Error::Template(problem)) => assert!(!problem.contains("more than the"), "{problem}"),
            Err(_) => {}
        }
    }
}

/// The longer the messages, the more fuel there is for nesting.
#[test]
fn nesting_as_deep_as_a_long_message_pays_for_overflows_no_stack() {
    let content = "x".repeat(4 << 20);
    let messages = [json!({"role": "user", "content": content})];
    for behind in ["", "{{ ns.x }}", "{{ ns.x|tojson }}", "{{ ns.x == [ns.x] }}", "{{ {ns.x: 1} }}"] {
        let source = format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range(16000) %}}{{% set ns.x = {}ns.x{} %}}{{% endfor %}}{behind}",
            "[".repeat(16),
            "]".repeat(16),
        );
        let template = Template::new(&source, None, None, vec![]).unwrap();
        let rendered = template.render(&messages, &Options::default());
        assert!(!matches!(rendered, Err(Error::Template(_) | Error::Raised(_))), "{behind}: {rendered:?}");
    }
}

#[test]
fn a_long_conversation_is_no_attack() {
    let source = "{% for m in messages %}{% if '<think>' in m.content %}{{ m.content.split('<think>')[0] }}{% endif %}\
        {{ '<|im_start|>' + m.role + '\n' + m.content|trim + '<|im_end|>\n' }}{% endfor %}";
    let template = Template::new(source, None, None, vec!["<|im_end|>".into()]).unwrap();
    let one = "<|im_end|>".repeat(100_000);
    let messages = [json!({"role": "user", "content": one})];
    let rendered = template.render(&messages, &Options::default()).unwrap();
    assert_eq!(rendered.literal.len(), 100_000);
    let messages = vec![json!({"role": "user", "content": ""}); 20_000];
    let rendered = template.render(&messages, &Options::default()).unwrap();
    assert_eq!(rendered.text.matches("<|im_start|>user").count(), 20_000);
}

#[test]
fn a_fault_in_the_source_is_told_with_its_line() {
    let mut source = String::new();
    for line in 1..6 {
        writeln!(source, "line {line}").unwrap();
    }
    for fault in ["{% for %}", "{{ 1 + }}", "{% if x %}", "{{ 'a' | nosuchfilter }}", "{% unknown %}"] {
        let error = render(&format!("{source}{fault}")).unwrap_err().to_string();
        assert!(error.starts_with("the chat template cannot be used: ") && error.contains(":6)"), "{fault}: {error}");
    }
    let error = render(&format!("{source}{{{{ messages[0].content.nosuchmethod() }}}}")).unwrap_err().to_string();
    assert!(error.contains("nosuchmethod") && error.contains(":6)"), "{error}");
    let long = Template::new(&"x".repeat(1 << 20), None, None, vec![]).map(|_| ()).unwrap_err().to_string();
    assert!(long.contains("1048576 bytes"), "{long}");
}
