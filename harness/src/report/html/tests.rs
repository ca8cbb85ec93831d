//! What the page of a run holds, and that nothing gets lost on the way into it.

use crate::{
    history::{Event, Operation, Question, What, script::Script},
    report::tests::{as_it_was, cut_short, mitigated},
};

use super::*;

/// What it may take at most.
const MEGABYTE: usize = 1_000_000;

fn logs() -> Vec<Log> {
    let text = "archive: ready\narchive: turned a client away: <no certificate>\n".into();
    vec![Log { service: "archive".into(), text, left_out: 2 }]
}

/// A page without the parts from one word to another.
fn without(page: &str, from: &str, to: &str) -> String {
    let mut parts = page.split(from);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(to).map_or("", |(_, rest)| rest))
}

/// A line for each element, for people who read the difference.
fn readable(page: &str) -> String {
    without(page, "<style>", "</style>").replace("><", ">\n<")
}

#[test]
fn the_page_of_an_outage_tells_it_to_somebody_who_never_saw_this_project() {
    let page = page(&as_it_was(), &logs());
    insta::assert_snapshot!(without(&readable(&page), "<svg", "</svg>"));
}

#[test]
fn the_page_of_a_run_that_was_cut_short_draws_what_there_is() {
    insta::assert_snapshot!(readable(&page(&cut_short(), &[])));
}

#[test]
fn an_empty_history_has_a_page() {
    let page = page(&History::default(), &[]);
    assert!(page.contains("A run that died at once") && page.contains("No fault was seen on the wire."));
}

#[test]
fn everything_that_is_drawn_has_words() {
    for history in [as_it_was(), mitigated(), cut_short()] {
        let page = page(&history, &[]);
        assert!(page.contains("<rect"), "nothing is drawn");
        for element in ["<rect", "<a href=\"#milestone"] {
            for drawn in page.split(element).skip(1) {
                let inside = drawn.split_once('>').map_or("", |(_, inside)| inside);
                assert!(inside.starts_with("<title>"), "{element}{drawn:.200}");
            }
        }
        assert!(!page.contains("<title></title>"));
    }
}

#[test]
fn every_mark_leads_to_a_line_of_the_table_and_every_block_to_its_event() {
    let history = as_it_was();
    let page = page(&history, &[]);
    for link in page.split("href=\"#milestone-").skip(1) {
        let number = link.split('"').next().unwrap_or_default();
        assert!(page.contains(&format!("id=\"milestone-{number}\"")), "no line {number}");
    }
    let mut checked = 0;
    for from in page.split("[history: &#34;at&#34;:").skip(1) {
        let at: u64 = from.split(']').next().and_then(|at| at.parse().ok()).expect("an instant");
        let is_edge = |event: &Event| event.at == at;
        // A milestone can be the end of something that an event began, and a band the union of many.
        assert!(history.events.iter().any(is_edge), "nothing happened at {at}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn nothing_that_a_service_says_becomes_part_of_the_page_itself() {
    let evil = "</title><script>alert(1)</script>\" onload=\"x";
    let mut script =
        Script::outage().fails("search", 2_000..4_210, evil).breaks(crate::history::Phase::Drain, evil);
    script.info.about = evil.into();
    script.info.scenario = evil.into();
    let logs = [Log { service: evil.into(), text: evil.into(), left_out: 0 }];
    let page = page(&script.asks(500, Question::Open, Some(200)).history(), &logs);
    assert!(!page.contains("<script") && !page.contains("\" onload"));
    assert!(page.contains("&#60;script&#62;"));
}

#[test]
fn a_page_loads_nothing_from_anywhere() {
    let page = page(&as_it_was(), &logs());
    for word in ["http:", "https:", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn a_page_of_a_hundred_thousand_events_is_small_and_hides_no_operation() {
    let mut history = Script::outage().history();
    // Thirty operations that fail every other time, and nobody could draw that.
    for index in 0..100_000_u64 {
        let error = index.is_multiple_of(2).then(|| format!("try {index} went wrong"));
        let name = format!("operation-{:02}", index / 7 % 30);
        let operation = Operation { name, user_facing: true, took: 900 + index % 5_000, error };
        history.events.push(Event { at: 100_000 + index * 65, what: What::Operation(operation) });
    }
    let page = page(&history, &[]);
    assert!(page.len() < MEGABYTE, "{} bytes", page.len());
    assert!(page.contains("operation-00 failed from") && page.contains("7 more together failed from"));
}
