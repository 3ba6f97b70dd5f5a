//! The calls of a chunk, packed: one column for each fact over all frames of the chunk, each told as whatever packs best.
//! What the calls mean is the breaker's business.

use serde::{Deserialize, Serialize};

use super::pack::{Packed, length, pack, unpack, unzigzag, zigzag};
use crate::domain::ErrorCode;
use crate::mechanisms::breaker::{BlockCommand, CallBlock};

/// The calls of a chunk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Seven numbers a block: frames since the one of the block before, circuit, and how many verdicts, durations, errors,
    /// commands and dropped calls it has.
    blocks: Packed,
    circuits: Vec<Circuit>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Circuit {
    name: String,
    verdicts: String,
    sequences: Column,
    at: Column,
    durations: Column,
    numbers: Column,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Option<ErrorCode>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<BlockCommand>,
}

/// Numbers less a usual one (`P`), or as steps from one to the next less a usual step (`D`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Column(String, i64, Packed);

/// Why calls cannot be read.
pub type Problem = &'static str;

const FIELDS: usize = 7;

impl Column {
    fn new(values: &[i64]) -> Self {
        let steps =
            || values.iter().scan(0_i64, |last, value| Some(value.wrapping_sub(std::mem::replace(last, *value))));
        let mut sorted: Vec<i64> = steps().skip(1).collect();
        let middle = sorted.len() / 2;
        let usual = if sorted.is_empty() { 0 } else { *sorted.select_nth_unstable(middle).1 };
        let cost =
            |values: &mut dyn Iterator<Item = i64>| values.map(|value| u64::from(length(zigzag(value)))).sum::<u64>();
        let mut sorted: Vec<i64> = values.to_vec();
        let common = if sorted.is_empty() { 0 } else { *sorted.select_nth_unstable(values.len() / 2).1 };
        let (mut plain, mut origin) = (cost(&mut values.iter().copied()), 0);
        let off = cost(&mut values.iter().map(|value| value.wrapping_sub(common)));
        if off < plain {
            (plain, origin) = (off, common);
        }
        let (straight, less) = (cost(&mut steps()), cost(&mut steps().map(|step| step.wrapping_sub(usual))));
        let base = if less < straight { usual } else { 0 };
        if plain <= straight.min(less) {
            Self("P".into(), origin, pack(values.iter().map(|value| zigzag(value.wrapping_sub(origin)))))
        } else {
            Self("D".into(), base, pack(steps().map(|step| zigzag(step.wrapping_sub(base)))))
        }
    }

    fn read(&self) -> Result<Vec<i64>, Problem> {
        let values = unpack(&self.2).ok_or("a column of calls is damaged")?.into_iter().map(unzigzag);
        match self.0.as_str() {
            "P" => Ok(values.map(|value| value.wrapping_add(self.1)).collect()),
            "D" => {
                let mut last = 0_i64;
                Ok(values
                    .map(|step| {
                        last = last.wrapping_add(step).wrapping_add(self.1);
                        last
                    })
                    .collect())
            }
            _ => Err("a column of calls is of no known kind"),
        }
    }
}

/// A block's differences as what they differ to.
fn sums(steps: &[i64]) -> impl Iterator<Item = i64> {
    steps.iter().scan(0_i64, |sum, step| {
        *sum = sum.wrapping_add(*step);
        Some(*sum)
    })
}

fn steps(values: &[i64]) -> Vec<i64> {
    values.iter().scan(0_i64, |last, value| Some(value.wrapping_sub(std::mem::replace(last, *value)))).collect()
}

/// Packs the calls of frames, each with its place in the chunk; `None` when there are none.
pub fn encode(frames: &[(u32, Vec<CallBlock>)]) -> Option<Calls> {
    let mut circuits: Vec<(Circuit, [Vec<i64>; 4])> = Vec::new();
    let (mut blocks, mut last) = (Vec::new(), 0);
    for (frame, block) in frames.iter().flat_map(|(frame, blocks)| blocks.iter().map(move |block| (*frame, block))) {
        let known = circuits.iter().position(|(circuit, _)| circuit.name == block.circuit);
        let place = known.unwrap_or_else(|| {
            let circuit = Circuit { name: block.circuit.clone(), ..Circuit::default() };
            circuits.push((circuit, Default::default()));
            circuits.len() - 1
        });
        let Some((circuit, [sequences, at, durations, numbers])) = circuits.get_mut(place) else { continue };
        let counts = [block.verdicts.len(), block.durations_ns.len(), block.errors.len(), block.commands.len()];
        blocks.extend([u64::from(frame - last), place as u64]);
        blocks.extend(counts.map(|count| count as u64));
        blocks.push(block.dropped);
        last = frame;
        circuit.verdicts.push_str(&block.verdicts);
        sequences.extend(sums(&block.sequences));
        at.extend(sums(&block.at));
        durations.extend(block.durations_ns.iter().map(|duration| *duration as i64));
        numbers.extend(sums(&block.numbers));
        circuit.errors.extend_from_slice(&block.errors);
        circuit.commands.extend_from_slice(&block.commands);
    }
    let circuits = circuits.into_iter().map(|(mut circuit, [sequences, at, durations, numbers])| {
        circuit.sequences = Column::new(&sequences);
        circuit.at = Column::new(&at);
        circuit.durations = Column::new(&durations);
        circuit.numbers = Column::new(&numbers);
        circuit
    });
    let circuits: Vec<Circuit> = circuits.collect();
    (!blocks.is_empty()).then(|| Calls { blocks: pack(blocks), circuits })
}

/// Takes the next `count` items.
fn next<'a, T>(items: &mut &'a [T], count: usize) -> Result<&'a [T], Problem> {
    let (taken, rest) = items.split_at_checked(count).ok_or("a column of calls is too short")?;
    *items = rest;
    Ok(taken)
}

/// Unpacks: blocks, each with its frame's place in the chunk.
pub fn decode(calls: &Calls) -> Result<Vec<(u32, CallBlock)>, Problem> {
    let fields = unpack(&calls.blocks).ok_or("the list of call blocks is damaged")?;
    let mut columns = Vec::with_capacity(calls.circuits.len());
    for circuit in &calls.circuits {
        let read = [&circuit.sequences, &circuit.at, &circuit.durations, &circuit.numbers].map(Column::read);
        let [sequences, at, durations, numbers] = read;
        columns.push((sequences?, at?, durations?, numbers?));
    }
    let mut rests: Vec<_> = calls
        .circuits
        .iter()
        .zip(&columns)
        .map(|(circuit, (sequences, at, durations, numbers))| {
            let verdicts = circuit.verdicts.as_bytes();
            let (errors, commands) = (circuit.errors.as_slice(), circuit.commands.as_slice());
            (
                circuit,
                verdicts,
                sequences.as_slice(),
                at.as_slice(),
                durations.as_slice(),
                numbers.as_slice(),
                errors,
                commands,
            )
        })
        .collect();
    let (mut blocks, mut frame) = (Vec::new(), 0_u32);
    for block in fields.chunks(FIELDS) {
        let [step, place, verdicts, durations, errors, commands, dropped] = *block else {
            return Err("the list of call blocks is cut");
        };
        frame = u32::try_from(step).ok().and_then(|step| frame.checked_add(step)).ok_or("a frame is too far")?;
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let rest =
            usize::try_from(place).ok().and_then(|place| rests.get_mut(place)).ok_or("there is no such circuit")?;
        let calls = count(verdicts);
        let verdicts = next(&mut rest.1, calls)?;
        blocks.push((
            frame,
            CallBlock {
                circuit: rest.0.name.clone(),
                verdicts: std::str::from_utf8(verdicts).map_err(|_| "a verdict is no letter")?.to_owned(),
                sequences: steps(next(&mut rest.2, calls)?),
                at: steps(next(&mut rest.3, calls)?),
                durations_ns: next(&mut rest.4, count(durations))?.iter().map(|duration| *duration as u64).collect(),
                numbers: steps(next(&mut rest.5, calls)?),
                errors: next(&mut rest.6, count(errors))?.to_vec(),
                commands: next(&mut rest.7, count(commands))?.to_vec(),
                dropped,
            },
        ));
    }
    let empty =
        rests.iter().all(|rest| rest.1.is_empty() && rest.2.is_empty() && rest.4.is_empty() && rest.6.is_empty());
    if empty { Ok(blocks) } else { Err("there are more calls than blocks") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block() -> impl Strategy<Value = CallBlock> {
        let call = (any::<i64>(), any::<i64>(), any::<i64>(), prop::option::of(any::<u64>()));
        (prop::collection::vec(call, 0..20), 0..3_u8, 0..3_u64).prop_map(|(calls, circuit, dropped)| CallBlock {
            circuit: format!("c{circuit}"),
            verdicts: calls.iter().map(|call| if call.3.is_some() { 's' } else { 'r' }).collect(),
            sequences: calls.iter().map(|call| call.0).collect(),
            at: calls.iter().map(|call| call.1).collect(),
            durations_ns: calls.iter().filter_map(|call| call.3).collect(),
            numbers: calls.iter().map(|call| call.2).collect(),
            errors: calls.iter().take(2).map(|call| call.3.map(|_| ErrorCode::ChaosInduced)).collect(),
            commands: Vec::new(),
            dropped,
        })
    }

    proptest! {
        #[test]
        fn any_calls_are_read_back(frames in prop::collection::vec((0..3_u32, prop::collection::vec(block(), 0..3)), 0..6)) {
            let mut frame = 0;
            let frames: Vec<_> = frames.into_iter().map(|(step, blocks)| { frame += step; (frame, blocks) }).collect();
            let flat: Vec<_> = frames.iter().flat_map(|(frame, blocks)| blocks.iter().map(|block| (*frame, block.clone()))).collect();
            match encode(&frames) {
                None => prop_assert!(flat.is_empty()),
                Some(calls) => {
                    let text = serde_json::to_string(&calls).unwrap();
                    prop_assert_eq!(decode(&serde_json::from_str(&text).unwrap()).unwrap(), flat);
                }
            }
        }
    }

    #[test]
    fn regular_calls_cost_a_few_bits() {
        let block = CallBlock {
            circuit: "evaluation".into(),
            verdicts: "s".repeat(1_000),
            sequences: vec![1; 1_000],
            at: vec![1_000_000; 1_000],
            durations_ns: (0..1_000).map(|at| 2_000 + at % 7).collect(),
            numbers: vec![1; 1_000],
            ..CallBlock::default()
        };
        let text = serde_json::to_vec(&encode(&[(0, vec![block])])).unwrap();
        assert!(zstd::encode_all(text.as_slice(), 9).unwrap().len() < 2_500);
    }
}
