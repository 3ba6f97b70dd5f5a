//! The order of the middleware, the walk in and out, and what is counted on the way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trace::{Recorder, Span};
use super::{Context, FINISHING, Flow, Middleware, Outbox};
use crate::domain::time::nanos;
use crate::domain::{Kind, Payload, Timestamp};

/// The middleware of an engine, by index. The engine's composition implements it.
pub trait Layers {
    /// How many there are.
    fn count(&self) -> usize;

    /// The one at `index`, below [`Layers::count`].
    fn layer(&mut self, index: usize) -> &mut dyn Middleware;
}

/// What one middleware did so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerView {
    /// Its name.
    pub name: String,
    /// Its priority.
    pub priority: i16,
    /// Evaluations that came to it; further in than the retries, attempts.
    pub calls: u64,
    /// Evaluations that it ended.
    pub short_circuits: u64,
    /// Calls whose time was taken: one evaluation in [`Chain::SAMPLE`] on the wall clock.
    pub timed: u64,
    /// The time of those, its own work only, nanoseconds.
    pub time_ns: u64,
    /// Latency that it made evaluations wait for: injected, in its queue, or between two attempts; nanoseconds.
    pub delay_ns: u64,
}

impl LayerView {
    /// Its own work per call, nanoseconds; `None` before the first sample.
    pub fn time_per_call(&self) -> Option<f64> {
        (self.timed > 0).then(|| self.time_ns as f64 / self.timed as f64)
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    layer: usize,
    name: &'static str,
    priority: i16,
    calls: u64,
    short_circuits: u64,
    timed: u64,
    time_ns: u64,
    delay_ns: u64,
}

/// A stopwatch for sampled evaluations: nanoseconds from any origin.
pub type Stopwatch<'a> = &'a dyn Fn() -> u64;

/// Middleware in order.
#[derive(Debug)]
pub struct Chain {
    places: Vec<Place>,
    /// The first place from which on middleware run on the finished evaluation.
    finishing: usize,
    /// Notes the steps of sampled evaluations, where they are traced.
    recorder: Option<Recorder>,
}

impl Chain {
    /// On the wall clock one evaluation in this many has its middleware timed, because reading a clock 24 times costs
    /// more than the middleware do.
    pub const SAMPLE: u64 = 256;

    /// Orders `layers` by priority; equal ones stay in the order in which they are given.
    pub fn new(layers: &mut impl Layers) -> Self {
        let mut places: Vec<Place> = (0..layers.count())
            .map(|layer| {
                let middleware = layers.layer(layer);
                Place {
                    layer,
                    name: middleware.name(),
                    priority: middleware.priority(),
                    calls: 0,
                    short_circuits: 0,
                    timed: 0,
                    time_ns: 0,
                    delay_ns: 0,
                }
            })
            .collect();
        places.sort_by_key(|place| place.priority);
        let finishing = places.iter().take_while(|place| place.priority < FINISHING).count();
        Self { places, finishing, recorder: None }
    }

    /// From now on one evaluation in `one_in` leaves its spans.
    pub fn trace(&mut self, one_in: u64) {
        self.recorder = Some(Recorder::new(one_in));
    }

    /// Whether the evaluation with this number leaves its spans: on the wall clock it needs a stopwatch then.
    #[inline]
    pub fn traces(&self, sequence: u64) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.samples(sequence))
    }

    /// The spans of one of the last traced evaluations, which was admitted at `began`; none when it is forgotten.
    pub fn spans(&self, sequence: u64, began: Timestamp) -> Vec<Span> {
        let recorder = self.recorder.as_ref();
        recorder.and_then(|recorder| recorder.spans(sequence, began.as_nanos(), self.finishing)).unwrap_or_default()
    }

    /// Takes `context` in through the wrapping middleware until one of them finishes it, or has it wait.
    ///
    /// With a `stopwatch` each middleware's own time is taken.
    pub fn enter(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        out: &mut Outbox,
        stopwatch: Option<Stopwatch<'_>>,
    ) -> Flow {
        context.depth = 0;
        self.walk_in(layers, context, out, stopwatch)
    }

    /// Goes on with a `context` that waited ([`Flow::Wait`]) and has its place at `now`: from the middleware after the
    /// one where it waited. The wait counts as that middleware's latency.
    pub fn resume(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        now: Timestamp,
        out: &mut Outbox,
        stopwatch: Option<Stopwatch<'_>>,
    ) -> Flow {
        self.add_delay(context.depth, now.since(context.now));
        context.waited(now);
        context.depth += 1;
        self.walk_in(layers, context, out, stopwatch)
    }

    /// The wait of `context` is over at `now` without success: it is ended by the middleware where it waited.
    pub fn refuse(&mut self, context: &mut Context, now: Timestamp) {
        self.add_delay(context.depth, now.since(context.now));
        context.waited(now);
        if let Some(place) = self.places.get_mut(context.depth) {
            place.short_circuits += 1;
        }
    }

    /// Where the middleware `name` stands, if it wraps evaluations: what [`Chain::leave_attempt`] wants.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.places[..self.finishing].iter().position(|place| place.name == name)
    }

    /// An attempt has ended: takes `context` out, back through the middleware that it entered, as far as the one at
    /// `place`, which it stays in.
    pub fn leave_attempt(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        place: usize,
        out: &mut Outbox,
        stopwatch: Option<Stopwatch<'_>>,
    ) {
        let narrated = out.wants(Kind::MiddlewareExited);
        let entered = context.depth.min(self.finishing);
        let kept = entered.min(place + 1);
        let mut recorder = self.recorder.as_mut().filter(|recorder| recorder.samples(context.sequence));
        for (at, place) in self.places[kept..entered].iter_mut().enumerate().rev() {
            let read = step_out(place, layers, context, out, stopwatch, narrated);
            if let Some(recorder) = &mut recorder {
                recorder.left(context.sequence, kept + at, read.unwrap_or_else(|| moment(context)));
            }
        }
        context.depth = kept;
    }

    /// Tries `context` again at `now`, through the middleware inside of the one that it stayed in. The wait since its
    /// last attempt counts as that middleware's latency.
    pub fn enter_again(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Flow {
        self.add_delay(context.depth.saturating_sub(1), now.since(context.now));
        context.retried(now);
        self.walk_in(layers, context, out, None)
    }

    fn add_delay(&mut self, place: usize, delay: Duration) {
        if let Some(place) = self.places.get_mut(place) {
            place.delay_ns += nanos(delay);
        }
    }

    /// On from the context's depth.
    #[inline]
    fn walk_in(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        out: &mut Outbox,
        stopwatch: Option<Stopwatch<'_>>,
    ) -> Flow {
        let narrated = out.wants(Kind::MiddlewareEntered);
        let mut recorder = self.recorder.as_mut().filter(|recorder| recorder.samples(context.sequence));
        for place in self.places.get_mut(context.depth..self.finishing).unwrap_or_default() {
            place.calls += 1;
            if narrated {
                let (number, middleware) = (context.number, place.name.to_owned());
                out.emit(Kind::MiddlewareEntered, || Payload::MiddlewareEntered { number, middleware });
            }
            let delay = context.delay;
            let layer = layers.layer(place.layer);
            let (flow, read) = timed(place, stopwatch, || layer.enter(context, out));
            if let Some(recorder) = &mut recorder {
                recorder.entered(context.sequence, context.depth, read.unwrap_or_else(|| moment(context)));
            }
            if stopwatch.is_some() {
                place.timed += 1;
            }
            if context.delay > delay {
                place.delay_ns += nanos(context.delay.saturating_sub(delay));
            }
            if flow != Flow::Continue {
                place.short_circuits += u64::from(flow == Flow::Finish);
                return flow;
            }
            context.depth += 1;
        }
        Flow::Continue
    }

    /// Takes `context` out: back through the middleware that it entered, then on through the finishing ones.
    pub fn leave(
        &mut self,
        layers: &mut impl Layers,
        context: &mut Context,
        out: &mut Outbox,
        stopwatch: Option<Stopwatch<'_>>,
    ) {
        let narrated = out.wants(Kind::MiddlewareExited);
        let first = self.finishing;
        let (wrapping, finishing) = self.places.split_at_mut(first);
        let entered = context.depth.min(wrapping.len());
        for place in finishing.iter_mut() {
            place.calls += 1;
            place.timed += u64::from(stopwatch.is_some());
        }
        let mut recorder = self.recorder.as_mut().filter(|recorder| recorder.samples(context.sequence));
        let ways = wrapping[..entered].iter_mut().enumerate().rev();
        for (at, place) in ways.chain((first..).zip(finishing)) {
            let read = step_out(place, layers, context, out, stopwatch, narrated);
            if let Some(recorder) = &mut recorder {
                recorder.left(context.sequence, at, read.unwrap_or_else(|| moment(context)));
            }
        }
        if let Some(recorder) = recorder {
            recorder.finished(context.sequence);
        }
        context.depth = 0;
    }

    /// What each middleware did so far, outermost first.
    pub fn view(&self) -> Vec<LayerView> {
        self.places
            .iter()
            .map(|place| LayerView {
                name: place.name.to_owned(),
                priority: place.priority,
                calls: place.calls,
                short_circuits: place.short_circuits,
                timed: place.timed,
                time_ns: place.time_ns,
                delay_ns: place.delay_ns,
            })
            .collect()
    }
}

#[inline]
fn step_out(
    place: &mut Place,
    layers: &mut impl Layers,
    context: &mut Context,
    out: &mut Outbox,
    stopwatch: Option<Stopwatch<'_>>,
    narrated: bool,
) -> Option<(u64, u64)> {
    let layer = layers.layer(place.layer);
    let ((), read) = timed(place, stopwatch, || layer.leave(context, out));
    if narrated {
        let (number, middleware) = (context.number, place.name.to_owned());
        out.emit(Kind::MiddlewareExited, || Payload::MiddlewareExited { number, middleware });
    }
    read
}

/// Where there is no stopwatch, a step begins and ends at the evaluation's present moment.
const fn moment(context: &Context) -> (u64, u64) {
    (context.now.as_nanos(), context.now.as_nanos())
}

/// Does the work; with a stopwatch, also what it read before and after.
#[inline]
fn timed<T>(place: &mut Place, stopwatch: Option<Stopwatch<'_>>, work: impl FnOnce() -> T) -> (T, Option<(u64, u64)>) {
    let Some(stopwatch) = stopwatch else { return (work(), None) };
    let start = stopwatch();
    let result = work();
    let end = stopwatch();
    place.time_ns += end.saturating_sub(start);
    (result, Some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventMask, RuleMask};

    /// Says what it was asked, and answers what it is told to.
    #[derive(Debug)]
    struct Layer(&'static str, i16, Flow);

    impl Middleware for Layer {
        fn name(&self) -> &'static str {
            self.0
        }

        fn priority(&self) -> i16 {
            self.1
        }

        fn enter(&mut self, _context: &mut Context, _out: &mut Outbox) -> Flow {
            self.2
        }
    }

    struct Four([Layer; 4]);

    impl Layers for Four {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn layer(&mut self, index: usize) -> &mut dyn Middleware {
            &mut self.0[index]
        }
    }

    /// The names of the middleware that were entered (`>`) and left (`<`) since the last look.
    fn trail(out: &mut Outbox) -> String {
        let step = |payload| match payload {
            Payload::MiddlewareEntered { middleware, .. } => format!(">{middleware}"),
            Payload::MiddlewareExited { middleware, .. } => format!("<{middleware}"),
            other => panic!("{other:?}"),
        };
        out.take().into_iter().map(|event| step(event.payload)).collect()
    }

    #[test]
    fn a_wait_and_another_attempt_go_through_each_middleware_as_often_as_they_should() {
        let layer = |name, priority, flow| Layer(name, priority, flow);
        let mut layers = Four([
            layer("queue", -2, Flow::Wait),
            layer("retry", -2, Flow::Continue),
            layer("inner", 1, Flow::Continue),
            layer("end", FINISHING, Flow::Continue),
        ]);
        let mut chain = Chain::new(&mut layers);
        let mut out = Outbox::new(EventMask::ALL, 100);
        let at = Timestamp::from_millis;
        let mut context = Context::new(0, 1, RuleMask::NONE, at(0));
        assert_eq!(chain.enter(&mut layers, &mut context, &mut out, None), Flow::Wait);
        assert_eq!(trail(&mut out), ">queue");
        let mut refused = context.clone();

        assert_eq!(chain.resume(&mut layers, &mut context, at(3), &mut out, None), Flow::Continue);
        assert_eq!(trail(&mut out), ">retry>inner");
        assert_eq!((context.now, context.placed, context.admitted), (at(3), at(3), at(0)));
        let retry = chain.place("retry").unwrap();
        context.complete(at(10));
        context.faults = 1;
        chain.leave_attempt(&mut layers, &mut context, retry, &mut out, None);
        assert_eq!(trail(&mut out), "<inner");
        assert_eq!(chain.enter_again(&mut layers, &mut context, at(15), &mut out), Flow::Continue);
        assert_eq!(trail(&mut out), ">inner");
        assert_eq!((context.placed, context.attempted, context.faults, context.past_faults), (at(3), at(15), 0, 1));
        context.complete(at(17));
        assert_eq!(context.duration, Duration::from_millis(17));
        chain.leave_attempt(&mut layers, &mut context, retry, &mut out, None);
        chain.leave(&mut layers, &mut context, &mut out, None);
        assert_eq!(trail(&mut out), "<inner<retry<queue<end");

        chain.refuse(&mut refused, at(9));
        refused.complete(at(9));
        chain.leave(&mut layers, &mut refused, &mut out, None);
        assert_eq!((trail(&mut out).as_str(), refused.duration), ("<end", Duration::from_millis(9)));
        let figures: Vec<_> = chain.view().into_iter().map(|view| (view.calls, view.delay_ns / 1_000_000)).collect();
        assert_eq!(figures, [(1, 3 + 9), (1, 5), (2, 0), (2, 0)]);
        assert_eq!(chain.view()[0].short_circuits, 1);
        assert_eq!(chain.place("end"), None, "it wraps nothing");
    }
}
