//! The order of the middleware, the walk in and out, and what is counted on the way.

use serde::{Deserialize, Serialize};

use super::{Context, FINISHING, Flow, Middleware, Outbox};
use crate::domain::{Kind, Payload};

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
    /// Evaluations that came to it.
    pub calls: u64,
    /// Evaluations that it ended.
    pub short_circuits: u64,
    /// Calls whose time was taken: one evaluation in [`Chain::SAMPLE`] on the wall clock.
    pub timed: u64,
    /// The time of those, its own work only, nanoseconds.
    pub time_ns: u64,
    /// Latency that it made evaluations wait for, nanoseconds.
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
        Self { places, finishing }
    }

    /// Takes `context` in through the wrapping middleware until one of them finishes it.
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
        let narrated = out.wants(Kind::MiddlewareEntered);
        for place in self.places.iter_mut().take(self.finishing) {
            place.calls += 1;
            if narrated {
                let (number, middleware) = (context.number, place.name.to_owned());
                out.emit(Kind::MiddlewareEntered, || Payload::MiddlewareEntered { number, middleware });
            }
            let delay = context.delay;
            let layer = layers.layer(place.layer);
            let flow = timed(place, stopwatch, || layer.enter(context, out));
            if stopwatch.is_some() {
                place.timed += 1;
            }
            if context.delay > delay {
                place.delay_ns += crate::domain::time::nanos(context.delay.saturating_sub(delay));
            }
            if flow == Flow::Finish {
                place.short_circuits += 1;
                return Flow::Finish;
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
        let (wrapping, finishing) = self.places.split_at_mut(self.finishing);
        let entered = context.depth.min(wrapping.len());
        for place in finishing.iter_mut() {
            place.calls += 1;
            place.timed += u64::from(stopwatch.is_some());
        }
        for place in wrapping[..entered].iter_mut().rev().chain(finishing) {
            let layer = layers.layer(place.layer);
            timed(place, stopwatch, || layer.leave(context, out));
            if narrated {
                let (number, middleware) = (context.number, place.name.to_owned());
                out.emit(Kind::MiddlewareExited, || Payload::MiddlewareExited { number, middleware });
            }
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
fn timed<T>(place: &mut Place, stopwatch: Option<Stopwatch<'_>>, work: impl FnOnce() -> T) -> T {
    let Some(stopwatch) = stopwatch else { return work() };
    let start = stopwatch();
    let result = work();
    place.time_ns += stopwatch().saturating_sub(start);
    result
}
