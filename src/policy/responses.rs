//! How clients are answered when they are refused, as the operator wants it. What they are told is up to
//! `engine::reply`; the rooms below say which origins may read it, who is told more, and where browsers log in.

mod cors;
mod debug;
mod login;

use crate::http::{HeaderName, HeaderValue};

pub use cors::{AllowedOrigins, Cors, OriginPattern};
pub use debug::DebugCallers;
pub use login::{Login, LoginAddress, ReturnBase};

/// The operator's wishes.
#[derive(Debug)]
pub struct Responses {
    /// The `realm` of challenges (RFC 9110 section 11.5).
    pub realm: String,
    /// What bodies look like.
    pub format: BodyFormat,
    /// How much bodies say.
    pub detail: Detail,
    /// What the operator wrote instead.
    pub custom: CustomResponses,
    /// Who is told the exact reason.
    pub debug: Option<DebugCallers>,
    /// Which pages of other origins may read refusals.
    pub cors: Option<Cors>,
    /// Where the browsers go that a rule redirects.
    pub login: Option<Login>,
}

/// What a body looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// `{"error": …, "error_description": …}`
    #[default]
    Json,
    /// RFC 9457, with `error` besides.
    Problem,
    /// A sentence.
    Text,
}

/// How much a body says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What kind of credential would help.
    #[default]
    Terse,
    /// Also which check failed.
    Reason,
}

/// The status of a refusal, as operators speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 503
    Unavailable,
}

impl ResponseClass {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::Unavailable => 503,
        }
    }

    /// Its phrase (RFC 9110 section 15).
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// What the operator wrote for each class.
#[derive(Debug, Default)]
pub struct CustomResponses {
    /// 400
    pub bad_request: CustomResponse,
    /// 401
    pub unauthorized: CustomResponse,
    /// 403
    pub forbidden: CustomResponse,
    /// 503
    pub unavailable: CustomResponse,
}

/// What the operator wrote for one of them.
#[derive(Debug, Default)]
pub struct CustomResponse {
    /// Instead of ours.
    pub body: Option<CustomBody>,
    /// Beside ours, and none that we write.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A body and what it is.
#[derive(Debug)]
pub struct CustomBody {
    /// `Content-Type`
    pub content_type: HeaderValue,
    /// The body.
    pub bytes: Vec<u8>,
}

impl CustomResponses {
    /// What is written for this class.
    pub const fn of(&self, class: ResponseClass) -> &CustomResponse {
        match class {
            ResponseClass::BadRequest => &self.bad_request,
            ResponseClass::Unauthorized => &self.unauthorized,
            ResponseClass::Forbidden => &self.forbidden,
            ResponseClass::Unavailable => &self.unavailable,
        }
    }
}
