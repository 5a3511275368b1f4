//! How clients are answered when they are refused, as the operator wants it. What they are told is up to
//! `engine::reply`.

/// The operator's wishes.
#[derive(Debug)]
pub struct Answers {
    /// The `realm` of challenges (RFC 9110 section 11.5).
    pub realm: String,
}
