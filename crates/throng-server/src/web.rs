//! The chat page, as it lies in `web/`: part of the executable, so that a server is one file.
//!
//! Neighbours: `rest` mounts it. It knows nothing of what the page does.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// The page may load its own files and speak to its own server, and nothing else: what a message
/// smuggles into it finds no way out. `blob:` is what it has fetched itself: pictures of messages, which
/// are given to who shows a token. `ws:` and `wss:` stand there because older browsers do not take
/// `'self'` for a WebSocket.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! assets {
    ($($path:literal = $kind:ident $file:literal),+ $(,)?) => {
        [$(Asset {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("../../../web/", $file)),
        }),+]
    };
}

const ASSETS: [Asset; 21] = assets![
    "/" = HTML "index.html",
    "/account.js" = SCRIPT "account.js",
    "/app.js" = SCRIPT "app.js",
    "/begin.js" = SCRIPT "begin.js",
    "/client.js" = SCRIPT "client.js",
    "/connection.js" = SCRIPT "connection.js",
    "/files.js" = SCRIPT "files.js",
    "/gathered.js" = SCRIPT "gathered.js",
    "/guests.js" = SCRIPT "guests.js",
    "/held.js" = SCRIPT "held.js",
    "/here.js" = SCRIPT "here.js",
    "/hits.js" = SCRIPT "hits.js",
    "/lines.js" = SCRIPT "lines.js",
    "/manage.js" = SCRIPT "manage.js",
    "/message.js" = SCRIPT "message.js",
    "/people.js" = SCRIPT "people.js",
    "/pictures.js" = SCRIPT "pictures.js",
    "/reading.js" = SCRIPT "reading.js",
    "/refusals.js" = SCRIPT "refusals.js",
    "/style.css" = STYLE "style.css",
    "/timeline.js" = SCRIPT "timeline.js",
];

/// A hash of each asset, so that a browser asks again and is told "unchanged".
static TAGS: LazyLock<[HeaderValue; ASSETS.len()]> = LazyLock::new(|| {
    std::array::from_fn(|number| {
        let hash = blake3::hash(ASSETS[number].bytes).to_hex();
        HeaderValue::try_from(format!("\"{}\"", &hash[..32])).expect("hex between quotes")
    })
});

/// The page's routes.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    (0..ASSETS.len()).fold(Router::new(), |router, number| {
        let answer = move |headers: HeaderMap| async move { asset(number, &headers) };
        router.route(ASSETS[number].path, get(answer))
    })
}

fn asset(number: usize, asked: &HeaderMap) -> Response {
    let Asset { kind, bytes, .. } = ASSETS[number];
    let tag = &TAGS[number];
    let headers = [
        (ETAG, tag.clone()),
        // A new version of the server must be seen at once; the tag makes the asking cheap.
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    let known = asked.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let known = known.is_some_and(|list| list.split(',').any(|one| one.trim() == tag));
    if known {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, [(CONTENT_TYPE, HeaderValue::from_static(kind))], bytes).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(path: &str, tag: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        if let Some(tag) = tag {
            request.headers_mut().insert(IF_NONE_MATCH, tag.clone());
        }
        router::<()>().with_state(()).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_of_the_page_is_served_with_its_kind_and_a_closed_policy() {
        for asset in &ASSETS {
            let response = get(asset.path, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{}", asset.path);
            assert_eq!(response.headers()[CONTENT_TYPE], asset.kind);
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        }
    }

    #[tokio::test]
    async fn a_browser_that_has_a_file_is_told_that_it_is_unchanged() {
        let tag = get("/", None).await.headers()[ETAG].clone();
        let response = get("/", Some(&tag)).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        let other = HeaderValue::from_static("\"other\"");
        assert_eq!(get("/", Some(&other)).await.status(), StatusCode::OK);
    }

    #[test]
    fn every_script_that_another_imports_is_served() {
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for imported in text.split(" from \".").skip(1) {
                let path = imported.split('"').next().unwrap();
                assert!(ASSETS.iter().any(|asset| asset.path == path), "{path} is not served");
            }
        }
    }

    /// The policy allows neither; a page that had them would be broken in silence.
    #[test]
    fn the_page_has_no_inline_script_or_style() {
        let page = std::str::from_utf8(ASSETS[0].bytes).unwrap();
        assert!(
            !page.contains("<style") && !page.contains(" style=") && !page.contains(" onclick=")
        );
        for script in page.split("<script").skip(1) {
            assert!(script.split('>').next().unwrap().contains("src="), "{script}");
        }
    }
}
