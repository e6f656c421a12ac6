//! Who asks: the bearer of a token, and the address it comes from.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use throng_core::{Author, Rejection, RoomId, SessionId};

use super::Peer;
use super::refusal::Refusal;
use super::strangers::Shown;
use crate::accounts::Authenticated;
use crate::address::AddressKey;
use crate::app::App;
use crate::operations::trace::Trace;
use crate::protocols::native::mapping;

/// An authenticated client, within its rate of requests.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub user: Author,
    /// By which session.
    pub session: SessionId,
    /// Where the request's time went so far.
    pub trace: Trace,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Nothing of the API is asked but through `strangers`, which has looked at the token.
        let shown: Option<Shown> = parts.extensions.remove();
        let Shown { known, trace } = shown.ok_or(Rejection::NotAuthenticated)?;
        let Authenticated { user, session, .. } = known?;
        Ok(Self { user, session, trace })
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The address limits count by.
#[derive(Clone, Copy, Debug)]
pub struct Address(pub AddressKey);

impl<S: Sync> FromRequestParts<S> for Address
where
    Arc<App>: FromRef<S>,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let app = Arc::<App>::from_ref(state);
        Ok(Self(client(&app, &parts.headers, &parts.extensions)))
    }
}

/// Whose address a request comes from; the upgrade to WebSocket asks it too.
pub fn client(app: &App, headers: &HeaderMap, extensions: &Extensions) -> AddressKey {
    // Without a listener (in a test) all come from one address.
    let unknown = Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let Peer(peer) = extensions.get().copied().unwrap_or(unknown);
    let forwarded = headers.get_all("x-forwarded-for");
    let forwarded: Vec<&str> = forwarded.iter().filter_map(|one| one.to_str().ok()).collect();
    app.settings.trusted_proxies.client(peer, forwarded.into_iter()).into()
}

/// The room of the path; what cannot be a room's number names none.
#[derive(Clone, Copy, Debug)]
pub struct InRoom(pub RoomId);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let path = Path::<u32>::from_request_parts(parts, state).await;
        let Path(number) = path.map_err(|_| Refusal(Rejection::NoSuchRoom))?;
        Ok(Self(mapping::room_id(number)?))
    }
}
