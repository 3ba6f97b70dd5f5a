//! Figures as they are shown: thousands grouped, units said, spans in the unit that suits them.

use crate::domain::Timestamp;
pub use crate::domain::text::grouped;

/// A share in percent: `71 %`, `99.95 %`; `-` where there is none.
pub fn percent(share: Option<f64>) -> String {
    match share {
        None => "-".into(),
        Some(share) if share > 0.99 && share < 1.0 => format!("{:.3} %", share * 100.0),
        Some(share) if share == 0.0 || share == 1.0 => format!("{:.0} %", share * 100.0),
        Some(share) => format!("{:.1} %", share * 100.0),
    }
}

/// A share of counts, as [`percent`].
pub fn share(some: u64, all: u64) -> String {
    percent((all > 0).then(|| some as f64 / all as f64))
}

/// A span from nanoseconds: `850 ns`, `20.3 us`, `41.2 ms`, `1.50 s`.
pub fn span(nanos: u64) -> String {
    match nanos {
        0 => "-".into(),
        n if n < 1_000 => format!("{n} ns"),
        n if n < 1_000_000 => format!("{:.1} us", n as f64 / 1e3),
        n if n < 1_000_000_000 => format!("{:.1} ms", n as f64 / 1e6),
        n => format!("{:.2} s", n as f64 / 1e9),
    }
}

/// A long span: `12 s`, `3 min 20 s`, `4 h 10 min`, `12 d 3 h`.
pub fn long(seconds: u64) -> String {
    match seconds {
        s if s < 60 => format!("{s} s"),
        s if s < 3_600 => format!("{} min {:02} s", s / 60, s % 60),
        s if s < 86_400 => format!("{} h {:02} min", s / 3_600, s % 3_600 / 60),
        s => format!("{} d {:02} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// How long before `now` something was: `12 s ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    match now.since(at).as_secs() {
        0 => "now".into(),
        seconds => format!("{} ago", long(seconds)),
    }
}

/// Time since the start: `01:23:45`.
pub fn elapsed(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.since(from).as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The time of day, UTC: `14:03:07.123`.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(11..23).unwrap_or(&text).to_owned()
}

/// A span as people write it: 75s, 1m15s, 1:15, 1:02:03.
pub fn position(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|seconds| (0.0..1e9).contains(seconds));
    let mut parts = text.rsplit(':');
    match (text.contains(':'), seconds(text)) {
        (false, Some(seconds)) => Some(std::time::Duration::from_secs_f64(seconds)),
        (false, None) => std::time::Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok(),
        (true, _) => {
            let last = seconds(parts.next()?)?;
            let minutes = seconds(parts.next()?)?;
            let hours = parts.next().map_or(Some(0.0), seconds)?;
            let all = (hours * 60.0 + minutes).mul_add(60.0, last);
            parts.next().is_none().then(|| std::time::Duration::try_from_secs_f64(all).ok()).flatten()
        }
    }
}

/// A text of at most `width` columns; a longer one ends in `…`.
pub fn cut(text: &str, width: usize) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        cut.push(letter);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!([span(850), span(20_300), span(41_200_000)], ["850 ns", "20.3 us", "41.2 ms"]);
        assert_eq!([long(12), long(200), long(15_000)], ["12 s", "3 min 20 s", "4 h 10 min"]);
        assert_eq!([percent(None), percent(Some(0.9995)), percent(Some(0.71))], ["-", "99.950 %", "71.0 %"]);
        assert_eq!(clock(Timestamp::from_millis(1_123)), "00:00:01.123");
        assert_eq!([cut("フィズバズ", 5), cut("abc", 3), cut("abcd", 3)], ["フィ…", "abc", "ab…"]);
    }
}
