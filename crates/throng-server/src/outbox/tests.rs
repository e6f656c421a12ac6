//! How much may wait, on each side of both limits. The runtime is never asked whether the socket is
//! writable, so that it takes nothing and everything waits.

use std::future::poll_fn;
use std::net::{TcpListener, TcpStream as Peer};

use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap()
}

/// An outbox and the far end of its socket; inside of a runtime.
fn pair(limits: &Limits) -> (Outbox, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    (Outbox::new(ConnectionId(1), Form::RawProtobuf, stream, limits), peer)
}

/// Events of this length, handed over until the connection ends; how many it took.
fn taken(limits: &Limits, len: usize, frames: u32) -> usize {
    let runtime = runtime();
    let _inside = runtime.enter();
    let (outbox, _peer) = pair(limits);
    let chunk = Bytes::from(vec![7; len]);
    let mut writer = Writer::default();
    for count in 0.. {
        outbox.deliver(&chunk, frames, &mut writer);
        match outbox.ending() {
            None => assert_eq!(outbox.unread(), (count + 1) * len),
            Some(why) => {
                assert_eq!(why, Disconnect::Slow);
                assert!(outbox.unread() < 200, "only the farewell waits");
                return count;
            }
        }
    }
    unreachable!("an outbox is full at some time")
}

#[test]
fn frames_wait_up_to_their_limit_and_one_more_is_too_slow() {
    let limits = Limits { outbox_frames_max: 16, ..Limits::default() };
    assert_eq!(taken(&limits, 10, 1), 16);
    assert_eq!(taken(&limits, 10, 4), 4, "frames count, not the chunks that hold them");
    assert_eq!(taken(&limits, 10, 5), 3);
}

#[test]
fn bytes_wait_up_to_their_limit_and_one_more_is_too_slow() {
    let limits = Limits { outbox_bytes_max: 65_536, ..Limits::default() };
    assert_eq!(taken(&limits, 65_536, 1), 1);
    assert_eq!(taken(&limits, 65_537, 1), 0);
    assert_eq!(taken(&limits, 32_768, 1), 2);
}

/// A task that leaves requests unserved because much waits must hear of it when that has left, also
/// where the socket took all of it at once: without a word it would never read again, and the
/// connection would end as one that answers no pings.
#[test]
fn who_found_too_much_waiting_is_told_when_a_fan_out_has_written_what_it_staged() {
    runtime().block_on(async {
        let (outbox, _peer) = pair(&Limits::default());
        outbox.stream().writable().await.unwrap();
        assert!(outbox.stage(&Bytes::from(vec![7; 1000]), 1), "the first of the tick");
        assert!(outbox.room_or_tell(1001), "one byte less than too much");
        assert!(!outbox.room_or_tell(1000), "too much");
        outbox.flush(&mut Writer::default());
        assert_eq!(outbox.unread(), 0, "the socket took it");
        let told = poll_fn(|cx| outbox.poll_signals(cx)).await;
        assert!(told.has(Signals::ROOM));
        assert!(outbox.room_or_tell(1000));
    });
}

/// Whoever finds the socket of no more use may find the task between its look at that and its question, with
/// no waker left: what it is told must not depend on having been there to hear it.
#[test]
fn who_asks_after_the_socket_went_is_told_of_it_though_nobody_was_there_to_be_woken() {
    let runtime = runtime();
    let _inside = runtime.enter();
    let (outbox, peer) = pair(&Limits::default());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_signals(&mut cx).is_pending());
    outbox.drain();
    let woken = outbox.poll_signals(&mut cx);
    assert!(matches!(woken, Poll::Ready(signals) if !signals.has(Signals::ENDING)), "{woken:?}");
    outbox.lock().gone();
    for _ in 0..2 {
        let told = outbox.poll_signals(&mut cx);
        assert!(matches!(told, Poll::Ready(signals) if signals.has(Signals::ENDING)), "{told:?}");
    }
    drop(peer);
}
