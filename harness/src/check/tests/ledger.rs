//! What the ledger says.

use super::*;

#[test]
fn a_record_that_is_not_stored_is_lost() {
    let whole = Script::new().records(1_000..2_000);
    passes(&*nothing_lost(), whole.clone(), "100 records sent, all stored and found");
    fails(&*nothing_lost(), whole.clone().record(2_000, None), "1 of 101 sent are not stored, although they");
    let unfound = record(|record| record.found = false);
    fails(&*nothing_lost(), whole.at(6_900, unfound), "1 stored but found by no user");
    cannot_tell(&*nothing_lost(), Script::new(), "no final account");
}

#[test]
fn what_was_acknowledged_and_lost_is_told_apart() {
    let dropped = Script::new().at(6_900, record(|record| (record.acked, record.stored) = (None, None)));
    fails(&*nothing_lost(), dropped.clone(), "none of them had been acknowledged (#9)");
    fails(&*nothing_lost(), dropped.record(2_000, None), "1 of them although acknowledged (#0, #9)");
}

#[test]
fn a_record_stored_twice_is_a_duplicate() {
    let whole = Script::new().records(1_000..2_000);
    passes(&*nothing_duplicated(), whole.clone(), "100 records stored once each");
    fails(&*nothing_duplicated(), whole.at(6_900, record(|record| record.copies = 2)), "1 of 101 records");
    cannot_tell(&*nothing_duplicated(), Script::new(), "no final account");
}

fn record(change: impl Fn(&mut Record)) -> What {
    let mut record = Record { number: 9, sent: 1, acked: Some(2), stored: Some(3), copies: 1, found: true };
    change(&mut record);
    What::Record(record)
}
