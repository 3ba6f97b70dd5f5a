//! Commands and queries to what is kept: typed messages, each with a handler and a validation of its own, through middleware
//! that see every one of them. A query changes nothing. It knows no record; the engine's own commands have their way in
//! the engine.
//!
//! ```
//! use fizzops::records::bus::{Bus, Handler, Message, Nature};
//!
//! struct Counter(u64);
//! struct Add(u64);
//! impl Message for Add {
//!     type Answer = u64;
//!     const NAME: &'static str = "add";
//!     const NATURE: Nature = Nature::Command;
//!     fn validate(&self) -> Result<(), String> {
//!         if self.0 > 9 { Err("at most 9".into()) } else { Ok(()) }
//!     }
//! }
//! impl Handler<Add> for Counter {
//!     type Error = String;
//!     fn handle(&mut self, add: Add) -> Result<u64, String> {
//!         self.0 += add.0;
//!         Ok(self.0)
//!     }
//! }
//! let mut bus = Bus::new(Counter(40), "ada");
//! assert_eq!(bus.send(Add(2)), Ok(42));
//! assert_eq!(bus.send(Add(10)), Err("at most 9".to_owned()));
//! ```

/// Whether a message changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It does.
    Command,
    /// It does not.
    Query,
}

impl Nature {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
        }
    }
}

/// A command or a query.
pub trait Message {
    /// What its handler answers.
    type Answer;
    /// What it is called where it is told of.
    const NAME: &'static str;
    /// Which of the two it is.
    const NATURE: Nature;

    /// Whether it can be asked at all, before anything is looked at.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Whoever carries out a message.
pub trait Handler<M: Message> {
    /// Why it may not be able to; a message that is not valid becomes one too.
    type Error: From<String>;

    /// Carries it out.
    ///
    /// # Errors
    /// As the handler says; nothing has changed then.
    fn handle(&mut self, message: M) -> Result<M::Answer, Self::Error>;
}

/// A message, as middleware see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// What it is called.
    pub name: &'static str,
    /// Which of the two it is.
    pub nature: Nature,
    /// Who sent it.
    pub by: &'a str,
    /// Whether it was carried out; `None` before that is known.
    pub done: Option<bool>,
}

/// Sees every message before and after its handler, with the handler's subject.
pub trait Middleware<S> {
    /// A valid message is about to be handled.
    fn before(&mut self, _call: &Call<'_>, _subject: &mut S) {}

    /// It was.
    ///
    /// # Errors
    /// Why the sender is not told that all is well, in a sentence; what was done stays done.
    fn after(&mut self, _call: &Call<'_>, _subject: &mut S) -> Result<(), String> {
        Ok(())
    }
}

/// The way that messages take to a subject: validation, middleware in order, handler, middleware in reverse.
pub struct Bus<S> {
    subject: S,
    by: String,
    layers: Vec<Box<dyn Middleware<S>>>,
}

impl<S> Bus<S> {
    /// To `subject`, for messages that `by` sends.
    pub fn new(subject: S, by: &str) -> Self {
        Self { subject, by: by.to_owned(), layers: Vec::new() }
    }

    /// With a middleware within those that it has.
    #[must_use]
    pub fn with(mut self, layer: impl Middleware<S> + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// Sends a message.
    ///
    /// # Errors
    /// What its validation, its handler or a middleware says.
    pub fn send<M: Message>(&mut self, message: M) -> Result<M::Answer, S::Error>
    where
        S: Handler<M>,
    {
        message.validate()?;
        let Self { subject, by, layers } = self;
        let mut call = Call { name: M::NAME, nature: M::NATURE, by, done: None };
        for layer in layers.iter_mut() {
            layer.before(&call, subject);
        }
        let answer = subject.handle(message);
        call.done = Some(answer.is_ok());
        for layer in layers.iter_mut().rev() {
            let seen = layer.after(&call, subject);
            if answer.is_ok() {
                seen?;
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Subject(Vec<String>);

    struct Ask(i32);

    impl Message for Ask {
        type Answer = i32;
        const NAME: &'static str = "ask";
        const NATURE: Nature = Nature::Query;

        fn validate(&self) -> Result<(), String> {
            if self.0 < 0 { Err("it is negative".into()) } else { Ok(()) }
        }
    }

    impl Handler<Ask> for Subject {
        type Error = String;

        fn handle(&mut self, ask: Ask) -> Result<i32, String> {
            self.0.push("handled".into());
            if ask.0 == 7 { Err("not seven".into()) } else { Ok(ask.0 + 1) }
        }
    }

    struct Layer(&'static str);

    impl Middleware<Subject> for Layer {
        fn before(&mut self, call: &Call<'_>, subject: &mut Subject) {
            subject.0.push(format!(">{} {} {}", self.0, call.nature.name(), call.name));
        }

        fn after(&mut self, call: &Call<'_>, subject: &mut Subject) -> Result<(), String> {
            subject.0.push(format!("<{} {} {:?}", self.0, call.by, call.done));
            Ok(())
        }
    }

    #[test]
    fn a_message_is_validated_and_goes_through_the_middleware_in_and_out() {
        let mut bus = Bus::new(Subject::default(), "ada").with(Layer("a")).with(Layer("b"));
        assert_eq!(bus.send(Ask(-1)), Err("it is negative".into()));
        assert!(bus.subject.0.is_empty(), "what is not valid goes nowhere");
        assert_eq!(bus.send(Ask(1)), Ok(2));
        assert_eq!(bus.send(Ask(7)), Err("not seven".into()));
        let expected = [">a query ask", ">b query ask", "handled", "<b ada Some(true)", "<a ada Some(true)"];
        assert_eq!(bus.subject.0[..5], expected);
        assert_eq!(bus.subject.0.last().unwrap(), "<a ada Some(false)");
    }
}
