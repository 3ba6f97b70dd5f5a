//! The report as JUnit XML, as CI servers read it: a test case for each expectation.
//!
//! Shape: `testsuites > testsuite > testcase > failure | error | skipped`, after the schema that Jenkins' xUnit plug-in
//! publishes (junit-10.xsd).

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::Report;
use crate::engine::director::{ExpectationView, Standing, Verdict};

/// Writes the reports of one run, a suite each.
///
/// # Errors
/// `std::io::Error` never: it is written to memory.
pub fn junit(reports: &[&Report]) -> std::io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let failures: usize = reports.iter().copied().map(failures).sum();
    let errors: usize = reports.iter().copied().map(errors).sum();
    let tests: usize = reports.iter().copied().map(tests).sum();
    writer
        .create_element("testsuites")
        .with_attribute(("name", "fizzops gameday"))
        .with_attribute(("tests", tests.to_string().as_str()))
        .with_attribute(("failures", failures.to_string().as_str()))
        .with_attribute(("errors", errors.to_string().as_str()))
        .write_inner_content(|writer| reports.iter().try_for_each(|report| suite(writer, report)))?;
    let mut text = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    text.push('\n');
    Ok(text)
}

fn tests(report: &Report) -> usize {
    report.expectations.len() + 1
}

fn failures(report: &Report) -> usize {
    report.expectations.iter().filter(|one| one.standing == Standing::Failed).count()
        + usize::from(report.verdict == Verdict::NotHeld)
}

/// A drill that did not come to a judgement is no failed expectation.
fn errors(report: &Report) -> usize {
    usize::from(matches!(
        report.verdict,
        Verdict::Aborted | Verdict::NeverRan | Verdict::Inconclusive | Verdict::Running
    ))
}

fn suite(writer: &mut Writer<Vec<u8>>, report: &Report) -> std::io::Result<()> {
    let skipped = report.expectations.iter().filter(|one| is_skipped(one)).count();
    let seconds = format!("{:.3}", report.ended.since(report.began).as_secs_f64());
    writer
        .create_element("testsuite")
        .with_attribute(("name", report.scenario.as_str()))
        .with_attribute(("tests", tests(report).to_string().as_str()))
        .with_attribute(("failures", failures(report).to_string().as_str()))
        .with_attribute(("errors", errors(report).to_string().as_str()))
        .with_attribute(("skipped", skipped.to_string().as_str()))
        .with_attribute(("time", seconds.as_str()))
        .with_attribute(("timestamp", report.began.to_string().as_str()))
        .write_inner_content(|writer| {
            case(writer, report, "verdict", &seconds, |writer| match report.verdict {
                Verdict::Held => Ok(false),
                Verdict::NotHeld => told(writer, "failure", report.verdict.text(), &report.reason),
                _ => told(writer, "error", report.verdict.text(), &report.reason),
            })?;
            report.expectations.iter().try_for_each(|one| {
                case(writer, report, &one.text, "0", |writer| match one.standing {
                    Standing::Held => Ok(false),
                    Standing::Failed => told(writer, "failure", "not held", &format!("found {}", one.actual)),
                    Standing::Pending | Standing::Inconclusive => {
                        writer.create_element("skipped").write_empty()?;
                        Ok(true)
                    }
                })
            })?;
            let text = super::text(report);
            writer.create_element("system-out").write_text_content(BytesText::new(&text))?;
            Ok(())
        })?;
    Ok(())
}

fn is_skipped(one: &ExpectationView) -> bool {
    matches!(one.standing, Standing::Pending | Standing::Inconclusive)
}

fn told(writer: &mut Writer<Vec<u8>>, element: &str, kind: &str, message: &str) -> std::io::Result<bool> {
    writer
        .create_element(element)
        .with_attribute(("message", message))
        .with_attribute(("type", kind))
        .write_text_content(BytesText::new(message))?;
    Ok(true)
}

/// A test case; `inner` says whether it wrote anything.
fn case(
    writer: &mut Writer<Vec<u8>>,
    report: &Report,
    name: &str,
    seconds: &str,
    inner: impl FnOnce(&mut Writer<Vec<u8>>) -> std::io::Result<bool>,
) -> std::io::Result<()> {
    let class = format!("gameday.{}", report.scenario);
    writer
        .create_element("testcase")
        .with_attribute(("name", name))
        .with_attribute(("classname", class.as_str()))
        .with_attribute(("time", seconds))
        .write_inner_content(|writer| inner(writer).map(drop))?;
    Ok(())
}
