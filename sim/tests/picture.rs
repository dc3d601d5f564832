//! The picture of a run: one file that needs no other, well formed, with everything in it.

use std::collections::BTreeSet;
use std::time::Duration;

use synod_sim::picture;
use synod_sim::swarm::{self, Report};
use synod_sim::trace::Lines;
use synod_sim::{Options, Property, Violation};

/// A run in which much goes wrong.
fn report() -> Report {
    let mut options = Options::draw(6, Some(3), Some(Duration::from_secs(2)));
    options.network.loss_ppm = 20_000;
    options.network.double_ppm = 20_000;
    options.network.damage_ppm = 20_000;
    options.process.die_at_action_ppm = 2_000;
    swarm::run_caught(options, Lines::Keep)
}

/// What lies between `from` and the next `to`.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text.find(from).map(|at| at + from.len()).expect(from);
    &text[start..start + text[start..].find(to).expect(to)]
}

fn data(page: &str) -> &str {
    between(page, "<script type=\"application/json\" id=\"data\">", "</script>")
}

#[test]
fn the_page_needs_nothing_else_and_is_well_formed() {
    let page = picture::page("seed 6", &report(), "seed 6\n");
    for outside in ["http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "{{"] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
    let head = between(&page, "<head>", "<style>");
    assert!(head.contains("default-src 'none'"), "the page does not forbid the network");
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    let mut open = Vec::new();
    let mut rest = page.as_str();
    while let Some(start) = rest.find('<') {
        let tag = &rest[start + 1..start + rest[start..].find('>').expect("a tag ends")];
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        rest = &rest[start + 1..];
        match name {
            "!doctype" | "meta" | "input" => {}
            "script" | "style" => rest = &rest[rest.find(&format!("</{name}>")).expect(name) + 1..],
            ended if ended.starts_with('/') => {
                if !["/script", "/style"].contains(&ended) {
                    assert_eq!(open.pop(), Some(ended[1..].to_owned()), "at <{tag}>");
                }
            }
            begun => open.push(begun.to_owned()),
        }
    }
    assert_eq!(open, [""; 0], "never ended");
}

#[test]
fn every_event_is_in_the_data_with_its_word_and_kind() {
    let report = report();
    let page = picture::page("seed 6", &report, "seed 6\n");
    let data = data(&page);
    assert_eq!(json(data.as_bytes()), Some(data.len()), "not JSON");
    let words: BTreeSet<&str> = report.events.iter().map(|event| event.word).collect();
    assert!(words.len() > 12, "only {words:?}");
    let named = between(data, "\"words\":[", "]");
    assert!(words.iter().all(|word| named.contains(&format!("\"{word}\""))), "{named}");
    let kinds = between(data, "\"kinds\":[", "]");
    for event in report.events.iter().filter_map(|event| event.told.kind) {
        assert!(kinds.contains(&format!("\"{event}\"")), "{event} is not in {kinds}");
    }
    let rows = data.split("\"events\":[").nth(1).expect("events");
    assert_eq!(rows.matches('[').count() - texts(rows, '['), report.events.len());
}

/// How often `letter` occurs within texts.
fn texts(json: &str, letter: char) -> usize {
    // An escaped quote ends no text.
    let json = json.replace("\\\\", "").replace("\\\"", "");
    let inside = json.split('"').skip(1).step_by(2);
    inside.map(|text| text.matches(letter).count()).sum()
}

#[test]
fn nothing_that_a_run_says_can_break_the_page() {
    let mut report = report();
    let evil = "</script><img src=x onerror=alert(1)> {{script}} \" \\ \u{2028} &amp;";
    report.violation = Some(Violation::new(Property::Agreement, evil));
    for event in &mut report.events {
        event.told.text = evil.replace('"', "'");
    }
    let page = picture::page(evil, &report, evil);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img"), "a tag got through");
    let data = data(&page);
    assert_eq!(json(data.as_bytes()), Some(data.len()), "not JSON");
    assert_eq!(page.matches("function readModel(").count(), 1, "a place was filled twice");
}

/// Where the first value of `text` ends, if it is JSON.
fn json(text: &[u8]) -> Option<usize> {
    match *text.first()? {
        b'"' => {
            let mut place = 1;
            loop {
                match *text.get(place)? {
                    b'"' => return Some(place + 1),
                    b'\\' => place += 2,
                    0..=0x1f => return None,
                    _other => place += 1,
                }
            }
        }
        open @ (b'[' | b'{') => {
            let close = if open == b'[' { b']' } else { b'}' };
            let mut place = 1;
            if *text.get(place)? == close {
                return Some(place + 1);
            }
            loop {
                if open == b'{' {
                    (*text.get(place)? == b'"').then_some(())?;
                    place += json(&text[place..])?;
                    (*text.get(place)? == b':').then_some(())?;
                    place += 1;
                }
                place += json(&text[place..])?;
                match *text.get(place)? {
                    b',' => place += 1,
                    end if end == close => return Some(place + 1),
                    _other => return None,
                }
            }
        }
        b't' => text.starts_with(b"true").then_some(4),
        b'f' => text.starts_with(b"false").then_some(5),
        b'n' => text.starts_with(b"null").then_some(4),
        _other => {
            let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (digits > 0).then_some(digits)
        }
    }
}
