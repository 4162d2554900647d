//! Names in lists of files: bytes that could be mistaken for something else stand as octal numbers (vis(3)).

/// Writes a name; everything but the plainest characters as `\ooo`, which all readers know.
pub(super) fn encode(name: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+,:@%/".contains(byte);
    let mut text = String::new();
    for byte in name {
        match plain(byte) {
            true => text.push(char::from(*byte)),
            false => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text
}

/// Reads a name as vis(3) writes it with any of its styles but the one with `M-`.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let (byte, tail) = escape(tail)?;
        bytes.push(byte);
        rest = tail;
    }
    Some(bytes)
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (first, tail) = text.split_first()?;
    let byte = match first {
        b'0'..=b'7' => {
            let length = text
                .iter()
                .take(3)
                .take_while(|byte| (b'0'..=b'7').contains(byte))
                .count();
            let digits = std::str::from_utf8(text.get(..length)?).ok()?;
            return Some((u8::from_str_radix(digits, 8).ok()?, text.get(length..)?));
        }
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b's' => b' ',
        b'E' => 27,
        other => *other,
    };
    Some((byte, tail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_writers_are_understood() {
        for (text, bytes) in [
            (r"\133", &b"["[..]),
            (r"a\sb\n", b"a b\n"),
            (r"\\", b"\\"),
            (r"\0", b"\0"),
            (r"\303\251", "é".as_bytes()),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(decode("\\"), None);
        assert_eq!(decode(r"\777"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = encode(&name);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode(&text), Some(name));
        }
    }
}
