//! What a request is answered with.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::collector::fault::Fault;
use crate::evidence::problem::Kind;

/// A value as JSON.
pub(in crate::collector) fn text(value: &impl serde::Serialize) -> String {
    crate::collector::json(value)
}

pub(in crate::collector) fn answered(of: &'static str, body: impl Into<Body>) -> Response {
    let headers: [(HeaderName, &'static str); 2] =
        [(CONTENT_TYPE, of), (CACHE_CONTROL, "no-store")];
    (headers, body.into()).into_response()
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response =
            (status, [(CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: whoever waits so long is not too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.problem.kind() == Some(Kind::Unauthorized) {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
