//! What flags do to numbers, commands and files that change.

use std::collections::BTreeMap;

use super::flag::Lifecycle;
use super::flagd::{Definitions, Generation};
use super::*;
use crate::domain::{ErrorCode, EventMask, Rule, RuleMask, RuleSet, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

fn rules() -> RuleSet {
    let mut rules = RuleSet::classic().rules().to_vec();
    rules.push(Rule::new("WuzzRule", 7, "Wuzz", 3));
    RuleSet::new(rules).unwrap()
}

fn flags() -> FlagsMiddleware {
    FlagsMiddleware::new(&FlagsConfig { enabled: true, ..FlagsConfig::default() }, &rules()).unwrap()
}

fn output(flags: &mut FlagsMiddleware, number: i64) -> String {
    let mut context = Context::new(0, number, rules().all(), Timestamp::EPOCH);
    assert_eq!(flags.enter(&mut context, &mut Outbox::new(EventMask::ALL, 100)), Flow::Continue);
    let matched = rules().matches(number, context.rules);
    if matched.is_empty() { number.to_string() } else { rules().label(matched).to_string() }
}

#[test]
fn the_experiment_shows_for_the_numbers_that_are_in_it() {
    let mut flags = flags();
    assert_eq!(output(&mut flags, 14), "Wuzz");
    assert_eq!(output(&mut flags, 7), "7");
    let mut out = Outbox::new(EventMask::NONE, 0);
    let all = FlagsCommand::Roll { flag: "wuzz_rule_experimental".into(), percentage: 100.0 };
    flags.command(&all, "operator", Timestamp::EPOCH, &mut out).unwrap();
    assert_eq!(output(&mut flags, 105), "FizzBuzzWuzz");
}

#[test]
fn a_rule_that_is_off_does_not_show() {
    let mut flags = flags();
    flags.override_with("fizz_rule_enabled=NO").unwrap();
    assert_eq!((output(&mut flags, 3), output(&mut flags, 15)), ("3".into(), "Buzz".into()));
    let view = flags.view();
    let fizz = view.flags.iter().find(|flag| flag.name == "fizz_rule_enabled").unwrap();
    assert_eq!((fizz.enabled, fizz.evaluations, fizz.on), (false, 2, 0));
}

#[test]
fn a_flag_is_off_when_one_that_it_needs_is() {
    let mut config = FlagsConfig { enabled: true, ..FlagsConfig::default() };
    config.predefined_flags.get_mut("buzz_rule_enabled").unwrap().depends_on = vec!["fizz_rule_enabled".into()];
    let mut flags = FlagsMiddleware::new(&config, &rules()).unwrap();
    assert_eq!(output(&mut flags, 5), "Buzz");
    flags.override_with("fizz_rule_enabled=0").unwrap();
    assert_eq!(output(&mut flags, 5), "5");
}

#[test]
fn circles_and_unknown_names_are_told() {
    let mut config = FlagsConfig::default();
    let mut depend = |flag: &str, on: &str| {
        config.predefined_flags.get_mut(flag).unwrap().depends_on = vec![on.into()];
    };
    depend("wuzz_rule_experimental", "wuzz_prime_targeting");
    let error = FlagsMiddleware::new(&config, &rules()).unwrap_err();
    let path = "wuzz_prime_targeting -> wuzz_rule_experimental -> wuzz_prime_targeting";
    assert_eq!(error, FlagsError::Cycle(path.into()));
    let error = flags().override_with("fizz_rule_enabld=on").unwrap_err();
    assert!(error.to_string().contains("did you mean `fizz_rule_enabled`?"), "{error}");
    assert!(flags().override_with("fizz_rule_enabled").is_err());
    assert!(flags().override_with("fizz_rule_enabled=perhaps").is_err());
}

/// The rules of the pipeline as a file of definitions, the experiment's by `fractional`.
const FILE: &str = r#"
flags:
  fizz:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "on"
    metadata: {fizzops.rule: Fizz, description: multiples of 3}
  buzz:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "on"
    targeting: {if: [{"==": [{var: locale}, ja]}, "off"]}
    metadata: {fizzops.rule: Buzz, fizzops.depends_on: fizz}
  wuzz:
    state: ENABLED
    variants: {on: true, off: false}
    defaultVariant: "off"
    targeting: {fractional: [["on", 30], ["off", 70]]}
    metadata: {fizzops.rule: Wuzz}
"#;

fn definitions(text: &str) -> Definitions {
    Definitions::parse(text, "flags.yaml", Generation::V3).unwrap()
}

fn of_file(text: &str) -> FlagsMiddleware {
    let mut flags = flags();
    flags.experiment(RuleMask::NONE.with(2));
    flags.load(&definitions(text)).unwrap();
    flags
}

fn told(flags: &mut FlagsMiddleware, command: FlagsCommand) -> Result<String, FlagsError> {
    flags.command(&command, "operator", Timestamp::from_millis(5), &mut Outbox::new(EventMask::ALL, 100))
}

fn view(flags: &FlagsMiddleware, name: &str) -> FlagView {
    flags.view().flags.into_iter().find(|flag| flag.name == name).unwrap()
}

#[test]
fn a_file_decides_rules_by_variant_and_tells_why() {
    let mut flags = of_file(FILE);
    assert_eq!(output(&mut flags, 15), "FizzBuzz");
    let on: u64 = (0..10_000).map(|number| u64::from(output(&mut flags, number * 7).contains("Wuzz"))).sum();
    assert!((2_800..3_200).contains(&on), "{on} of 10 000 are in 30 %");
    let wuzz = view(&flags, "wuzz");
    assert_eq!(wuzz.reasons, [(Reason::TargetingMatch, 10_001)]);
    assert_eq!(wuzz.variants.iter().map(|(_, count)| count).sum::<u64>(), 10_001);
    assert_eq!(wuzz.rollout, "fractional v3");
    assert_eq!(view(&flags, "fizz").rollout, "on");
    flags.attribute("locale", "ja");
    assert_eq!(output(&mut flags, 15), "Fizz");
    assert_eq!(view(&flags, "buzz").reasons, [(Reason::Default, 10_001), (Reason::TargetingMatch, 1)]);
    flags.override_with("fizz=off").unwrap();
    assert_eq!(output(&mut flags, 15), "15", "Buzz depends on it");
    let buzz = view(&flags, "buzz");
    assert!(buzz.reasons.contains(&(Reason::DependencyNotMet, 1)), "{buzz:?}");
    assert_eq!(view(&flags, "fizz").reasons, [(Reason::Static, 10_002), (Reason::Disabled, 1)]);
}

#[test]
fn the_hot_path_and_the_question_from_outside_agree() {
    let mut flags = of_file(FILE);
    flags.attribute("locale", "en");
    let names = ["fizz", "buzz", "wuzz"];
    for number in -300..300 {
        output(&mut flags, number);
        let context = context_of(number, &[("locale".into(), "en".into())]);
        for name in names {
            let asked = flags.set().resolve(name, &context, Timestamp::EPOCH).value == Some(true.into());
            assert_eq!(flags.set().is_on(name), Some(asked), "{name} for {number}");
        }
    }
}

#[test]
fn the_experiments_rule_is_off_where_no_flag_switches_it() {
    let file = "flags: {fizz: {state: ENABLED, variants: {on: true}, defaultVariant: \"on\"}}";
    assert_eq!(output(&mut of_file(file), 105), "FizzBuzz");
}

#[test]
fn a_reload_keeps_what_operators_set_where_the_definition_is_the_same() {
    let mut flags = of_file(FILE);
    output(&mut flags, 15);
    told(&mut flags, FlagsCommand::Toggle { flag: "fizz".into() }).unwrap();
    let text = FILE.replace("30]", "60]").replace("  buzz:", "  bizz:").replace("Rule: Buzz", "Rule: Bizz");
    let mut out = Outbox::new(EventMask::ALL, 100);
    let reload = FlagsCommand::Reload { definitions: definitions(&text) };
    let answer = flags.command(&reload, "flags.yaml", Timestamp::from_millis(7), &mut out).unwrap();
    assert_eq!(answer, "flags.yaml is in force: added bizz, changed wuzz, removed buzz, 1 as before");
    let events = serde_json::to_string(&out.take()).unwrap();
    assert_eq!(events.matches("FLAG_STATE_CHANGED").count(), 3, "{events}");
    let fizz = view(&flags, "fizz");
    assert_eq!((fizz.enabled, fizz.evaluations), (false, 1));
    assert_eq!(view(&flags, "wuzz").evaluations, 0, "it is another flag now");
    assert_eq!(flags.view().file.unwrap().loaded, Some(Timestamp::from_millis(7)));
}

#[test]
fn a_bad_file_is_refused_whole_and_the_definitions_from_before_stay() {
    let mut flags = of_file(FILE);
    let error = Definitions::parse(&FILE.replace("30]", "2147483647]"), "flags.yaml", Generation::V3).unwrap_err();
    let failed = FlagsCommand::ReloadFailed { file: "flags.yaml".into(), problem: error.to_string() };
    let error = told(&mut flags, failed).unwrap_err();
    assert_eq!(
        error.to_string(),
        "flags.yaml is refused, the definitions from before stay: flags.yaml:18:17: flags.wuzz.targeting.fractional: \
         the weights sum to 2147483717; 2147483647 is the most [rule weights]"
    );
    assert_eq!(output(&mut flags, 15), "FizzBuzz");
    let file = flags.view().file.unwrap();
    assert_eq!(file.refused.map(|(_, at)| at), Some(Timestamp::from_millis(5)));
    told(&mut flags, FlagsCommand::Reload { definitions: definitions(FILE) }).unwrap();
    assert_eq!(flags.view().file.unwrap().refused, None);
}

#[test]
fn a_flags_life_goes_one_way() {
    let mut flags = flags();
    let flag = || "fizz_rule_enabled".to_owned();
    let error = told(&mut flags, FlagsCommand::Lifecycle { flag: flag(), to: Lifecycle::Archived }).unwrap_err();
    assert_eq!(error.code(), ErrorCode::FlagLifecycle);
    assert_eq!(error.to_string(), "flag `fizz_rule_enabled` cannot go from active to archived; next can be deprecated");
    let answer = told(&mut flags, FlagsCommand::Lifecycle { flag: flag(), to: Lifecycle::Deprecated }).unwrap();
    assert_eq!(answer, "flag fizz_rule_enabled is on (boolean, deprecated)");
    assert_eq!(output(&mut flags, 15), "Buzz", "a deprecated flag is off");
    assert_eq!(view(&flags, "fizz_rule_enabled").reasons, [(Reason::Inactive, 1)]);
}

#[test]
fn commands_with_definitions_survive_being_written() {
    let command = FlagsCommand::Reload { definitions: definitions(FILE) };
    let json = serde_json::to_string(&command).unwrap();
    assert_eq!(serde_json::from_str::<FlagsCommand>(&json).unwrap(), command);
    let broken = json.replace("defaultVariant: ", "default: ");
    let error = serde_json::from_str::<FlagsCommand>(&broken).unwrap_err();
    assert!(error.to_string().contains("[rule known-key]"), "{error}");
}

#[test]
fn the_shipped_file_holds_the_references_flags() {
    let shipped = definitions(include_str!("../../../config/flags.yaml"));
    assert_eq!(shipped.warnings(), []);
    let set = FlagSet::load(&shipped, &rules()).unwrap();
    let flags: BTreeMap<_, _> = set.views().into_iter().map(|flag| (flag.name.clone(), flag)).collect();
    let own = FlagSet::of(&FlagsConfig::default().predefined_flags, &rules()).unwrap();
    let own: BTreeMap<_, _> = own.views().into_iter().map(|flag| (flag.name.clone(), flag)).collect();
    assert_eq!(flags, own);
    assert_eq!(flags.len(), 7);
}

#[test]
fn explaining_tells_every_step() {
    let flags = flags();
    let mut context = context_of(14, &[]);
    let told = flags.set().explain("wuzz_prime_targeting", &context, Timestamp::EPOCH).unwrap();
    let steps: Vec<_> = told.nodes.iter().map(|node| (node.rule.as_str(), node.value.clone().unwrap())).collect();
    let expected = [
        ("is it enabled?", true.into()),
        ("may it be on?", true.into()),
        ("is wuzz_rule_experimental on?", serde_json::Value::Bool(true)),
        ("primes", false.into()),
    ];
    assert_eq!(steps, expected);
    context = context_of(7, &[]);
    let told = flags.set().explain("wuzz_rule_experimental", &context, Timestamp::EPOCH).unwrap();
    let last = told.nodes.last().unwrap();
    assert_eq!(last.note.as_deref(), Some("bucket 83.8071 of 100, in below 30"));
}
