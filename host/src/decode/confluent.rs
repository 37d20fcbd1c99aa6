//! The framing that Confluent's serializers put around a message: a zero byte, the id of its schema (four bytes, big-endian),
//! then the message; of Protobuf the place of the message's type within its file stands in between.

/// The bytes in front of a framed message.
pub(crate) const HEADER_BYTES: usize = 5;

/// Types of Protobuf do not lie in each other more deeply than this.
const DEEPEST: usize = 64;

/// The id of a message's schema, and what follows it. `None`: the message is not framed.
#[inline]
pub(crate) fn unframed(payload: &[u8]) -> Option<(u32, &[u8])> {
    let (header, body) = payload.split_first_chunk::<HEADER_BYTES>()?;
    let [0, id @ ..] = header else { return None };
    Some((u32::from_be_bytes(*id), body))
}

/// Where a Protobuf message's type stands in its file, and what follows: the places of the messages that it lies in, from outside
/// in. `None`: what is there says no place.
pub(crate) fn message_place(body: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (count, mut rest) = place(body)?;
    // The first type of the file is said by nothing.
    if count == 0 {
        return Some((vec![0], rest));
    }
    if count > DEEPEST {
        return None;
    }
    let mut path = Vec::with_capacity(count);
    for _ in 0..count {
        let (next, behind) = place(rest)?;
        path.push(next);
        rest = behind;
    }
    Some((path, rest))
}

/// A number in Avro's way: base 128, zigzag.
fn place(body: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u32;
    for (index, byte) in body.iter().enumerate().take(4) {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            let is_negative = value & 1 == 1;
            return (!is_negative).then(|| (value as usize >> 1, &body[index + 1..]));
        }
    }
    None
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
