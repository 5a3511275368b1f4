//! The body of a response, in the configured format. No byte comes from the request.

use serde_json::{Value, json};

use super::{Denial, Message, is_grpc};
use crate::http::HeaderValue;
use crate::policy::{BodyFormat, Detail, Responses};

/// The content type and the body.
pub(super) fn body(message: &Message<'_>, refusal: &Denial<'_>, answers: &Responses) -> (HeaderValue, Vec<u8>) {
    let reason = match answers.detail {
        Detail::Terse => None,
        Detail::Reason => Some(refusal.reason.name()),
    };
    // The host makes `grpc-message` of it, which people read as it is.
    if is_grpc(refusal.head) {
        let sentence = message.sentence();
        let text = reason.map_or_else(|| sentence.to_owned(), |reason| format!("{sentence} ({reason})"));
        return (plain_text(), text.into_bytes());
    }
    if let Some(custom) = &answers.custom.of(message.class()).body {
        return (custom.content_type.clone(), custom.bytes.clone());
    }
    match answers.format {
        BodyFormat::Json => {
            let object = json!({ "error": message.error(), "error_description": message.sentence() });
            (HeaderValue::encode("application/json", None), written(object, reason))
        }
        BodyFormat::Problem => {
            let object = json!({
                "type": "about:blank",
                "title": message.class().phrase(),
                "status": message.class().status(),
                "detail": message.sentence(),
                "error": message.error(),
            });
            (HeaderValue::encode("application/problem+json", None), written(object, reason))
        }
        BodyFormat::Text => {
            let mut text = format!("{}\n", message.sentence());
            if let Some(reason) = reason {
                text.push_str(reason);
                text.push('\n');
            }
            (plain_text(), text.into_bytes())
        }
    }
}

fn plain_text() -> HeaderValue {
    HeaderValue::encode("text/plain; charset=utf-8", None)
}

fn written(mut object: Value, reason: Option<&'static str>) -> Vec<u8> {
    if let (Some(members), Some(reason)) = (object.as_object_mut(), reason) {
        members.insert(String::from("reason"), Value::from(reason));
    }
    object.to_string().into_bytes()
}
