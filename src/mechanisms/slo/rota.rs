//! Who is on call: engineers take turns of equal length, counted from the Unix epoch, but for exceptions.

use serde::{Deserialize, Serialize};

use super::alert::CHAIN;
use super::error::SloError;
use crate::domain::Timestamp;

/// Who is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnCallConfig {
    /// The team.
    pub team_name: String,
    /// How long each engineer is on call.
    pub rotation_interval_hours: u64,
    /// In order of rotation.
    pub engineers: Vec<Engineer>,
    /// Times at which somebody else takes over; of two at once, the later in the list counts.
    pub overrides: Vec<Override>,
}

/// Somebody who can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engineer {
    /// Their name.
    pub name: String,
    /// Where to write.
    #[serde(default)]
    pub email: String,
    /// Where to call.
    #[serde(default)]
    pub phone: String,
    /// What they are.
    #[serde(default)]
    pub title: String,
}

/// An exception from the rota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who takes over: an engineer of the list.
    pub engineer: String,
    /// From when, RFC 3339, as in 2026-01-31T08:00:00Z.
    pub from: String,
    /// Until when.
    pub until: String,
}

impl Default for OnCallConfig {
    fn default() -> Self {
        let engineer = |name: &str, title: &str| Engineer {
            name: name.into(),
            email: String::new(),
            phone: String::new(),
            title: title.into(),
        };
        Self {
            team_name: "FizzBuzz Reliability Engineering".into(),
            rotation_interval_hours: 168,
            engineers: vec![engineer("primary", "On-Call Engineer")],
            overrides: Vec::new(),
        }
    }
}

/// One engineer's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn<'a> {
    /// Who.
    pub engineer: &'a Engineer,
    /// When somebody else takes over; [`Timestamp::MAX`] when nobody ever does.
    pub until: Timestamp,
}

/// The rota.
#[derive(Debug, Clone, PartialEq)]
pub struct Rota {
    team: String,
    turn: u64,
    engineers: Vec<Engineer>,
    /// From, until, and the engineer's place.
    overrides: Vec<(Timestamp, Timestamp, usize)>,
}

const HOUR: u64 = 3_600_000;

impl Rota {
    /// As configured.
    ///
    /// # Errors
    /// [`SloError`] when nobody is named, a turn has no length, or an exception is impossible.
    pub fn new(config: &OnCallConfig) -> Result<Self, SloError> {
        if config.engineers.is_empty() {
            return Err(SloError::NobodyOnCall);
        }
        if !(1..=87_600).contains(&config.rotation_interval_hours) {
            return Err(SloError::Rotation(config.rotation_interval_hours));
        }
        let overrides = config.overrides.iter().enumerate().map(|(index, one)| {
            let wrong = |problem: String| SloError::Override { index, problem };
            let moment = |text: &str| {
                let moment = text.trim().parse::<jiff::Timestamp>().ok();
                moment
                    .and_then(|moment| u64::try_from(moment.as_millisecond()).ok())
                    .map(Timestamp::from_millis)
                    .ok_or_else(|| wrong(format!("`{text}` is no moment; write it as 2026-01-31T08:00:00Z")))
            };
            let place = config.engineers.iter().position(|engineer| engineer.name == one.engineer);
            let place = place.ok_or_else(|| wrong(format!("there is no engineer `{}` in the list", one.engineer)))?;
            let (from, until) = (moment(&one.from)?, moment(&one.until)?);
            if until <= from {
                return Err(wrong("it ends before it begins".into()));
            }
            Ok((from, until, place))
        });
        Ok(Self {
            team: config.team_name.clone(),
            turn: config.rotation_interval_hours * HOUR,
            engineers: config.engineers.clone(),
            overrides: overrides.collect::<Result<_, _>>()?,
        })
    }

    /// The team.
    pub fn team(&self) -> &str {
        &self.team
    }

    fn place(&self, at: Timestamp) -> usize {
        let exception = self.overrides.iter().rev().find(|(from, until, _)| (*from..*until).contains(&at));
        match exception {
            Some((.., place)) => *place,
            None => (at.as_millis() / self.turn % self.engineers.len().max(1) as u64) as usize,
        }
    }

    /// The next moment after `at` at which a turn or an exception begins or ends.
    fn edge(&self, at: Timestamp) -> Timestamp {
        let rotation = Timestamp::from_millis((at.as_millis() / self.turn + 1).saturating_mul(self.turn));
        let edges = self.overrides.iter().flat_map(|(from, until, _)| [*from, *until]);
        edges.filter(|edge| *edge > at).fold(rotation, Timestamp::min)
    }

    /// Who is on call at `at`, and until when.
    pub fn at(&self, at: Timestamp) -> Turn<'_> {
        let place = self.place(at);
        let mut until = self.edge(at);
        // Turns of the same engineer are one; beyond every exception each place comes once in a round.
        let limit = self.engineers.len() + 2 * self.overrides.len() + 1;
        for _ in 0..limit {
            if until == Timestamp::MAX || self.place(until) != place {
                break;
            }
            until = self.edge(until);
        }
        if self.place(until) == place {
            until = Timestamp::MAX;
        }
        // Nobody is on a rota without engineers, and `new` refuses one.
        static NOBODY: Engineer =
            Engineer { name: String::new(), email: String::new(), phone: String::new(), title: String::new() };
        Turn { engineer: self.engineers.get(place).unwrap_or(&NOBODY), until }
    }

    /// Who comes after whoever is on call at `at`.
    pub fn next(&self, at: Timestamp) -> Turn<'_> {
        match self.at(at) {
            turn if turn.until == Timestamp::MAX => turn,
            turn => self.at(turn.until),
        }
    }

    /// The escalation chain at `at`: level, title, who (the turns to come, for the higher levels), and what they do.
    pub fn chain(&self, at: Timestamp) -> Vec<(u8, &'static str, &Engineer, &'static str)> {
        let mut turn = self.at(at);
        let mut chain = Vec::new();
        for (level, (title, action)) in (1u8..).zip(CHAIN) {
            chain.push((level, title, turn.engineer, action));
            if turn.until != Timestamp::MAX {
                turn = self.at(turn.until);
            }
        }
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(names: &[&str], hours: u64) -> OnCallConfig {
        let engineer = |name: &&str| Engineer {
            name: (*name).into(),
            email: String::new(),
            phone: String::new(),
            title: String::new(),
        };
        OnCallConfig {
            rotation_interval_hours: hours,
            engineers: names.iter().map(engineer).collect(),
            ..OnCallConfig::default()
        }
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_millis(hours * HOUR)
    }

    #[test]
    fn engineers_take_turns_from_the_epoch_on() {
        let rota = Rota::new(&config(&["ann", "ben"], 1)).unwrap();
        let turn = rota.at(Timestamp::from_millis(HOUR + 5));
        assert_eq!((turn.engineer.name.as_str(), turn.until), ("ben", at(2)));
        assert_eq!(rota.next(at(1)).engineer.name, "ann");
        let chain: Vec<_> = rota.chain(at(1)).iter().map(|(level, _, who, _)| (*level, who.name.clone())).collect();
        assert_eq!(chain, [(1, "ben".into()), (2, "ann".into()), (3, "ben".into()), (4, "ann".into())]);
    }

    #[test]
    fn one_engineer_is_on_call_for_ever() {
        let rota = Rota::new(&config(&["ann"], 168)).unwrap();
        assert_eq!(rota.at(at(7)).until, Timestamp::MAX);
        assert_eq!(rota.next(at(7)).engineer.name, "ann");
    }

    #[test]
    fn an_exception_comes_before_the_rota() {
        let mut config = config(&["ann", "ben", "cid"], 10);
        let exception = |engineer: &str, from: &str, until: &str| Override {
            engineer: engineer.into(),
            from: format!("1970-01-01T{from}:00:00Z"),
            until: format!("1970-01-01T{until}:00:00Z"),
        };
        config.overrides = vec![exception("cid", "02", "04"), exception("ann", "09", "12")];
        let rota = Rota::new(&config).unwrap();
        let who = |hour| rota.at(at(hour)).engineer.name.clone();
        assert_eq!([0, 2, 3, 4, 9, 11, 12, 20].map(who), ["ann", "cid", "cid", "ann", "ann", "ann", "ben", "cid"]);
        assert_eq!([0, 2, 4, 12].map(|hour| rota.at(at(hour)).until), [at(2), at(4), at(12), at(20)]);
        config.overrides = vec![exception("dan", "02", "04")];
        let error = Rota::new(&config).unwrap_err().to_string();
        assert_eq!(error, "sla.on_call.overrides[0]: there is no engineer `dan` in the list");
        config.overrides = vec![exception("ben", "04", "04")];
        assert!(Rota::new(&config).is_err());
    }

    #[test]
    fn an_empty_rota_has_its_own_code() {
        let error = Rota::new(&config(&[], 1)).unwrap_err();
        assert_eq!(error.code().code(), "EFP-SL04");
        assert_eq!(Rota::new(&config(&["ann"], 0)).unwrap_err(), SloError::Rotation(0));
    }
}
