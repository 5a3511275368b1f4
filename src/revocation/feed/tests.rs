//! A feed of revoked tokens over time.

use super::*;
use crate::callout::{CalloutResult, HttpResponse, TransportError};
use crate::policy::provider_fixture::{ISSUER, NOW, active, provider};
use serde_json::json;

const FULL: Jitter = Jitter(u16::MAX);
const ALICE: &[u8] = br#"{"revoked":[{"sub":"alice"}]}"#;

fn feed() -> RevocationFeed {
    let source = RevocationSource {
        address: CalloutAddress::parse("https://ops.example/revoked", "ops").unwrap(),
        refresh: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
    };
    RevocationFeed::new(source, NOW)
}

fn at(seconds: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(seconds))
}

fn response(status: u16, etag: Option<&str>, body: &[u8]) -> CalloutResult {
    Ok(HttpResponse::new(status, body.to_vec()).with_header("etag", etag))
}

fn judge(feed: &RevocationFeed, subject: &str) -> ListStatus {
    let claims = json!({"sub": subject, "aud": "api://default", "iat": 5});
    let token = ValidatedToken::validate_active(active(&claims), &provider(), NOW, NOW).unwrap();
    feed.status_of(&token, [ISSUER].into_iter(), NOW)
}

fn poll(feed: &mut RevocationFeed, seconds: u64, outcome: CalloutResult) -> PollResult {
    let number = feed.begin_poll(FULL, at(seconds)).expect("due").number;
    assert_eq!(feed.begin_poll(FULL, at(seconds)), None, "one at a time");
    feed.finish_poll(number, outcome, FULL, at(seconds)).result
}

#[test]
fn a_list_is_polled_and_confirmed_by_its_etag() {
    let mut feed = feed();
    let first = feed.begin_poll(FULL, at(0)).unwrap();
    assert_eq!((first.if_none_match, first.address.to_string()), (None, "https://ops.example/revoked".to_owned()));
    let result = feed.finish_poll(first.number, response(200, Some("W/\"a\""), ALICE), FULL, at(0)).result;
    assert_eq!(result, PollResult::Replaced(1));
    assert_eq!((judge(&feed, "alice"), judge(&feed, "bob")), (ListStatus::Revoked, ListStatus::NotListed));
    assert_eq!(feed.begin_poll(FULL, at(9)), None);
    let second = feed.begin_poll(FULL, at(10)).unwrap();
    assert_eq!(second.if_none_match.unwrap().as_str(), "W/\"a\"");
    assert_eq!(feed.finish_poll(second.number, response(304, None, b""), FULL, at(10)).result, PollResult::Unchanged);
    assert_eq!((judge(&feed, "alice"), feed.age(at(12))), (ListStatus::Revoked, Some(Duration::from_secs(2))));
    assert_eq!(feed.finish_poll(second.number, response(200, None, ALICE), FULL, at(10)).result, PollResult::Late);
    assert_eq!(poll(&mut feed, 20, response(200, None, br#"{"revoked":[]}"#)), PollResult::Replaced(0));
    assert_eq!(judge(&feed, "alice"), ListStatus::NotListed);
}

#[test]
fn every_kind_of_failure_keeps_the_last_list_and_shows() {
    let mut feed = feed();
    assert_eq!(judge(&feed, "alice"), ListStatus::Pending);
    poll(&mut feed, 0, response(200, Some("\"a\""), ALICE));
    let mut now = 20;
    for (outcome, name) in [
        (Err(TransportError::TimedOut), "timed_out"),
        (response(500, None, ALICE), "status"),
        (response(302, None, ALICE), "status"),
        (response(200, None, b"<html>"), "not_a_revocation_list"),
        (response(200, None, br#"{"revoked":[{"sub":"bob"},{}]}"#), "entry_malformed"),
        (response(200, None, &vec![b' '; MAX_LIST_BYTES + 1]), "too_large"),
    ] {
        let PollResult::Failed { fault, retry_in } = poll(&mut feed, now, outcome) else { panic!("{name}") };
        assert_eq!(fault.name(), name);
        assert!(retry_in <= Duration::from_secs(10) && retry_in > Duration::ZERO, "{retry_in:?}");
        assert_eq!((judge(&feed, "alice"), judge(&feed, "bob")), (ListStatus::Revoked, ListStatus::NotListed));
        now += 20;
    }
    assert_eq!(feed.age(at(now)), Some(Duration::from_secs(now)));
}

#[test]
fn without_a_first_list_nothing_is_said_of_anybody() {
    let mut feed = feed();
    let failed = poll(&mut feed, 0, response(304, None, b""));
    assert!(matches!(failed, PollResult::Failed { fault: PollFault::Status(304), .. }), "{failed:?}");
    assert!(matches!(judge(&feed, "bob"), ListStatus::Unavailable(_)));
    assert_eq!(feed.age(at(0)), None);
}

#[test]
fn poll_without_an_end_and_clock_set_back_do_not_end_the_polling() {
    let mut feed = feed();
    let lost = feed.begin_poll(FULL, at(0)).unwrap();
    assert_eq!(feed.begin_poll(FULL, at(3)), None);
    assert_eq!(feed.begin_poll(FULL, at(4)), None, "given up, and not due yet");
    let next = feed.begin_poll(FULL, at(5)).unwrap();
    assert_eq!(feed.finish_poll(lost.number, response(200, None, ALICE), FULL, at(5)).result, PollResult::Late);
    feed.finish_poll(next.number, response(200, None, ALICE), FULL, at(5));
    let hour_before = UnixTime::from_millis(NOW.as_millis() - 3_600_000);
    assert!(feed.begin_poll(FULL, hour_before).is_some());
}

#[test]
fn an_etag_that_cannot_be_written_is_none() {
    let mut feed = feed();
    poll(&mut feed, 0, response(200, Some("\"a\"\r\nx: y"), ALICE));
    assert_eq!(feed.begin_poll(FULL, at(10)).unwrap().if_none_match, None);
}

/// A feed that has read the list, and what it tells others after that poll and after one that failed.
fn news_after_two_polls() -> (ListNews, ListNews) {
    let mut feed = feed();
    let first = feed.begin_poll(FULL, at(0)).unwrap().number;
    let brought = feed.finish_poll(first, response(200, Some("\"a\""), ALICE), FULL, at(0)).news.unwrap();
    let second = feed.begin_poll(FULL, at(10)).unwrap().number;
    let failed = feed.finish_poll(second, Err(TransportError::TimedOut), FULL, at(12)).news.unwrap();
    (brought, failed)
}

#[test]
fn a_root_without_a_list_takes_over_the_one_that_others_hold() {
    let (brought, failed) = news_after_two_polls();
    assert_eq!((brought.state.digest, failed.document), (failed.state.digest, None));
    assert_eq!((failed.state.confirmed_at, failed.state.held_at), (at(0), at(12)));
    let document = brought.document.unwrap();
    let mut feed = feed();
    assert_eq!(judge(&feed, "alice"), ListStatus::Pending);
    assert_eq!(feed.adopt(failed.state, &document, at(13)), Some(PollResult::TakenOver(1)));
    assert_eq!((judge(&feed, "alice"), judge(&feed, "bob")), (ListStatus::Revoked, ListStatus::NotListed));
    assert_eq!(feed.age(at(13)), Some(Duration::from_secs(13)), "as old as it is");
    let poll = feed.begin_poll(FULL, at(13)).expect("the last confirmation is older than `refresh`");
    assert_eq!(poll.if_none_match.unwrap().as_str(), "\"a\"");
    assert_eq!(feed.adopt(brought.state, &document, at(13)), None, "there is one");
}

#[test]
fn list_confirmed_lately_is_not_polled_at_once() {
    let (brought, _) = news_after_two_polls();
    let mut feed = feed();
    feed.adopt(brought.state, &brought.document.unwrap(), at(4)).unwrap();
    assert_eq!(feed.begin_poll(FULL, at(9)), None);
    assert!(feed.begin_poll(FULL, at(10)).is_some());
}

#[test]
fn list_that_no_root_holds_or_another_list_is_not_adopted() {
    let (brought, _) = news_after_two_polls();
    let document = brought.document.unwrap();
    let other = ListDocument { body: br#"{"revoked":[]}"#.to_vec(), ..document.clone() };
    let unreadable = ListDocument { body: b"{}".to_vec(), ..document.clone() };
    let of = |document: &ListDocument| ListState { digest: document.digest(), ..brought.state };
    for (state, document, now) in
        [(brought.state, &document, at(200)), (brought.state, &other, at(1)), (of(&unreadable), &unreadable, at(1))]
    {
        let mut feed = feed();
        assert_eq!(feed.adopt(state, document, now), None);
        assert_eq!(judge(&feed, "alice"), ListStatus::Pending);
    }
}

#[test]
fn requests_wait_for_a_first_poll_and_not_for_a_second_one() {
    let mut feed = feed();
    let first = feed.begin_poll(FULL, at(0)).unwrap().number;
    assert_eq!(judge(&feed, "bob"), ListStatus::Pending);
    feed.finish_poll(first, Err(TransportError::TimedOut), FULL, at(0));
    assert!(matches!(judge(&feed, "bob"), ListStatus::Unavailable(_)));
}
