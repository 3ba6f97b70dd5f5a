//! A recorder on a thread of its own, so that an engine never waits for packing or for a disk, unless it is on the virtual
//! clock, where waiting costs nobody anything.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Header, Recorder};
use crate::domain::Timestamp;
use crate::engine::{ClockKind, Frame, WallClock};

/// Frames that the thread may be behind.
const BEHIND: usize = 16;
/// On the wall clock no chunk waits longer to be written.
const PATIENCE: Duration = Duration::from_millis(750);
/// Of frames in which nothing is told, one is kept in such a time: a console draws more often than a file needs.
const THIN: Duration = Duration::from_millis(245);
/// So many events of frames that found no room are carried over; then the engine waits.
const CARRIED: usize = 65_536;
/// With so many calls a frame is kept, whatever else it tells.
const CALLS: usize = 65_536;
/// With so many of them the engine waits for room.
const CALLS_CARRIED: usize = 262_144;

/// The sending end of a recorder's thread.
pub struct Background {
    frames: Option<SyncSender<Frame>>,
    thread: Option<JoinHandle<io::Result<Recorder>>>,
    /// Whether the engine may be made to wait.
    patient: bool,
    /// Frames that were passed over: what happened in them goes with the next one.
    carried: Option<Frame>,
    kept: Option<Timestamp>,
}

impl Background {
    /// Creates the file, writes its header, and starts the thread.
    ///
    /// # Errors
    /// As creating and writing a file, or starting a thread, does.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let recorder = Recorder::create(path, header)?;
        let (frames, inbox) = sync_channel(BEHIND);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || write(recorder, &inbox))?;
        let patient = header.info.clock == ClockKind::Virtual;
        Ok(Self { frames: Some(frames), thread: Some(thread), patient, carried: None, kept: None })
    }

    /// Adds a frame; `false` when the thread has ended because it could not write: [`Background::finish`] says why.
    pub fn frame(&mut self, frame: Arc<Frame>) -> bool {
        let Some(frames) = &self.frames else { return false };
        let told = !frame.events.is_empty() || !frame.samples.is_empty() || !frame.instructions.is_empty();
        let due = self.kept.is_none_or(|kept| frame.at.since(kept) >= THIN);
        let frame = merge(self.carried.take(), Arc::unwrap_or_clone(frame));
        let calls: usize = frame.calls.iter().map(|block| block.verdicts.len()).sum();
        if !(due || told || calls > CALLS || frame.snapshot.finished) {
            self.carried = Some(frame);
            return true;
        }
        let at = frame.at;
        let wait = self.patient || frame.snapshot.finished || frame.events.len() > CARRIED || calls > CALLS_CARRIED;
        let sent = if wait {
            frames.send(frame).map_err(|_| None)
        } else {
            frames.try_send(frame).map_err(|error| match error {
                TrySendError::Full(frame) => Some(frame),
                TrySendError::Disconnected(_) => None,
            })
        };
        match sent {
            Ok(()) => {
                self.kept = Some(at);
                true
            }
            Err(carried @ Some(_)) => {
                self.carried = carried;
                true
            }
            Err(None) => false,
        }
    }

    /// Writes what is left, the footer and the index. The seal.
    ///
    /// # Errors
    /// The first error of writing the file, whenever it was.
    pub fn finish(mut self, ledger_head: Option<String>) -> io::Result<String> {
        self.end()?.finish(ledger_head)
    }

    fn end(&mut self) -> io::Result<Recorder> {
        let frames = self.frames.take();
        if let (Some(frames), Some(carried)) = (&frames, self.carried.take()) {
            // A thread that has ended says why below.
            let _ = frames.send(carried);
        }
        drop(frames);
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(recorder)) => recorder,
            _ => Err(io::Error::other("the recorder's thread stopped")),
        }
    }
}

impl Drop for Background {
    /// Whole frames are written even when nobody finishes the file.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Ok(mut recorder) = self.end()
        {
            let _ = recorder.flush();
        }
    }
}

/// What happened in a frame that was passed over goes before what happened in the next.
fn merge(carried: Option<Frame>, frame: Frame) -> Frame {
    let Some(mut carried) = carried else { return frame };
    carried.events.extend(frame.events);
    carried.samples.extend(frame.samples);
    carried.calls.extend(frame.calls);
    carried.instructions.extend(frame.instructions);
    Frame {
        events: carried.events,
        samples: carried.samples,
        calls: carried.calls,
        instructions: carried.instructions,
        ..frame
    }
}

fn write(mut recorder: Recorder, inbox: &Receiver<Frame>) -> io::Result<Recorder> {
    let clock = WallClock::start();
    // By this clock: when the oldest waiting frame came, and when the file was last made safe.
    let (mut oldest, mut synced) = (None, clock.now());
    loop {
        let wait = oldest.map_or(PATIENCE, |oldest| PATIENCE.saturating_sub(clock.now().since(oldest)));
        match inbox.recv_timeout(wait) {
            Ok(frame) => {
                let before = recorder.length();
                recorder.take(frame)?;
                if recorder.length() > before {
                    oldest = None;
                }
                if recorder.waiting() > 0 && clock.now().since(*oldest.get_or_insert(clock.now())) >= PATIENCE {
                    recorder.flush()?;
                    oldest = None;
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                recorder.flush()?;
                oldest = None;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(recorder),
        }
        if clock.now().since(synced) >= PATIENCE {
            recorder.sync()?;
            synced = clock.now();
        }
    }
}
