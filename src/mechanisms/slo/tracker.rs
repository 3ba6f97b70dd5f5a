//! One objective while it is watched: what was counted in each window, its budget, and which of its rules hold. Time is
//! in whole seconds of the mechanism's own (scaled) clock, but for waits, which are in nanoseconds of it.

use super::counters::{Cause, Observation};
use super::ring::{Cell, Ratio, Ring};
use super::spec::{Budgeting, BurnRule, Indicator, Op, SloSpec, Window};

const BILLION: u64 = 1_000_000_000;

/// What counting one evaluation needs, apart from all else so that it stays in the processor's cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    total: u32,
    part: u32,
    /// `part` are the bad ones.
    bad: bool,
    /// Latencies of good evaluations, nanoseconds.
    least: u64,
    most: u64,
    /// Of the present second.
    count: Ratio,
}

impl Meter {
    fn new(indicator: &Indicator) -> Self {
        let any = Self { total: 0, part: 0, bad: false, least: 0, most: u64::MAX, count: Ratio::default() };
        match *indicator {
            Indicator::Good { good, total } => Self { total: total.0, part: good.0, ..any },
            Indicator::Bad { bad, total } => Self { total: total.0, part: bad.0, bad: true, ..any },
            Indicator::Latency { op, threshold_ns, total } => {
                let (least, most) = match op {
                    Op::Lte => (0, threshold_ns),
                    Op::Lt => (0, threshold_ns.saturating_sub(1)),
                    Op::Gte => (threshold_ns, u64::MAX),
                    Op::Gt => (threshold_ns.saturating_add(1), u64::MAX),
                };
                Self { total: total.0, part: super::counters::Counters::ANSWERED.0, least, most, ..any }
            }
            // Counted elsewhere; no evaluation belongs to it.
            Indicator::Query { .. } => any,
        }
    }

    /// Counts an evaluation; `false` when it was bad.
    #[inline]
    pub fn count(&mut self, observation: &Observation) -> bool {
        let counters = observation.counters.0;
        let counts = counters & self.total != 0;
        let latency = observation.latency_ns;
        let good = ((counters & self.part != 0) != self.bad) & (self.least <= latency) & (latency <= self.most);
        self.count.total += u64::from(counts);
        self.count.good += u64::from(counts & good);
        !counts | good
    }
}

/// The slice of time that is being counted.
#[derive(Debug, Clone, Default)]
struct Slice {
    number: u64,
    cell: Cell,
}

/// The budget's period.
#[derive(Debug, Clone)]
enum Period {
    /// The ring of this place.
    Rolling(usize),
    /// Since this second, until that one.
    Calendar { from: u64, to: u64, cell: Box<Cell> },
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RuleState {
    long: usize,
    short: Option<usize>,
    /// Since when its condition has held without a break, nanoseconds of the scaled clock.
    pub since: Option<u64>,
    /// It has held for as long as it must.
    pub holds: bool,
}

/// The budget at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Budget {
    /// What was counted in the period.
    pub ratio: Ratio,
    /// By cause.
    pub eaten: [u64; Cause::COUNT],
    /// How much of it is left: 1 is all, below 0 is overspent.
    pub left: f64,
    /// The period's length, seconds.
    pub period: u64,
    /// Until the calendar's period ends, seconds.
    pub ends_in: Option<u64>,
}

/// An objective while it is watched.
#[derive(Debug, Clone)]
pub(super) struct Tracker {
    pub spec: SloSpec,
    budget: u64,
    /// By cause, of the present second.
    eaten: [u64; Cause::COUNT],
    session: Ratio,
    /// Events of about the last minute of the engine's clock.
    recent: Ring,
    slice: Option<Slice>,
    rings: Vec<Ring>,
    /// The shortest of them.
    shortest: usize,
    period: Period,
    pub rules: Vec<RuleState>,
    minimum: u64,
    /// When watching began, seconds.
    began: u64,
}

impl Tracker {
    /// Watches `spec` from the second `now` on; the minute that is shown is `scale` minutes of the scaled clock.
    pub fn new(spec: SloSpec, minimum: u64, scale: u64, now: u64) -> (Meter, Self) {
        let mut rings: Vec<Ring> = Vec::new();
        let mut ring = |seconds: u64| {
            rings.iter().position(|ring| ring.seconds() == seconds).unwrap_or_else(|| {
                rings.push(Ring::new(seconds));
                rings.len() - 1
            })
        };
        let state = |rule: &BurnRule| RuleState {
            long: ring(rule.long),
            short: rule.short.map(&mut ring),
            since: None,
            holds: false,
        };
        let rules = spec.rules.iter().map(state).collect();
        let period = match &spec.window {
            Window::Rolling(span) => Period::Rolling(ring(span.seconds())),
            Window::Calendar(calendar) => {
                let (from, to) = calendar.period(now);
                Period::Calendar { from, to, cell: Box::default() }
            }
        };
        let shortest = (0..rings.len()).min_by_key(|place| rings.get(*place).map(Ring::seconds)).unwrap_or_default();
        let slice = spec.budgeting.slice().map(|seconds| Slice { number: now / seconds.max(1), cell: Cell::default() });
        let tracker = Self {
            budget: spec.budget(),
            eaten: [0; Cause::COUNT],
            session: Ratio::default(),
            recent: Ring::new(60 * scale),
            slice,
            rings,
            shortest,
            period,
            rules,
            minimum: spec.minimum_events.unwrap_or(minimum),
            began: now,
            spec,
        };
        (Meter::new(&tracker.spec.indicator), tracker)
    }

    /// A bad evaluation was counted.
    pub fn blame(&mut self, observation: &Observation) {
        let late = matches!(self.spec.indicator, Indicator::Latency { .. });
        if let Some(count) = self.eaten.get_mut(Cause::of(observation, late).index()) {
            *count += 1;
        }
    }

    /// Takes over what `meter` counted in `second`.
    pub fn flush(&mut self, meter: &mut Meter, second: u64) {
        if meter.count.total == 0 {
            return;
        }
        let cell = Cell { ratio: std::mem::take(&mut meter.count), eaten: std::mem::take(&mut self.eaten) };
        self.session.good += cell.ratio.good;
        self.session.total += cell.ratio.total;
        self.recent.add(second, &cell);
        match &mut self.slice {
            Some(slice) => slice.cell.add(&cell),
            None => self.count(second, &cell),
        }
    }

    fn count(&mut self, second: u64, cell: &Cell) {
        self.rings.iter_mut().for_each(|ring| ring.add(second, cell));
        self.roll(second);
        if let Period::Calendar { cell: sum, .. } = &mut self.period {
            sum.add(cell);
        }
    }

    /// It is `second` now: slices and periods that are over end. What was counted before has been flushed.
    pub fn turn(&mut self, second: u64) {
        if let (Some(slice), Some(seconds)) = (&mut self.slice, self.spec.budgeting.slice()) {
            let number = second / seconds.max(1);
            if number > slice.number {
                // A slice is known at its end, and belongs to its last second.
                let last = (slice.number + 1) * seconds - 1;
                slice.number = number;
                let cell = std::mem::take(&mut slice.cell);
                if cell.ratio.total > 0 {
                    self.count(last, &judged(&cell, self.spec.budgeting));
                }
            }
        }
        self.roll(second);
    }

    fn roll(&mut self, second: u64) {
        let (Period::Calendar { from, to, cell }, Window::Calendar(calendar)) = (&mut self.period, &self.spec.window)
        else {
            return;
        };
        if second >= *to {
            (*from, *to) = calendar.period(second);
            **cell = Cell::default();
        }
    }

    /// Events since the session began.
    pub const fn session(&self) -> Ratio {
        self.session
    }

    /// Events of about the last minute.
    pub fn recent(&mut self, second: u64) -> Ratio {
        self.recent.sum(second).ratio
    }

    /// How many times faster than allowed the budget burned lately: over the last minute or, where slices are counted,
    /// over the shortest window.
    pub fn burn_rate(&mut self, second: u64) -> Option<f64> {
        let ratio = match self.slice {
            None => self.recent(second),
            Some(_) => self.sum(self.shortest, second).ratio,
        };
        self.spec.burn_rate(ratio)
    }

    fn sum(&mut self, ring: usize, second: u64) -> Cell {
        self.rings.get_mut(ring).map(|ring| *ring.sum(second)).unwrap_or_default()
    }

    /// What a rule saw in its long and short window.
    pub fn windows(&mut self, rule: usize, second: u64) -> (Cell, Option<Ratio>) {
        let Some(state) = self.rules.get(rule).copied() else { return (Cell::default(), None) };
        let long = self.sum(state.long, second);
        (long, state.short.map(|short| self.sum(short, second).ratio))
    }

    /// The budget: what was eaten of it is burn rate x time watched / period, so that a session that has seen an hour
    /// of a month can have eaten no more than that hour could.
    pub fn budget(&mut self, second: u64) -> Budget {
        let watched = second + 1 - self.began.min(second);
        let (cell, covered, period, ends_in) = match &self.period {
            Period::Rolling(ring) => {
                let (ring, period) = (*ring, self.spec.window.seconds());
                (self.sum(ring, second), watched.min(period), period, None)
            }
            Period::Calendar { from, to, cell } => {
                let covered = second + 1 - (*from).max(self.began).min(second);
                (**cell, covered, (to - from).max(1), Some(to.saturating_sub(second)))
            }
        };
        let burn = self.spec.burn_rate(cell.ratio).unwrap_or(0.0);
        let left = 1.0 - burn * covered as f64 / period as f64;
        Budget { ratio: cell.ratio, eaten: cell.eaten, left, period, ends_in }
    }

    /// The same without causes.
    fn ratios(&mut self, rule: usize, second: u64) -> (Ratio, Option<Ratio>) {
        let Some(state) = self.rules.get(rule).copied() else { return (Ratio::default(), None) };
        let mut ratio = |ring: usize| self.rings.get_mut(ring).map(|ring| ring.sum(second).ratio).unwrap_or_default();
        (ratio(state.long), state.short.map(ratio))
    }

    /// Looks at every rule at `second` (nanosecond `now` of the scaled clock).
    pub fn judge(&mut self, second: u64, now: u64) {
        for index in 0..self.rules.len() {
            let (long, short) = self.ratios(index, second);
            let (Some(rule), Some(state)) = (self.spec.rules.get(index), self.rules.get_mut(index)) else { continue };
            let beyond = |ratio: Ratio| rule.factor.compare(rule.op, ratio, self.budget);
            let enough = self.slice.is_some() || long.total >= self.minimum;
            let breaching = rule.when_breaching && enough && beyond(long) && short.is_none_or(beyond);
            let silent = rule.when_no_data && long.total == 0 && second + 1 >= self.began + rule.long;
            if breaching || silent {
                let since = *state.since.get_or_insert(now);
                state.holds = now - since.min(now) >= rule.after * BILLION;
            } else {
                (state.since, state.holds) = (None, false);
            }
        }
    }

    /// The worst rule that holds: its place.
    pub fn worst(&self) -> Option<usize> {
        let holding = self.rules.iter().zip(&self.spec.rules).enumerate().filter(|(_, (state, _))| state.holds);
        holding.min_by_key(|(_, (_, rule))| rule.severity).map(|(index, _)| index)
    }
}

/// What a slice counts for the budget.
fn judged(cell: &Cell, budgeting: Budgeting) -> Cell {
    let Ratio { good, total } = cell.ratio;
    let (ratio, bad) = match budgeting {
        Budgeting::Timeslices { target, .. } => {
            let fine = good as f64 >= target * total as f64;
            (Ratio { good: u64::from(fine), total: 1 }, u64::from(!fine))
        }
        // Shares are kept in billionths, so that sums are exact.
        _ => {
            let share = (u128::from(good) * u128::from(BILLION) / u128::from(total.max(1))) as u64;
            (Ratio { good: share, total: BILLION }, BILLION - share)
        }
    };
    let mut eaten = [0; Cause::COUNT];
    if bad > 0 {
        let all = u128::from(cell.eaten.iter().sum::<u64>().max(1));
        let most = (0..Cause::COUNT).max_by_key(|cause| cell.eaten.get(*cause)).unwrap_or_default();
        for (cause, (part, count)) in eaten.iter_mut().zip(cell.eaten).enumerate() {
            *part = match budgeting {
                // A slice has one cause: the one that was there most.
                Budgeting::Timeslices { .. } => u64::from(cause == most),
                _ => (u128::from(bad) * u128::from(count) / all) as u64,
            };
        }
    }
    Cell { ratio, eaten }
}
