//! AMQP 0-9-1, as far as a client needs it to know that it is served: a connection, and a channel in it.
//!
//! Frames and methods are those of the specification, sections 2.3 (framing) and 4.2 (syntax), and of the
//! classes `connection` and `channel`.

use tokio::io::AsyncReadExt;

use super::{
    Denial,
    protocol::{LONGEST, Stream, send, unexpected},
};

/// What a connection begins with: the name and the version of the protocol.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// What a frame ends with.
const END: u8 = 0xce;
/// The kind of a frame that holds a method.
const METHOD: u8 = 1;

/// Class and method.
type Method = (u16, u16);

const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CLOSE: Method = (10, 50);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const CHANNEL_CLOSE_OK: Method = (20, 41);

/// Negotiates a connection to the virtual host `/`: `guest` may come from this machine.
pub(super) async fn greet(stream: &mut Stream) -> Result<(), Denial> {
    send(stream, HEADER).await?;
    expect(stream, START).await?;
    // No properties of the client, a mechanism, its answer, a language.
    let credentials = [&[0; 4][..], b"\x05PLAIN", b"\x00\x00\x00\x0c\x00guest\x00guest", b"\x05en_US"];
    send(stream, &frame(0, START_OK, &credentials.concat())).await?;
    let limits = expect(stream, TUNE).await?;
    // Its own limits, and no heartbeats: a connection must stay open while nobody asks.
    let limits = [limits.get(..6).ok_or_else(|| unexpected(&limits))?, &[0; 2]].concat();
    send(stream, &frame(0, TUNE_OK, &limits)).await?;
    send(stream, &frame(0, OPEN, b"\x01/\x00\x00")).await?;
    expect(stream, OPEN_OK).await.map(drop)
}

/// Opens a channel, and closes it.
pub(super) async fn ask(stream: &mut Stream) -> Result<String, Denial> {
    send(stream, &frame(1, CHANNEL_OPEN, &[0])).await?;
    expect(stream, CHANNEL_OPEN_OK).await?;
    // 200, without a text, and about no method.
    send(stream, &frame(1, CHANNEL_CLOSE, &[0, 200, 0, 0, 0, 0, 0])).await?;
    expect(stream, CHANNEL_CLOSE_OK).await?;
    Ok("Channel.OpenOk".into())
}

fn frame(channel: u16, (class, method): Method, arguments: &[u8]) -> Vec<u8> {
    let payload = [&class.to_be_bytes(), &method.to_be_bytes(), arguments].concat();
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&[METHOD], &channel.to_be_bytes()[..], &length.to_be_bytes(), &payload, &[END]].concat()
}

/// Reads one frame, which must be this method. Gives its arguments.
async fn expect(stream: &mut Stream, method: Method) -> Result<Vec<u8>, Denial> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [kind, _, _, length @ ..] = head;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    // A server that speaks another version answers with its own header.
    if kind != METHOD || length > LONGEST {
        return Err(unexpected(&head));
    }
    let mut payload = vec![0; length + 1];
    stream.read_exact(&mut payload).await?;
    arguments(&payload, method)
}

/// The arguments of a method, from the payload of its frame and its end.
fn arguments(payload: &[u8], expected: Method) -> Result<Vec<u8>, Denial> {
    let [a, b, c, d, arguments @ .., END] = payload else { return Err(unexpected(payload)) };
    match (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])) {
        method if method == expected => Ok(arguments.to_vec()),
        CLOSE => Err(closed(arguments).unwrap_or_else(|| unexpected(payload))),
        _ => Err(unexpected(payload)),
    }
}

/// Why it closes the connection: a code, and a short text with its length.
fn closed(arguments: &[u8]) -> Option<Denial> {
    let [_, _, length, text @ ..] = arguments else { return None };
    let text = text.get(..usize::from(*length))?;
    Some(Denial::Message(String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_frame_is_laid_out_as_the_specification_says() {
        let expected = b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce";
        assert_eq!(frame(1, CHANNEL_OPEN, &[0]), expected);
    }

    #[test]
    fn a_connection_that_is_closed_says_why() {
        let said = b"ACCESS_REFUSED - Login was refused";
        let close = [b"\x00\x0a\x00\x32\x01\x93\x22", &said[..], b"\x00\x00\x00\x00\xce"].concat();
        let denial = arguments(&close, TUNE).expect_err("closed");
        assert_eq!(denial, Denial::Message(String::from_utf8_lossy(said).into_owned()));
    }

    proptest! {
        #[test]
        fn what_is_framed_is_read_back(given in proptest::collection::vec(any::<u8>(), 0..64)) {
            let framed = frame(0, TUNE, &given);
            prop_assert_eq!(arguments(&framed[7..], TUNE), Ok(given));
        }

        #[test]
        fn no_payload_makes_the_reader_fail_otherwise_than_with_a_denial(
            payload in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = arguments(&payload, OPEN_OK);
        }
    }
}
