//! The list of revoked tokens: what it means ([`list`]), when it is polled ([`feed`]), and how workers share it ([`sharing`]).

pub mod feed;
pub mod list;
pub mod sharing;
