//! Flags without targeting are evaluated without an allocation; this test has an allocator that counts.

use fizzops::domain::{EventMask, Rule, RuleSet, Timestamp};
use fizzops::mechanisms::flags::flagd::{Definitions, Generation};
use fizzops::mechanisms::flags::{FlagsConfig, FlagsMiddleware};
use fizzops::pipeline::{Context, Middleware, Outbox};

fn rules() -> RuleSet {
    let mut rules = RuleSet::classic().rules().to_vec();
    rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
    RuleSet::new(rules).unwrap()
}

fn allocations(flags: &mut FlagsMiddleware) -> u64 {
    let mut out = Outbox::new(EventMask::NONE, 0);
    let all = rules().all();
    let mut context = Context::new(0, 0, all, Timestamp::EPOCH);
    let counted = allocation_counter::measure(|| {
        for number in -5_000..5_000 {
            context.number = number;
            context.rules = all;
            let _ = std::hint::black_box(flags.enter(&mut context, &mut out));
        }
    });
    counted.count_total
}

fn flags(file: Option<&str>) -> FlagsMiddleware {
    let config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
    let mut flags = FlagsMiddleware::new(&config, &rules()).unwrap();
    if let Some(text) = file {
        flags.load(&Definitions::parse(text, "flags.yaml", Generation::V3).unwrap()).unwrap();
    }
    flags.attribute("locale", "en");
    flags
}

#[test]
fn allocations_are_counted() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8]))).count_total, 1);
}

#[test]
fn flags_without_targeting_allocate_nothing() {
    assert_eq!(allocations(&mut flags(None)), 0, "the predefined ones");
    let text = r#"
flags:
  fizz: {state: ENABLED, variants: {on: true, off: false}, defaultVariant: "on", metadata: {fizzops.rule: Fizz}}
  buzz: {state: DISABLED, variants: {on: true, off: false}, defaultVariant: "on", metadata: {fizzops.rule: Buzz}}
  wuzz: {state: ENABLED, variants: {on: true, off: false}, metadata: {fizzops.rule: Wuzz, fizzops.depends_on: fizz}}
"#;
    assert_eq!(allocations(&mut flags(Some(text))), 0, "flagd's");
}

/// The arena of targeting is used again, so it costs its first piece alone.
#[test]
fn targeting_allocates_once() {
    let text = r#"
flags:
  wuzz:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "off"
    targeting: {if: [{"==": [{var: locale}, en]}, {fractional: [["on", 30], ["off", 70]]}, "off"]}
    metadata: {fizzops.rule: Wuzz}
"#;
    let mut flags = flags(Some(text));
    allocations(&mut flags);
    assert_eq!(allocations(&mut flags), 0, "from the second time on");
}
