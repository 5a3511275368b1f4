use std::collections::HashMap;

use super::*;

const LIMITS: CacheLimits = CacheLimits { tokens: 3, bytes: 4 * ENTRY_BYTES };

fn cache<S: BuildHasher + Clone + Default>() -> TokenEntries<u32, S> {
    TokenEntries::new(LIMITS)
}

fn text(number: u32) -> Rc<[u8]> {
    Rc::from(format!("token-{number}").as_bytes())
}

/// Steps of any kind against a list that is kept in order of use.
fn agrees_with_a_list<S: BuildHasher + Clone + Default>() {
    let mut cache = cache::<S>();
    // Which token came last without finding space, by the slot in which it is recorded.
    let mut seen: HashMap<u64, u32> = HashMap::new();
    let mut list: Vec<(u32, u32, usize)> = Vec::new();
    let mut random = 1_u32;
    for step in 0..20_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (kind, number, size) = (random >> 28, random >> 8 & 7, (random >> 12 & 0x3ff) as usize);
        let place = list.iter().position(|(other, ..)| *other == number);
        if kind < 6 {
            cache.insert(text(number), step, size);
            place.map(|place| list.remove(place));
            let held: usize = list.iter().map(|(.., bytes)| bytes).sum();
            let is_full = list.len() == LIMITS.tokens || held + size + ENTRY_BYTES > LIMITS.bytes;
            let slot = cache.hasher.hash_one(&*text(number)) % LIMITS.tokens as u64;
            if !is_full || seen.insert(slot, number) == Some(number) {
                list.push((number, step, size + ENTRY_BYTES));
            }
            while list.len() > LIMITS.tokens || list.iter().map(|(.., bytes)| bytes).sum::<usize>() > LIMITS.bytes {
                list.remove(0);
            }
        } else {
            let is_good = kind < 14;
            let found = cache.entries.get_valid(&text(number), |_| is_good).copied();
            let expected = place.map(|place| list.remove(place));
            assert_eq!(found, expected.filter(|_| is_good).map(|(_, what, _)| what), "step {step}");
            list.extend(expected.filter(|_| is_good));
        }
        assert_eq!(cache.entries.len(), list.len(), "step {step}");
        assert_eq!(cache.entries.bytes(), list.iter().map(|(.., bytes)| bytes).sum::<usize>(), "step {step}");
    }
}

#[test]
fn cache_agrees_with_a_list_in_order_of_use() {
    agrees_with_a_list::<RandomHasher>();
    agrees_with_a_list::<EndOfToken>();
}

#[test]
fn entry_larger_than_the_cache_is_not_cached_and_evicts_nothing() {
    let mut cache = cache::<RandomHasher>();
    cache.insert(text(1), 1, 10);
    cache.insert(text(2), 2, LIMITS.bytes - ENTRY_BYTES + 1);
    cache.insert(text(3), 3, usize::MAX);
    assert_eq!((cache.entries.len(), cache.entries.get_valid(&text(1), |_| true)), (1, Some(&1)));
}

/// Tokens with the same end have one hash.
#[test]
fn tokens_with_the_same_end_have_two_entries() {
    let end = "e".repeat(HASHED_BYTES);
    let (one, two) = (format!("one{end}"), format!("two{end}"));
    let mut cache = cache::<EndOfToken>();
    assert_eq!(cache.hasher.hash_one(one.as_bytes()), cache.hasher.hash_one(two.as_bytes()));
    assert_ne!(cache.hasher.hash_one(one.as_bytes()), cache.hasher.hash_one(&one.as_bytes()[..one.len() - 1]));
    cache.insert(Rc::from(one.as_bytes()), 1, 0);
    assert_eq!(cache.entries.get_valid(two.as_bytes(), |_| true), None);
    assert_eq!(cache.entries.get_valid(one.as_bytes(), |_| true), Some(&1));
}

#[test]
fn token_that_comes_once_evicts_nothing_from_a_full_cache() {
    let mut cache = cache::<RandomHasher>();
    (0..3).for_each(|number| cache.insert(text(number), number, 0));
    (3..1000).for_each(|number| cache.insert(text(number), number, 0));
    assert!((0..3).all(|number| cache.entries.get_valid(&text(number), |_| true) == Some(&number)));
    cache.insert(text(999), 999, 0);
    assert_eq!(cache.entries.get_valid(&text(999), |_| true), Some(&999));
}
