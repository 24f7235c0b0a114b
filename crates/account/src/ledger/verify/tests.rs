use std::{
    io::Write,
    process::{Command, Stdio},
};

use proptest::prelude::*;

use super::*;
use crate::{
    Cause, Class, KeyId, Nano, PerClass, Price, PriceId, ProjectId, RequestId, Service, Timestamp,
    ledger::{Charge, CreditSource, Terms},
};

const ORG: OrgId = OrgId::from_bytes([1; 16]);

fn terms(counts: [u64; 6], rates: [i64; 6], service: Service) -> Terms {
    let price = Price::new(PerClass(rates.map(Nano::new)), 500).unwrap();
    Terms::of(PriceId::from_bytes([5; 16]), &price, service, PerClass(counts))
}

fn charge(request: u8, model: &str, terms: Terms) -> Charge {
    Charge {
        request: RequestId::from_bytes([request; 16]),
        project: ProjectId::from_bytes([2; 16]),
        key: KeyId::from_bytes([3; 16]),
        model: model.into(),
        cause: Cause::Finished,
        service: Service::Standard,
        terms,
    }
}

/// A chain with one line of each kind and all that a model's name may hold.
fn chain() -> Vec<String> {
    let at = Timestamp::from_millis(1_764_090_000_000);
    let credit = Head::EMPTY.credit(ORG, at, CreditSource::Grant, "invoice 17", Nano::new(1_000_000)).unwrap();
    let used = terms([100, 20, 30, 0, 0, 1], [2_500_000, 500_001, 10_000_000, 9, 9, 7], Service::Standard);
    let first = credit.head().charge(ORG, at, charge(1, "org/smollm2-135m:q4", used)).unwrap();
    let second = first.head().charge(ORG, at, charge(2, "name with blank\nand = ü %", used)).unwrap();
    let cheaper = terms([100, 20, 30, 0, 0, 1], [1_000_000, 0, 1_000_000, 0, 0, 0], Service::Batch);
    let old = i128::from(first.amount.get());
    let amount = -i128::from(cheaper.cost().unwrap().get()) - old;
    let amount = Nano::new(amount.try_into().unwrap());
    let third = second.head().correct(ORG, at, 2, Some(cheaper), amount).unwrap();
    let fourth = third.head().correct(ORG, at, 1, None, Nano::new(-5)).unwrap();
    [credit, first, second, third, fourth].iter().map(Line::text).collect()
}

fn check(lines: &[String]) -> Result<Head, Fault> {
    verify(ORG, lines.iter().map(String::as_str))
}

/// What the independent program says of a chain: its head, or `None` when it refuses.
fn python(lines: &[String]) -> Option<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verify_ledger.py");
    let mut child = Command::new("python3")
        .args([script, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python starts");
    let mut text = lines.join("\n");
    text.push('\n');
    // A program that refuses early does not read to the end.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn a_chain_verifies_here_and_in_the_independent_program() {
    let lines = chain();
    let head = check(&lines).unwrap();
    assert_eq!(head.number, 5);
    let expect = format!("{} lines {} hash {} balance {}", ORG, head.number, head.hash, head.balance.get());
    assert_eq!(python(&lines), Some(expect));
    assert_eq!(check(&[]), Ok(Head::EMPTY));
}

/// Bytes that customers have printed must stay what they are.
#[test]
fn the_canonical_bytes_stay() {
    let lines = chain();
    let documented = include_str!("../../../../../docs/ledger.md");
    for line in lines {
        assert!(documented.contains(&format!("\n{line}\n")), "docs/ledger.md lacks the example\n{line}");
    }
}

#[test]
fn every_way_to_tamper_is_found_by_both() {
    let lines = chain();
    let swap = |from: &str, to: &str| lines.iter().map(|line| line.replacen(from, to, 1)).collect::<Vec<_>>();
    let mut tampered = vec![
        swap("invoice", "INVOICE").into_iter().rev().collect(),
        lines[1..].to_vec(),
        [&lines[..2], &lines[3..]].concat(),
        [&lines[..2], &lines[1..]].concat(),
        vec![lines[0].clone(), lines[2].clone(), lines[1].clone()],
    ];
    for (from, to) in [
        ("amount=1000000", "amount=1000001"),
        ("input=100x", "input=101x"),
        ("share=1000", "share=999"),
        ("x2500000", "x2500001"),
        ("corrects=2", "corrects=3"),
        ("corrects=2", "corrects=4"),
        ("balance=", "balance=1"),
        ("cause=finished", "cause=length"),
        ("key=key_03", "key=key_04"),
        ("v1 ", "v2 "),
        (" charge ", "  charge "),
        ("1764090000000", "01764090000000"),
        ("org_01", "org_02"),
        ("%20", " "),
        ("%0A", "%0a"),
    ] {
        let changed = swap(from, to);
        assert_ne!(changed, lines, "{from} is nowhere");
        tampered.push(changed);
    }
    for lines in tampered {
        assert!(check(&lines).is_err(), "{lines:#?}");
        assert_eq!(python(&lines), None, "{lines:#?}");
    }
}

/// Who wrote the chain can write another one; only a head that somebody kept tells.
#[test]
fn an_amount_that_its_terms_do_not_give_is_found_though_the_chain_is_whole() {
    let lines = chain();
    let mut line = Line::parse(&lines[1]).unwrap();
    line.amount = line.amount.minus(Nano::new(1)).unwrap();
    line.balance = line.balance.minus(Nano::new(1)).unwrap();
    let forged = [lines[0].clone(), line.text()];
    assert_eq!(check(&forged).unwrap_err().what, FaultKind::Amount);
    assert_eq!(python(&forged), None);
    line.amount = line.amount.plus(Nano::new(1)).unwrap();
    let forged = [lines[0].clone(), line.text()];
    assert_eq!(check(&forged).unwrap_err().what, FaultKind::Balance);
    assert_eq!(python(&forged), None);
}

#[test]
fn a_chain_that_was_cut_has_another_head() {
    let lines = chain();
    let whole = check(&lines).unwrap();
    let cut = check(&lines[..4]).unwrap();
    assert_ne!(whole.hash, cut.hash);
    assert_ne!(python(&lines), python(&lines[..4]));
}

#[test]
fn nothing_is_corrected_that_is_not_there() {
    let head = Line::parse(&chain()[0]).unwrap().head();
    for corrects in [0, 2] {
        let at = Timestamp::from_millis(0);
        assert!(head.correct(ORG, at, corrects, None, Nano::new(1)).is_err());
    }
}

proptest! {
    /// Every line reads back, and no other text reads as it.
    #[test]
    fn the_text_reads_back(
        model in ".{0,40}", counts: [u64; 6], rates in prop::array::uniform6(0..i64::MAX), share in 0_u16..1001,
        amount: i64, balance: i64, number: u64, millis in 0_i64..1 << 45,
    ) {
        let mut used = terms(counts, rates, Service::Batch);
        used.share = share;
        let line = Line {
            org: ORG,
            number,
            at: Timestamp::from_millis(millis),
            previous: LineHash::from_bytes([9; 32]),
            entry: Entry::Charge(charge(1, &model, used)),
            amount: Nano::new(amount),
            balance: Nano::new(balance),
        };
        let text = line.text();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
        prop_assert_eq!(Line::parse(&text), Ok(line));
        for other in [format!("{text} "), text.replacen(" charge", "\tcharge", 1)] {
            prop_assert!(Line::parse(&other).is_err());
        }
    }

    /// The cost of random terms, in Python's own integers.
    #[test]
    fn both_compute_the_same_cost(seed in prop::collection::vec((0_u64..1 << 30, 0_i64..1 << 30), 6), batch: bool) {
        let service = if batch { Service::Batch } else { Service::Standard };
        let counts = Class::ALL.map(|class| seed[class as usize].0);
        let rates = Class::ALL.map(|class| seed[class as usize].1);
        let line = Head::EMPTY.charge(ORG, Timestamp::from_millis(1), charge(1, "m", terms(counts, rates, service))).unwrap();
        // A process for each case is slow, so most are compared with the rule itself.
        let sum: u128 = seed.iter().map(|(count, rate)| u128::from(*count) * u128::try_from(*rate).unwrap()).sum();
        let sum = sum * if batch { 500 } else { 1000 };
        let (whole, rest) = (sum / 1_000_000_000, sum % 1_000_000_000);
        let up = rest > 500_000_000 || (rest == 500_000_000 && whole % 2 == 1);
        prop_assert_eq!(-i128::from(line.amount.get()), i128::try_from(whole + u128::from(up)).unwrap());
    }
}
