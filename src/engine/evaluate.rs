//! An evaluation's way through the engine: taken in, asked, answered, counted and told of.

use std::time::Duration;

use super::check::Check;
use super::workload::Next;
use super::{Engine, WallClock};
use crate::domain::time::nanos;
use crate::domain::{Classification, ErrorCode, Evaluation, Kind, Outcome, Payload, RuleMask, Source, Timestamp};
use crate::mechanisms::strategy::{Answer, Plan};
use crate::pipeline::chain::Stopwatch;
use crate::pipeline::{Chain, Context, Flow};

/// Reads the wall clock at most this far behind schedule; arrivals that are longer overdue are not made up for.
const BACKLOG: Duration = Duration::from_secs(1);

impl Engine {
    /// Takes the next number in; whether there was one.
    pub(super) fn admit(&mut self) -> bool {
        match self.workload.draw() {
            Next::Number(number) => {
                self.steps = self.steps.saturating_sub(1);
                let intended = if self.paused { self.now } else { self.arrivals.next(self.now) };
                self.arrivals.count += 1;
                if self.wall.is_some() && self.now.since(self.arrivals.next(self.now)) > BACKLOG {
                    self.arrivals.restart(self.now);
                }
                self.begin(number, intended);
                true
            }
            Next::Later => {
                self.ask_again = self.now + Duration::from_millis(1);
                false
            }
            Next::End => {
                self.stopping = true;
                false
            }
            Next::Broken(error) => {
                self.input_error = Some(error);
                self.stopping = true;
                false
            }
        }
    }

    pub(super) fn begin(&mut self, number: i64, intended: Timestamp) {
        let sequence = self.sequence;
        self.sequence += 1;
        if let Some(results) = &mut self.results {
            results.expect();
        }
        self.out.emit(Kind::NumberProcessingStarted, || Payload::NumberProcessingStarted { number, sequence });
        let mut context = Context::new(sequence, number, self.rules.all(), self.now);
        context.intended = intended;
        context.dependency = self.dependencies.of(number);
        // Reading a clock around each middleware is for a sample of the evaluations only, and only on the wall clock.
        let wall = self.wall.filter(|_| sequence.is_multiple_of(Chain::SAMPLE) || self.chain.traces(sequence));
        let read = wall.map(|clock| self.reading(clock));
        let stopwatch = read.as_ref().map(|read| read as Stopwatch<'_>);
        let flow = self.chain.enter(&mut self.mechanisms, &mut context, &mut self.out, stopwatch);
        self.go(context, flow, stopwatch);
    }

    /// Reads the clock, and writes each reading down where that is asked for.
    pub(super) fn reading(&self, clock: WallClock) -> impl Fn() -> u64 + use<> {
        let readings = self.readings.clone();
        move || {
            let now = clock.now().as_nanos();
            if let Some(readings) = &readings {
                readings.note(now);
            }
            now
        }
    }

    /// On with an evaluation that has come in as far as `flow` says.
    #[inline]
    pub(super) fn go(&mut self, mut context: Context, flow: Flow, stopwatch: Option<Stopwatch<'_>>) {
        let number = context.number;
        let (answer, checks, service) = match flow {
            Flow::Wait => {
                self.parked.push_back(context);
                return;
            }
            // What is refused or cached takes time too, or virtual time would stand still while a breaker is open.
            Flow::Finish if self.wall.is_none() => (None, RuleMask::NONE, self.service_time.shortest()),
            Flow::Finish => (None, RuleMask::NONE, Duration::ZERO),
            Flow::Continue => self.ask(number, context.rules),
        };
        let wait = context.delay + service;
        if wait.is_zero() && checks.is_empty() {
            let at = self.wall.map_or(self.now, |clock| clock.now());
            self.complete(&mut context, answer, at, stopwatch);
            return;
        }
        if wait > self.timeout {
            context.fail(Outcome::TimedOut, ErrorCode::CallTimeout);
        }
        let due = self.now + wait.min(self.timeout);
        let (slot, ticket) = self.inflight.put(context, answer.unwrap_or_default(), checks.count(), due);
        for rule in checks.indices() {
            if let Some(divisor) = self.rules.rules().get(rule).map(|rule| rule.divisor) {
                self.checks.push(Check { slot, ticket, rule, divisor, number });
            }
        }
    }

    /// Asks the strategy: an answer, or the checks that the driver must make for it, and how long it takes. On the
    /// virtual clock checks are made here and take as long as the slowest of them.
    fn ask(&mut self, number: i64, on: RuleMask) -> (Option<Answer>, RuleMask, Duration) {
        let simulated = self.wall.is_none();
        match self.strategy.plan(number, on) {
            Plan::Answered(answer) => {
                let service = if simulated { self.service_time.draw() } else { Duration::ZERO };
                (Some(answer), RuleMask::NONE, service)
            }
            Plan::Concurrent(checks) if simulated => {
                let slowest = (0..checks.count()).map(|_| self.service_time.draw()).max().unwrap_or_default();
                let answer = Answer { matched: self.rules.matches(number, checks), confidence: None };
                (Some(answer), RuleMask::NONE, slowest)
            }
            Plan::Concurrent(checks) => (None, checks, Duration::ZERO),
        }
    }

    /// The answer has come, or the evaluation ended without one.
    pub(super) fn complete(
        &mut self,
        context: &mut Context,
        answer: Option<Answer>,
        at: Timestamp,
        stopwatch: Option<Stopwatch<'_>>,
    ) {
        self.now = self.now.max(at);
        self.out.now = self.now;
        context.complete(self.now);
        if let Some(answer) = answer
            && context.outcome == Outcome::Ok
            && context.source == Source::None
        {
            context.answer(answer.matched, Source::Strategy);
            context.confidence = answer.confidence;
            self.tell_rules(context);
        }
        if context.attempt == 0 || !self.goes_on(context, stopwatch) {
            self.end(context, stopwatch);
        }
    }

    /// No attempt will follow.
    pub(super) fn end(&mut self, context: &mut Context, stopwatch: Option<Stopwatch<'_>>) {
        self.chain.leave(&mut self.mechanisms, context, &mut self.out, stopwatch);
        self.mechanisms.timing.count(context);
        let evaluation = context.finish();
        self.tally.record(self.now, &evaluation, self.watched);
        let response = self.now.since(context.intended);
        self.responses.record(nanos(response));
        self.tell_result(&evaluation);
        if let Some(ledger) = &mut self.ledger {
            ledger.evaluation(&evaluation, self.now);
        }
        if let Some(director) = &mut self.director {
            director.observe(self.now, &evaluation, response);
            self.direct();
        }
        if let Some(kept) = &mut self.kept {
            kept.push((self.now, evaluation.clone()));
        }
        if let Some(results) = &mut self.results {
            results.put(evaluation);
        }
        if self.mechanisms.slo.has_actions() {
            self.keep_budget_policy();
        }
    }

    fn tell_rules(&mut self, context: &Context) {
        if !(self.out.wants(Kind::RuleMatched) || self.out.wants(Kind::RuleNotMatched)) {
            return;
        }
        let number = context.number;
        for (index, rule) in self.rules.rules().iter().enumerate().filter(|(index, _)| context.rules.contains(*index)) {
            if context.matched.contains(index) {
                let (rule, label) = (rule.name.clone(), rule.label.clone());
                self.out.emit(Kind::RuleMatched, || Payload::RuleMatched { number, rule, label });
            } else {
                let rule = rule.name.clone();
                self.out.emit(Kind::RuleNotMatched, || Payload::RuleNotMatched { number, rule });
            }
        }
    }

    fn tell_result(&mut self, evaluation: &Evaluation) {
        let Evaluation { number, sequence, outcome, error, .. } = *evaluation;
        if let Some(code) = error {
            self.out.emit(Kind::ErrorOccurred, || Payload::ErrorOccurred {
                number: Some(number),
                code,
                error: code.meaning().to_owned(),
            });
        }
        self.out.emit(Kind::NumberProcessed, || Payload::NumberProcessed {
            number,
            sequence,
            output: evaluation.shown(&self.rules),
            outcome,
        });
        if outcome == Outcome::Ok {
            match self.classifier.classify(evaluation.matched) {
                Classification::Fizz => self.out.emit(Kind::FizzDetected, || Payload::FizzDetected { number }),
                Classification::Buzz => self.out.emit(Kind::BuzzDetected, || Payload::BuzzDetected { number }),
                Classification::FizzBuzz => {
                    self.out.emit(Kind::FizzBuzzDetected, || Payload::FizzBuzzDetected { number });
                }
                Classification::Plain => {
                    self.out.emit(Kind::PlainNumberDetected, || Payload::PlainNumberDetected { number });
                }
            }
        }
    }
}
