//! The formats that results are written in. Each is one well-formed document, or lines that are.

use std::io::{self, BufWriter, Stdout, Write};

use clap::ValueEnum;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde::Serialize;

use super::{Exit, Failure};
use crate::domain::{Evaluation, Outcome, RuleSet};

/// The formats by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One output a line
    Plain,
    /// One document with results and summary
    Json,
    /// One document with results and summary
    Xml,
    /// A header line, then a record a line
    Csv,
    /// A JSON record a line
    Ndjson,
}

/// What a session came to, as the formats write it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub session_id: String,
    pub seed: u64,
    pub total_numbers: u64,
    pub fizz_count: u64,
    pub buzz_count: u64,
    pub fizzbuzz_count: u64,
    pub plain_count: u64,
    pub wrong_count: u64,
    pub outcomes: Outcomes,
    pub processing_time_ms: f64,
    pub numbers_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_head: Option<String>,
}

/// Evaluations by outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Outcomes {
    pub ok: u64,
    pub denied: u64,
    pub rejected: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub invalid: u64,
}

#[derive(Serialize)]
struct RuleRecord<'a> {
    name: &'a str,
    divisor: i64,
    label: &'a str,
}

#[derive(Serialize)]
struct Record<'a> {
    number: i64,
    output: Option<&'a str>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    result_id: String,
    matched_rules: Vec<RuleRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

#[derive(Serialize)]
struct Metadata {
    sequence: u64,
    correct: bool,
    source: crate::domain::Source,
    processing_time_ns: u64,
    faults: Vec<&'static str>,
    /// Absent while nothing is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
}

/// Writes results in a format.
pub struct Results<W: Write> {
    format: Format,
    metadata: bool,
    seed: u64,
    out: BufWriter<W>,
    written: u64,
    /// Whether each line is shown at once.
    eager: bool,
}

impl Results<Stdout> {
    /// To stdout.
    pub fn stdout(format: Format, metadata: bool, seed: u64) -> io::Result<Self> {
        use std::io::IsTerminal as _;
        let eager = io::stdout().is_terminal();
        Self::new(io::stdout(), format, metadata, seed, eager)
    }
}

impl<W: Write> Results<W> {
    fn new(out: W, format: Format, metadata: bool, seed: u64, eager: bool) -> io::Result<Self> {
        let mut results =
            Self { format, metadata, seed, out: BufWriter::with_capacity(1 << 16, out), written: 0, eager };
        match format {
            Format::Json => results.out.write_all(b"{\n  \"results\": [")?,
            Format::Xml => {
                let mut xml = Writer::new(&mut results.out);
                xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
                results.out.write_all(b"\n<fizzBuzzResults>\n")?;
            }
            Format::Csv => {
                results.out.write_all(b"number,output,outcome,error,matched_rules,result_id\n")?;
            }
            Format::Plain | Format::Ndjson => {}
        }
        Ok(results)
    }

    /// Writes one record.
    pub fn record(&mut self, evaluation: &Evaluation, rules: &RuleSet) -> io::Result<()> {
        let shown = evaluation.output.text(evaluation.number, rules);
        let answered = evaluation.outcome == Outcome::Ok;
        match self.format {
            Format::Plain if answered => writeln!(self.out, "{shown}")?,
            Format::Plain => writeln!(self.out, "{}", evaluation.shown(rules))?,
            Format::Json | Format::Ndjson => {
                let record = self.json(evaluation, rules, answered.then_some(&shown));
                let (before, after) = match (self.format, self.written) {
                    (Format::Ndjson, _) => ("", "\n"),
                    (_, 0) => ("\n    ", ""),
                    _ => (",\n    ", ""),
                };
                self.out.write_all(before.as_bytes())?;
                serde_json::to_writer(&mut self.out, &record)?;
                self.out.write_all(after.as_bytes())?;
            }
            Format::Xml => self.xml(evaluation, rules, answered.then_some(&shown))?,
            Format::Csv => self.csv(evaluation, rules, answered.then_some(&shown))?,
        }
        self.written += 1;
        if self.eager { self.out.flush() } else { Ok(()) }
    }

    fn json<'a>(&self, evaluation: &Evaluation, rules: &'a RuleSet, output: Option<&'a str>) -> Record<'a> {
        let Evaluation { number, outcome, error, matched, .. } = *evaluation;
        let metadata = self.metadata.then(|| Metadata {
            sequence: evaluation.sequence,
            correct: evaluation.correct,
            source: evaluation.source,
            processing_time_ns: crate::domain::time::nanos(evaluation.duration),
            faults: crate::mechanisms::chaos::Fault::ALL
                .into_iter()
                .filter(|fault| evaluation.faults & fault.bit() != 0)
                .map(crate::mechanisms::chaos::Fault::name)
                .collect(),
            attempts: (evaluation.attempts > 0).then_some(evaluation.attempts),
            confidence: evaluation.confidence,
        });
        Record {
            number,
            output,
            outcome,
            error: error.map(|code| code.code()),
            result_id: evaluation.id(self.seed).to_string(),
            matched_rules: rules
                .named(matched)
                .map(|rule| RuleRecord { name: &rule.name, divisor: rule.divisor, label: &rule.label })
                .collect(),
            retry_after_ms: evaluation.retry_after.map(|after| after.as_secs_f64() * 1_000.0),
            metadata,
        }
    }

    fn xml(&mut self, evaluation: &Evaluation, rules: &RuleSet, output: Option<&str>) -> io::Result<()> {
        let id = evaluation.id(self.seed).to_string();
        self.out.write_all(b"  ")?;
        let mut xml = Writer::new(&mut self.out);
        let mut start = BytesStart::new("result");
        start.push_attribute(("id", id.as_str()));
        xml.write_event(Event::Start(start))?;
        element(&mut xml, "number", &evaluation.number.to_string())?;
        element(&mut xml, "output", output.unwrap_or_default())?;
        element(&mut xml, "outcome", evaluation.outcome.name())?;
        if let Some(code) = evaluation.error {
            element(&mut xml, "error", code.code())?;
        }
        xml.write_event(Event::Start(BytesStart::new("matchedRules")))?;
        for rule in rules.named(evaluation.matched) {
            let mut element = BytesStart::new("rule");
            element.push_attribute(("name", rule.name.as_str()));
            element.push_attribute(("divisor", rule.divisor.to_string().as_str()));
            element.push_attribute(("label", rule.label.as_str()));
            xml.write_event(Event::Empty(element))?;
        }
        xml.write_event(Event::End(BytesEnd::new("matchedRules")))?;
        xml.write_event(Event::End(BytesEnd::new("result")))?;
        self.out.write_all(b"\n")
    }

    fn csv(&mut self, evaluation: &Evaluation, rules: &RuleSet, output: Option<&str>) -> io::Result<()> {
        let names: Vec<&str> = rules.named(evaluation.matched).map(|rule| rule.name.as_str()).collect();
        let matched = if names.is_empty() { "none".to_owned() } else { names.join("|") };
        let mut line = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::with_capacity(96));
        line.write_record([
            evaluation.number.to_string().as_str(),
            output.unwrap_or_default(),
            evaluation.outcome.name(),
            evaluation.error.map_or("", |code| code.code()),
            &matched,
            &evaluation.id(self.seed).to_string(),
        ])?;
        let line = line.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        self.out.write_all(&line)
    }

    /// Ends the document; the summary is part of those formats that have a place for it.
    pub fn finish(&mut self, summary: Option<&Summary>) -> io::Result<()> {
        match self.format {
            Format::Json => {
                write!(self.out, "\n  ],\n  \"count\": {}", self.written)?;
                if let Some(summary) = summary {
                    self.out.write_all(b",\n  \"summary\": ")?;
                    serde_json::to_writer(&mut self.out, summary)?;
                }
                self.out.write_all(b"\n}\n")?;
            }
            Format::Xml => {
                if let Some(summary) = summary {
                    self.out.write_all(b"  ")?;
                    let mut xml = Writer::new(&mut self.out);
                    xml.write_event(Event::Start(BytesStart::new("sessionSummary")))?;
                    element(&mut xml, "sessionId", &summary.session_id)?;
                    let figures = [
                        ("totalNumbers", summary.total_numbers),
                        ("fizzCount", summary.fizz_count),
                        ("buzzCount", summary.buzz_count),
                        ("fizzBuzzCount", summary.fizzbuzz_count),
                        ("plainCount", summary.plain_count),
                        ("wrongCount", summary.wrong_count),
                    ];
                    for (name, figure) in figures {
                        element(&mut xml, name, &figure.to_string())?;
                    }
                    element(&mut xml, "processingTimeMs", &format!("{:.2}", summary.processing_time_ms))?;
                    xml.write_event(Event::End(BytesEnd::new("sessionSummary")))?;
                    self.out.write_all(b"\n")?;
                }
                self.out.write_all(b"</fizzBuzzResults>\n")?;
            }
            Format::Plain | Format::Csv | Format::Ndjson => {}
        }
        self.out.flush()
    }
}

fn element<W: Write>(xml: &mut Writer<W>, name: &str, text: &str) -> io::Result<()> {
    xml.write_event(Event::Start(BytesStart::new(name)))?;
    xml.write_event(Event::Text(BytesText::new(text)))?;
    xml.write_event(Event::End(BytesEnd::new(name)))
}

/// Prints a text on stdout. A closed pipe ends it quietly.
pub fn print(text: &str) -> Result<Exit, Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(Exit::Done),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(Failure::usage(format!("stdout cannot be written: {error}"))),
    }
}
