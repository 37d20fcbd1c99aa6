//! The framing that Confluent's serializers put around a message: a zero byte, the id of its schema (four bytes, big-endian),
//! then the message; of Protobuf the place of the message's type within its file stands in between.

/// The bytes in front of a framed message.
pub(crate) const HEADER_BYTES: usize = 5;

/// The id of a message's schema, and what follows it. `None`: the message is not framed.
#[inline]
pub(crate) fn unframed(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (header, body) = payload.split_first_chunk::<HEADER_BYTES>()?;
    let [0, id @ ..] = header else { return None };
    Some((u32::from_be_bytes(*id), body))
}

/// Why a message is not framed, in words.
pub(crate) fn why_not_framed(payload: &[u8]) -> String {
    match payload.first() {
        Some(0) => format!("the payload has {} bytes, and its frame takes {HEADER_BYTES}", payload.len()),
        Some(byte) => format!("the payload begins with byte {byte}, not with 0 and the id of a schema"),
        None => "the payload is empty".to_owned(),
    }
}

/// A message in its frame.
#[cfg(test)]
pub(crate) fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_off_as_it_went_on() {
        assert_eq!(framed(258, b"xy"), [0, 0, 0, 1, 2, b'x', b'y']);
        assert_eq!(unframed(&framed(u32::MAX, b"")), Some((u32::MAX, &b""[..])));
        for not_framed in [&b""[..], b"\0", b"\0\0\0\0", b"{\"a\":1}"] {
            assert_eq!(unframed(not_framed), None);
            assert!(why_not_framed(not_framed).contains("payload"));
        }
    }
}
