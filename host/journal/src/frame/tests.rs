use super::*;

fn header() -> Header {
    Header { payload_len: 7, payload_crc: 0x0102_0304, batch_rest: 5, sequence: 1 << 40, fence: 9, writer: u64::MAX }
}

#[test]
fn a_header_comes_back_as_it_went() {
    assert_eq!(Header::decode(&header().encode()), Ok(header()));
}

/// The layout is a file format: it must not change with the code.
#[test]
fn the_layout_is_the_documented_one() {
    let bytes = Header { payload_len: 3, payload_crc: 2, batch_rest: 1, sequence: 4, fence: 5, writer: 6 }.encode();
    assert_eq!(&bytes[..4], b"LKF1");
    assert_eq!(bytes[4..8], crc32c::crc32c(&bytes[8..]).to_le_bytes());
    let mut rest = [0; 40];
    for (at, value) in [(0, 3), (4, 2), (8, 1), (16, 4), (24, 5), (32, 6)] {
        rest[at] = value;
    }
    assert_eq!(bytes[8..], rest);
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed() {
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = header().encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = if bit < 32 { HeaderFault::Magic } else { HeaderFault::Checksum };
        assert_eq!(Header::decode(&bytes), Err(expected), "bit {bit}");
    }
}

#[test]
fn a_field_that_must_be_zero_is_refused_though_the_checksum_fits() {
    let mut bytes = header().encode();
    bytes[21] = 1;
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Header::decode(&bytes), Err(HeaderFault::Reserved));
}

#[test]
fn a_frame_is_none_before_it_is_sealed_and_may_be_sealed_again() {
    let mut frames = Vec::new();
    for payload in [&b"one"[..], b"", b"three"] {
        push_frame(&mut frames, payload);
    }
    assert_eq!(Header::decode(frames.first_chunk().unwrap()), Err(HeaderFault::Magic));
    for (first, fence, writer) in [(1, 0, 3), (100, 7, 4)] {
        assert_eq!(seal(&mut frames, first, fence, writer), 3);
        let mut at = 0;
        for (index, payload) in [&b"one"[..], b"", b"three"].into_iter().enumerate() {
            let header = Header::decode(frames[at..].first_chunk().unwrap()).unwrap();
            let expected = Header {
                payload_len: payload.len() as u32,
                payload_crc: crc32c::crc32c(payload),
                batch_rest: 2 - index as u32,
                sequence: first + index as u64,
                fence,
                writer,
            };
            assert_eq!(header, expected);
            at += HEADER_BYTES + payload.len();
        }
        assert_eq!(at, frames.len());
    }
    assert_eq!(seal(&mut [], 1, 0, 0), 0);
}
