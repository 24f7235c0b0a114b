//! Templates that want too much are stopped before they eat memory. Alone in its process, whose memory is measured.

use chat::{Error, Options, Rendered, Template};
use serde_json::json;

fn render(source: &str) -> Result<Rendered, Error> {
    let template = Template::new(source, Some("<s>"), Some("</s>"), vec!["<|end|>".into()])?;
    let messages = [json!({"role": "user", "content": "0123456789"})];
    template.render(&messages, &Options { add_generation_prompt: true, unix_time: 0 })
}

#[test]
fn what_never_ends_or_grows_without_end_is_stopped() {
    let before = peak_kilobytes();
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s * 9 %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xxx') %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s|replace('x', 'xxx') %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s]|join(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.join([ns.s, ns.s]) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s]|tojson %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = '{0}{0}'.format(ns.s) %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set t %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = t %}{% endfor %}",
        "{% macro m(s) %}{{ s }}{{ s }}{% endmacro %}{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = m(ns.s) %}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
        "{{ 'x' * 10000000000000000000000 }}",
        "{{ '{:999999999d}'.format(1) }}",
        "{{ 'a\nb'|indent(999999999) }}",
        "{{ [1]|tojson(indent=99999999999) }}{{ 'x' * 99999999 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = '%s%s'|format(ns.s, ns.s) %}{% endfor %}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '%.999999999f'|format(1.5) }}",
        "{{ '%*d'|format(999999999, 1) }}",
        "{{ '{:{}}'.format(1, 999999999) }}",
        "{{ '{:.999999999f}'.format(1.5) }}",
        "{{ '{:>9999999}'.format('x') }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in [[]] recursive %}{{ loop([[]]) }}{% endfor %}",
        "{{ range(999999999999) }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
    ] {
        match render(source) {
            Err(Error::Exhausted { .. } | Error::Template(_)) => {}
            other => panic!("{source}: {:?}", other.map(|rendered| rendered.text.len())),
        }
    }
    let grown = peak_kilobytes() - before;
    assert!(grown < 200_000, "{grown} kB more than before");
}

/// The most memory that this process has had.
fn peak_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
