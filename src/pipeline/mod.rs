//! The chain that every evaluation goes through: the middleware contract, the context that is handed along, and the
//! order. Middleware are plain state machines: no async, no locks, no clock of their own.

pub mod chain;
pub mod context;
pub mod dependency;
pub mod outbox;
pub mod timing;
pub mod trace;
pub mod validation;

pub use chain::{Chain, Layers};
pub use context::Context;
pub use outbox::Outbox;

/// Whether the evaluation goes on to the next middleware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// On to the next one.
    Continue,
    /// It waits at this middleware: whoever drives the chain keeps the context, and hands it to [`Chain::resume`] or
    /// [`Chain::refuse`] when the middleware says so. It has entered the middleware further out and none from here on.
    Wait,
    /// The evaluation is decided here: the context has its outcome, or its answer.
    Finish,
}

/// From this priority on a middleware runs on the finished evaluation, whichever way it finished.
pub const FINISHING: i16 = 50;

/// One safety mechanism's place in the chain.
///
/// Below [`FINISHING`] a middleware wraps the evaluation: `enter` by ascending priority, `leave` in reverse, and only
/// for those whose `enter` let it pass. From [`FINISHING`] on only `leave` is called, in ascending order.
pub trait Middleware {
    /// The field's term for it; unique in a chain.
    fn name(&self) -> &'static str;

    /// Its place: lower is further outside.
    fn priority(&self) -> i16;

    /// The evaluation comes in.
    fn enter(&mut self, _context: &mut Context, _out: &mut Outbox) -> Flow {
        Flow::Continue
    }

    /// The evaluation goes out.
    fn leave(&mut self, _context: &mut Context, _out: &mut Outbox) {}
}
