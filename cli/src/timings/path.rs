//! The critical path: what the end of the build waited for, read off the times.
//!
//! Whatever began right after something else had ended waited for it, the step before it in the same stage first of all.
//! That is an inference, and a good one: the solver begins a step as soon as it can.

use std::time::Duration;

use super::record::{Record, Span};

/// What began so soon after something had ended waited for it.
const SLACK: Duration = Duration::from_millis(2);

/// Something that took time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A step, by its number in the record.
    Step(usize),
    /// A transfer, by its number in the record.
    Transfer(usize),
}

/// The critical path, from first to last.
pub fn critical(record: &Record, last: Duration) -> Vec<Item> {
    let items = items(record);
    let mut path = Vec::new();
    let mut next = items.iter().max_by_key(|(_, span)| span.end(last)).copied();
    while let Some((item, span)) = next {
        path.push(item);
        next = before(record, &items, item, span, last);
    }
    path.reverse();
    path
}

fn items(record: &Record) -> Vec<(Item, Span)> {
    let steps = record.steps.iter().enumerate();
    let steps = steps.map(|(index, step)| (Item::Step(index), step.span));
    let transfers = record.transfers.iter().enumerate();
    let transfers = transfers.map(|(index, transfer)| (Item::Transfer(index), transfer.span));
    steps.chain(transfers).collect()
}

/// What an item waited for: what ended last before it began, and of those that ended at about that time the step before.
fn before(
    record: &Record,
    items: &[(Item, Span)],
    item: Item,
    span: Span,
    last: Duration,
) -> Option<(Item, Span)> {
    // What took no time at all is left out, or two such could wait for each other.
    let earlier = |(_, other): &&(Item, Span)| {
        other.begin < span.begin
            && other.end(last) <= span.begin + SLACK
            && other.length(last) > Duration::ZERO
    };
    let latest = items
        .iter()
        .filter(earlier)
        .max_by_key(|(_, span)| span.end(last))?;
    let own = items.iter().filter(earlier).find(|(other, other_span)| {
        other_span.end(last) + SLACK >= latest.1.end(last) && precedes(record, *other, item)
    });
    Some(*own.unwrap_or(latest))
}

/// Whether both are steps of one stage, one right after the other.
fn precedes(record: &Record, first: Item, second: Item) -> bool {
    let (Item::Step(first), Item::Step(second)) = (first, second) else {
        return false;
    };
    match (record.steps.get(first), record.steps.get(second)) {
        (Some(first), Some(second)) => {
            first.stage == second.stage && first.position.0 + 1 == second.position.0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timings::record::{How, Step};

    fn step(stage: &str, position: usize, begin: u64, end: u64) -> Step {
        Step {
            span: Span {
                begin: Duration::from_millis(begin),
                end: Some(Duration::from_millis(end)),
            },
            stage: stage.to_owned(),
            position: (position, 9),
            instruction: String::new(),
            how: How::Ran(None),
        }
    }

    #[test]
    fn goes_back_from_the_end() {
        let mut record = Record::new(String::new());
        record.steps = vec![
            step("a", 1, 0, 100),
            step("b", 1, 0, 20),
            step("b", 2, 20, 400),
            step("a", 2, 100, 390),
            // It waited for the other stage, which ended last.
            step("a", 3, 400, 500),
            step("a", 4, 501, 502),
        ];
        let path = critical(&record, Duration::from_millis(502));
        assert_eq!(path, [1, 2, 4, 5].map(Item::Step).to_vec());
        // Of two that ended alike, the one of the same stage.
        record.steps[3].span.end = Some(Duration::from_millis(400));
        let path = critical(&record, Duration::from_millis(502));
        assert_eq!(path, [0, 3, 4, 5].map(Item::Step).to_vec());
    }

    #[test]
    fn ends() {
        let mut record = Record::new(String::new());
        assert!(critical(&record, Duration::ZERO).is_empty());
        record.steps = (1..50).map(|n| step("a", n, 5, 5)).collect();
        assert_eq!(critical(&record, Duration::ZERO).len(), 1);
    }
}
