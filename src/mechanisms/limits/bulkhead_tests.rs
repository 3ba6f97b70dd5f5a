//! The bulkhead against an obvious version, and in the chain.

use std::time::Duration;

use proptest::prelude::*;

use super::bulkhead::*;
use crate::domain::{ErrorCode, EventMask, Outcome, RuleMask, Timestamp};
use crate::pipeline::{Context, Flow, Middleware, Outbox};

#[derive(Debug, Clone)]
enum Op {
    Acquire,
    TryAcquire,
    Release,
    Cancel(usize),
}

fn operations() -> impl Strategy<Value = Vec<(u64, Op)>> {
    let op = prop_oneof![
        4 => Just(Op::Acquire),
        1 => Just(Op::TryAcquire),
        3 => Just(Op::Release),
        1 => (0_usize..8).prop_map(Op::Cancel),
    ];
    prop::collection::vec((0_u64..60, op), 1..150)
}

proptest! {
    /// The obvious version: a list of who is in and a list of who waits since when.
    #[test]
    fn places_and_queue_are_first_come_first_served(
        max_concurrent in 1_u32..4,
        max_queue in 0_u32..4,
        operations in operations(),
    ) {
        let max_wait_ms = 100;
        let config = BulkheadConfig { enabled: true, max_concurrent, max_queue, max_wait_ms };
        let mut bulkhead = Bulkhead::new(&config).unwrap();
        let (mut inside, mut waiting) = (0_u32, Vec::<(u64, u64)>::new());
        let (mut now_ms, mut ticket) = (1_000_u64, 0_u64);
        for (advance, op) in operations {
            now_ms += advance;
            let now = Timestamp::from_millis(now_ms);
            let expiry = waiting.first().map(|(_, since)| since + max_wait_ms);
            prop_assert_eq!(
                bulkhead.next_expiry(),
                expiry.map(|ms| Timestamp::from_millis(ms) + Duration::from_nanos(1))
            );
            while let Some((next, since)) = waiting.first().copied() {
                let turn = if now_ms > since + max_wait_ms {
                    Turn::Expired(next)
                } else if inside < max_concurrent {
                    inside += 1;
                    Turn::Admitted(next)
                } else {
                    break;
                };
                waiting.remove(0);
                prop_assert_eq!(bulkhead.poll(now), Some(turn));
            }
            prop_assert_eq!(bulkhead.poll(now), None);
            match op {
                Op::Acquire => {
                    ticket += 1;
                    let answer = bulkhead.acquire(ticket, now);
                    if inside < max_concurrent && waiting.is_empty() {
                        inside += 1;
                        prop_assert_eq!(answer, Admission::Admitted);
                    } else if waiting.len() < max_queue as usize {
                        waiting.push((ticket, now_ms));
                        prop_assert_eq!(answer, Admission::Queued);
                    } else {
                        let refused = matches!(answer, Admission::Refused { .. });
                        prop_assert!(refused);
                    }
                }
                Op::TryAcquire => {
                    let free = inside < max_concurrent && waiting.is_empty();
                    inside += u32::from(free);
                    prop_assert_eq!(bulkhead.try_acquire(), free);
                }
                Op::Release if inside > 0 => {
                    inside -= 1;
                    bulkhead.release(Duration::from_millis(7));
                }
                Op::Release => {}
                Op::Cancel(place) => {
                    let whose = waiting.get(place).map_or(u64::MAX, |(ticket, _)| *ticket);
                    prop_assert_eq!(bulkhead.cancel(whose), place < waiting.len());
                    waiting.retain(|(ticket, _)| *ticket != whose);
                }
            }
            prop_assert_eq!((bulkhead.active(), bulkhead.queued()), (inside, waiting.len()));
            prop_assert!(bulkhead.active() <= max_concurrent);
        }
    }
}

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Bench {
    bulkhead: BulkheadMiddleware,
    out: Outbox,
}

impl Bench {
    fn new(max_concurrent: u32, max_queue: u32) -> Self {
        let config = BulkheadConfig { enabled: true, max_concurrent, max_queue, ..BulkheadConfig::default() };
        let out = Outbox::new(EventMask::NONE, 0);
        Self { bulkhead: BulkheadMiddleware::new(&config).unwrap(), out }
    }

    fn enter(&mut self, sequence: u64) -> (Flow, Context) {
        let mut context = Context::new(sequence, 15, RuleMask::NONE, NOW);
        (self.bulkhead.enter(&mut context, &mut self.out), context)
    }

    fn leave(&mut self, mut context: Context, ms: u64) {
        context.now = NOW + Duration::from_millis(ms);
        self.bulkhead.leave(&mut context, &mut self.out);
    }

    fn order(&mut self, command: &BulkheadCommand) -> String {
        self.bulkhead.command(command, "ops", NOW, &mut self.out).unwrap()
    }
}

#[test]
fn in_the_chain_there_is_a_place_or_there_is_none() {
    let mut bench = Bench::new(2, 0);
    let (_, first) = bench.enter(0);
    let (_, second) = bench.enter(1);
    let (flow, refused) = bench.enter(2);
    assert_eq!(flow, Flow::Finish);
    assert_eq!((refused.outcome, refused.error), (Outcome::Rejected, Some(ErrorCode::BulkheadFull)));
    assert_eq!(refused.retry_after, None, "no call has ended: nobody knows how long one takes");
    bench.leave(first, 30);
    let (flow, third) = bench.enter(3);
    assert_eq!(flow, Flow::Continue);
    let (_, refused) = bench.enter(4);
    assert_eq!(refused.retry_after, Some(Duration::from_millis(15)), "30 ms a call, two places");
    bench.leave(second, 30);
    bench.leave(third, 30);
    let view = bench.bulkhead.view(NOW);
    assert_eq!((view.accepted, view.rejected, view.completed, view.active), (3, 2, 3, 0));
    assert_eq!((view.peak, view.average_held_ms, view.utilisation), (2, Some(30.0), 0.0));
    assert_eq!(serde_json::from_str::<BulkheadView>(&serde_json::to_string(&view).unwrap()).unwrap(), view);
}

#[test]
fn who_waits_goes_on_when_its_turn_has_come() {
    let mut bench = Bench::new(1, 2);
    let (flow, seventh) = bench.enter(7);
    assert_eq!((flow, bench.bulkhead.next_turn(NOW)), (Flow::Continue, None), "nobody waits");
    assert_eq!([bench.enter(8).0, bench.enter(9).0, bench.enter(10).0], [Flow::Wait, Flow::Wait, Flow::Finish]);
    let expiry = NOW + Duration::from_secs(10) + Duration::from_nanos(1);
    assert_eq!((bench.bulkhead.poll(NOW), bench.bulkhead.next_turn(NOW)), (None, Some(expiry)));
    bench.leave(seventh, 5);
    let later = NOW + Duration::from_millis(5);
    assert_eq!(bench.bulkhead.next_turn(later), Some(later), "there is a place");
    let (flow, refused) = bench.enter(11);
    assert_eq!((flow, refused.outcome), (Flow::Finish, Outcome::Rejected), "nobody overtakes those who wait");
    assert_eq!(refused.retry_after, Some(Duration::from_millis(15)), "5 ms a call, two wait before it");
    assert_eq!((bench.bulkhead.poll(later), bench.bulkhead.poll(later)), (Some(Turn::Admitted(8)), None));
    assert_eq!(bench.bulkhead.bulkhead().active(), 1);
    assert_eq!(bench.bulkhead.view(later).average_wait_ms, Some(5.0));
    assert_eq!(bench.bulkhead.poll(expiry), Some(Turn::Expired(9)));
    let mut expired = Context::new(9, 15, RuleMask::NONE, NOW);
    bench.bulkhead.refuse(&mut expired);
    assert_eq!((expired.outcome, expired.error), (Outcome::Rejected, Some(ErrorCode::BulkheadFull)));
    assert_eq!((bench.bulkhead.view(NOW).expired, bench.bulkhead.next_turn(NOW)), (1, None));

    assert_eq!(bench.enter(12).0, Flow::Wait);
    bench.order(&BulkheadCommand::Reset);
    bench.order(&BulkheadCommand::Disable);
    assert_eq!(bench.bulkhead.next_turn(NOW), Some(NOW));
    assert_eq!(bench.bulkhead.poll(later), Some(Turn::Admitted(12)), "nobody waits for a bulkhead that is off");
    assert_eq!(bench.bulkhead.view(NOW).average_wait_ms, Some(5.0), "it waited when the counts were set to zero");
}

#[test]
fn a_place_is_held_from_the_end_of_the_wait() {
    let mut bench = Bench::new(1, 1);
    let (_, mut context) = bench.enter(0);
    context.placed = NOW + Duration::from_millis(40);
    bench.leave(context, 100);
    assert_eq!(bench.bulkhead.view(NOW).average_held_ms, Some(60.0));
}

#[test]
fn switching_it_on_and_off_loses_no_place() {
    let mut bench = Bench::new(1, 0);
    assert_eq!(bench.order(&BulkheadCommand::Disable), "bulkhead disabled by ops");
    let contexts: Vec<_> = (0..3).map(|sequence| bench.enter(sequence)).collect();
    assert!(contexts.iter().all(|(flow, _)| *flow == Flow::Continue));
    assert_eq!(bench.order(&BulkheadCommand::Enable), "bulkhead enabled by ops");
    assert_eq!(bench.enter(3).0, Flow::Finish);
    assert_eq!(bench.bulkhead.view(NOW).utilisation, 300.0);
    for (_, context) in contexts {
        bench.leave(context, 1);
    }
    assert_eq!(bench.bulkhead.bulkhead().active(), 0);
    assert_eq!(bench.order(&BulkheadCommand::MaxConcurrent { max_concurrent: 2 }), "bulkhead set to 2 at once by ops");
    assert_eq!((bench.enter(4).0, bench.enter(5).0, bench.enter(6).0), (Flow::Continue, Flow::Continue, Flow::Finish));
    bench.order(&BulkheadCommand::Reset);
    let view = bench.bulkhead.view(NOW);
    assert_eq!((view.accepted, view.rejected, view.active, view.peak), (0, 0, 2, 2));
    let none = BulkheadCommand::MaxConcurrent { max_concurrent: 0 };
    let error = bench.bulkhead.command(&none, "ops", NOW, &mut bench.out).unwrap_err();
    assert_eq!(error.to_string(), "limits.bulkhead.max_concurrent: 0 is not between 1 and 1000000");
}

#[test]
fn a_queue_without_a_wait_is_refused() {
    let config = BulkheadConfig { max_wait_ms: 0, ..BulkheadConfig::default() };
    let error = BulkheadMiddleware::new(&config).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Configuration);
    assert!(error.to_string().starts_with("limits.bulkhead.max_wait_ms: 0 refuses everybody"), "{error}");
    assert!(Bulkhead::new(&BulkheadConfig { max_queue: 0, ..config }).is_ok());
    assert!(serde_yaml::from_str::<BulkheadConfig>("max_parallel: 3").is_err());
}
