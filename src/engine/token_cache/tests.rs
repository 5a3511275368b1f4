use std::collections::HashMap;

use super::*;
use wasm_bindgen_test::wasm_bindgen_test;

const LIMITS: CacheLimits = CacheLimits { tokens: 3, bytes: 4 * ENTRY_BYTES };

fn room<S: BuildHasher + Clone + Default>() -> BoundedLru<u32, S> {
    BoundedLru::new(LIMITS)
}

fn text(number: u32) -> Rc<[u8]> {
    Rc::from(format!("token-{number}").as_bytes())
}

/// Steps of any kind against a list that is kept in order of use.
fn agrees_with_a_list<S: BuildHasher + Clone + Default>() {
    let mut room = room::<S>();
    // Which token came last without finding room, by the place in which it is remembered.
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let mut list: Vec<(u32, u32, usize)> = Vec::new();
    let mut random = 1_u32;
    for step in 0..20_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (kind, number, size) = (random >> 28, random >> 8 & 7, (random >> 12 & 0x3ff) as usize);
        let place = list.iter().position(|(other, ..)| *other == number);
        if kind < 6 {
            room.insert(text(number), step, size);
            place.map(|place| list.remove(place));
            let held: usize = list.iter().map(|(.., bytes)| bytes).sum();
            let is_full = list.len() == LIMITS.tokens || held + size + ENTRY_BYTES > LIMITS.bytes;
            let slot = room.hasher.hash_one(&*text(number)) % LIMITS.tokens as u64;
            if !is_full || seen.insert(slot, number) == Some(number) {
                list.push((number, step, size + ENTRY_BYTES));
            }
            while list.len() > LIMITS.tokens || list.iter().map(|(.., bytes)| bytes).sum::<usize>() > LIMITS.bytes {
                list.remove(0);
            }
        } else {
            let is_good = kind < 14;
            let found = room.find(&text(number), |_| is_good).copied();
            let expected = place.map(|place| list.remove(place));
            assert_eq!(found, expected.filter(|_| is_good).map(|(_, what, _)| what), "step {step}");
            list.extend(expected.filter(|_| is_good));
        }
        assert_eq!(room.entries.len(), list.len(), "step {step}");
        assert_eq!(room.held_bytes, list.iter().map(|(.., bytes)| bytes).sum::<usize>(), "step {step}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_room_agrees_with_a_list_in_order_of_use() {
    agrees_with_a_list::<RandomHasher>();
    agrees_with_a_list::<EndOfToken>();
}

#[wasm_bindgen_test(unsupported = test)]
fn what_alone_is_larger_than_the_room_is_not_taken_and_pushes_nothing_out() {
    let mut room = room::<RandomHasher>();
    room.insert(text(1), 1, 10);
    room.insert(text(2), 2, LIMITS.bytes - ENTRY_BYTES + 1);
    room.insert(text(3), 3, usize::MAX);
    assert_eq!((room.entries.len(), room.find(&text(1), |_| true)), (1, Some(&1)));
}

/// Tokens with the same end meet in one slot of the table, and are told apart there.
#[wasm_bindgen_test(unsupported = test)]
fn tokens_that_end_alike_are_two() {
    let end = "e".repeat(HASHED_BYTES);
    let (one, two) = (format!("one{end}"), format!("two{end}"));
    let mut room = room::<EndOfToken>();
    assert_eq!(room.hasher.hash_one(one.as_bytes()), room.hasher.hash_one(two.as_bytes()));
    assert_ne!(room.hasher.hash_one(one.as_bytes()), room.hasher.hash_one(&one.as_bytes()[..one.len() - 1]));
    room.insert(Rc::from(one.as_bytes()), 1, 0);
    assert_eq!(room.find(two.as_bytes(), |_| true), None);
    assert_eq!(room.find(one.as_bytes(), |_| true), Some(&1));
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_that_come_once_push_nothing_out_of_a_full_room() {
    let mut room = room::<RandomHasher>();
    (0..3).for_each(|number| room.insert(text(number), number, 0));
    (3..1000).for_each(|number| room.insert(text(number), number, 0));
    assert!((0..3).all(|number| room.find(&text(number), |_| true) == Some(&number)));
    room.insert(text(999), 999, 0);
    assert_eq!(room.find(&text(999), |_| true), Some(&999));
}
