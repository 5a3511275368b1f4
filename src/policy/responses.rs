//! The operator's settings for denial responses. `engine::response` builds the responses. The submodules define which
//! origins may read them, which callers get details, and where browsers sign in.

mod cors;
mod debug;
mod login;

use crate::http::{HeaderName, HeaderValue};

pub use cors::{AllowedOrigins, Cors, OriginPattern};
pub use debug::DebugCallers;
pub use login::{Login, LoginAddress, ReturnBase};

/// The settings of denial responses.
#[derive(Debug)]
pub struct Responses {
    /// The `realm` of challenges (RFC 9110 section 11.5).
    pub realm: String,
    pub format: BodyFormat,
    pub detail: Detail,
    /// The operator's custom bodies and headers.
    pub custom: CustomResponses,
    /// The callers who get the exact reason.
    pub debug: Option<DebugCallers>,
    /// The other origins whose pages may read denials.
    pub cors: Option<Cors>,
    /// The sign-in page for rules that redirect browsers.
    pub login: Option<Login>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// `{"error": …, "error_description": …}`
    #[default]
    Json,
    /// RFC 9457, with an additional member `error`.
    Problem,
    /// A sentence.
    Text,
}

/// The detail of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// The kind of credential that would help.
    #[default]
    Terse,
    /// Also the check that failed.
    Reason,
}

/// The status of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseClass {
    BadRequest,
    Unauthorized,
    Forbidden,
    Unavailable,
}

impl ResponseClass {
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::Unavailable => 503,
        }
    }

    /// The reason phrase (RFC 9110 section 15).
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

/// The custom response of each class.
#[derive(Debug, Default)]
pub struct CustomResponses {
    pub bad_request: CustomResponse,
    pub unauthorized: CustomResponse,
    pub forbidden: CustomResponse,
    pub unavailable: CustomResponse,
}

#[derive(Debug, Default)]
pub struct CustomResponse {
    /// Replaces the default body.
    pub body: Option<CustomBody>,
    /// Added to the filter's headers. The filter sets none of these itself.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// A body and its media type.
#[derive(Debug)]
pub struct CustomBody {
    pub content_type: HeaderValue,
    /// The body.
    pub bytes: Vec<u8>,
}

impl CustomResponses {
    pub const fn of(&self, class: ResponseClass) -> &CustomResponse {
        match class {
            ResponseClass::BadRequest => &self.bad_request,
            ResponseClass::Unauthorized => &self.unauthorized,
            ResponseClass::Forbidden => &self.forbidden,
            ResponseClass::Unavailable => &self.unavailable,
        }
    }
}
