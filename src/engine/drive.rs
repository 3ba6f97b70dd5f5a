//! Drivers: they tell an engine the time, make its checks, bring it commands and hand its frames on. An engine never
//! waits for whoever looks: frames go over a channel that forgets the oldest when a reader falls behind.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::clock::WallClock;
use super::{Checked, Command, Engine, Frame, Refusal};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::{Evaluation, Timestamp};
use crate::mechanisms::auth::Role;
use crate::records::ledger::{Header, Kept};

/// A command with who asks, and where the answer goes.
#[derive(Debug)]
pub struct Order {
    /// Who asks.
    pub by: String,
    /// In which role; `None` for the program itself, which may everything.
    pub role: Option<Role>,
    /// For what.
    pub command: Command,
    /// Where the answer goes, if anybody waits for it.
    pub reply: Option<oneshot::Sender<Result<String, Refusal>>>,
}

/// How virtual time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the work is done.
    Unpaced,
    /// This many times as fast as on the wall.
    Times(f64),
}

/// Who takes what an engine yields. All of them are called on the engine's task, between evaluations; whoever may
/// block reads frames from the channel instead.
#[derive(Default)]
pub struct Sinks {
    /// Every frame.
    pub frame: Option<Sink<Arc<Frame>>>,
    /// Every finished evaluation, in order of completion, with when: for what is kept. It comes before all others.
    pub kept: Option<Sink<Vec<(Timestamp, Evaluation)>>>,
    /// Every finished evaluation, in order of admission.
    pub result: Option<Sink<Evaluation>>,
    /// Every leaf and every block of the ledger.
    pub ledger: Option<Sink<Kept>>,
    /// Counts, a few times a second, for a progress bar: evaluations so far.
    pub progress: Option<Box<dyn FnMut(u64) + Send>>,
}

/// Takes one thing after another; `Break` ends the session (a closed pipe, a full disk).
pub type Sink<T> = Box<dyn FnMut(T) -> std::ops::ControlFlow<()> + Send>;

/// Frames a second, at most.
const FRAME_INTERVAL: Duration = Duration::from_millis(33);
/// On the virtual clock, unpaced: virtual time between frames, at least and at most. Between them it is as long as
/// [`VIRTUAL_FRAME`] evaluations take: a month at one a second would otherwise be a frame for each of them.
const VIRTUAL_FRAME_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
const VIRTUAL_FRAME: u32 = 10;
/// The same where nobody wants frames: at a low rate, what is due in this time is done between two looks at commands.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(60);
/// How many evaluations are done between two looks at commands and frames.
const BURST: usize = 2_048;

/// A session's ends that a front end holds.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where commands go.
    pub orders: mpsc::UnboundedSender<Order>,
    /// Where frames come from.
    pub frames: broadcast::Sender<Arc<Frame>>,
}

impl Remote {
    /// Both ends before the session begins: whoever subscribes to frames now sees the first one.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Order>) {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (frames, _) = broadcast::channel(256);
        (Self { orders, frames }, inbox)
    }

    /// Sends a command of the program itself without waiting for the answer, which comes as an event.
    pub fn send(&self, by: &str, command: Command) {
        self.order(by, None, command);
    }

    /// Sends an operator's command, who may what the role may.
    pub fn send_as(&self, by: &str, role: Role, command: Command) {
        self.order(by, Some(role), command);
    }

    fn order(&self, by: &str, role: Option<Role>, command: Command) {
        // A session that is over takes no more commands; its last frame says so.
        let _ = self.orders.send(Order { by: by.to_owned(), role, command, reply: None });
    }
}

/// Runs `engine` until it has finished, in a background task. The handle yields the engine at its end.
pub fn spawn(engine: Engine, pace: Pace, sinks: Sinks) -> (Remote, tokio::task::JoinHandle<Engine>) {
    let (remote, inbox) = Remote::new();
    let task = tokio::spawn(drive(engine, pace, inbox, Some(remote.frames.clone()), sinks));
    (remote, task)
}

/// Runs `engine` until it has finished.
pub async fn drive(
    mut engine: Engine,
    pace: Pace,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    frames: Option<broadcast::Sender<Arc<Frame>>>,
    mut sinks: Sinks,
) -> Engine {
    let (checked, mut reports) = mpsc::unbounded_channel::<Checked>();
    let clock = engine.wall.unwrap_or_else(WallClock::start);
    let mut timing = Timing::new(&engine, clock, pace);
    let mut miner = Miner::default();
    let (mut open, mut panicked) = (true, false);
    loop {
        while let Ok(order) = inbox.try_recv() {
            obey(&mut engine, order);
        }
        while let Ok(found) = reports.try_recv() {
            engine.checked(found);
        }
        // A frame is a look at everything: none is made that nobody takes.
        let looking = frames.as_ref().is_some_and(|frames| frames.receiver_count() > 0);
        timing.framed = looking || sinks.frame.is_some();
        let worked = catch_unwind(AssertUnwindSafe(|| work(&mut engine, &mut timing, &mut miner, &checked)));
        if worked.is_ok() && engine.is_finished() {
            miner.finish(&mut engine).await;
        }
        let told = worked.and_then(|done| {
            let frames = frames.as_ref().filter(|_| looking);
            let tell = || tell(&mut engine, &mut timing, &mut sinks, frames, done);
            catch_unwind(AssertUnwindSafe(tell)).map(|()| done)
        });
        let done = match told {
            Ok(done) => done,
            Err(panic) => {
                let again = std::mem::replace(&mut panicked, true);
                take_back(&mut engine, &mut sinks, panic, again);
                0
            }
        };
        if engine.is_finished() {
            return engine;
        }
        if done >= BURST || !reports.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let sleep = timing.sleep(&engine);
        tokio::select! {
            order = inbox.recv(), if open => match order {
                Some(order) => obey(&mut engine, order),
                None => open = false,
            },
            Some(found) = reports.recv() => engine.checked(found),
            () = sleep => {}
        }
    }
}

/// What is due now; how many evaluations were done.
fn work(
    engine: &mut Engine,
    timing: &mut Timing,
    miner: &mut Miner,
    checked: &mpsc::UnboundedSender<Checked>,
) -> usize {
    let target = timing.target(engine);
    let done = engine.advance(target, BURST);
    for check in engine.take_checks() {
        let checked = checked.clone();
        // Each rule is checked by a task of its own; the answer is gathered when all of them have reported.
        tokio::spawn(async move { checked.send(check.make()) });
    }
    miner.work(engine);
    done
}

/// Whatever was yielded, to whoever takes it.
fn tell(
    engine: &mut Engine,
    timing: &mut Timing,
    sinks: &mut Sinks,
    frames: Option<&broadcast::Sender<Arc<Frame>>>,
    done: usize,
) {
    if deliver(engine, sinks).is_break() {
        engine.cut_short();
    }
    if timing.framed && (engine.is_finished() || timing.frame_is_due(engine, done)) {
        let mut frame = engine.frame();
        // Single calls are for the recorder alone, which may hold its frame longer than this.
        let calls = std::mem::take(&mut frame.calls);
        let shown = Arc::new(frame);
        if let Some(sink) = &mut sinks.frame {
            let full =
                if calls.is_empty() { Arc::clone(&shown) } else { Arc::new(Frame { calls, ..(*shown).clone() }) };
            if sink(full).is_break() {
                sinks.frame = None;
            }
        }
        if let Some(frames) = frames {
            // Whoever looked may be gone by now.
            let _ = frames.send(shown);
        }
    }
    if let Some(progress) = &mut sinks.progress {
        progress(engine.counts().evaluations);
    }
}

/// A panic leaves no fault in force. The first one aborts the running game day, which goes on to see whether the steady
/// state is back. Another one ends game day and session here and now, without those who take what it yields: one of them
/// may be what panics. Without a game day it is not ours to hide.
fn take_back(engine: &mut Engine, sinks: &mut Sinks, panic: Box<dyn Any + Send>, again: bool) {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let by = format!("a panic ({})", said.unwrap_or("without a message"));
    match (engine.director.is_some(), again) {
        (true, false) => {
            // It is running, so this is not refused.
            let _ = engine.apply(&by, Command::AbortGameDay);
        }
        (true, true) => {
            *sinks = Sinks::default();
            engine.disarm(&by);
            engine.cut_short();
        }
        (false, _) => {
            engine.disarm(&by);
            resume_unwind(panic);
        }
    }
}

fn obey(engine: &mut Engine, order: Order) {
    let result = engine.apply_as(&order.by, order.role, order.command);
    if let Some(reply) = order.reply {
        // Whoever asked may have stopped waiting.
        let _ = reply.send(result);
    }
}

fn deliver(engine: &mut Engine, sinks: &mut Sinks) -> std::ops::ControlFlow<()> {
    if let Some(sink) = &mut sinks.kept {
        let batch = engine.take_kept();
        if !batch.is_empty() {
            sink(batch)?;
        }
    }
    if let Some(sink) = &mut sinks.result {
        while let Some(evaluation) = engine.next_result() {
            sink(evaluation)?;
        }
    }
    if let Some(sink) = &mut sinks.ledger {
        for kept in engine.take_leaves() {
            sink(kept)?;
        }
    }
    std::ops::ControlFlow::Continue(())
}

/// Mines the ledger's blocks on a thread beside the engine's, one at a time.
#[derive(Default)]
struct Miner {
    task: Option<tokio::task::JoinHandle<Option<(Header, u64)>>>,
    cancel: Arc<AtomicBool>,
}

impl Miner {
    /// Hands in what was found and takes the next block, if there is one.
    fn work(&mut self, engine: &mut Engine) {
        if self.task.as_ref().is_some_and(tokio::task::JoinHandle::is_finished)
            && let Some(task) = self.task.take()
        {
            // A finished task is there without waiting.
            engine.mined(futures_util::FutureExt::now_or_never(task).and_then(Result::ok).flatten());
        }
        if self.task.is_none()
            && let Some((mut block, tries)) = engine.take_mining()
        {
            let cancel = Arc::clone(&self.cancel);
            self.task = Some(tokio::task::spawn_blocking(move || {
                let hashes = block.mine(tries, &cancel)?;
                Some((block, hashes))
            }));
        }
    }

    /// The session is over: a block that is being looked for is given up when the engine was halted, and the last one is
    /// worth as much as the ledger says.
    async fn finish(&mut self, engine: &mut Engine) {
        self.cancel.store(engine.halted, Ordering::Relaxed);
        loop {
            if let Some(task) = self.task.take() {
                let found = task.await.ok().flatten();
                self.cancel.store(false, Ordering::Relaxed);
                engine.mined(found);
            }
            self.work(engine);
            if self.task.is_none() {
                return;
            }
        }
    }
}

/// What time it is for the engine, and when it is next worth a look.
struct Timing {
    clock: WallClock,
    /// For the virtual clock.
    pace: Option<Pace>,
    began: Timestamp,
    next_frame: Timestamp,
    /// Whether somebody takes frames now.
    framed: bool,
    drawn: u64,
}

impl Timing {
    fn new(engine: &Engine, clock: WallClock, pace: Pace) -> Self {
        let pace = engine.wall.is_none().then_some(pace);
        Self { clock, pace, began: engine.now(), next_frame: engine.now(), framed: false, drawn: u64::MAX }
    }

    fn interval(&self, engine: &Engine) -> Duration {
        match self.pace {
            None => FRAME_INTERVAL,
            Some(Pace::Times(times)) => FRAME_INTERVAL.mul_f64(times.max(1.0)),
            Some(Pace::Unpaced) => {
                let (least, most) = VIRTUAL_FRAME_INTERVALS;
                // Without a rate the work alone takes time.
                let rate = engine.arrivals.rate.max(1);
                if engine.arrivals.rate == 0 {
                    least
                } else {
                    (Duration::from_secs(1) * VIRTUAL_FRAME / rate).clamp(least, most)
                }
            }
        }
    }

    /// Up to which moment the engine may go now.
    fn target(&self, engine: &Engine) -> Timestamp {
        match self.pace {
            None => self.clock.now(),
            Some(Pace::Times(times)) => self.began + self.clock.now().since(self.clock.began()).mul_f64(times),
            Some(Pace::Unpaced) if !self.framed => {
                engine.next_due().map_or(self.next_frame, |due| due + UNWATCHED_INTERVAL)
            }
            // Up to the next frame; when nothing happens before it, straight to what happens next.
            Some(Pace::Unpaced) => self.next_frame.max(engine.next_due().unwrap_or(self.next_frame)),
        }
    }

    fn frame_is_due(&mut self, engine: &Engine, done: usize) -> bool {
        let now = match self.pace {
            None => self.clock.now(),
            Some(Pace::Times(_)) => self.target(engine),
            Some(Pace::Unpaced) if done >= BURST => return false,
            Some(Pace::Unpaced) => engine.next_due().unwrap_or(self.next_frame).max(self.next_frame),
        };
        if now < self.next_frame {
            return false;
        }
        self.next_frame = now + self.interval(engine);
        // An engine that stands still has nothing new to show.
        let drawn = engine.out.made() ^ engine.counts().evaluations << 20 ^ u64::from(engine.paused) << 63;
        let changed = drawn != self.drawn;
        self.drawn = drawn;
        changed || !engine.paused
    }

    /// Until something is due, or the next frame.
    fn sleep(&self, engine: &Engine) -> impl Future<Output = ()> + use<> {
        let scale = match self.pace {
            None => 1.0,
            Some(Pace::Times(times)) => times.max(1e-6),
            Some(Pace::Unpaced) => f64::INFINITY,
        };
        let idle = engine.next_due().is_none();
        let now = self.target(engine);
        let due = engine.next_due().unwrap_or(Timestamp::MAX);
        let next = if self.framed { due.min(self.next_frame) } else { due };
        let wait = next.since(now).min(Duration::from_secs(1)).div_f64(scale);
        async move {
            if idle {
                tokio::time::sleep(FRAME_INTERVAL).await;
            } else if wait.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(wait).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use super::*;
    use crate::engine::{Options, Settings, WorkloadKind};

    #[tokio::test]
    async fn single_calls_go_to_the_recorder_and_not_over_the_channel() {
        let mut settings = Settings::everything();
        settings.workload.kind = WorkloadKind::Range;
        (settings.workload.to, settings.workload.rate) = (500, 1_000);
        let engine = Engine::new(&settings, Options { calls: true, ..Options::simulated(1) }).unwrap();
        let recorded = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&recorded);
        let sink: Sink<Arc<Frame>> = Box::new(move |frame| {
            *counted.lock().unwrap() += frame.calls.iter().map(|block| block.verdicts.len()).sum::<usize>();
            ControlFlow::Continue(())
        });
        let (remote, inbox) = Remote::new();
        let mut frames = remote.frames.subscribe();
        let sinks = Sinks { frame: Some(sink), ..Sinks::default() };
        drive(engine, Pace::Unpaced, inbox, Some(remote.frames.clone()), sinks).await;
        assert_eq!(*recorded.lock().unwrap(), 500);
        let mut seen = 0;
        while let Ok(frame) = frames.try_recv() {
            assert!(frame.calls.is_empty());
            seen += 1;
        }
        assert!(seen > 3, "{seen} frames");
    }
}
