//! MPLS labels that a router appends to what it says (RFC 4950), in the extension structure of RFC
//! 4884.

use serde::Serialize;

use crate::net::icmp::packet::checksum;

/// The extension follows the quoted datagram, which is padded to so many bytes (RFC 4884, section
/// 5; also where a router is older than that and does not say how long it is). What is sent is
/// shorter.
const QUOTED: usize = 128;

/// One entry of a label stack (RFC 3032, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Label {
    /// The label, of 20 bits.
    pub label: u32,
    /// The traffic class, of 3 bits (RFC 5462).
    pub tc: u8,
    /// Whether it is the last one of its stack.
    pub bottom: bool,
    /// The TTL.
    pub ttl: u8,
}

/// The label stack behind a quotation of which the first `cut` bytes (headers) are not there; empty
/// where there is none, or it cannot be read.
#[must_use]
pub fn read(quoted: &[u8], cut: usize) -> Vec<Label> {
    QUOTED.checked_sub(cut).and_then(|at| objects(quoted.get(at..)?)).unwrap_or_default()
}

fn objects(extension: &[u8]) -> Option<Vec<Label>> {
    let (header, mut rest) = extension.split_at_checked(4)?;
    // Version 2; a checksum of zero is none (RFC 4884, section 7).
    if header[0] >> 4 != 2 || header[2..4] != [0, 0] && checksum(extension) != 0 {
        return None;
    }
    let mut labels = Vec::new();
    while let Some((head, _)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_be_bytes([head[0], head[1]]));
        let body = rest.get(4..length)?;
        // Class 1, type 1: the incoming stack.
        if head[2..4] == [1, 1] {
            labels.extend(body.chunks_exact(4).map(label));
        }
        rest = &rest[length..];
    }
    Some(labels)
}

fn label(entry: &[u8]) -> Label {
    let word = u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]);
    let byte = |shift: u32, mask: u32| u8::try_from(word >> shift & mask).unwrap_or(0);
    Label { label: word >> 12, tc: byte(9, 7), bottom: word >> 8 & 1 == 1, ttl: byte(0, 0xff) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A quotation of `QUOTED` bytes without its first `cut`, and an extension.
    fn quoted(cut: usize, extension: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45; QUOTED - cut];
        bytes.extend_from_slice(extension);
        bytes
    }

    #[test]
    fn a_stack_of_labels_is_read_whatever_the_kernel_cut_off() {
        // Labels 24001 (TC 5) and 17, as Junos and IOS XR send them.
        let mut extension = vec![0x20, 0, 0, 0, 0, 12, 1, 1];
        extension.extend_from_slice(&(24_001u32 << 12 | 5 << 9 | 1).to_be_bytes());
        extension.extend_from_slice(&(17u32 << 12 | 1 << 8 | 254).to_be_bytes());
        let sum = checksum(&extension).to_be_bytes();
        extension[2..4].copy_from_slice(&sum);
        for cut in [20, 28, 40, 48] {
            let labels = read(&quoted(cut, &extension), cut);
            assert_eq!(
                labels,
                [
                    Label { label: 24_001, tc: 5, bottom: false, ttl: 1 },
                    Label { label: 17, tc: 0, bottom: true, ttl: 254 },
                ]
            );
        }
        extension[9] ^= 1;
        assert_eq!(read(&quoted(20, &extension), 20), [], "its checksum is wrong");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut extension = vec![0x20, 0, 0, 0];
            extension.extend_from_slice(&bytes);
            let _ = (read(&quoted(20, &extension), 20), read(&bytes, 20));
        }
    }
}
